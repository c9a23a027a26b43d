//! What must happen, written as plainly as possible: every Subscription is tried against every record.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use broker_partition::PartitionLimits;
use contract::{
    Delivery, FlowIndex, Instant, Offset, Publication, QoS, RetainHandling, SessionId, SubscribeResult,
    SubscriptionRequest,
};

/// The flows, and what they take.
pub(crate) const FLOWS: [(FlowIndex, &[&str]); 2] = [(FlowIndex(1), &["a/#", "a/+"]), (FlowIndex(2), &["+/b"])];

/// A record that a subscriber must get, unless it is dropped or expires.
#[derive(Debug)]
struct Expected {
    offset: Option<Offset>,
    publication: Publication,
    qos: QoS,
    retain: bool,
    identifiers: Vec<u32>,
}

#[derive(Default)]
pub(crate) struct Reference {
    subscriptions: BTreeMap<SessionId, BTreeMap<String, SubscriptionRequest>>,
    queues: BTreeMap<SessionId, VecDeque<Expected>>,
    retained: BTreeMap<String, Publication>,
    records: Vec<(Offset, Publication)>,
    pub(crate) next_offset: Offset,
    absent: BTreeSet<SessionId>,
    /// A SUBSCRIBE that waits for its answer.
    pub(crate) asked: Option<(SessionId, Vec<SubscriptionRequest>)>,
    /// The answer that an UNSUBSCRIBE must get.
    pub(crate) existed: Option<bool>,
}

impl Reference {
    /// Publications were accepted: everybody who matches must get them. Those that the log was not given were dropped.
    pub(crate) fn accepted(
        &mut self,
        publisher: Option<SessionId>,
        publications: &[Publication],
        appended: &BTreeMap<Offset, Publication>,
    ) {
        for publication in publications {
            let offset = self.next_offset;
            if appended.get(&offset) != Some(publication) {
                assert_eq!(publication.qos(), QoS::AtMostOnce, "only QoS 0 is dropped");
                continue;
            }
            self.next_offset = offset.next();
            self.records.push((offset, publication.clone()));
            if publication.retain() {
                self.retained.insert(publication.topic_name_str().to_owned(), publication.clone());
            }
            for (session, subscriptions) in &self.subscriptions {
                let own = publisher == Some(*session);
                let matching: Vec<_> = subscriptions
                    .values()
                    .filter(|each| matches(&each.topic_filter, publication.topic_name()) && !(own && each.no_local))
                    .collect();
                let Some(maximum_qos) = matching.iter().map(|each| each.maximum_qos).max() else { continue };
                let qos = publication.qos().min(maximum_qos);
                if qos == QoS::AtMostOnce && self.absent.contains(session) {
                    continue;
                }
                let mut identifiers: Vec<_> = matching.iter().filter_map(|each| each.subscription_identifier).collect();
                identifiers.sort_unstable();
                identifiers.dedup();
                self.queues.entry(*session).or_default().push_back(Expected {
                    offset: Some(offset),
                    publication: publication.clone(),
                    qos,
                    retain: publication.retain() && matching.iter().any(|each| each.retain_as_published),
                    identifiers,
                });
            }
        }
    }

    /// The partition's answer to what was asked; Retained Messages follow.
    pub(crate) fn subscribed(&mut self, results: &[SubscribeResult], limits: &PartitionLimits, now: Instant) {
        let (session, requests) = self.asked.take().expect("somebody asked");
        assert_eq!(results.len(), requests.len());
        for (request, result) in requests.into_iter().zip(results) {
            let in_all: usize = self.subscriptions.values().map(BTreeMap::len).sum();
            let own = self.subscriptions.entry(session).or_default();
            let is_new = !own.contains_key(&*request.topic_filter);
            let is_full = own.len() >= limits.subscriptions_per_client_max as usize
                || in_all >= limits.subscriptions_count_max as usize;
            let granted = !is_new || !is_full;
            assert_eq!(*result == SubscribeResult::Granted, granted, "limits of Subscriptions");
            if !granted {
                continue;
            }
            let is_replayed = match request.retain_handling {
                RetainHandling::Send => true,
                RetainHandling::SendIfNew => is_new,
                RetainHandling::DoNotSend => false,
            };
            if is_replayed {
                for (topic_name, publication) in &self.retained {
                    let is_there = !publication.payload().is_empty() && !publication.is_expired(now);
                    if is_there && matches(&request.topic_filter, topic_name.as_bytes()) {
                        self.queues.entry(session).or_default().push_back(Expected {
                            offset: None,
                            publication: publication.clone(),
                            qos: publication.qos().min(request.maximum_qos),
                            retain: true,
                            identifiers: request.subscription_identifier.into_iter().collect(),
                        });
                    }
                }
            }
            own.insert(request.topic_filter.to_string(), request);
        }
    }

