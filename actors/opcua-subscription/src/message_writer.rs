//! One message of a DataSet: its changed tags, or all of them in a key frame, as JSON straight into a publication.

use std::time::Duration;

use contract::{
    Instant, MESSAGE_EXPIRY_NEVER, Publication, PublicationArena, PublicationBuilder, PublicationDraft, QoS, UtcTime,
};

use crate::cloud_events::{MessageAttributes, MessageIdentity, PropertiesTemplate};
use crate::held_values::{HeldValue, HeldValues};
use crate::interval::{Interval, NONE, Slots};
use crate::json::timestamp::TIMESTAMP_BYTES;
use crate::json::value::{ValueWriter, write_status_code};
use crate::layout::WriterPlan;
use crate::{Layout, Limits, SessionConfig, StatusCode};

/// One message, with the DataSet that says where it goes and what its acknowledgement waits for.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) writer_index: u32,
    pub(crate) publication: Publication,
}

/// Writes the messages of all DataSets of a Session.
#[derive(Debug)]
pub(crate) struct MessageWriter {
    arena: PublicationArena,
    templates: Vec<PropertiesTemplate>,
    /// Messages of each DataSet since its last key frame; the first one is a key frame where they are asked for.
    since_key_frame: Vec<u32>,
    /// Bytes of each DataSet's last payload: room is made for as many.
    payload_bytes: Vec<usize>,
    properties: Vec<u8>,
    values: ValueWriter,
    held: HeldValues,
    qos: QoS,
    retain: bool,
    message_expiry_s: u32,
    payload_bytes_max: usize,
    value_bytes_max: usize,
    counts: WriterCounts,
}

/// What the messages of one interval have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IntervalIdentity {
    /// Random at the Subscription's creation.
    pub(crate) birth: u64,
    /// Its first slot, and how many it has.
    pub(crate) run: (u32, u32),
    /// When it ended.
    pub(crate) now: Instant,
}

/// What was written, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriterCounts {
    pub(crate) messages: u64,
    pub(crate) points: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) values_too_large: u64,
}

/// How far the messages of one DataSet and interval are written.
#[derive(Clone, Copy, Debug)]
struct Position {
    slot: u32,
    /// The entry of that slot to go on with; `NONE`: its first one.
    entry: u32,
    part: u32,
}

/// What one message is written from.
#[derive(Clone, Copy)]
struct Source<'s> {
    layout: &'s Layout,
    interval: &'s Interval,
    identity: IntervalIdentity,
    writer_index: u32,
    is_key_frame: bool,
}

const BEFORE_DATE: &[u8; 20] = b"{\"SourceTimestamp\":\"";
const BEHIND_DATE: &[u8; 10] = b"\",\"Value\":";
const HEAD_BYTES: usize = BEFORE_DATE.len() + TIMESTAMP_BYTES + BEHIND_DATE.len();

