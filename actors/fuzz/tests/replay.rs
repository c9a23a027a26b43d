//! Replays every corpus: an input that once was interesting still is survived, and its invariant holds.
#![expect(clippy::disallowed_methods, reason = "a test that reads the corpora; the targets touch no file")]

use std::path::Path;

use fuzz::{TARGETS, corpus};

/// All corpora together, in bytes: they lie in the repository.
const CORPORA_BYTES_MAX: usize = 300 << 10;

fn packed(target: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(format!("{target}.pack"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{target} has no corpus: {error}"))
}

/// Runs a target over its corpus, and names every input that it does not survive.
fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let packed = packed(name);
    let inputs = corpus::unpack(&packed).expect("a corpus");
    assert!(!inputs.is_empty(), "the corpus of {name} is empty");
    let fails = |input: &[u8]| std::panic::catch_unwind(|| (target.run)(input)).is_err();
    let failed: Vec<usize> = (0..inputs.len()).filter(|index| fails(inputs[*index])).collect();
    assert!(failed.is_empty(), "{name} fails at the inputs {failed:?} of its corpus; what it said stands above");
}

macro_rules! replays {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*
        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
    };
}

replays!(notifications, session_state, node_id, mqtt_stream, topic_filter, connection, record, dataflow, websocket);

#[test]
fn every_target_is_replayed() {
    assert!(TARGETS.iter().map(|target| target.name).eq(REPLAYED.iter().copied()));
}

#[test]
fn corpora_are_small_and_in_order() {
    let all: Vec<Vec<u8>> = TARGETS.iter().map(|target| packed(target.name)).collect();
    for (target, packed) in TARGETS.iter().zip(&all) {
        let inputs: Vec<Vec<u8>> = corpus::unpack(packed).expect("a corpus").into_iter().map(<[u8]>::to_vec).collect();
        assert_eq!(corpus::pack(&inputs), *packed, "{}: each input once, the shortest first", target.name);
    }
    let bytes: usize = all.iter().map(Vec::len).sum();
    assert!(bytes <= CORPORA_BYTES_MAX, "{bytes} bytes of corpora");
}

#[test]
fn every_target_survives_nothing() {
    for target in TARGETS {
        (target.run)(&[]);
    }
}
