//! One Event Hub and the lane to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use contract::{Epoch, Event, EventId, Instant};
use egress_batcher::{Failure, Message, Outcome};
use wiring::LaneRequest;

use crate::Dice;
use crate::build::HUB_BYTES_MAX;
use crate::fault::{Fault, FaultCounts};
use crate::message::Sent;
use crate::plc::TagName;

/// An event as the hub keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredEvent {
    pub(crate) id: EventId,
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
}

/// A hub, and the lane to it.
pub(crate) struct Hub {
    partitions_count: u16,
    /// Every event once, in the order in which each was first stored.
    pub(crate) stored: Vec<StoredEvent>,
    /// When each message of a client was stored first.
    pub(crate) stored_at: BTreeMap<Sent, Instant>,
    /// How often each Will Message was stored.
    pub(crate) wills: BTreeMap<Sent, u64>,
    by_id: BTreeMap<EventId, usize>,
    /// Events that are too large for it.
    refused: BTreeSet<EventId>,
    /// Numbers of the plant's values by tag, in order, with the life that sent them.
    pub(crate) values: BTreeMap<TagName, Vec<(Epoch, u64)>>,
    /// Values of events that are too large for it: the batcher reports and gives them up.
    pub(crate) too_large: BTreeSet<(TagName, u64)>,
    /// What a consumer could not make sense of.
    pub(crate) wrong: Option<String>,
    /// It cannot be reached until then.
    pub(crate) away_until: Instant,
    /// One batch in so many meets a fault; 0: none does.
    pub(crate) fault_one_in: u64,
    pub(crate) is_closed: bool,
    /// Answers of the lane, to be entered in the calendar.
    pub(crate) answers: Vec<(Instant, Message)>,
}

impl Hub {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        Self {
            partitions_count: u16::try_from(dice.within(1..5)).expect("small"),
            stored: Vec::new(),
            stored_at: BTreeMap::new(),
            wills: BTreeMap::new(),
            by_id: BTreeMap::new(),
            refused: BTreeSet::new(),
            values: BTreeMap::new(),
            too_large: BTreeSet::new(),
            wrong: None,
            // Some are away at the start.
            away_until: if dice.one_in(4) { Instant::ZERO + dice.micros(100_000..2_000_000) } else { Instant::ZERO },
            fault_one_in: 0,
            is_closed: false,
            answers: Vec::new(),
        }
    }

    pub(crate) fn request(&mut self, request: LaneRequest, now: Instant, dice: &mut Dice, faults: &mut FaultCounts) {
        let is_away = now < self.away_until;
        match request {
            LaneRequest::Open => {
                let answer = if is_away {
                    Message::OpenFailed(Failure::ConnectionLost)
                } else {
                    Message::Opened { hub_partitions_count: self.partitions_count, message_bytes_max: Some(1 << 20) }
                };
                self.answer(now + dice.micros(1_000..20_000), answer);
            }
            LaneRequest::RefreshPartitions => {
                let answer = Message::PartitionsRefreshed { hub_partitions_count: self.partitions_count };
                self.answer(now + dice.micros(1_000..5_000), answer);
            }
            LaneRequest::Send(send) => {
                let bytes = |event: &Event| event.publication.size_bytes();
                let (outcome, stores, wait) = if !is_away && send.events.iter().map(bytes).max() > Some(HUB_BYTES_MAX) {
                    self.refuse(&send.events);
                    (Outcome::Failed(Failure::SizeExceeded), false, Duration::from_millis(5))
                } else {
                    self.fate(is_away, dice, faults)
                };
                if stores {
                    self.store(&send.events, now);
                }
                self.answer(now + wait, Message::Settled { batch_id: send.batch_id, outcome });
            }
            LaneRequest::Close => self.is_closed = true,
        }
    }

    fn fate(&mut self, is_away: bool, dice: &mut Dice, faults: &mut FaultCounts) -> (Outcome, bool, Duration) {
        let wait = dice.micros(1_000..30_000);
        if is_away {
            return (Outcome::Failed(Failure::ConnectionLost), false, wait);
        }
        if self.fault_one_in == 0 || !dice.one_in(self.fault_one_in) {
            return (Outcome::Accepted, true, wait);
        }
        let (fault, outcome, stores, wait) = match dice.within(0..5) {
            0 => (Fault::HubBusy, Outcome::Failed(Failure::ServerBusy), false, wait),
            1 => (Fault::HubReleased, Outcome::Released, false, wait),
            2 => (Fault::HubModified, Outcome::Modified, false, wait),
            3 => (Fault::HubOutcomeLost, Outcome::Failed(Failure::TimedOut), true, Duration::from_millis(400)),
            _ => (Fault::HubConnectionLost, Outcome::Failed(Failure::ConnectionLost), dice.one_in(2), wait),
        };
        faults.count(fault);
        (outcome, stores, wait)
    }

    fn store(&mut self, events: &[Event], now: Instant) {
        for event in events {
            let stored = StoredEvent {
                id: event.id,
                topic: event.publication.topic_name_str().to_owned(),
                payload: event.publication.payload_shared(),
            };
            match self.by_id.insert(event.id, self.stored.len()) {
                None => {
                    match read_values(&stored.topic, &stored.payload) {
                        Ok(values) => {
                            for (name, number) in values {
                                self.values.entry(name).or_default().push((stored.id.epoch, number));
                            }
                        }
                        Err(wrong) => {
                            self.wrong.get_or_insert(format!("{wrong} in {:?}", stored.payload));
                        }
                    }
                    self.note_message(&stored, now);
                    self.stored.push(stored);
                }
                Some(first) => {
                    self.by_id.insert(event.id, first);
                    if self.stored[first] != stored {
                        self.wrong
                            .get_or_insert(format!("one id, two events: {:?} and {stored:?}", self.stored[first]));
                    }
                }
            }
        }
    }

    fn note_message(&mut self, stored: &StoredEvent, now: Instant) {
        let Some(sent) = Sent::parse(&stored.payload) else { return };
        if stored.topic.starts_with("will/") {
            *self.wills.entry(sent).or_default() += 1;
        } else {
            self.stored_at.entry(sent).or_insert(now);
        }
    }

    /// Whether it stored this event.
    pub(crate) fn has(&self, id: EventId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Whether it refused this event for good.
    pub(crate) fn has_refused(&self, id: EventId) -> bool {
        self.refused.contains(&id)
    }

    /// An event that is too large even alone will not come again.
    fn refuse(&mut self, events: &[Event]) {
        if let [event] = events {
            self.refused.insert(event.id);
            let values = read_values(event.publication.topic_name_str(), event.publication.payload());
            self.too_large.extend(values.unwrap_or_default());
        }
    }

    fn answer(&mut self, at: Instant, message: Message) {
        self.answers.push((at, message));
    }
}

/// Reads what the plant sent, as a consumer would: tags and the numbers of their values, in order.
fn read_values(topic: &str, payload: &[u8]) -> Result<Vec<(TagName, u64)>, String> {
    let Some((_, asset)) = topic.rsplit_once('/').filter(|_| topic.starts_with("plant/")) else {
        return Ok(Vec::new());
    };
    let payload: serde_json::Value = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    let mut numbers = Vec::new();
    for (tag, value) in payload.as_object().ok_or("a message is an object")? {
        for value in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
            numbers.push(((asset.to_owned(), tag.clone()), value["Value"].as_u64().ok_or("a value is a number")?));
        }
    }
    Ok(numbers)
}