impl MessageWriter {
    pub(crate) fn new(config: &SessionConfig, layout: &Layout, limits: &Limits) -> Self {
        let expiry_s = |expiry: Duration| u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX).min(u32::MAX - 1);
        let mut writer = Self {
            arena: PublicationArena::new(limits.arena_chunk_bytes as usize),
            templates: Vec::new(),
            since_key_frame: vec![0; layout.writers.len()],
            payload_bytes: vec![0; layout.writers.len()],
            properties: Vec::new(),
            values: ValueWriter::new(),
            held: HeldValues::new(layout, limits.held_values_bytes_max as usize),
            qos: config.qos,
            retain: config.retain,
            message_expiry_s: config.message_expiry.map_or(MESSAGE_EXPIRY_NEVER, expiry_s),
            payload_bytes_max: limits.payload_bytes_max as usize,
            value_bytes_max: limits.value_bytes_max as usize,
            counts: WriterCounts::default(),
        };
        writer.set_source(layout, "");
        writer
    }

    /// Sets the server whose values these are.
    pub(crate) fn set_source(&mut self, layout: &Layout, application_uri: &str) {
        let template =
            |writer: &WriterPlan| PropertiesTemplate::new(&writer.asset, &writer.external_asset_id, application_uri);
        self.templates = layout.writers.iter().map(template).collect();
    }

    pub(crate) fn counts(&self) -> WriterCounts {
        self.counts
    }

    /// Strings that were no UTF-8, and values that key frames had no room for.
    pub(crate) fn lesser_counts(&self) -> (u64, u64) {
        (self.values.texts_replaced_count, self.held.left_out_count())
    }

    /// Closes an interval: one message for each DataSet with a value (more where it is too large), in the order of their
    /// first value. The interval is empty afterwards. About 40 ns a value.
    pub(crate) fn close_interval(
        &mut self,
        layout: &Layout,
        slots: &mut Slots,
        interval: &mut Interval,
        identity: IntervalIdentity,
        mut hand_over: impl FnMut(Written),
    ) {
        for writer_index in interval.writers.iter().copied() {
            let is_key_frame = self.is_key_frame_due(&layout.writers[writer_index as usize], writer_index);
            let source = Source { layout, interval, identity, writer_index, is_key_frame };
            let first_slot = layout.writers[writer_index as usize].first_slot;
            let mut next = Some(Position { slot: first_slot, entry: NONE, part: 0 });
            while let Some(position) = next {
                let publication;
                (publication, next) = self.write_message(&source, slots, position);
                if let Some(publication) = publication {
                    hand_over(Written { writer_index, publication });
                }
            }
        }
        interval.clear();
    }

    fn is_key_frame_due(&mut self, writer: &WriterPlan, writer_index: u32) -> bool {
        if writer.key_frame_count == 0 {
            return false;
        }
        let since = &mut self.since_key_frame[writer_index as usize];
        let is_due = *since == 0;
        *since = (*since + 1) % writer.key_frame_count;
        is_due
    }

    /// Writes one message from `position` on; answers where the next one begins, if this one became full.
    fn write_message(
        &mut self,
        source: &Source<'_>,
        slots: &mut Slots,
        position: Position,
    ) -> (Option<Publication>, Option<Position>) {
        let writer = &source.layout.writers[source.writer_index as usize];
        self.write_properties(source, position.part);
        let mut builder = self.arena.begin(&PublicationDraft {
            topic_name: &writer.topic_name,
            properties: &self.properties,
            qos: self.qos,
            retain: self.retain,
            message_expiry_s: self.message_expiry_s,
            received_at: source.identity.now,
            received_utc: source.interval.received_utc,
        });
        let expected_bytes = &mut self.payload_bytes[source.writer_index as usize];
        builder.reserve(*expected_bytes + *expected_bytes / 16 + 64);
        let mut page = Page {
            values: &mut self.values,
            held: &mut self.held,
            builder: &mut builder,
            bytes_max: self.payload_bytes_max,
            value_bytes_max: self.value_bytes_max,
            points_count: 0,
            too_large_count: 0,
        };
        let next = page.write_slots(source, slots, position);
        let points_count = page.points_count;
        self.counts.values_too_large += page.too_large_count;
        if points_count == 0 {
            return (None, next);
        }
        builder.put_byte(b'}');
        *expected_bytes = builder.payload_bytes();
        self.counts.messages += 1;
        self.counts.points += u64::from(points_count);
        self.counts.payload_bytes += builder.payload_bytes() as u64;
        (Some(builder.finish(points_count)), next)
    }

    fn write_properties(&mut self, source: &Source<'_>, part: u32) {
        let attributes = MessageAttributes {
            identity: MessageIdentity {
                birth: source.identity.birth,
                sequence_number: source.interval.sequence_numbers.first().copied().unwrap_or_default(),
                writer_index: source.writer_index,
                part,
            },
            is_key_frame: source.is_key_frame,
            publish_time: source.interval.publish_time,
            received_utc: source.interval.received_utc,
        };
        let template = &self.templates[source.writer_index as usize];
        template.write(&mut self.properties, &attributes, &mut self.values.timestamps);
    }
}

