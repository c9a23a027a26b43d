//! Entry points for fuzzing: whatever bytes come, nothing panics, and what is written is whole JSON.

use crate::binary::data_value::DataValueRef;
use crate::binary::notification::{NotificationMessage, NotificationVisitor, PublishResponse};
use crate::binary::reader::Reader;
use crate::json::value::ValueWriter;
use crate::{SessionState, StatusCode};

/// Walks over `bytes` as the body of a PublishResponse and as that of a `RepublishResponse`; answers the values in it as JSON,
/// one text for each.
pub fn read_notifications(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut written = Written { writer: ValueWriter::new(), texts: Vec::new() };
    let published = PublishResponse::read(bytes).map(|response| response.message);
    let republished = NotificationMessage::read(&mut Reader::new(bytes));
    for message in [published, republished].into_iter().flatten() {
        // Values before a damage count all the same.
        let _damage = message.visit(&mut written);
    }
    written.texts
}

/// Reads `bytes` as a saved state; answers whether they are one, which then reads back as it is.
pub fn read_session_state(bytes: &[u8]) -> bool {
    SessionState::from_bytes(bytes).is_ok_and(|state| state.to_bytes() == bytes)
}

struct Written {
    writer: ValueWriter,
    texts: Vec<Vec<u8>>,
}

impl<'a> NotificationVisitor<'a> for Written {
    fn value(&mut self, _client_handle: u32, value: DataValueRef<'a>) {
        let mut text = Vec::new();
        self.writer.write_variant(&mut text, value.variant);
        self.texts.push(text);
    }

    fn status_change(&mut self, _status_code: StatusCode) {}

    fn other(&mut self) {}
}
