//! What the tests lean on: a connection, its clock, and the packets of a client as bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::{
    Actor, ConnectionAddress, CoreIndex, Delivery, DeliveryNumber, Effects, Instant, MESSAGE_EXPIRY_NEVER,
    PartitionIndex, Publication, PublicationArena, PublicationDraft, PublishToken, QoS, SessionId, SessionState,
    SubscribeResult, SubscribeToken, UtcTime, WillFate,
};
use mqtt_connection::{Connection, ConnectionConfig, EFFECTS_COUNT_MAX, Effect, Message};

/// The session of the client.
pub(crate) const SESSION: SessionId = SessionId { home: PartitionIndex(0), number: 7 };

/// The home partition gives a new session.
pub(crate) fn attached() -> Message {
    Message::Attached { session: SESSION, state: None }
}

/// The home partition gives a session that left `state`.
pub(crate) fn attached_with(state: SessionState) -> Message {
    Message::Attached { session: SESSION, state: Some(Box::new(state)) }
}

/// The session ends.
pub(crate) fn detach(will: WillFate) -> Effect {
    Effect::Detach { session: SESSION, will }
}

/// A connection under test.
pub(crate) struct Harness {
    pub(crate) connection: Connection,
    pub(crate) now: Instant,
    effects: Effects<Effect>,
}

impl Harness {
    pub(crate) fn new(config: ConnectionConfig) -> Self {
        let address = ConnectionAddress { core: CoreIndex(1), slot: 2, generation: 3 };
        let now = Instant::from_millis(1_000);
        let connection = Connection::new(Arc::new(config), address, now);
        Self { connection, now, effects: Effects::new(EFFECTS_COUNT_MAX) }
    }

    /// A client of 5.0 that is connected, with a Keep Alive of 10 s.
    pub(crate) fn connected_v5(config: ConnectionConfig) -> Self {
        let mut harness = Self::new(config);
        harness.receive(&connect_v5("c", 10, &[]));
        harness.message(attached());
        harness
    }

    /// A client of 3.1.1 that is connected, with a Keep Alive of 10 s.
    pub(crate) fn connected_v311(config: ConnectionConfig) -> Self {
        let mut harness = Self::new(config);
        harness.receive(&connect_v311("c", 10));
        harness.message(attached());
        harness
    }

    /// One message, and every step that is due at once after it.
    pub(crate) fn message(&mut self, message: Message) -> Vec<Effect> {
        self.connection.handle(message, self.now, &mut self.effects);
        self.run()
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Vec<Effect> {
        self.message(Message::Received(Bytes::copy_from_slice(bytes)))
    }

    /// Time passes; every step that is due is taken when it is due.
    pub(crate) fn advance(&mut self, duration: Duration) -> Vec<Effect> {
        let end = self.now + duration;
        let mut effects = Vec::new();
        while let Some(due) = self.connection.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.connection.handle_timeout(self.now, &mut self.effects);
            effects.extend(std::iter::from_fn(|| self.effects.pop()));
        }
        self.now = end;
        effects
    }

    fn run(&mut self) -> Vec<Effect> {
        let mut effects: Vec<Effect> = std::iter::from_fn(|| self.effects.pop()).collect();
        let mut steps = 0;
        while self.connection.poll_timeout().is_some_and(|due| due <= self.now) {
            self.connection.handle_timeout(self.now, &mut self.effects);
            effects.extend(std::iter::from_fn(|| self.effects.pop()));
            steps += 1;
            assert!(steps < 10_000, "steps that are due at once come to an end");
        }
        effects
    }

    /// Subscribes to `filter`; every one of the partitions grants it.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: u8, version: u8, partitions_count: u16) -> Vec<Effect> {
        let mut effects = self.receive(&subscribe(version, 1, &[(filter, qos)]));
        let token = subscribe_token(&effects);
        for partition in (0..partitions_count).map(PartitionIndex) {
            effects.extend(self.message(Message::Subscribed {
                partition,
                token,
                results: vec![SubscribeResult::Granted],
            }));
        }
        effects
    }
}

/// All bytes that were written.
pub(crate) fn written(effects: &[Effect]) -> Vec<u8> {
    effects
        .iter()
        .filter_map(|effect| if let Effect::Write(bytes) = effect { Some(bytes.to_vec()) } else { None })
        .flatten()
        .collect()
}

/// All batches of publications.
pub(crate) fn published(effects: &[Effect]) -> Vec<(PartitionIndex, PublishToken, Vec<Publication>)> {
    let batch = |effect: &Effect| {
        let Effect::Publish { partition, token, publications } = effect else { return None };
        Some((*partition, *token, publications.clone()))
    };
    effects.iter().filter_map(batch).collect()
}

