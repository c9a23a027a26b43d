//! What a server sends, read strictly: what is not as the standard says fails the test.

use super::bytes::Cursor;
use super::{V5, Version};

/// The value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(u32),
    Bytes(Vec<u8>),
    Pair(String, String),
}

/// Properties in their order, by identifier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Properties(pub(crate) Vec<(u8, Value)>);

impl Properties {
    fn read(cursor: &mut Cursor<'_>, version: Version) -> Self {
        let mut properties = Self::default();
        if version != V5 {
            return properties;
        }
        let length = cursor.variable() as usize;
        let mut own = Cursor(cursor.take(length));
        while !own.0.is_empty() {
            let identifier = own.byte();
            let value = match identifier {
                0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => Value::Number(own.byte().into()),
                0x13 | 0x21 | 0x22 | 0x23 => Value::Number(own.two_bytes().into()),
                0x02 | 0x11 | 0x18 | 0x27 => Value::Number(own.four_bytes()),
                0x0b => Value::Number(own.variable()),
                0x03 | 0x08 | 0x12 | 0x15 | 0x1a | 0x1c | 0x1f => Value::Bytes(own.text().into_bytes()),
                0x09 | 0x16 => Value::Bytes(own.binary()),
                0x26 => Value::Pair(own.text(), own.text()),
                other => panic!("property 0x{other:02x} is none of the standard's"),
            };
            let may_repeat = matches!(identifier, 0x26 | 0x0b);
            assert!(may_repeat || properties.get(identifier).is_none(), "property 0x{identifier:02x} twice");
            properties.0.push((identifier, value));
        }
        properties
    }

    /// The first property of this identifier.
    pub(crate) fn get(&self, identifier: u8) -> Option<&Value> {
        self.0.iter().find(|(found, _)| *found == identifier).map(|(_, value)| value)
    }

    /// A property that is a number.
    pub(crate) fn number(&self, identifier: u8) -> Option<u32> {
        match self.get(identifier)? {
            Value::Number(number) => Some(*number),
            Value::Bytes(_) | Value::Pair(..) => None,
        }
    }

    /// All Subscription Identifiers, ascending.
    pub(crate) fn subscription_identifiers(&self) -> Vec<u32> {
        let all = self.0.iter().filter(|(identifier, _)| *identifier == 0x0b);
        let mut numbers: Vec<u32> =
            all.filter_map(|(_, value)| if let Value::Number(n) = value { Some(*n) } else { None }).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// A PUBLISH that a client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) dup: bool,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) topic: String,
    /// 0 at QoS 0.
    pub(crate) packet_identifier: u16,
    pub(crate) properties: Properties,
    pub(crate) payload: Vec<u8>,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledgement {
    pub(crate) packet_identifier: u16,
    pub(crate) reason_code: u8,
    pub(crate) properties: Properties,
}

/// A packet that a client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    Connack { session_present: bool, code: u8, properties: Properties },
    Publish(Delivered),
    Puback(Acknowledgement),
    Pubrec(Acknowledgement),
    Pubrel(Acknowledgement),
    Pubcomp(Acknowledgement),
    Suback { packet_identifier: u16, codes: Vec<u8>, properties: Properties },
    Unsuback { packet_identifier: u16, codes: Vec<u8>, properties: Properties },
    Pingresp,
    Disconnect { code: u8, properties: Properties },
    Auth { code: u8, properties: Properties },
}

impl Packet {
    /// An acknowledgement with nothing but its Packet Identifier and Reason Code.
    pub(crate) fn plain(packet_identifier: u16, reason_code: u8) -> Acknowledgement {
        Acknowledgement { packet_identifier, reason_code, properties: Properties::default() }
    }

    /// Takes the first whole packet from `stream`, and says how many bytes it had.
    pub(super) fn take(stream: &mut Vec<u8>, version: Version) -> Option<(Self, usize)> {
        let length_bytes = stream.iter().skip(1).take(4).position(|byte| byte & 0x80 == 0)? + 1;
        let mut cursor = Cursor(&stream[1..]);
        let body_bytes = cursor.variable() as usize;
        let packet_bytes = 1 + length_bytes + body_bytes;
        if stream.len() < packet_bytes {
            return None;
        }
        let whole: Vec<u8> = stream.drain(..packet_bytes).collect();
        Some((Self::read(whole[0], &whole[1 + length_bytes..], version), packet_bytes))
    }

