//! Whatever a server sends, nothing panics; and how the stream is cut makes no difference.

use opcua_transport::fuzzing::{read_answers, read_opening, read_stream};
use proptest::prelude::*;

/// The start of a chunk on channel 1 with token 1 that looks right.
fn chunk_like() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop::sample::select(vec![*b"MSGF", *b"MSGC", *b"MSGA", *b"OPNF", *b"ERRF", *b"CLOF", *b"ACKF"]);
    (kinds, prop::collection::vec(any::<u8>(), 0..200), 0_u32..4, -20_i32..20, any::<bool>()).prop_map(
        |(kind, body, sequence, wrong_by, is_right)| {
            let mut bytes = kind.to_vec();
            let size = u32::try_from(24 + body.len()).expect("a body is short");
            bytes.extend_from_slice(&if is_right { size } else { size.saturating_add_signed(wrong_by) }.to_le_bytes());
            for field in [1, 1, sequence, 9] {
                bytes.extend_from_slice(&u32::to_le_bytes(field));
            }
            bytes.extend_from_slice(&body);
            bytes
        },
    )
}

/// The start of an answer: type, date, handle, result, and what follows of the header.
fn answer_like() -> impl Strategy<Value = Vec<u8>> {
    let types = vec![397_u16, 449, 464, 470, 476, 634, 754, 790, 830, 836, 844, 850, 431];
    (prop::sample::select(types), prop::collection::vec(any::<u8>(), 0..300), any::<bool>()).prop_map(
        |(type_id, body, is_good)| {
            let mut bytes = vec![1, 0];
            bytes.extend_from_slice(&type_id.to_le_bytes());
            bytes.extend_from_slice(&[0; 12]);
            bytes.extend_from_slice(&if is_good { 0_u32 } else { 0x8001_0000 }.to_le_bytes());
            bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0]);
            bytes.extend_from_slice(&body);
            bytes
        },
    )
}

proptest! {
    #[test]
    fn a_stream_reads_alike_however_it_is_cut(
        chunks in prop::collection::vec(chunk_like(), 0..8),
        noise in prop::collection::vec(any::<u8>(), 0..40),
        cut in 1_usize..100,
    ) {
        let bytes = [chunks.concat(), noise].concat();
        for is_secured in [false, true] {
            prop_assert_eq!(read_stream(&bytes, is_secured, cut), read_stream(&bytes, is_secured, usize::MAX));
        }
    }

    #[test]
    fn any_answer_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), like in answer_like()) {
        read_answers(&bytes);
        read_answers(&like);
    }

    #[test]
    fn any_opening_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), like in chunk_like()) {
        read_opening(&bytes);
        read_opening(&like);
    }
}
