//! The topics below `$SYS`: what the broker tells about itself, as Retained Messages.
//!
//! Names are mosquitto's where it has one for the same thing. Each period a core is woken once, for two things: it tells what it
//! has counted, and its partitions are given the messages made of what all cores told a period before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker_partition::Message as ToPartition;
use contract::{
    Acknowledge, Counters, Ledger, MESSAGE_EXPIRY_NEVER, PartitionIndex, PublicationArena, PublicationDraft,
    PublishToken, Publisher, QoS, partition_of,
};
use executor::Clock;
use mailbox::Sender;
use mqtt_listener::FrontendCounts;
use wiring::{Envelope, Host, Topology};

use super::snapshot::CoreRequest;

/// The period after the start: then the first values are there.
const FIRST_PERIOD: Duration = Duration::from_secs(1);
/// How long cores may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages are small: one chunk holds all of a period.
const ARENA_CHUNK_BYTES: usize = 16 << 10;

/// What one core, or all together, have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Sums over cores, by the name of the topic below `$SYS/broker/`.
    sums: BTreeMap<String, u64>,
    /// Sessions of all partitions; each is known to its home.
    sessions: u64,
    /// Subscriptions: every partition knows all of them.
    subscriptions: u64,
}

impl Tally {
    /// What `host` and its sockets have counted.
    pub(super) fn of_core(host: &Host, frontend: Option<FrontendCounts>) -> Self {
        let mut tally = Self::default();
        host.connection_counts().visit_counters(&mut |name, value| match name {
            "connections_live" => tally.add("clients/connected", value),
            "publishes_received" => tally.add("publish/messages/received", value),
            "deliveries_sent" => tally.add("publish/messages/sent", value),
            _ => {}
        });
        if let Some(counts) = frontend {
            tally.add("bytes/received", counts.received_bytes);
            tally.add("bytes/sent", counts.written_bytes);
        }
        for (_, partition) in host.partitions() {
            let mut subscriptions = 0;
            partition.visit_counters(&mut |name, value| match name {
                "retained_messages" => tally.add("retained messages/count", value),
                "records_held" => tally.add("store/messages/count", value),
                "held_bytes" => tally.add("store/messages/bytes", value),
                "sessions" => tally.sessions += value,
                "subscriptions" => subscriptions = value,
                _ => {}
            });
            tally.subscriptions = tally.subscriptions.max(subscriptions);
            let mut all = Ledger::default();
            partition.ledgers().for_each(|account| all.merge(&account.ledger));
            tally.add("publish/messages/dropped", all.dropped_sum());
            for (reason, count) in contract::DropReason::ALL.into_iter().zip(all.dropped) {
                if count > 0 {
                    let reason = reason.name().trim_start_matches("dropped_");
                    tally.add(&format!("publish/messages/dropped/{reason}"), count);
                }
            }
        }
        tally
    }

    fn add(&mut self, topic: &str, value: u64) {
        match self.sums.get_mut(topic) {
            Some(sum) => *sum += value,
            None => drop(self.sums.insert(topic.to_owned(), value)),
        }
    }

    fn merge(&mut self, other: Self) {
        for (topic, value) in other.sums {
            self.add(&topic, value);
        }
        self.sessions += other.sessions;
        self.subscriptions = self.subscriptions.max(other.subscriptions);
    }

    /// Topic and text of all that is told, `uptime` after the start.
    fn topics(&self, uptime: Duration, clients_maximum: u64) -> BTreeMap<String, String> {
        let connected = self.sums.get("clients/connected").copied().unwrap_or(0);
        let total = self.sessions.max(connected);
        let numbers = [
            ("clients/total", total),
            ("clients/disconnected", total - connected),
            ("clients/maximum", clients_maximum),
            ("subscriptions/count", self.subscriptions),
        ];
        let of_sums = self.sums.iter().map(|(topic, value)| (topic.as_str(), *value));
        let numbers = numbers.into_iter().chain(of_sums).map(|(topic, value)| (topic, value.to_string()));
        let texts = [
            ("version", format!("millicore version {}", env!("CARGO_PKG_VERSION"))),
            ("uptime", format!("{} seconds", uptime.as_secs())),
        ];
        numbers.chain(texts).map(|(topic, text)| (format!("$SYS/broker/{topic}"), text)).collect()
    }
}

/// Publishes the topics now and then.
pub(super) struct SysTopics {
    interval: Duration,
    clock: Clock,
    topology: Arc<Topology>,
    cores: Vec<Sender<CoreRequest>>,
    arena: PublicationArena,
    /// What cores told a period before.
    tally: Option<Tally>,
    clients_maximum: u64,
    /// What stands in each topic.
    published: BTreeMap<String, String>,
    next_token: u64,
}

impl SysTopics {
    /// `interval` of zero: never.
    pub(super) fn new(
        interval: Duration,
        clock: Clock,
        topology: Arc<Topology>,
        cores: Vec<Sender<CoreRequest>>,
    ) -> Self {
        Self {
            interval,
            clock,
            topology,
            cores,
            arena: PublicationArena::new(ARENA_CHUNK_BYTES),
            tally: None,
            clients_maximum: 0,
            published: BTreeMap::new(),
            next_token: 0,
        }
    }

