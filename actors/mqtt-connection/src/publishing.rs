//! PUBLISH to the partitions that own the topics; PUBACK in the order of receipt (MQTT 5.0 §3.3, §3.4, §4.6).

use std::borrow::Cow;
use std::time::Duration;

use contract::{
    MESSAGE_EXPIRY_NEVER, Publication, PublicationArena, PublicationDraft, PublishToken, QoS, RECORD_PREFIX_BYTES,
    Refusal, UtcTime, partition_of,
};
use mqtt::{DecodeError, ProtocolVersion, Publish, ReasonCode, TopicName, Will, encode_puback};

use crate::state::Phase;
use crate::step::{PublishGroup, Step};
use crate::{Connection, Effect, EndReason};

/// Largest chunk that the publications of one step share, in bytes.
const CHUNK_BYTES_MAX: usize = 64 << 10;

impl Connection {
    pub(crate) fn handle_publish(&mut self, publish: &Publish<'_>, step: &mut Step<'_>) {
        if publish.qos == QoS::ExactlyOnce {
            // Above the Maximum QoS of CONNACK (MQTT-3.2.2-11).
            let reason_code = ReasonCode::QOS_NOT_SUPPORTED;
            self.close(reason_code, EndReason::ProtocolError(reason_code.0), step);
            return;
        }
        let topic_name = match self.topic_name_of(publish) {
            Ok(topic_name) => topic_name,
            Err(error) => return self.refuse_bytes(error, step),
        };
        // It was checked before: by the codec, or when its alias was set.
        let is_system = topic_name.starts_with('$') && TopicName::parse(&topic_name).is_none_or(TopicName::is_system);
        if let Some(packet_identifier) = publish.packet_identifier {
            if self.publishes.unacknowledged_count() >= usize::from(self.config.receive_maximum) {
                // MQTT-3.3.4-7.
                let reason_code = ReasonCode::RECEIVE_MAXIMUM_EXCEEDED;
                return self.close(reason_code, EndReason::ProtocolError(reason_code.0), step);
            }
            if is_system && self.version == ProtocolVersion::V5 {
                self.publishes.add_decided(packet_identifier, ReasonCode::TOPIC_NAME_INVALID);
                return self.write_acknowledgements(step);
            }
        }
        if is_system {
            // A server keeps `$SYS` for itself (MQTT 5.0 §4.7.2), and neither QoS 0 nor 3.1.1 have an answer that says so.
            return self.refuse_bytes(DecodeError::TopicNameInvalid, step);
        }
        let draft = PublicationDraft {
            topic_name: &topic_name,
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
        self.counts.publishes += 1;
        self.add_to_group(publication, publish, step);
    }

    /// The Topic Name, or the one that its alias stands for (MQTT 5.0 §3.3.2.3.4).
    fn topic_name_of<'a>(&mut self, publish: &Publish<'a>) -> Result<Cow<'a, str>, DecodeError> {
        match (publish.topic_name, publish.topic_alias) {
            (Some(topic_name), None) => Ok(Cow::Borrowed(topic_name.as_str())),
            (_, Some(alias)) if alias > self.config.topic_alias_maximum => Err(DecodeError::TopicAliasInvalid),
            (Some(topic_name), Some(alias)) => {
                self.topic_aliases.insert(alias, topic_name.as_str().into());
                Ok(Cow::Borrowed(topic_name.as_str()))
            }
            (None, alias) => {
                let known = alias.and_then(|alias| self.topic_aliases.get(&alias));
                let unknown = DecodeError::ProtocolError("a Topic Alias without a Topic Name (MQTT 5.0 §3.3.2.3.4)");
                known.map(|topic_name| Cow::Owned(String::from(&**topic_name))).ok_or(unknown)
            }
        }
    }

    fn add_to_group(&mut self, publication: Publication, publish: &Publish<'_>, step: &mut Step<'_>) {
        let partition = partition_of(publication.topic_name(), self.config.partitions_count);
        let known = step.groups.iter().position(|group| group.partition == partition);
        let index = known.unwrap_or_else(|| {
            let token = self.publishes.open();
            step.groups.push(PublishGroup { partition, token, publications: Vec::new() });
            step.groups.len() - 1
        });
        let group = &mut step.groups[index];
        self.publishes.add(group.token, publication.size_bytes(), publish.packet_identifier);
        group.publications.push(publication);
    }

    pub(crate) fn handle_accepted(&mut self, token: PublishToken, step: &mut Step<'_>) {
        self.publishes.answer(token, ReasonCode::SUCCESS);
        self.write_acknowledgements(step);
    }

    pub(crate) fn handle_refused(&mut self, token: PublishToken, refusal: Refusal, step: &mut Step<'_>) {
        let Some((count, acknowledgements_count)) = self.publishes.answer(token, ReasonCode::QUOTA_EXCEEDED) else {
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

    /// Writes the PUBACKs whose turn has come (MQTT-4.6.0-2).
    fn write_acknowledgements(&mut self, step: &mut Step<'_>) {
        if !matches!(self.phase, Phase::Connected) {
            return;
        }
        while let Some((packet_identifier, reason_code)) = self.publishes.next_acknowledgement() {
            encode_puback(&mut step.output, self.version, packet_identifier, reason_code);
        }
        self.publishes.forget_settled();
    }

    /// Publishes the Will Message (MQTT-3.1.2-8). The session ends with the connection, so that no Will Delay Interval is waited
    /// for (MQTT 5.0 §3.1.3.2.2).
    pub(crate) fn publish_will(&mut self, will: &Will, step: &mut Step<'_>) {
        let draft = PublicationDraft {
            topic_name: &will.topic_name,
            properties: &will.properties,
            qos: will.qos,
            retain: will.retain,
            message_expiry_s: will.message_expiry_s.unwrap_or(MESSAGE_EXPIRY_NEVER),
            received_at: step.now,
            received_utc: self.utc(step),
        };
        let publication =
            build(&mut PublicationArena::new(chunk_bytes(&draft, &will.payload, 0)), &draft, &will.payload);
        let partition = partition_of(publication.topic_name(), self.config.partitions_count);
        let token = self.publishes.open();
        step.effects.push(Effect::Publish { partition, token, publications: vec![publication] });
    }

    fn utc(&self, step: &Step<'_>) -> UtcTime {
        self.config.utc_at_start.saturating_add(Duration::from_nanos(step.now.as_nanos()))
    }
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