/// The payload of one message while it is written.
struct Page<'p, 'a> {
    values: &'p mut ValueWriter,
    held: &'p mut HeldValues,
    builder: &'p mut PublicationBuilder<'a>,
    bytes_max: usize,
    value_bytes_max: usize,
    points_count: u32,
    too_large_count: u64,
}

impl Page<'_, '_> {
    /// Writes tags until the DataSet ends or the page is full, in the order of the configuration.
    fn write_slots(&mut self, source: &Source<'_>, slots: &mut Slots, position: Position) -> Option<Position> {
        let writer = &source.layout.writers[source.writer_index as usize];
        let (run_first, run_count) = source.identity.run;
        let Position { slot: first_slot, mut entry, part } = position;
        for slot_index in first_slot..writer.first_slot + writer.slots_count {
            if self.builder.payload_bytes() > self.bytes_max {
                return Some(Position { slot: slot_index, entry: NONE, part: part + 1 });
            }
            // A DataSet may be spread over Subscriptions; what is noted of a slot belongs to its own one's interval.
            if entry == NONE && slot_index.wrapping_sub(run_first) < run_count {
                entry = std::mem::replace(&mut slots.tags[slot_index as usize].first, NONE);
            }
            if entry != NONE {
                self.put_key(source.layout, slot_index);
                let rest = self.write_entries(source.interval, slot_index, entry);
                if rest != NONE {
                    return Some(Position { slot: slot_index, entry: rest, part: part + 1 });
                }
                entry = NONE;
            } else if source.is_key_frame {
                self.write_held(source.layout, slot_index);
            }
        }
        None
    }

    /// Writes the values of one tag: an object, or an array of them. Answers the first one that found no room.
    #[inline]
    fn write_entries(&mut self, interval: &Interval, slot_index: u32, first: u32) -> u32 {
        let mut entry = interval.entry(first);
        let is_array = entry.next != NONE;
        if is_array {
            self.builder.put_byte(b'[');
        }
        let rest = loop {
            let value = self.limit(HeldValue {
                variant: interval.variant(entry),
                status: entry.status,
                source_ticks: entry.source_ticks,
            });
            self.write_object(value);
            if entry.next == NONE {
                self.held.hold(slot_index, value);
                break NONE;
            }
            if self.builder.payload_bytes() > self.bytes_max {
                break entry.next;
            }
            entry = interval.entry(entry.next);
            self.builder.put_byte(b',');
        };
        if is_array {
            self.builder.put_byte(b']');
        }
        rest
    }

    fn write_held(&mut self, layout: &Layout, slot_index: u32) {
        if self.held.get(slot_index).is_none() {
            return;
        }
        self.put_key(layout, slot_index);
        if let Some(value) = self.held.get(slot_index) {
            write_object(self.builder, self.values, value);
            self.points_count += 1;
        }
    }

    #[inline]
    fn put_key(&mut self, layout: &Layout, slot_index: u32) {
        let (at, bytes) = layout.points[slot_index as usize].key;
        let key = &layout.keys[at as usize..][..bytes as usize];
        if self.points_count == 0 {
            self.builder.put_byte(b'{');
            self.builder.put(&key[1..]);
        } else {
            self.builder.put(key);
        }
    }

    #[inline]
    fn limit<'v>(&mut self, value: HeldValue<'v>) -> HeldValue<'v> {
        if value.variant.len() <= self.value_bytes_max {
            return value;
        }
        self.too_large_count += 1;
        HeldValue { variant: &[], status: StatusCode::BAD_ENCODING_LIMITS_EXCEEDED, ..value }
    }

    #[inline]
    fn write_object(&mut self, value: HeldValue<'_>) {
        write_object(self.builder, self.values, value);
        self.points_count += 1;
    }
}

