//! PUBLISH to the partitions that own the topics; PUBACK and PUBREC in the order of receipt (MQTT 5.0 §3.3 to §3.7, §4.3, §4.6).

use contract::{
    MESSAGE_EXPIRY_NEVER, PartitionIndex, Publication, PublicationArena, PublicationDraft, PublishToken, QoS,
    RECORD_PREFIX_BYTES, Refusal, UtcTime, partition_of,
};
use mqtt::{
    Acknowledgement, DecodeError, Frame, PacketIdentifier, ProtocolVersion, Publish, ReasonCode, Will, encode_puback,
    encode_pubcomp, encode_pubrec,
};

use crate::publish_window::AcknowledgementKind;
use crate::receipts::Arrival;
use crate::state::Phase;
use crate::step::{PublishGroup, Step};
use crate::{Connection, DeniedPublishV3, EndReason};

/// Largest chunk that the publications of one step share, in bytes.
const CHUNK_BYTES_MAX: usize = 64 << 10;

impl Connection {
    /// Whether `frame` is a PUBLISH to the topic of the one before.
    #[inline]
    pub(crate) fn is_to_recent_topic(&self, frame: &Frame) -> bool {
        let recent = self.publishes.as_ref().and_then(|publishes| publishes.recent_topic.name.get());
        recent.is_some_and(|topic_name| Publish::is_to(frame, topic_name))
    }

    /// Its topic was checked, and its partition found, when the one before came.
    pub(crate) fn handle_publish_to_recent_topic(&mut self, frame: &Frame, step: &mut Step<'_>) {
        let recent = std::mem::take(&mut self.publishes().recent_topic);
        match Publish::decode_known(frame, self.version, recent.name.get()) {
            Ok(publish) => self.handle_publish(&publish, Some(recent.partition), step),
            Err(error) => self.refuse_bytes(error, step),
        }
        self.publishes().recent_topic = recent;
    }

    /// Publishes to the partition that owns the topic, where it is known.
    pub(crate) fn handle_publish(
        &mut self,
        publish: &Publish<'_>,
        partition: Option<PartitionIndex>,
        step: &mut Step<'_>,
    ) {
        let is_recent = partition.is_some();
        if publish.topic_alias.is_some()
            && let Err(error) = self.note_alias(publish)
        {
            return self.refuse_bytes(error, step);
        }
        if let Some(packet_identifier) = publish.packet_identifier
            && !self.is_new_and_within_window(publish.qos, packet_identifier, step)
        {
            return;
        }
        let by_alias = || publish.topic_alias.and_then(|alias| self.received_aliases.as_ref()?.get(&alias));
        let topic_name = match publish.topic_name {
            Some(topic_name) => topic_name.as_str(),
            None => by_alias().map_or("", |topic_name| &**topic_name),
        };
        // It was checked before: by the codec, or when its alias was set.
        let is_system = mqtt::is_system_topic(topic_name);
        if is_system || !self.rights.may_publish(topic_name) {
            return self.deny(publish, is_system, step);
        }
        let draft = PublicationDraft {
            topic_name,
            properties: &publish.properties,
            qos: publish.qos,
            retain: publish.retain,
            message_expiry_s: publish.message_expiry_s.unwrap_or(MESSAGE_EXPIRY_NEVER),
            received_at: step.now,
            received_utc: self.utc(step),
        };
        let arena = step.arena.get_or_insert_with(|| {
            PublicationArena::new(chunk_bytes(&draft, publish.payload, self.decoder.unread_bytes()))
        });
        let publication = build(arena, &draft, publish.payload);
        let partition = partition.unwrap_or_else(|| partition_of(topic_name.as_bytes(), self.config.partitions_count));
        self.counts.publishes += 1;
        self.add_to_group(partition, publication, publish, step);
        if let (false, Some(topic_name)) = (is_recent, publish.topic_name) {
            self.publishes().recent_topic.keep(topic_name, partition);
        }
    }

    /// Keeps the Topic Name that a Topic Alias stands for from here on, or finds the one that it stands for (MQTT 5.0 §3.3.2.3.4).
    fn note_alias(&mut self, publish: &Publish<'_>) -> Result<(), DecodeError> {
        let Some(alias) = publish.topic_alias else { return Ok(()) };
        if alias > self.config.topic_alias_maximum {
            // MQTT-3.3.2-9.
            return Err(DecodeError::TopicAliasInvalid);
        }
        if let Some(topic_name) = publish.topic_name {
            self.received_aliases.get_or_insert_default().insert(alias, topic_name.as_str().into());
        } else if !self.received_aliases.as_ref().is_some_and(|aliases| aliases.contains_key(&alias)) {
            return Err(DecodeError::ProtocolError("a Topic Alias without a Topic Name (MQTT 5.0 §3.3.2.3.4)"));
        }
        Ok(())
    }

