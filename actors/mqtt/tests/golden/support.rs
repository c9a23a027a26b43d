//! Reads golden files.

use bytes::Bytes;
use mqtt::{ClientPacket, Decoder, Frame, PacketIdentifier, ProtocolVersion};

pub(crate) const V311: ProtocolVersion = ProtocolVersion::V311;
pub(crate) const V5: ProtocolVersion = ProtocolVersion::V5;

macro_rules! vector {
    ($name:literal) => {
        crate::support::bytes_of(include_str!(concat!("../../vectors/", $name, ".hex")))
    };
}

pub(crate) use vector;

/// Bytes of a `.hex` file: two digits each, a `#` begins a comment.
pub(crate) fn bytes_of(text: &str) -> Vec<u8> {
    text.lines()
        .flat_map(|line| line.split('#').next().unwrap_or("").split_whitespace())
        .map(|byte| u8::from_str_radix(byte, 16).expect("two digits"))
        .collect()
}

/// The one frame of a golden file.
pub(crate) fn frame(bytes: Vec<u8>) -> Frame {
    let mut decoder = Decoder::new(1 << 20);
    decoder.push(Bytes::from(bytes));
    let frame = decoder.next_frame().expect("well-formed").expect("whole");
    assert_eq!(decoder.buffered_bytes(), 0, "one packet a file");
    frame
}

pub(crate) fn id(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).expect("not 0")
}

pub(crate) fn reason_of(bytes: Vec<u8>, version: ProtocolVersion) -> u8 {
    ClientPacket::decode(&frame(bytes), version)
        .map(|packet| format!("{packet:?}"))
        .expect_err("refused")
        .reason_code()
        .0
}
