//! SUBSCRIBE and UNSUBSCRIBE to all partitions, one answer back (MQTT 5.0 §3.8 to §3.11).

use contract::{Credit, QoS, SubscribeResult, SubscribeToken, SubscriptionRequest};
use mqtt::{
    PacketIdentifier, ReasonCode, Subscribe, TopicFilter, TopicFilterError, Unsubscribe, encode_suback, encode_unsuback,
};

use crate::delivery_window::DeliveryWindow;
use crate::state::Phase;
use crate::step::Step;
use crate::{Connection, Effect, EndReason};

/// SUBSCRIBEs and UNSUBSCRIBEs that partitions have not answered; then the socket is not read.
pub(crate) const SUBSCRIBES_PENDING_MAX: usize = 16;

/// A SUBSCRIBE or UNSUBSCRIBE until every partition answered.
#[derive(Debug)]
pub(crate) struct PendingSubscribe {
    answer: Answer,
    /// One for each filter of the packet.
    reason_codes: Vec<ReasonCode>,
    /// The filters that partitions were asked for, in order.
    asked: Vec<Asked>,
    /// Partitions that have not answered.
    awaited_count: u16,
}

#[derive(Debug)]
struct Asked {
    /// Its place in `reason_codes`.
    index: usize,
    topic_filter: Box<str>,
    is_granted_somewhere: bool,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Suback(PacketIdentifier),
    Unsuback(PacketIdentifier),
    /// It takes back what some partitions granted and others refused.
    Nothing,
}

impl Connection {
    pub(crate) fn handle_subscribe(&mut self, subscribe: Subscribe, step: &mut Step<'_>) {
        let mut pending = PendingSubscribe::new(Answer::Suback(subscribe.packet_identifier));
        let mut subscriptions = Vec::with_capacity(subscribe.filters.len());
        let filters_max = usize::try_from(self.config.subscriptions_per_client_max).unwrap_or(usize::MAX);
        for filter in subscribe.filters {
            let topic_filter = match TopicFilter::parse(&filter.topic_filter) {
                Ok(topic_filter) if subscriptions.len() < filters_max => topic_filter.into_text(),
                Ok(_) => {
                    pending.reason_codes.push(ReasonCode::QUOTA_EXCEEDED);
                    continue;
                }
                Err(TopicFilterError::Invalid) => {
                    pending.reason_codes.push(ReasonCode::TOPIC_FILTER_INVALID);
                    continue;
                }
                Err(TopicFilterError::Shared) => {
                    pending.reason_codes.push(ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED);
                    continue;
                }
            };
            // A lower level than asked for may be granted (MQTT 5.0 §3.8.4).
            let maximum_qos = filter.maximum_qos.min(QoS::AtLeastOnce);
            pending.ask(topic_filter.clone(), ReasonCode(maximum_qos.bits()));
            subscriptions.push(SubscriptionRequest {
                topic_filter,
                maximum_qos,
                no_local: filter.no_local,
                retain_as_published: filter.retain_as_published,
                retain_handling: filter.retain_handling,
                subscription_identifier: subscribe.subscription_identifier,
            });
        }
        if !subscriptions.is_empty() {
            pending.awaited_count = self.config.partitions_count;
            let total = Credit { count: self.config.deliveries_count_max, bytes: self.config.deliveries_bytes_max };
            let partitions_count = self.config.partitions_count;
            self.deliveries.get_or_insert_with(|| Box::new(DeliveryWindow::new(total, partitions_count)));
            step.effects.push(Effect::Subscribe { token: self.next_subscribe_token(), subscriptions });
        }
        self.subscribes.push_back(pending);
        self.answer_subscribes(step);
    }

    pub(crate) fn handle_unsubscribe(&mut self, unsubscribe: Unsubscribe, step: &mut Step<'_>) {
        let mut pending = PendingSubscribe::new(Answer::Unsuback(unsubscribe.packet_identifier));
        let mut topic_filters = Vec::with_capacity(unsubscribe.topic_filters.len());
        for text in unsubscribe.topic_filters {
            match TopicFilter::parse(&text) {
                Ok(topic_filter) => {
                    pending.ask(Box::default(), ReasonCode::NO_SUBSCRIPTION_EXISTED);
                    topic_filters.push(topic_filter.into_text());
                }
                Err(TopicFilterError::Invalid) => pending.reason_codes.push(ReasonCode::TOPIC_FILTER_INVALID),
                // There is none, so none existed.
                Err(TopicFilterError::Shared) => pending.reason_codes.push(ReasonCode::NO_SUBSCRIPTION_EXISTED),
            }
        }
        if !topic_filters.is_empty() {
            pending.awaited_count = self.config.partitions_count;
            step.effects.push(Effect::Unsubscribe { token: self.next_subscribe_token(), topic_filters });
        }
        self.subscribes.push_back(pending);
        self.answer_subscribes(step);
    }