    /// Whether a PUBLISH of `QoS` 1 or 2 is one that did not come before, and within the window of a 5.0 client; answers it if not.
    fn is_new_and_within_window(&mut self, qos: QoS, packet_identifier: PacketIdentifier, step: &mut Step<'_>) -> bool {
        let receive_maximum = usize::from(self.config.receive_maximum);
        let is_v5 = self.version == ProtocolVersion::V5;
        let publishes = self.publishes.get_or_insert_default();
        let arrival = if qos == QoS::ExactlyOnce { publishes.receipts.arrive(packet_identifier) } else { Arrival::New };
        match arrival {
            Arrival::New if is_v5 && publishes.unacknowledged_count() >= receive_maximum => {
                // MQTT-3.3.4-7.
                let reason_code = ReasonCode::RECEIVE_MAXIMUM_EXCEEDED;
                self.close(reason_code, EndReason::ProtocolError(reason_code.0), step);
                false
            }
            Arrival::New => true,
            // MQTT-4.3.3-10: it was handed on, and is not again.
            Arrival::Owed => false,
            Arrival::Again => {
                publishes.add_decided(packet_identifier, AcknowledgementKind::Pubrec, ReasonCode::SUCCESS);
                self.write_acknowledgements(step);
                false
            }
        }
    }

    /// Answers a publication that the access rules do not allow, or that is the server's alone.
    fn deny(&mut self, publish: &Publish<'_>, is_system: bool, step: &mut Step<'_>) {
        self.counts.denied += 1;
        let owed = owed_by(publish);
        match (self.version, owed) {
            (ProtocolVersion::V5, Some((packet_identifier, kind))) => {
                let reason_code = if is_system { ReasonCode::TOPIC_NAME_INVALID } else { ReasonCode::NOT_AUTHORIZED };
                self.publishes().add_decided(packet_identifier, kind, reason_code);
                self.write_acknowledgements(step);
            }
            // A server keeps `$SYS` for itself (MQTT 5.0 §4.7.2), and neither QoS 0 nor 3.1.1 have an answer that says so.
            (ProtocolVersion::V5 | ProtocolVersion::V311, _) if is_system => {
                self.refuse_bytes(DecodeError::TopicNameInvalid, step);
            }
            (ProtocolVersion::V5, None) => {}
            (ProtocolVersion::V311, owed) => match (self.config.denied_publish_v3, owed) {
                // MQTT 3.1.1, MQTT-3.3.5-2.
                (DeniedPublishV3::Disconnect, _) => self.close_silently(EndReason::PublicationRefused, step),
                (DeniedPublishV3::Silent, None) => {}
                (DeniedPublishV3::Silent, Some((packet_identifier, kind))) => {
                    let publishes = self.publishes();
                    if kind == AcknowledgementKind::Pubrec {
                        publishes.receipts.add(packet_identifier);
                    }
                    publishes.add_decided(packet_identifier, kind, ReasonCode::SUCCESS);
                    self.write_acknowledgements(step);
                }
            },
        }
    }

    fn add_to_group(
        &mut self,
        partition: PartitionIndex,
        publication: Publication,
        publish: &Publish<'_>,
        step: &mut Step<'_>,
    ) {
        let publishes = self.publishes.get_or_insert_default();
        let known = step.groups.iter().position(|group| group.partition == partition);
        let index = known.unwrap_or_else(|| {
            let token = publishes.open();
            step.groups.push(PublishGroup { partition, token, publications: Vec::new() });
            step.groups.len() - 1
        });
        let group = &mut step.groups[index];
        publishes.add(group.token, publication.size_bytes(), owed_by(publish));
        group.publications.push(publication);
    }

    /// PUBREL: the exchange is complete, and the Packet Identifier is free (MQTT-4.3.3-11).
    pub(crate) fn handle_pubrel(&mut self, pubrel: Acknowledgement, step: &mut Step<'_>) {
        let packet_identifier = pubrel.packet_identifier;
        let is_known = self.publishes.as_mut().is_some_and(|publishes| publishes.receipts.release(packet_identifier));
        let reason_code = if is_known { ReasonCode::SUCCESS } else { ReasonCode::PACKET_IDENTIFIER_NOT_FOUND };
        encode_pubcomp(&mut step.output, self.version, packet_identifier, reason_code);
    }

