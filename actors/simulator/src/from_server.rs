//! What a server's bytes say to a client; written apart from `actors/mqtt`, which it tests.

use crate::wire::{Version, packet_bytes, variable_byte_integer};

/// What a server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FromServer {
    ConnAck { session_present: bool, code: u8 },
    Publish(Publish),
    PubAck { packet_identifier: u16, reason: u8 },
    PubRec { packet_identifier: u16, reason: u8 },
    PubRel { packet_identifier: u16 },
    PubComp { packet_identifier: u16, reason: u8 },
    SubAck { codes: Vec<u8> },
    UnsubAck,
    PingResp,
    Disconnect,
}

/// A PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) topic: String,
    pub(crate) qos: u8,
    pub(crate) is_again: bool,
    pub(crate) is_retained: bool,
    /// 0 at `QoS` 0.
    pub(crate) packet_identifier: u16,
    pub(crate) payload: Vec<u8>,
}

/// Takes one packet off the front of `bytes`, with its first byte; `None` where it is not whole yet.
pub(crate) fn take(version: Version, bytes: &mut Vec<u8>) -> Option<(u8, FromServer)> {
    let end = packet_bytes(bytes)?;
    let (_, header_bytes) = variable_byte_integer(&bytes[1..])?;
    let first_byte = bytes[0];
    let body: Vec<u8> = bytes.drain(..end).skip(1 + header_bytes).collect();
    Some((first_byte, read(version, first_byte, &body)))
}

fn word(body: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([body[at], body[at + 1]])
}

fn read(version: Version, first_byte: u8, body: &[u8]) -> FromServer {
    let packet_identifier = || word(body, 0);
    let reason = || body.get(2).copied().unwrap_or(0);
    match first_byte >> 4 {
        2 => FromServer::ConnAck { session_present: body[0] & 1 == 1, code: body[1] },
        3 => FromServer::Publish(read_publish(version, first_byte, body)),
        4 => FromServer::PubAck { packet_identifier: packet_identifier(), reason: reason() },
        5 => FromServer::PubRec { packet_identifier: packet_identifier(), reason: reason() },
        6 => {
            assert_eq!(first_byte & 0x0f, 0x02, "PUBREL has its flags (MQTT-3.6.1-1)");
            FromServer::PubRel { packet_identifier: packet_identifier() }
        }
        7 => FromServer::PubComp { packet_identifier: packet_identifier(), reason: reason() },
        9 => {
            let skipped = if version == Version::V5 { properties_bytes(&body[2..]) } else { 0 };
            FromServer::SubAck { codes: body[2 + skipped..].to_vec() }
        }
        11 => FromServer::UnsubAck,
        13 => FromServer::PingResp,
        14 => {
            assert_eq!(version, Version::V5, "version 3.1.1 has no DISCONNECT of a server");
            FromServer::Disconnect
        }
        other => panic!("a server sends no packet of type {other}"),
    }
}

fn properties_bytes(bytes: &[u8]) -> usize {
    let (length, header_bytes) = variable_byte_integer(bytes).expect("properties have a length");
    header_bytes + length
}

fn read_publish(version: Version, first_byte: u8, body: &[u8]) -> Publish {
    let qos = (first_byte >> 1) & 0b11;
    let topic_end = 2 + usize::from(word(body, 0));
    let topic = String::from_utf8(body[2..topic_end].to_vec()).expect("a Topic Name is UTF-8");
    let (packet_identifier, mut at) = if qos > 0 { (word(body, topic_end), topic_end + 2) } else { (0, topic_end) };
    if version == Version::V5 {
        at += properties_bytes(&body[at..]);
    }
    let (is_retained, is_again) = (first_byte & 1 == 1, first_byte & 0x08 != 0);
    Publish { topic, qos, is_again, is_retained, packet_identifier, payload: body[at..].to_vec() }
}