/// Writes `{"SourceTimestamp":"..","Value":..}`, with `"StatusCode"` where it is not plainly Good.
#[inline]
fn write_object(builder: &mut PublicationBuilder<'_>, values: &mut ValueWriter, value: HeldValue<'_>) {
    if value.source_ticks == 0 {
        builder.put(b"{\"Value\":");
    } else {
        let mut head = [0; HEAD_BYTES];
        let time = UtcTime::from_opc_ua_ticks(value.source_ticks);
        head[..BEFORE_DATE.len()].copy_from_slice(BEFORE_DATE);
        head[BEFORE_DATE.len()..][..TIMESTAMP_BYTES].copy_from_slice(values.timestamps.format(time));
        head[BEFORE_DATE.len() + TIMESTAMP_BYTES..].copy_from_slice(BEHIND_DATE);
        builder.put(&head);
    }
    values.write_variant(builder, value.variant);
    if value.status != StatusCode::GOOD {
        builder.put(b",\"StatusCode\":");
        write_status_code(builder, value.status);
    }
    builder.put_byte(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binary::notification::PublishResponse;
    use crate::interval::Collector;
    use crate::layout::tests::config;
    use crate::model_server::encode::{ModelValue, notification_message, publish_response};
    use crate::subscription::{Arrival, ArrivalKind};
    use crate::{Conflate, DataSetDefaults};

    const START: UtcTime = UtcTime::from_ticks(17_954_352_000_000_000);

    struct Bench {
        layout: Layout,
        slots: Slots,
        writer: MessageWriter,
        interval: Interval,
    }

    impl Bench {
        fn new(defaults: DataSetDefaults, limits: Limits) -> Self {
            let mut config = config(2, 2);
            config.defaults = defaults;
            let layout = Layout::new(&config).unwrap();
            let writer = MessageWriter::new(&config, &layout, &limits);
            Self { slots: Slots::new(&layout), layout, writer, interval: Interval::default() }
        }

        fn all(limits: Limits) -> Self {
            Self::new(DataSetDefaults { conflate: Conflate::All, ..DataSetDefaults::default() }, limits)
        }

        /// One NotificationMessage is one interval.
        fn write(&mut self, sequence_number: u32, values: &[(u32, ModelValue)]) -> Vec<Publication> {
            let message = notification_message(sequence_number, START, values);
            let arrival = Arrival {
                sequence_number,
                publish_time: START,
                body: publish_response(1, &[], false, &message, &[]),
                kind: ArrivalKind::Published { more_notifications: false },
                received_utc: START,
            };
            let mut collector = Collector::new(&self.layout, &mut self.slots, (0, 4), &mut self.interval, &arrival);
            PublishResponse::read(&arrival.body).unwrap().message.visit(&mut collector).unwrap();
            self.interval.sequence_numbers.push(sequence_number);
            let identity = IntervalIdentity { birth: 1, run: (0, 4), now: Instant::ZERO };
            let mut publications = Vec::new();
            let Self { layout, slots, writer, interval } = self;
            writer.close_interval(layout, slots, interval, identity, |written| publications.push(written.publication));
            publications
        }
    }

    fn payloads(publications: &[Publication]) -> Vec<String> {
        publications.iter().map(|made| String::from_utf8(made.payload().to_vec()).unwrap()).collect()
    }

    fn number(value: u64, millis: u64) -> ModelValue {
        ModelValue::number(value, START.saturating_add(Duration::from_millis(millis)))
    }

    #[test]
    fn a_message_is_what_azure_iot_operations_writes() {
        let mut bench = Bench::all(Limits::default());
        let bad = ModelValue {
            variant: bytes::Bytes::new(),
            status_code: StatusCode::BAD_COMMUNICATION_ERROR,
            ..number(0, 4)
        };
        let undated = ModelValue { source_timestamp: None, ..ModelValue::double(21.5, START) };
        let publications =
            bench.write(1, &[(2, undated), (1, number(7, 1)), (0, bad), (1, number(8, 2)), (1, number(9, 3))]);
        assert_eq!(
            payloads(&publications),
            [
                r#"{"tag0":{"Value":21.5}}"#,
                concat!(
                    r#"{"tag0":{"SourceTimestamp":"2026-11-23T12:00:00.0040000Z","Value":null,"#,
                    r#""StatusCode":{"Symbol":"BadCommunicationError","Code":2147811328}},"#,
                    r#""tag1":[{"SourceTimestamp":"2026-11-23T12:00:00.0010000Z","Value":7},"#,
                    r#"{"SourceTimestamp":"2026-11-23T12:00:00.0020000Z","Value":8},"#,
                    r#"{"SourceTimestamp":"2026-11-23T12:00:00.0030000Z","Value":9}]}"#
                ),
            ]
        );
        assert_eq!(publications[0].topic_name_str(), "plant/data/a1");
        assert_eq!(publications.iter().map(Publication::points_count).collect::<Vec<_>>(), [1, 4]);
    }

    #[test]
    fn a_value_that_is_too_large_is_null_with_a_reason() {
        let mut bench = Bench::all(Limits { value_bytes_max: 64, ..Limits::default() });
        let publications = bench.write(1, &[(0, ModelValue::text(&"x".repeat(100), START)), (1, number(1, 0))]);
        let payload = &payloads(&publications)[0];
        assert!(payload.contains(r#""Value":null,"StatusCode":{"Symbol":"BadEncodingLimitsExceeded""#), "{payload}");
        assert!(payload.contains(r#""Value":1}"#), "{payload}");
        assert_eq!(bench.writer.counts().values_too_large, 1);
    }

    #[test]
    fn a_message_that_is_full_is_followed_by_another() {
        let mut bench = Bench::all(Limits { payload_bytes_max: 1_024, ..Limits::default() });
        let values: Vec<(u32, ModelValue)> =
            (0..100).map(|value| (u32::from(value % 2 == 1), number(value, value))).collect();
        let publications = bench.write(1, &values);
        assert!(publications.len() > 5);
        let mut seen: [Vec<u64>; 2] = Default::default();
        for payload in payloads(&publications) {
            assert!(payload.len() < 1_200);
            let tags: serde_json::Value = serde_json::from_str(&payload).unwrap();
            for (tag, values) in tags.as_object().unwrap() {
                let one = [values.clone()];
                let values = values.as_array().map_or(one.as_slice(), Vec::as_slice);
                seen[usize::from(tag == "tag1")].extend(values.iter().map(|value| value["Value"].as_u64().unwrap()));
            }
        }
        assert_eq!(seen[0], (0..50).map(|value| 2 * value).collect::<Vec<_>>());
        assert_eq!(seen[1], (0..50).map(|value| 2 * value + 1).collect::<Vec<_>>());
        let mut properties: Vec<&[u8]> = publications.iter().map(Publication::properties).collect();
        properties.dedup();
        assert_eq!(properties.len(), publications.len(), "each part has an id of its own");
        assert_eq!(bench.writer.counts().points, 100);
    }

    #[test]
    fn a_key_frame_repeats_what_did_not_change() {
        let mut bench =
            Bench::new(DataSetDefaults { key_frame_count: 2, ..DataSetDefaults::default() }, Limits::default());
        let tags = |publications: &[Publication]| {
            let payload = &payloads(publications)[0];
            (payload.contains("tag0"), payload.contains("tag1"))
        };
        // What was never received is in no key frame.
        assert_eq!(tags(&bench.write(1, &[(0, number(1, 0))])), (true, false));
        assert_eq!(tags(&bench.write(2, &[(1, number(2, 0))])), (false, true));
        assert_eq!(tags(&bench.write(3, &[(1, number(3, 0))])), (true, true));
        assert_eq!(tags(&bench.write(4, &[(0, number(4, 0))])), (true, false));
    }
}
