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

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a `.hex` file: two digits each, a `#` begins a comment.
    fn bytes_of(text: &str) -> Vec<u8> {
        let digits = text.lines().filter_map(|line| line.split('#').next()).flat_map(str::split_whitespace);
        digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect()
    }

    #[derive(Default)]
    struct Seen<'a> {
        values: Vec<(u32, DataValueRef<'a>)>,
        status_changes: Vec<StatusCode>,
        others_count: u32,
    }

    impl<'a> NotificationVisitor<'a> for Seen<'a> {
        fn value(&mut self, client_handle: u32, value: DataValueRef<'a>) {
            self.values.push((client_handle, value));
        }

        fn status_change(&mut self, status_code: StatusCode) {
            self.status_changes.push(status_code);
        }

        fn other(&mut self) {
            self.others_count += 1;
        }
    }

    fn publish_time() -> UtcTime {
        UtcTime::from_ticks(17_222_652_170_000_000)
    }

    #[test]
    fn a_response_is_read_as_it_stands_on_the_wire() {
        let bytes = bytes_of(include_str!("../../vectors/publish_response_two_values.hex"));
        let response = PublishResponse::read(&bytes).unwrap();
        assert_eq!((response.subscription_id, response.more_notifications), (7, true));
        assert_eq!(response.available_sequence_numbers().collect::<Vec<_>>(), [4, 5]);
        assert_eq!(response.results().collect::<Vec<_>>(), [StatusCode::GOOD, StatusCode::BAD_SEQUENCE_NUMBER_UNKNOWN]);
        assert_eq!((response.message.sequence_number, response.message.publish_time), (5, publish_time()));
        let mut seen = Seen::default();
        response.message.visit(&mut seen).unwrap();
        let value = |variant, status_code, ticks| DataValueRef { variant, status_code, source_ticks: ticks };
        let source_ticks = publish_time().ticks() + UtcTime::OPC_UA_EPOCH_TICKS;
        assert_eq!(
            seen.values,
            [
                (42, value(&bytes[51..60], StatusCode::GOOD, source_ticks + 1_858_435)),
                (43, value(&bytes[73..80], StatusCode(0x0480), source_ticks)),
                (44, value(&[], StatusCode::BAD_COMMUNICATION_ERROR, 0)),
            ]
        );
    }

    #[test]
    fn a_keep_alive_names_the_next_message() {
        let bytes = bytes_of(include_str!("../../vectors/publish_response_keep_alive.hex"));
        let response = PublishResponse::read(&bytes).unwrap();
        assert!(response.message.is_keep_alive());
        assert_eq!((response.message.sequence_number, response.more_notifications), (6, false));
        assert_eq!(response.available_sequence_numbers().count() + response.results().count(), 0);
    }

    #[test]
    fn a_status_change_is_told_and_events_are_counted() {
        let bytes = bytes_of(include_str!("../../vectors/publish_response_status_change.hex"));
        let mut seen = Seen::default();
        PublishResponse::read(&bytes).unwrap().message.visit(&mut seen).unwrap();
        assert_eq!((seen.status_changes, seen.others_count), (vec![StatusCode::BAD_TIMEOUT], 1));
    }

    #[test]
    fn every_truncation_is_found_or_leaves_a_whole_response() {
        let bytes = bytes_of(include_str!("../../vectors/publish_response_two_values.hex"));
        // What follows the results is not read.
        let results_end = bytes.len() - 9;
        for length in 0..results_end {
            assert!(PublishResponse::read(&bytes[..length]).is_err(), "length {length}");
        }
        assert!(PublishResponse::read(&bytes[..results_end]).is_ok());
    }

    #[test]
    fn values_before_a_damage_are_handed_over() {
        let mut bytes = bytes_of(include_str!("../../vectors/publish_response_two_values.hex"));
        bytes[72] = 0xff;
        let mut seen = Seen::default();
        let visited = PublishResponse::read(&bytes).unwrap().message.visit(&mut seen);
        assert_eq!((visited, seen.values.len()), (Err(DecodeError::Malformed), 1));
    }
}