    pub(crate) fn handle_subscribed(
        &mut self,
        token: SubscribeToken,
        results: &[SubscribeResult],
        step: &mut Step<'_>,
    ) {
        let Some(pending) = self.pending_subscribe(token) else { return };
        for (asked, result) in pending.asked.iter_mut().zip(results) {
            match result {
                SubscribeResult::Granted => asked.is_granted_somewhere = true,
                SubscribeResult::QuotaExceeded => pending.reason_codes[asked.index] = ReasonCode::QUOTA_EXCEEDED,
            }
        }
        pending.awaited_count -= 1;
        self.answer_subscribes(step);
    }

    pub(crate) fn handle_unsubscribed(&mut self, token: SubscribeToken, existed: &[bool], step: &mut Step<'_>) {
        let Some(pending) = self.pending_subscribe(token) else { return };
        for (asked, existed) in pending.asked.iter().zip(existed) {
            if *existed {
                pending.reason_codes[asked.index] = ReasonCode::SUCCESS;
            }
        }
        pending.awaited_count -= 1;
        self.answer_subscribes(step);
    }

    /// Writes the answers that are whole, in the order of the requests.
    fn answer_subscribes(&mut self, step: &mut Step<'_>) {
        while self.subscribes.front().is_some_and(|pending| pending.awaited_count == 0) {
            let Some(pending) = self.subscribes.pop_front() else { break };
            self.first_subscribe_token += 1;
            let before_bytes = step.output.len();
            match pending.answer {
                Answer::Suback(packet_identifier) => {
                    encode_suback(&mut step.output, self.version, packet_identifier, &pending.reason_codes);
                    self.take_back(&pending, step);
                }
                Answer::Unsuback(packet_identifier) => {
                    encode_unsuback(&mut step.output, self.version, packet_identifier, &pending.reason_codes);
                }
                Answer::Nothing => {}
            }
            if self.take_back_if_too_large(before_bytes, step) {
                // What was subscribed cannot be answered; it ends with the connection.
                let reason_code = ReasonCode::PACKET_TOO_LARGE;
                return self.close(reason_code, EndReason::ProtocolError(reason_code.0), step);
            }
        }
        if self.subscribes.is_empty() && self.subscribes.capacity() > 0 {
            self.subscribes = std::collections::VecDeque::new();
        }
    }

    /// Ends Subscriptions that some partitions granted and others refused: the client was told that there is none.
    fn take_back(&mut self, pending: &PendingSubscribe, step: &mut Step<'_>) {
        let half_granted =
            |asked: &&Asked| asked.is_granted_somewhere && pending.reason_codes[asked.index].is_failure();
        let topic_filters: Vec<Box<str>> =
            pending.asked.iter().filter(half_granted).map(|asked| asked.topic_filter.clone()).collect();
        if !topic_filters.is_empty() {
            step.effects.push(Effect::Unsubscribe { token: self.next_subscribe_token(), topic_filters });
            let mut taking_back = PendingSubscribe::new(Answer::Nothing);
            taking_back.awaited_count = self.config.partitions_count;
            self.subscribes.push_back(taking_back);
        }
    }

    fn next_subscribe_token(&self) -> SubscribeToken {
        SubscribeToken(self.first_subscribe_token + self.subscribes.len() as u64)
    }

    fn pending_subscribe(&mut self, token: SubscribeToken) -> Option<&mut PendingSubscribe> {
        if !matches!(self.phase, Phase::Connected) {
            return None;
        }
        let index = usize::try_from(token.0.checked_sub(self.first_subscribe_token)?).ok()?;
        self.subscribes.get_mut(index).filter(|pending| pending.awaited_count > 0)
    }
}

impl PendingSubscribe {
    fn new(answer: Answer) -> Self {
        Self { answer, reason_codes: Vec::new(), asked: Vec::new(), awaited_count: 0 }
    }

    /// Asks partitions for a filter; `reason_code` stands unless one of them says otherwise.
    fn ask(&mut self, topic_filter: Box<str>, reason_code: ReasonCode) {
        let index = self.reason_codes.len();
        self.reason_codes.push(reason_code);
        self.asked.push(Asked { index, topic_filter, is_granted_somewhere: false });
    }
}
