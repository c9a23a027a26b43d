//! The body of a PublishResponse (OPC UA Part 4 §5.14.5), up to the JSON of its values.

use opcua_subscription::fuzzing::read_notifications;

/// Bytes of JSON for one byte of the wire at most: a null DataValue in an array is one byte.
const EXPANSION_MAX: usize = 64;

/// Reads `input` as notifications.
pub fn run(input: &[u8]) {
    let texts = read_notifications(input);
    for text in &texts {
        let parsed = serde_json::from_slice::<serde_json::Value>(text);
        assert!(parsed.is_ok(), "a value is whole JSON: {}", String::from_utf8_lossy(text));
    }
    let bytes: usize = texts.iter().map(Vec::len).sum();
    assert!(bytes <= EXPANSION_MAX * input.len(), "{bytes} bytes of JSON from {} bytes", input.len());
}
