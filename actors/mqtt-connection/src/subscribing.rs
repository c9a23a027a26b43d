//! SUBSCRIBE and UNSUBSCRIBE to all partitions, one answer back (MQTT 5.0 §3.8 to §3.11).

use std::collections::VecDeque;

use contract::{SubscribeResult, SubscribeToken, SubscriptionName, SubscriptionRequest};
use mqtt::{
    PacketIdentifier, ReasonCode, Subscribe, SubscribeFilter, SubscriptionFilter, Unsubscribe, encode_suback,
    encode_unsuback,
};

use crate::delivery_window::DeliveryWindow;
use crate::session_hold::subscription_name;
use crate::state::Phase;
use crate::step::Step;
use crate::{Connection, Effect, EndReason};

/// SUBSCRIBEs and UNSUBSCRIBEs that partitions have not answered; then the socket is not read.
pub(crate) const SUBSCRIBES_PENDING_MAX: usize = 16;

/// SUBSCRIBEs and UNSUBSCRIBEs that are not answered, in the order of their tokens.
#[derive(Debug)]
pub(crate) struct PendingSubscribes {
    first_token: u64,
    queue: VecDeque<PendingSubscribe>,
}

/// A SUBSCRIBE or UNSUBSCRIBE until every partition answered.
#[derive(Debug)]
struct PendingSubscribe {
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
    /// As the client wrote it; for a SUBSCRIBE only.
    topic_filter: Box<str>,
    /// The client had no Subscription of that name.
    is_new: bool,
    is_granted_somewhere: bool,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Suback(PacketIdentifier),
    Unsuback(PacketIdentifier),
    /// It takes back what some partitions granted and others refused, or what access rules took.
    Nothing,
}

impl Connection {
    pub(crate) fn handle_subscribe(&mut self, subscribe: Subscribe, step: &mut Step<'_>) {
        let Some(session) = self.session_held() else { return };
        let mut pending = PendingSubscribe::new(Answer::Suback(subscribe.packet_identifier));
        let mut subscriptions = Vec::with_capacity(subscribe.filters.len());
        for filter in subscribe.filters {
            match self.subscription_of(&filter, subscribe.subscription_identifier) {
                Ok((request, is_new)) => {
                    // What was asked for is granted (MQTT-3.8.4-7).
                    let granted = ReasonCode(request.maximum_qos.bits());
                    pending.ask(filter.topic_filter.into(), is_new, granted);
                    subscriptions.push(request);
                }
                Err(reason_code) => pending.reason_codes.push(reason_code),
            }
        }
        let token = SubscribeToken(self.next_subscribe_token);
        if !subscriptions.is_empty() {
            pending.awaited_count = self.config.partitions_count;
            step.effects.push(Effect::Subscribe { session, token, subscriptions });
        }
        self.await_answers(pending);
        self.answer_subscribes(step);
    }

