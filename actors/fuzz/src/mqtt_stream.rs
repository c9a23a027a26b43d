//! A client's stream: where it is cut does not matter.
//!
//! The first byte chooses the version, the next four where the stream is cut; the stream follows.

use mqtt::ProtocolVersion;
use mqtt::fuzzing::read_stream;

use crate::choices::Choices;

/// Reads the stream whole, in pieces, and byte by byte.
pub fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let version = choices.pick(&[ProtocolVersion::V311, ProtocolVersion::V5]);
    let cuts = choices.bytes(4);
    let stream = choices.rest();
    let whole = read_stream(&[stream], version);
    assert_eq!(read_stream(&pieces(stream, cuts), version), whole, "cut at {cuts:?}");
    let single: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(read_stream(&single, version), whole, "byte by byte");
}

/// `stream` in parts whose lengths are `cuts`, and what is left.
fn pieces<'a>(mut stream: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, rest) = stream.split_at(usize::from(*cut).min(stream.len()));
        pieces.extend((!piece.is_empty()).then_some(piece));
        stream = rest;
    }
    pieces.push(stream);
    pieces
}
