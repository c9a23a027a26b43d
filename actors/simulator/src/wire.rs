//! A client's side of MQTT, as little as the model clients need; written apart from `actors/mqtt`, which it tests.

/// Which version of MQTT a model client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V3,
    V5,
}

/// What a server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FromServer {
    ConnAck { code: u8 },
    Publish { topic: String, qos: u8, is_retained: bool, packet_identifier: u16, payload: Vec<u8> },
    PubAck { packet_identifier: u16, reason: u8 },
    SubAck { packet_identifier: u16, codes: Vec<u8> },
    UnsubAck,
    PingResp,
    Disconnect { reason: u8 },
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

fn text(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(&u16::try_from(text.len()).expect("short").to_be_bytes());
    body.extend_from_slice(text.as_bytes());
}

/// CONNECT with Clean Start, a Will of `QoS` 1, no credentials, Keep Alive 0. `receive_maximum` for version 5.
pub(crate) fn connect(version: Version, client_identifier: &str, receive_maximum: u16) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, "MQTT");
    body.extend_from_slice(&[if version == Version::V5 { 5 } else { 4 }, 0x0e, 0, 0]);
    if version == Version::V5 {
        body.extend_from_slice(&[3, 0x21]);
        body.extend_from_slice(&receive_maximum.to_be_bytes());
    }
    text(&mut body, client_identifier);
    if version == Version::V5 {
        body.push(0);
    }
    text(&mut body, &format!("will/{client_identifier}"));
    text(&mut body, "gone");
    packet(0x10, &body)
}

/// Flags of a PUBLISH: DUP and RETAIN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublishFlags {
    pub(crate) is_again: bool,
    pub(crate) is_retained: bool,
}

/// PUBLISH; `packet_identifier` of 0 is `QoS` 0, any other `QoS` 1.
pub(crate) fn publish(
    version: Version,
    topic: &str,
    packet_identifier: u16,
    flags: PublishFlags,
    payload: &[u8],
) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, topic);
    let mut first_byte = 0x30 | u8::from(flags.is_retained);
    if packet_identifier != 0 {
        first_byte |= 0x02 | if flags.is_again { 0x08 } else { 0 };
        body.extend_from_slice(&packet_identifier.to_be_bytes());
    }
    if version == Version::V5 {
        body.push(0);
    }
    body.extend_from_slice(payload);
    packet(first_byte, &body)
}

/// SUBSCRIBE to one Topic Filter.
pub(crate) fn subscribe(version: Version, packet_identifier: u16, topic_filter: &str, qos: u8) -> Vec<u8> {
    let mut body = packet_identifier.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
    }
    text(&mut body, topic_filter);
    body.push(qos);
    packet(0x82, &body)
}

/// UNSUBSCRIBE from one Topic Filter.
pub(crate) fn unsubscribe(version: Version, packet_identifier: u16, topic_filter: &str) -> Vec<u8> {
    let mut body = packet_identifier.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
    }
    text(&mut body, topic_filter);
    packet(0xa2, &body)
}

/// PUBACK, success.
pub(crate) fn puback(packet_identifier: u16) -> Vec<u8> {
    packet(0x40, &packet_identifier.to_be_bytes())
}

/// PINGREQ.
pub(crate) fn pingreq() -> Vec<u8> {
    packet(0xc0, &[])
}

/// Takes one packet off the front of `bytes`; `None` where it is not whole yet.
pub(crate) fn take(version: Version, bytes: &mut Vec<u8>) -> Option<FromServer> {
    let first_byte = *bytes.first()?;
    let (length, header_bytes) = variable_byte_integer(bytes.get(1..)?)?;
    let end = 1 + header_bytes + length;
    if bytes.len() < end {
        return None;
    }
    let body: Vec<u8> = bytes.drain(..end).skip(1 + header_bytes).collect();
    Some(read(version, first_byte, &body))
}

fn variable_byte_integer(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

fn word(body: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([body[at], body[at + 1]])
}

fn read(version: Version, first_byte: u8, body: &[u8]) -> FromServer {
    match first_byte >> 4 {
        2 => FromServer::ConnAck { code: body[1] },
        3 => read_publish(version, first_byte, body),
        4 => FromServer::PubAck { packet_identifier: word(body, 0), reason: body.get(2).copied().unwrap_or(0) },
        11 => FromServer::UnsubAck,
        9 => {
            let skipped = if version == Version::V5 { properties_bytes(&body[2..]) } else { 0 };
            FromServer::SubAck { packet_identifier: word(body, 0), codes: body[2 + skipped..].to_vec() }
        }
        13 => FromServer::PingResp,
        14 => FromServer::Disconnect { reason: body.first().copied().unwrap_or(0) },
        other => panic!("a server sends no packet of type {other}"),
    }
}

fn properties_bytes(bytes: &[u8]) -> usize {
    let (length, header_bytes) = variable_byte_integer(bytes).expect("properties have a length");
    header_bytes + length
}

fn read_publish(version: Version, first_byte: u8, body: &[u8]) -> FromServer {
    let qos = (first_byte >> 1) & 0b11;
    let topic_end = 2 + usize::from(word(body, 0));
    let topic = String::from_utf8(body[2..topic_end].to_vec()).expect("a Topic Name is UTF-8");
    let (packet_identifier, mut at) = if qos > 0 { (word(body, topic_end), topic_end + 2) } else { (0, topic_end) };
    if version == Version::V5 {
        at += properties_bytes(&body[at..]);
    }
    let is_retained = first_byte & 1 == 1;
    FromServer::Publish { topic, qos, is_retained, packet_identifier, payload: body[at..].to_vec() }
}
