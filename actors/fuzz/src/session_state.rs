//! The saved state of a Session: as it is, and behind a head and a checksum that hold.

use opcua_subscription::SessionState;

/// Reads `input` as a saved state, and as the fields of one.
pub fn run(input: &[u8]) {
    read(input);
    let mut whole = [&b"mcsession\x01"[..], input].concat();
    whole.extend(crc32fast::hash(&whole).to_le_bytes());
    read(&whole);
}

fn read(bytes: &[u8]) {
    if let Ok(state) = SessionState::from_bytes(bytes) {
        assert_eq!(SessionState::from_bytes(&state.to_bytes()), Ok(state), "what was read reads back alike");
    }
}
