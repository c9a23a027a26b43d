//! Packets of a client, well formed for the most part, then perhaps with one byte changed.

use mqtt::ProtocolVersion;

use crate::choices::Choices;

const TOPICS: [&str; 8] = ["a", "a/b", "t/1", "t/22", "$SYS/x", "$other", "\u{e4}/b", ""];
const FILTERS: [&str; 8] = ["#", "a/+", "t/#", "+", "a+", "$share/g/a", "", "$SYS/#"];
/// Properties of PUBLISH: none, an alias, an expiry, a User Property, one that is twice there, one that it must not have.
const PROPERTIES: [&[u8]; 7] = [
    &[],
    &[0x23, 0, 1],
    &[0x23, 0, 200],
    &[0x02, 0, 0, 0, 1],
    &[0x26, 0, 1, b'k', 0, 1, b'v'],
    &[0x01, 1, 0x01, 1],
    &[0x21, 0, 1],
];

/// A CONNECT, then one packet, or one that repeats with ascending Packet Identifiers.
pub(super) fn packets(choices: &mut Choices<'_>, version: ProtocolVersion) -> Vec<u8> {
    let kind = choices.byte();
    let mut packets = match kind % 16 {
        0 => connect(choices),
        1..=5 => publishes(choices, version),
        6 | 7 => subscribe(choices, version, 0x82),
        8 => subscribe(choices, version, 0xa2),
        9 => acknowledgement(choices, version),
        10 => packet(0xc0, &[]).repeat(1 + choices.below(256)),
        11 => {
            packet(0xe0, choices.pick(&[&[][..], &[0x04], &[0], &[0, 5, 0x11, 0, 0, 0, 1], &[0, 5, 0x11, 0, 0, 0, 0]]))
        }
        12 => auth(choices),
        13 => packet(choices.byte(), choices.counted()),
        14 => publishes(choices, version).repeat(1 + choices.below(8)),
        _ => [subscribe(choices, version, 0x82), packet(0xc0, &[])].concat(),
    };
    if kind >= 0xc0 && !packets.is_empty() {
        let at = usize::from(choices.byte()) % packets.len();
        packets[at] ^= choices.byte();
    }
    packets
}

/// CONNECT of any version, with a Will Message or without.
pub(super) fn connect(choices: &mut Choices<'_>) -> Vec<u8> {
    let version = choices.pick(&[5, 4, 3, 6]);
    let (has_will, keep_alive_s) = (choices.flag(), choices.pick(&[10_u16, 0, 1, u16::MAX]));
    let flags = if has_will { 0x06 | ((choices.byte() % 4) << 3) } else { choices.pick(&[0x02, 0x00]) };
    let properties: &[u8] = choices.pick(&[
        &[],
        &[0x21, 0, 2],
        &[0x27, 0, 0, 0, 60],
        &[0x11, 0, 0, 0, 9],
        &[0x27, 0, 0, 0, 2],
        &[0x15, 0, 1, b'm'],
        &[0x11, 0, 0, 0, 9, 0x15, 0, 1, b'm', 0x16, 0, 1, b'd'],
        &[0x11, 0, 0, 0, 9, 0x21, 0, 2, 0x22, 0, 3],
        &[0x11, 0xff, 0xff, 0xff, 0xff, 0x17, 0],
        &[0x11, 0, 0, 0, 9, 0x27, 0, 0, 1, 0],
        &[0x22, 0, 9, 0x19, 1],
    ]);
    let mut body = [&string(b"MQTT")[..], &[version, flags], &keep_alive_s.to_be_bytes()].concat();
    let put_properties = |body: &mut Vec<u8>, properties: &[u8]| {
        if version == 5 {
            body.push(u8::try_from(properties.len()).expect("short"));
            body.extend(properties);
        }
    };
    put_properties(&mut body, properties);
    body.extend(string(choices.pick(&[&b"c"[..], b"", b"client/1"])));
    if has_will {
        put_properties(&mut body, choices.pick(&PROPERTIES));
        body.extend(string(choices.pick(&TOPICS).as_bytes()));
        body.extend(string(choices.bytes(3)));
    }
    packet(0x10, &body)
}

/// Some PUBLISH packets, over topics and identifiers that ascend.
fn publishes(choices: &mut Choices<'_>, version: ProtocolVersion) -> Vec<u8> {
    let first_byte = 0x30 | choices.pick(&[0x02, 0x04, 0x00, 0x01, 0x03, 0x0a, 0x0c, 0x05, 0x06]);
    let topic = choices.pick(&TOPICS);
    let properties = choices.pick(&PROPERTIES);
    let first_identifier = choices.byte();
    let payload = vec![7; choices.pick(&[0, 3, 180, 5_000])];
    let count = 1 + choices.below(32);
    let one = |index: usize| {
        let topic = if index == 0 { topic.to_owned() } else { format!("{topic}{index}") };
        let mut body = string(topic.as_bytes());
        if first_byte & 0x06 != 0 {
            body.extend((u16::from(first_identifier) + u16::try_from(index).expect("few")).to_be_bytes());
        }
        if version == ProtocolVersion::V5 {
            body.push(u8::try_from(properties.len()).expect("short"));
            body.extend(properties);
        }
        body.extend(&payload);
        packet(first_byte, &body)
    };
    (0..count).flat_map(one).collect()
}

/// SUBSCRIBE, or UNSUBSCRIBE, with up to four filters.
fn subscribe(choices: &mut Choices<'_>, version: ProtocolVersion, first_byte: u8) -> Vec<u8> {
    let mut body = vec![0, choices.byte()];
    if version == ProtocolVersion::V5 {
        let properties: &[u8] = choices.pick(&[&[0], &[2, 0x0b, 7]]);
        body.extend(properties);
    }
    for _ in 0..choices.below(5) {
        body.extend(string(choices.pick(&FILTERS).as_bytes()));
        if first_byte == 0x82 {
            body.push(choices.pick(&[1, 0, 2, 0x2d, 0x2e, 0x03]));
        }
    }
    packet(first_byte, &body)
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP of any identifier, with a Reason Code or without.
fn acknowledgement(choices: &mut Choices<'_>, version: ProtocolVersion) -> Vec<u8> {
    let first_byte = choices.pick(&[0x40, 0x50, 0x62, 0x70]);
    let mut body = vec![0, choices.byte()];
    if version == ProtocolVersion::V5 {
        body.extend(choices.pick(&[&[][..], &[0x00], &[0x80], &[0x92], &[0x97, 0], &[0x10]]));
    }
    packet(first_byte, &body)
}

/// AUTH, with the method of CONNECT for the most part.
fn auth(choices: &mut Choices<'_>) -> Vec<u8> {
    let reason_code = choices.pick(&[0x18, 0x19, 0x00]);
    let properties: &[u8] =
        choices.pick(&[&[0x15, 0, 1, b'm', 0x16, 0, 1, b'x'], &[0x15, 0, 1, b'm'], &[0x15, 0, 1, b'n'], &[]]);
    let mut body = vec![reason_code, u8::try_from(properties.len()).expect("short")];
    body.extend(properties);
    packet(0xf0, &body)
}

/// One packet with its fixed header.
pub(super) fn packet(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut length = bytes::BytesMut::new();
    mqtt::encode_variable_byte_integer(&mut length, u32::try_from(body.len()).expect("short"));
    [&[first_byte][..], &length, body].concat()
}

fn string(text: &[u8]) -> Vec<u8> {
    [&u16::try_from(text.len()).expect("short").to_be_bytes(), text].concat()
}