    pub(crate) fn unsubscribe(&mut self, session: SessionId, filter: &str) {
        let own = self.subscriptions.entry(session).or_default();
        self.existed = Some(own.remove(filter).is_some());
    }

    /// Nothing at QoS 0 waits for a session without connection.
    pub(crate) fn suspend(&mut self, session: SessionId) {
        self.absent.insert(session);
        self.queues.entry(session).or_default().retain(|each| each.qos != QoS::AtMostOnce);
    }

    pub(crate) fn resume(&mut self, session: SessionId) {
        self.absent.remove(&session);
    }

    pub(crate) fn end(&mut self, session: SessionId) {
        self.subscriptions.remove(&session);
        self.absent.remove(&session);
        self.queues.remove(&session);
    }

    /// A delivery: the next that is expected, after those that were dropped. Where nothing may be dropped, only expired ones and
    /// Retained Messages, which may find no room, are passed over.
    pub(crate) fn delivered(
        &mut self,
        session: SessionId,
        delivery: &Delivery,
        may_drop: bool,
        now: Instant,
        seed: u64,
    ) {
        let queue = self.queues.entry(session).or_default();
        while let Some(expected) = queue.pop_front() {
            let is_same = expected.offset == delivery.offset && expected.publication == delivery.publication;
            let expects = (expected.qos, expected.retain, expected.identifiers.as_slice());
            let got = (delivery.qos, delivery.retain, &*delivery.subscription_identifiers);
            // The same Retained Message may be replayed twice, each time as another Subscription makes it.
            if is_same && (expects == got || expected.offset.is_some()) {
                assert_eq!(expects, got, "seed={seed} {delivery:?}");
                return;
            }
            let may_pass = may_drop || expected.offset.is_none() || expected.publication.is_expired(now);
            assert!(may_pass, "seed={seed}: {expected:?} was passed over by {delivery:?}");
        }
        panic!("seed={seed}: nobody expects {delivery:?}");
    }

    /// What was expected and not seen yet: it waits, or was dropped. In all, and without Retained Messages.
    pub(crate) fn expected(&self, session: SessionId) -> (u64, u64) {
        let Some(queue) = self.queues.get(&session) else { return (0, 0) };
        (queue.len() as u64, queue.iter().filter(|each| each.offset.is_some()).count() as u64)
    }

    /// The numbers of all records that one of these filters matches.
    pub(crate) fn records_of<'a>(&'a self, filters: &'a [&str]) -> impl Iterator<Item = Offset> + 'a {
        let taken = |publication: &Publication| filters.iter().any(|each| matches(each, publication.topic_name()));
        self.records.iter().filter(move |(_, publication)| taken(publication)).map(|(offset, _)| *offset)
    }
}

/// MQTT 5.0 §4.7, by recursion over the levels.
fn matches(filter: &str, topic_name: &[u8]) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            ([first, filter @ ..], [level, topic @ ..]) => (*first == "+" || first == level) && levels(filter, topic),
            ([..], [..]) => false,
        }
    }
    let topic_name = std::str::from_utf8(topic_name).expect("topics of tests are text");
    if topic_name.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    levels(&filter.split('/').collect::<Vec<_>>(), &topic_name.split('/').collect::<Vec<_>>())
}

/// Ascending numbers as ranges.
pub(crate) fn ranges(numbers: impl Iterator<Item = u64>) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some(range) if range.end == number => range.end = number + 1,
            Some(_) | None => ranges.push(number..number + 1),
        }
    }
    ranges
}

/// What a flow takes.
pub(crate) fn filters_of(flow: FlowIndex) -> &'static [&'static str] {
    FLOWS.iter().find(|(each, _)| *each == flow).map_or(&[], |(_, filters)| filters)
}

/// Whether a flow takes records of this topic.
pub(crate) fn takes(flow: FlowIndex, topic_name: &[u8]) -> bool {
    filters_of(flow).iter().any(|filter| matches(filter, topic_name))
}
