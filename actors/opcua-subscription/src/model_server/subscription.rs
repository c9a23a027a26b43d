//! A Subscription of the model server: items, queues, counters, retransmission (Part 4 §5.14.1).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use contract::{Instant, UtcTime};

use super::ModelServerConfig;
use super::encode::{self, ModelValue};
use crate::{MonitoredItemRequest, NodeId, Response, StatusCode, SubscriptionParameters, sequence};

/// A MonitoredItem with its queue.
#[derive(Debug)]
pub(super) struct ModelItem {
    node_id: NodeId,
    client_handle: u32,
    queue_size: usize,
    queue: VecDeque<ModelValue>,
}

impl ModelItem {
    /// An item begins with the current value (Part 4 §5.13.1.2).
    pub(super) fn new(request: &MonitoredItemRequest, queue_size: u32, value: &ModelValue) -> Self {
        Self {
            node_id: request.node_id.clone(),
            client_handle: request.client_handle,
            queue_size: queue_size as usize,
            queue: VecDeque::from([value.clone()]),
        }
    }

    fn sample(&mut self, value: &ModelValue) {
        self.queue.push_back(value.clone());
        if self.queue.len() > self.queue_size {
            self.queue.pop_front();
            // A queue of one value has nothing to say about what it replaced (Part 4 §5.13.1.5).
            if self.queue_size > 1
                && let Some(oldest) = self.queue.front_mut()
            {
                oldest.status_code = StatusCode(oldest.status_code.0 | 0x0480);
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct ModelSubscription {
    pub(super) session: NodeId,
    pub(super) publishing_interval: Duration,
    pub(super) lifetime_count: u32,
    pub(super) max_keep_alive_count: u32,
    pub(super) lifetime_left: u32,
    keep_alive_left: u32,
    pub(super) next_publishing_at: Instant,
    pub(super) items: BTreeMap<u32, ModelItem>,
    items_of_node: BTreeMap<NodeId, Vec<u32>>,
    /// Items with values, in the order in which they got their first.
    ready: VecDeque<u32>,
    pub(super) is_late: bool,
    /// The number of its last answer among all of the server's.
    pub(super) served_count: u64,
    is_first_sent: bool,
    next_sequence_number: u32,
    sent: VecDeque<(u32, Bytes)>,
}

impl ModelSubscription {
    pub(super) fn new(session: NodeId, asked: &SubscriptionParameters, first_number: u32, now: Instant) -> Self {
        let max_keep_alive_count = asked.requested_max_keep_alive_count.max(1);
        let lifetime_count = asked.requested_lifetime_count.max(3 * max_keep_alive_count);
        let publishing_interval = asked.requested_publishing_interval.max(Duration::from_millis(1));
        Self {
            session,
            publishing_interval,
            lifetime_count,
            max_keep_alive_count,
            lifetime_left: lifetime_count,
            keep_alive_left: max_keep_alive_count,
            next_publishing_at: now + publishing_interval,
            items: BTreeMap::new(),
            items_of_node: BTreeMap::new(),
            ready: VecDeque::new(),
            is_late: false,
            served_count: 0,
            is_first_sent: false,
            next_sequence_number: first_number,
            sent: VecDeque::new(),
        }
    }

    pub(super) fn add(&mut self, id: u32, item: ModelItem) {
        self.items_of_node.entry(item.node_id.clone()).or_default().push(id);
        self.items.insert(id, item);
        self.ready.push_back(id);
    }

    pub(super) fn sample(&mut self, node_id: &NodeId, value: &ModelValue) {
        for id in self.items_of_node.get(node_id).into_iter().flatten() {
            let Some(item) = self.items.get_mut(id) else { continue };
            if item.queue.is_empty() {
                self.ready.push_back(*id);
            }
            item.sample(value);
        }
    }

    /// The publishing timer fires. Answers false when the lifetime is over.
    pub(super) fn tick(&mut self, has_request: bool) -> bool {
        self.next_publishing_at += self.publishing_interval;
        if !has_request {
            self.lifetime_left = self.lifetime_left.saturating_sub(1);
            if self.lifetime_left == 0 {
                return false;
            }
        }
        self.keep_alive_left = self.keep_alive_left.saturating_sub(1);
        if !self.ready.is_empty() || !self.is_first_sent || self.keep_alive_left == 0 {
            self.is_late = true;
        }
        true
    }

    /// Answers a Publish request. The Subscription stays late while it has more to send.
    pub(super) fn publish(
        &mut self,
        id: u32,
        utc: UtcTime,
        config: &ModelServerConfig,
        results: &[StatusCode],
    ) -> Bytes {
        self.is_first_sent = true;
        self.keep_alive_left = self.max_keep_alive_count;
        let values = self.take_values(config.notifications_per_publish_max);
        self.is_late = !values.is_empty() && !self.ready.is_empty();
        let number = self.next_sequence_number;
        let message = encode::notification_message(number, utc, &values);
        if !values.is_empty() {
            self.next_sequence_number = sequence::after(number);
            self.sent.push_back((number, message.clone()));
            while self.sent.len() > config.retransmissions_max.max(1) {
                self.sent.pop_front();
            }
        }
        encode::publish_response(id, &self.available_sequence_numbers(), self.is_late, &message, results)
    }

    fn take_values(&mut self, notifications_max: usize) -> Vec<(u32, ModelValue)> {
        let limit = if notifications_max == 0 { usize::MAX } else { notifications_max };
        let mut values = Vec::new();
        while values.len() < limit {
            let Some(id) = self.ready.front().copied() else { break };
            let Some(item) = self.items.get_mut(&id) else {
                self.ready.pop_front();
                continue;
            };
            match item.queue.pop_front() {
                Some(value) => values.push((item.client_handle, value)),
                None => {
                    self.ready.pop_front();
                }
            }
            if item.queue.is_empty() && self.ready.front() == Some(&id) {
                self.ready.pop_front();
            }
        }
        values
    }

    pub(super) fn available_sequence_numbers(&self) -> Vec<u32> {
        self.sent.iter().map(|(number, _)| *number).collect()
    }

    pub(super) fn acknowledge(&mut self, sequence_number: u32) -> StatusCode {
        let before = self.sent.len();
        self.sent.retain(|(number, _)| *number != sequence_number);
        if self.sent.len() < before { StatusCode::GOOD } else { StatusCode::BAD_SEQUENCE_NUMBER_UNKNOWN }
    }

    pub(super) fn republish(&mut self, sequence_number: u32) -> Result<Response, StatusCode> {
        self.lifetime_left = self.lifetime_count;
        let found = self.sent.iter().find(|(number, _)| *number == sequence_number);
        found
            .map(|(_, message)| Response::Republish { body: message.clone() })
            .ok_or(StatusCode::BAD_MESSAGE_NOT_AVAILABLE)
    }
}