    fn read(first_byte: u8, body: &[u8], version: Version) -> Self {
        let mut cursor = Cursor(body);
        let flags = first_byte & 0x0f;
        let expected_flags = if first_byte >> 4 == 6 { 2 } else { 0 };
        assert!(first_byte >> 4 == 3 || flags == expected_flags, "reserved flags of 0x{first_byte:02x}");
        let packet = match first_byte >> 4 {
            2 => Self::read_connack(&mut cursor, version),
            3 => return Self::read_publish(flags, cursor, version),
            4 => Self::Puback(acknowledgement(&mut cursor, version)),
            5 => Self::Pubrec(acknowledgement(&mut cursor, version)),
            6 => Self::Pubrel(acknowledgement(&mut cursor, version)),
            7 => Self::Pubcomp(acknowledgement(&mut cursor, version)),
            9 | 11 => {
                let packet_identifier = cursor.two_bytes();
                let properties = Properties::read(&mut cursor, version);
                let codes = std::mem::take(&mut cursor.0).to_vec();
                match first_byte >> 4 {
                    9 => Self::Suback { packet_identifier, codes, properties },
                    _ => Self::Unsuback { packet_identifier, codes, properties },
                }
            }
            13 => Self::Pingresp,
            14 | 15 => {
                assert_eq!(version, V5, "3.1.1 has no DISCONNECT and AUTH from a server");
                let code = if cursor.0.is_empty() { 0 } else { cursor.byte() };
                let properties =
                    if cursor.0.is_empty() { Properties::default() } else { Properties::read(&mut cursor, version) };
                match first_byte >> 4 {
                    14 => Self::Disconnect { code, properties },
                    _ => Self::Auth { code, properties },
                }
            }
            other => panic!("a server sends no packet of type {other}"),
        };
        assert!(cursor.0.is_empty(), "bytes behind the last field of 0x{first_byte:02x}");
        packet
    }

    fn read_connack(cursor: &mut Cursor<'_>, version: Version) -> Self {
        let flags = cursor.byte();
        assert_eq!(flags & 0xfe, 0, "reserved Connect Acknowledge Flags (MQTT-3.2.2-1)");
        let code = cursor.byte();
        let is_3_1_1 = version != V5;
        let properties = if is_3_1_1 { Properties::default() } else { Properties::read(cursor, version) };
        Self::Connack { session_present: flags == 1, code, properties }
    }

    fn read_publish(flags: u8, mut cursor: Cursor<'_>, version: Version) -> Self {
        let qos = (flags >> 1) & 3;
        assert!(qos < 3, "QoS 3 (MQTT-3.3.1-4)");
        let topic = cursor.text();
        let packet_identifier = if qos == 0 { 0 } else { cursor.two_bytes() };
        assert!(qos == 0 || packet_identifier != 0, "a Packet Identifier of 0 (MQTT-2.2.1-4)");
        let properties = Properties::read(&mut cursor, version);
        Self::Publish(Delivered {
            dup: flags & 8 != 0,
            qos,
            retain: flags & 1 != 0,
            topic,
            packet_identifier,
            properties,
            payload: cursor.0.to_vec(),
        })
    }
}

/// The publications that a client got; nothing else came.
pub(crate) fn publishes(packets: Vec<Packet>) -> Vec<Delivered> {
    let publish = |packet| match packet {
        Packet::Publish(delivered) => delivered,
        other => panic!("{other:?} among PUBLISHes"),
    };
    packets.into_iter().map(publish).collect()
}

fn acknowledgement(cursor: &mut Cursor<'_>, version: Version) -> Acknowledgement {
    let packet_identifier = cursor.two_bytes();
    if version != V5 || cursor.0.is_empty() {
        return Packet::plain(packet_identifier, 0);
    }
    let reason_code = cursor.byte();
    let properties = if cursor.0.is_empty() { Properties::default() } else { Properties::read(cursor, version) };
    Acknowledgement { packet_identifier, reason_code, properties }
}