pub(crate) fn subscribe_token(effects: &[Effect]) -> SubscribeToken {
    let token = |effect: &Effect| {
        let (Effect::Subscribe { token, .. } | Effect::Unsubscribe { token, .. }) = effect else { return None };
        Some(*token)
    };
    effects.iter().find_map(token).expect("partitions were asked")
}

fn packet(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    mqtt::encode_variable_byte_integer(&mut out, u32::try_from(body.len()).expect("short"));
    [&[first_byte][..], &out, body].concat()
}

fn string(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).expect("short").to_be_bytes(), text.as_bytes()].concat()
}

/// CONNECT of 5.0 with Clean Start.
pub(crate) fn connect_v5(client_identifier: &str, keep_alive_s: u16, properties: &[u8]) -> Vec<u8> {
    let properties_bytes = u8::try_from(properties.len()).expect("short");
    let body = [
        &string("MQTT")[..],
        &[5, 0x02],
        &keep_alive_s.to_be_bytes(),
        &[properties_bytes],
        properties,
        &string(client_identifier),
    ];
    packet(0x10, &body.concat())
}

/// CONNECT of 5.0 with Clean Start, a User Name and a Password.
pub(crate) fn connect_v5_login(client_identifier: &str, user_name: &str, password: &[u8]) -> Vec<u8> {
    let password_bytes = u16::try_from(password.len()).expect("short").to_be_bytes();
    let texts = [string(client_identifier), string(user_name)].concat();
    packet(0x10, &[&string("MQTT")[..], &[5, 0xc2, 0, 10, 0], &texts, &password_bytes, password].concat())
}

/// CONNECT of 5.0 with a Will Message without properties.
pub(crate) fn connect_v5_will(topic: &str, payload: &str, qos: u8) -> Vec<u8> {
    let flags = 0x02 | 0x04 | (qos << 3);
    let body = [&string("MQTT")[..], &[5, flags, 0, 10, 0], &string("c"), &[0], &string(topic), &string(payload)];
    packet(0x10, &body.concat())
}

/// CONNECT of 3.1.1 with Clean Session.
pub(crate) fn connect_v311(client_identifier: &str, keep_alive_s: u16) -> Vec<u8> {
    let body = [&string("MQTT")[..], &[4, 0x02], &keep_alive_s.to_be_bytes(), &string(client_identifier)];
    packet(0x10, &body.concat())
}

/// PUBLISH; `properties` are there for version 5 only.
pub(crate) fn publish(
    version: u8,
    qos: u8,
    packet_identifier: u16,
    topic: &str,
    properties: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let mut body = string(topic);
    if qos > 0 {
        body.extend(packet_identifier.to_be_bytes());
    }
    if version == 5 {
        body.push(u8::try_from(properties.len()).expect("short"));
        body.extend(properties);
    }
    body.extend(payload);
    packet(0x30 | (qos << 1), &body)
}

/// SUBSCRIBE to filters with their options.
pub(crate) fn subscribe(version: u8, packet_identifier: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = packet_identifier.to_be_bytes().to_vec();
    if version == 5 {
        body.push(0);
    }
    for (filter, options) in filters {
        body.extend(string(filter));
        body.push(*options);
    }
    packet(0x82, &body)
}

/// UNSUBSCRIBE.
pub(crate) fn unsubscribe(version: u8, packet_identifier: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = packet_identifier.to_be_bytes().to_vec();
    if version == 5 {
        body.push(0);
    }
    for filter in filters {
        body.extend(string(filter));
    }
    packet(0xa2, &body)
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP, by its first byte.
pub(crate) fn acknowledgement(first_byte: u8, packet_identifier: u16) -> Vec<u8> {
    packet(first_byte, &packet_identifier.to_be_bytes())
}

/// PUBACK.
pub(crate) fn puback(packet_identifier: u16) -> Vec<u8> {
    acknowledgement(0x40, packet_identifier)
}

/// A record that was received at the start of time.
pub(crate) fn record(topic: &str, properties: &[u8], payload: &[u8], message_expiry_s: Option<u32>) -> Publication {
    let draft = PublicationDraft {
        topic_name: topic,
        properties,
        qos: QoS::AtLeastOnce,
        retain: false,
        message_expiry_s: message_expiry_s.unwrap_or(MESSAGE_EXPIRY_NEVER),
        received_at: Instant::from_millis(1_000),
        received_utc: UtcTime::default(),
    };
    let mut arena = PublicationArena::new(1_024);
    let mut builder = arena.begin(&draft);
    builder.put(payload);
    builder.finish(0)
}

/// A delivery of that record.
pub(crate) fn delivery(number: u64, qos: QoS, publication: &Publication) -> Delivery {
    Delivery {
        number: DeliveryNumber(number),
        offset: None,
        publication: publication.clone(),
        qos,
        retain: false,
        subscription_identifiers: Box::default(),
    }
}