    pub(crate) fn handle_accepted(&mut self, token: PublishToken, step: &mut Step<'_>) {
        if let Some(publishes) = &mut self.publishes {
            publishes.answer(token, ReasonCode::SUCCESS);
        }
        self.write_acknowledgements(step);
    }

    pub(crate) fn handle_refused(&mut self, token: PublishToken, refusal: Refusal, step: &mut Step<'_>) {
        let Some((count, acknowledgements_count)) =
            self.publishes.as_mut().and_then(|publishes| publishes.answer(token, ReasonCode::QUOTA_EXCEEDED))
        else {
            return;
        };
        self.counts.refused += u64::from(count);
        match (self.version, refusal) {
            // PUBACK has no Reason Code for it.
            (ProtocolVersion::V5, Refusal::TooLarge) => {
                let reason_code = ReasonCode::PACKET_TOO_LARGE;
                self.close(reason_code, EndReason::ProtocolError(reason_code.0), step);
            }
            // 3.1.1 cannot refuse: without PUBACK the client sends again over its next connection.
            (ProtocolVersion::V311, _) if acknowledgements_count > 0 => {
                self.close_silently(EndReason::PublicationRefused, step);
            }
            (ProtocolVersion::V5, Refusal::QuotaExceeded) | (ProtocolVersion::V311, _) => {}
        }
        self.write_acknowledgements(step);
    }

    /// Writes the PUBACKs and PUBRECs whose turn has come (MQTT-4.6.0-2, MQTT-4.6.0-3).
    fn write_acknowledgements(&mut self, step: &mut Step<'_>) {
        let (Phase::Connected, Some(publishes)) = (&self.phase, &mut self.publishes) else { return };
        while let Some((packet_identifier, kind, reason_code)) = publishes.next_acknowledgement() {
            match kind {
                AcknowledgementKind::Puback => {
                    encode_puback(&mut step.output, self.version, packet_identifier, reason_code);
                }
                AcknowledgementKind::Pubrec => {
                    encode_pubrec(&mut step.output, self.version, packet_identifier, reason_code);
                }
            }
        }
        publishes.forget_settled();
    }

    /// The Will Message as a publication that was received with CONNECT (MQTT 5.0 §3.1.3.2, §3.1.3.3).
    pub(crate) fn will_publication(&self, will: &Will, step: &Step<'_>) -> Publication {
        let draft = PublicationDraft {
            topic_name: &will.topic_name,
            properties: &will.properties,
            qos: will.qos,
            retain: will.retain,
            message_expiry_s: will.message_expiry_s.unwrap_or(MESSAGE_EXPIRY_NEVER),
            received_at: step.now,
            received_utc: self.utc(step),
        };
        build(&mut PublicationArena::new(chunk_bytes(&draft, &will.payload, 0)), &draft, &will.payload)
    }

    fn utc(&self, step: &Step<'_>) -> UtcTime {
        let ticks = i64::try_from(step.now.as_nanos() / 100).unwrap_or(i64::MAX);
        UtcTime::from_ticks(self.config.utc_at_start.ticks().saturating_add(ticks))
    }
}

/// The acknowledgement that a PUBLISH is owed.
fn owed_by(publish: &Publish<'_>) -> Option<(PacketIdentifier, AcknowledgementKind)> {
    let kind = match publish.qos {
        QoS::AtMostOnce | QoS::AtLeastOnce => AcknowledgementKind::Puback,
        QoS::ExactlyOnce => AcknowledgementKind::Pubrec,
    };
    publish.packet_identifier.map(|packet_identifier| (packet_identifier, kind))
}

fn build(arena: &mut PublicationArena, draft: &PublicationDraft<'_>, payload: &[u8]) -> Publication {
    let mut builder = arena.begin(draft);
    builder.put(payload);
    builder.finish(0)
}

/// One chunk for this record and for those that `unread_bytes` seem to hold, if they are alike.
fn chunk_bytes(draft: &PublicationDraft<'_>, payload: &[u8], unread_bytes: usize) -> usize {
    let carried_bytes = draft.topic_name.len() + draft.properties.len() + payload.len();
    let more_records = unread_bytes / (carried_bytes + 4);
    (RECORD_PREFIX_BYTES + carried_bytes)
        * (1 + more_records.min(CHUNK_BYTES_MAX / (RECORD_PREFIX_BYTES + carried_bytes)))
}