    /// What partitions are asked for, and whether the client has no such Subscription; or the Reason Code of its refusal.
    fn subscription_of(
        &mut self,
        filter: &SubscribeFilter,
        subscription_identifier: Option<u32>,
    ) -> Result<(SubscriptionRequest, bool), ReasonCode> {
        let text = &*filter.topic_filter;
        let name = SubscriptionFilter::parse(text).map_err(|_| ReasonCode::TOPIC_FILTER_INVALID)?;
        if !self.rights.may_subscribe(text) {
            return Err(ReasonCode::NOT_AUTHORIZED);
        }
        let filters_max = usize::try_from(self.config.subscriptions_per_client_max).unwrap_or(usize::MAX);
        let (total, partitions_count) = (self.deliveries_max(), self.config.partitions_count);
        let held = self.deliveries.as_ref().map(|window| &window.topic_filters);
        let is_new = held.is_none_or(|held| !held.contains(text));
        if is_new && held.map_or(0, std::collections::BTreeSet::len) >= filters_max {
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        let window = self.deliveries.get_or_insert_with(|| Box::new(DeliveryWindow::new(total, partitions_count)));
        if is_new {
            window.topic_filters.insert(text.into());
        }
        let request = SubscriptionRequest {
            share_name: name.share_name.map(Into::into),
            topic_filter: name.topic_filter.into_text(),
            maximum_qos: filter.maximum_qos,
            no_local: filter.no_local,
            retain_as_published: filter.retain_as_published,
            retain_handling: filter.retain_handling,
            subscription_identifier,
        };
        Ok((request, is_new))
    }

    pub(crate) fn handle_unsubscribe(&mut self, unsubscribe: Unsubscribe, step: &mut Step<'_>) {
        let Some(session) = self.session_held() else { return };
        let mut pending = PendingSubscribe::new(Answer::Unsuback(unsubscribe.packet_identifier));
        let mut topic_filters = Vec::with_capacity(unsubscribe.topic_filters.len());
        for text in unsubscribe.topic_filters {
            if let Ok(name) = SubscriptionFilter::parse(&text) {
                pending.ask(Box::default(), false, ReasonCode::NO_SUBSCRIPTION_EXISTED);
                topic_filters.push(SubscriptionName {
                    share_name: name.share_name.map(Into::into),
                    topic_filter: name.topic_filter.into_text(),
                });
                if let Some(window) = &mut self.deliveries {
                    window.topic_filters.remove(&text);
                }
            } else {
                pending.reason_codes.push(ReasonCode::TOPIC_FILTER_INVALID);
            }
        }
        if !topic_filters.is_empty() {
            pending.awaited_count = self.config.partitions_count;
            let token = SubscribeToken(self.next_subscribe_token);
            step.effects.push(Effect::Unsubscribe { session, token, topic_filters });
        }
        self.await_answers(pending);
        self.answer_subscribes(step);
    }

    /// Ends Subscriptions that the client does not hear of: it was told that there are none, or it may not have them.
    pub(crate) fn unsubscribe_unasked(&mut self, texts: &[Box<str>], step: &mut Step<'_>) {
        let Some(session) = self.session_held() else { return };
        if let Some(window) = &mut self.deliveries {
            for text in texts {
                window.topic_filters.remove(text);
            }
        }
        let topic_filters = texts.iter().map(|text| subscription_name(text)).collect();
        let token = SubscribeToken(self.next_subscribe_token);
        step.effects.push(Effect::Unsubscribe { session, token, topic_filters });
        let mut pending = PendingSubscribe::new(Answer::Nothing);
        pending.awaited_count = self.config.partitions_count;
        self.await_answers(pending);
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
        while let Some(pending) = self.subscribes.as_mut().and_then(|subscribes| subscribes.pop_whole()) {
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
                // What was subscribed cannot be answered.
                let reason_code = ReasonCode::PACKET_TOO_LARGE;
                return self.close(reason_code, EndReason::ProtocolError(reason_code.0), step);
            }
        }
        if self.pending_subscribes_count() == 0 {
            self.subscribes = None;
        }
    }

    /// Ends Subscriptions that some partitions granted and others refused: the client was told that there is none.
    fn take_back(&mut self, pending: &PendingSubscribe, step: &mut Step<'_>) {
        let refused = || pending.asked.iter().filter(|asked| pending.reason_codes[asked.index].is_failure());
        if let Some(window) = &mut self.deliveries {
            for asked in refused().filter(|asked| asked.is_new) {
                window.topic_filters.remove(&asked.topic_filter);
            }
        }
        let half_granted: Vec<Box<str>> =
            refused().filter(|asked| asked.is_granted_somewhere).map(|asked| asked.topic_filter.clone()).collect();
        if !half_granted.is_empty() {
            self.unsubscribe_unasked(&half_granted, step);
        }
    }

    /// SUBSCRIBEs and UNSUBSCRIBEs that are not answered.
    pub(crate) fn pending_subscribes_count(&self) -> usize {
        self.subscribes.as_ref().map_or(0, |subscribes| subscribes.queue.len())
    }

    /// Takes a request with the next token to the others.
    fn await_answers(&mut self, pending: PendingSubscribe) {
        let first_token = self.next_subscribe_token;
        self.next_subscribe_token += 1;
        let none = || Box::new(PendingSubscribes { first_token, queue: VecDeque::new() });
        self.subscribes.get_or_insert_with(none).queue.push_back(pending);
    }

    fn pending_subscribe(&mut self, token: SubscribeToken) -> Option<&mut PendingSubscribe> {
        if !matches!(self.phase, Phase::Connected) {
            return None;
        }
        let subscribes = self.subscribes.as_mut()?;
        let index = usize::try_from(token.0.checked_sub(subscribes.first_token)?).ok()?;
        subscribes.queue.get_mut(index).filter(|pending| pending.awaited_count > 0)
    }
}

impl PendingSubscribes {
    /// Takes the oldest request, once every partition answered it.
    fn pop_whole(&mut self) -> Option<PendingSubscribe> {
        if self.queue.front()?.awaited_count > 0 {
            return None;
        }
        self.first_token += 1;
        self.queue.pop_front()
    }
}

impl PendingSubscribe {
    fn new(answer: Answer) -> Self {
        Self { answer, reason_codes: Vec::new(), asked: Vec::new(), awaited_count: 0 }
    }

    /// Asks partitions for a filter; `reason_code` stands unless one of them says otherwise.
    fn ask(&mut self, topic_filter: Box<str>, is_new: bool, reason_code: ReasonCode) {
        let index = self.reason_codes.len();
        self.reason_codes.push(reason_code);
        self.asked.push(Asked { index, topic_filter, is_new, is_granted_somewhere: false });
    }
}
