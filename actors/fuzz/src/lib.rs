//! Whatever bytes come, nothing panics, and each target's invariant holds.
//!
//! Each target is one function over bytes. `tests/replay.rs` runs it over its corpus; `fuzz_targets/` lets libFuzzer grow
//! that corpus.
//!
//! | File | Who gets the bytes | Invariant |
//! |---|---|---|
//! | `notifications.rs` | the reader of PublishResponses | values are whole JSON, not much larger than their bytes |
//! | `session_state.rs` | the reader of saved Sessions | what is read reads back alike |
//! | `node_id.rs` | the parser of NodeIds | the text form reads back alike |
//! | `mqtt_stream.rs` | the packet decoder | any split of the stream decodes alike |
//! | `topic_filter.rs` | Topic Filters and Topic Names | matches as a recursive reference does |
//! | `websocket.rs` | the server's side of a WebSocket | any split of the stream is heard alike; answers are bounded |
//! | `connection.rs` | a whole mqtt-connection actor, one life after the other | its bounds hold, all is settled or parked once, the session is given back, it ends in one Gone |
//! | `record.rs` | the reader of records | its parts fill the record; it reads back alike |
//! | `dataflow.rs` | a compiled flow | takes what any of its Topic Filters matches, and nothing else |
//!
//! `choices.rs` turns bytes into decisions, `corpus.rs` is the format of the corpora.
#![forbid(unsafe_code)]

mod choices;
pub mod connection;
pub mod corpus;
pub mod dataflow;
pub mod mqtt_stream;
pub mod node_id;
pub mod notifications;
pub mod record;
pub mod session_state;
pub mod topic_filter;
pub mod websocket;

/// What can be fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its module, its corpus and its binary.
    pub name: &'static str,
    /// Takes one input; panics when the invariant does not hold.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 9] = [
    Target { name: "notifications", run: notifications::run },
    Target { name: "session_state", run: session_state::run },
    Target { name: "node_id", run: node_id::run },
    Target { name: "mqtt_stream", run: mqtt_stream::run },
    Target { name: "topic_filter", run: topic_filter::run },
    Target { name: "connection", run: connection::run },
    Target { name: "record", run: record::run },
    Target { name: "dataflow", run: dataflow::run },
    Target { name: "websocket", run: websocket::run },
];