    /// Runs for ever.
    pub(super) async fn run(mut self) {
        if self.interval.is_zero() {
            return std::future::pending().await;
        }
        self.period().await;
        tokio::time::sleep(FIRST_PERIOD.min(self.interval)).await;
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.period().await;
        }
    }

    /// Gives cores the messages of the last period, and asks for what the next ones are made of.
    async fn period(&mut self) {
        let mut of_cores = self.publications();
        let (answer, answers) = flume::bounded(self.cores.len().max(1));
        let mut asked = 0;
        for (index, core) in self.cores.iter().enumerate() {
            let (topics, publications) = of_cores.remove(&index).unwrap_or_default();
            let request = CoreRequest::Tally { answer: answer.clone(), publications };
            // A core without room is asked again in the next period, and given what it lacks then.
            if core.try_send(request).is_ok() {
                asked += 1;
                self.published.extend(topics);
            }
        }
        drop(answer);
        let mut sum = Tally::default();
        let gather = async {
            for _ in 0..asked {
                let Ok(tally) = answers.recv_async().await else { break };
                sum.merge(tally);
            }
        };
        if tokio::time::timeout(ANSWER_TIMEOUT, gather).await.is_ok() && asked == self.cores.len() {
            let connected = sum.sums.get("clients/connected").copied().unwrap_or(0);
            self.clients_maximum = self.clients_maximum.max(connected);
            self.tally = Some(sum);
        }
    }

    /// By core, topics whose text has changed, and the messages for its partitions.
    fn publications(&mut self) -> BTreeMap<usize, (BTreeMap<String, String>, Vec<Envelope>)> {
        let Some(tally) = &self.tally else { return BTreeMap::new() };
        let now = self.clock.now();
        let topics = tally.topics(now - contract::Instant::ZERO, self.clients_maximum);
        let changed = topics.into_iter().filter(|(topic, text)| self.published.get(topic) != Some(text));
        let mut of_partitions: BTreeMap<PartitionIndex, (BTreeMap<String, String>, Vec<_>)> = BTreeMap::new();
        for (topic, text) in changed {
            let draft = PublicationDraft {
                topic_name: &topic,
                properties: &[],
                qos: QoS::AtMostOnce,
                retain: true,
                message_expiry_s: MESSAGE_EXPIRY_NEVER,
                received_at: now,
                received_utc: self.clock.utc(),
            };
            let mut builder = self.arena.begin(&draft);
            builder.put(text.as_bytes());
            let publication = builder.finish(0);
            let partition = partition_of(topic.as_bytes(), self.topology.partitions_count());
            let (topics, publications) = of_partitions.entry(partition).or_default();
            topics.insert(topic, text);
            publications.push(publication);
        }
        let mut of_cores: BTreeMap<usize, (BTreeMap<String, String>, Vec<Envelope>)> = BTreeMap::new();
        for (partition, (topics, publications)) in of_partitions {
            let core = usize::from(self.topology.partitions[usize::from(partition.0)].0);
            let (of_core, envelopes) = of_cores.entry(core).or_default();
            of_core.extend(topics);
            let token = PublishToken(self.next_token);
            self.next_token += 1;
            let acknowledge = Acknowledge::Accepted;
            let message = ToPartition::Publish { publisher: Publisher::Server, token, publications, acknowledge };
            envelopes.push(Envelope::Partition(partition, message));
        }
        of_cores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_partition_knows_counts_once_and_the_rest_is_added_up() {
        let core = |connected: u64, sessions: u64| {
            let mut tally = Tally { sessions, subscriptions: 7, ..Tally::default() };
            tally.add("clients/connected", connected);
            tally
        };
        let mut sum = core(2, 4);
        sum.merge(core(3, 1));
        let topics = sum.topics(Duration::from_millis(12_999), 9);
        let text = |name: &str| topics[&format!("$SYS/broker/{name}")].as_str();
        assert_eq!([text("clients/connected"), text("clients/total"), text("clients/disconnected")], ["5", "5", "0"]);
        assert_eq!([text("clients/maximum"), text("subscriptions/count"), text("uptime")], ["9", "7", "12 seconds"]);
        assert!(text("version").starts_with("millicore version "));
        let names = topics.keys().map(String::as_str).map(mqtt::TopicName::parse);
        assert!(names.into_iter().all(|name| name.is_some_and(mqtt::TopicName::is_system)));
    }

    #[test]
    fn only_what_has_changed_is_published_again() {
        let (sender, mut receiver) = mailbox::channel(4, &mailbox::Doorbell::new());
        let topology = Arc::new(Topology::on_one_core(0, 2, 0));
        let mut topics = SysTopics::new(Duration::from_secs(1), Clock::new(), topology, vec![sender]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut published_counts = Vec::new();
        for connected in [1, 1, 1, 2] {
            runtime.block_on(async {
                tokio::join!(topics.period(), async {
                    tokio::task::yield_now().await;
                    let Some(CoreRequest::Tally { answer, publications }) = receiver.receive() else {
                        panic!("the core is asked")
                    };
                    let count = publications.iter().map(|envelope| {
                        let Envelope::Partition(_, ToPartition::Publish { publications, .. }) = envelope else {
                            panic!("{envelope:?}")
                        };
                        publications.len()
                    });
                    published_counts.push(count.sum::<usize>());
                    let mut tally = Tally::default();
                    tally.add("clients/connected", connected);
                    answer.send(tally).unwrap();
                });
            });
        }
        assert_eq!(published_counts[0], 0, "nothing is known yet");
        assert!(published_counts[1] > 4, "{published_counts:?}");
        assert!(published_counts[2] <= 1, "at most the uptime: {published_counts:?}");
        assert!(published_counts[3] <= 1, "what was told in the fourth period is published in the fifth");
    }
}
