//! A client's side of MQTT, as little as the model clients need; written apart from `actors/mqtt`, which it tests.

use crate::message::Sent;

/// Which version of MQTT a model client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V3,
    V5,
}

/// What a client asks for in CONNECT. Version 3.1.1 has words for less.
#[derive(Clone, Debug)]
pub(crate) struct Hello<'a> {
    pub(crate) client_identifier: &'a str,
    pub(crate) clean_start: bool,
    pub(crate) session_expiry_s: u32,
    pub(crate) receive_maximum: u16,
    pub(crate) maximum_packet_size: Option<u32>,
    pub(crate) will: &'a WillText,
}

/// A Will Message.
#[derive(Clone, Debug)]
pub(crate) struct WillText {
    pub(crate) message: Sent,
    pub(crate) qos: u8,
    pub(crate) delay_s: u32,
}

fn packet(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first_byte];
    let mut length = body.len();
    loop {
        let low = u8::try_from(length % 128).expect("below 128");
        length /= 128;
        bytes.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

fn text(body: &mut Vec<u8>, text: &[u8]) {
    body.extend_from_slice(&u16::try_from(text.len()).expect("short").to_be_bytes());
    body.extend_from_slice(text);
}

/// Properties of version 5: their length, then each.
fn properties(body: &mut Vec<u8>, version: Version, properties: &[u8]) {
    if version == Version::V5 {
        body.push(u8::try_from(properties.len()).expect("short"));
        body.extend_from_slice(properties);
    }
}

/// CONNECT without credentials, Keep Alive 0.
pub(crate) fn connect(version: Version, hello: &Hello<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, b"MQTT");
    let flags = 0x04 | (hello.will.qos << 3) | (u8::from(hello.clean_start) << 1);
    body.extend_from_slice(&[if version == Version::V5 { 5 } else { 4 }, flags, 0, 0]);
    let mut asked = vec![0x21];
    asked.extend_from_slice(&hello.receive_maximum.to_be_bytes());
    asked.push(0x11);
    asked.extend_from_slice(&hello.session_expiry_s.to_be_bytes());
    if let Some(bytes) = hello.maximum_packet_size {
        asked.push(0x27);
        asked.extend_from_slice(&bytes.to_be_bytes());
    }
    properties(&mut body, version, &asked);
    text(&mut body, hello.client_identifier.as_bytes());
    let mut of_will = vec![0x18];
    of_will.extend_from_slice(&hello.will.delay_s.to_be_bytes());
    properties(&mut body, version, &of_will);
    text(&mut body, hello.will.message.topic.as_bytes());
    text(&mut body, &hello.will.message.words());
    packet(0x10, &body)
}

/// How a PUBLISH goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublishFlags {
    pub(crate) qos: u8,
    /// DUP.
    pub(crate) is_again: bool,
    /// RETAIN.
    pub(crate) is_retained: bool,
}

/// PUBLISH; `packet_identifier` counts where `QoS` is not 0.
pub(crate) fn publish(
    version: Version,
    topic: &str,
    packet_identifier: u16,
    flags: PublishFlags,
    payload: &[u8],
) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, topic.as_bytes());
    let mut first_byte = 0x30 | u8::from(flags.is_retained);
    if flags.qos > 0 {
        first_byte |= (flags.qos << 1) | if flags.is_again { 0x08 } else { 0 };
        body.extend_from_slice(&packet_identifier.to_be_bytes());
    }
    properties(&mut body, version, &[]);
    body.extend_from_slice(payload);
    packet(first_byte, &body)
}

/// SUBSCRIBE to one Topic Filter.
pub(crate) fn subscribe(version: Version, packet_identifier: u16, topic_filter: &str, qos: u8) -> Vec<u8> {
    let mut body = packet_identifier.to_be_bytes().to_vec();
    properties(&mut body, version, &[]);
    text(&mut body, topic_filter.as_bytes());
    body.push(qos);
    packet(0x82, &body)
}

/// UNSUBSCRIBE from one Topic Filter.
pub(crate) fn unsubscribe(version: Version, packet_identifier: u16, topic_filter: &str) -> Vec<u8> {
    let mut body = packet_identifier.to_be_bytes().to_vec();
    properties(&mut body, version, &[]);
    text(&mut body, topic_filter.as_bytes());
    packet(0xa2, &body)
}

/// PUBACK, success.
pub(crate) fn puback(packet_identifier: u16) -> Vec<u8> {
    packet(0x40, &packet_identifier.to_be_bytes())
}

/// PUBREC, success.
pub(crate) fn pubrec(packet_identifier: u16) -> Vec<u8> {
    packet(0x50, &packet_identifier.to_be_bytes())
}

/// PUBREL.
pub(crate) fn pubrel(packet_identifier: u16) -> Vec<u8> {
    packet(0x62, &packet_identifier.to_be_bytes())
}

/// PUBCOMP; `is_known` says whether the client had the Packet Identifier (version 5 says so).
pub(crate) fn pubcomp(version: Version, packet_identifier: u16, is_known: bool) -> Vec<u8> {
    let mut body = packet_identifier.to_be_bytes().to_vec();
    if version == Version::V5 && !is_known {
        body.push(0x92);
    }
    packet(0x70, &body)
}

/// PINGREQ.
pub(crate) fn pingreq() -> Vec<u8> {
    packet(0xc0, &[])
}

/// DISCONNECT; version 3.1.1 has no reason and no other expiry.
pub(crate) fn disconnect(version: Version, reason: u8, session_expiry_s: Option<u32>) -> Vec<u8> {
    if version == Version::V3 || (reason == 0 && session_expiry_s.is_none()) {
        return packet(0xe0, &[]);
    }
    let mut body = vec![reason];
    let mut asked = Vec::new();
    if let Some(seconds) = session_expiry_s {
        asked.push(0x11);
        asked.extend_from_slice(&seconds.to_be_bytes());
    }
    properties(&mut body, version, &asked);
    packet(0xe0, &body)
}

/// Bytes of the packet that `bytes` begin with; `None` where it is not whole.
pub(crate) fn packet_bytes(bytes: &[u8]) -> Option<usize> {
    let (length, header_bytes) = variable_byte_integer(bytes.get(1..)?)?;
    let end = 1 + header_bytes + length;
    (bytes.len() >= end).then_some(end)
}

/// Reads a Variable Byte Integer: its value, and how many bytes it took.
pub(crate) fn variable_byte_integer(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}
