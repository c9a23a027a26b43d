//! A plant, a model server, a network, partitions and one Session on virtual time, and the law that must hold among them:
//! every value that the plant made arrives once and in order, or is named as lost.

#![expect(clippy::unwrap_used, reason = "a world that cannot go on fails its test")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use contract::{Actor, Counters, Effects, Instant, Publication, PublishToken, QoS, UtcTime};
use opcua_subscription::model_server::encode::ModelValue;
use opcua_subscription::model_server::{ChannelId, ModelAnswerBody, ModelServer, ModelServerConfig};
use opcua_subscription::{
    AcknowledgeAt, Conflate, DataPoint, DataSet, DataSetDefaults, DisconnectReason, Effect, Limits, Message, NodeId,
    NodeIdText, Report, Request, Session, SessionConfig, SessionState, StatusCode,
};

/// 2026-11-23T12:00:00Z.
pub(crate) const START: UtcTime = UtcTime::from_ticks(17_954_352_000_000_000);

/// What a run is about.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) assets_count: u32,
    pub(crate) tags_count: u32,
    pub(crate) publishing_interval: Duration,
    /// Each tag changes once in this time, at a random moment of it.
    pub(crate) change_period: Duration,
    pub(crate) conflate: Conflate,
    pub(crate) acknowledge: AcknowledgeAt,
    pub(crate) key_frame_count: u32,
    pub(crate) server: ModelServerConfig,
    pub(crate) limits: Limits,
    /// A NodeId that the server does not have, as the last tag of each asset.
    pub(crate) has_unknown_tag: bool,
}

impl Scenario {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            assets_count: 3,
            tags_count: 2,
            publishing_interval: Duration::from_millis(500),
            change_period: Duration::from_millis(200),
            conflate: Conflate::All,
            acknowledge: AcknowledgeAt::Accepted,
            key_frame_count: 0,
            server: ModelServerConfig::default(),
            limits: Limits {
                items_per_subscription: 4,
                keep_alive_interval: Duration::from_secs(2),
                backoff_max: Duration::from_secs(1),
                ..Limits::default()
            },
            has_unknown_tag: false,
        }
    }

    pub(crate) fn config(&self) -> SessionConfig {
        let data_set = |asset: u32| {
            let mut points: Vec<DataPoint> = (0..self.tags_count)
                .map(|tag| DataPoint {
                    name: format!("t{tag}"),
                    node_id: format!("nsu=urn:model;s=a{asset}.t{tag}"),
                    sampling: opcua_subscription::Sampling {
                        update_period: Some(self.change_period / 2),
                        ..opcua_subscription::Sampling::default()
                    },
                })
                .collect();
            if self.has_unknown_tag {
                points.push(DataPoint { node_id: "ns=1;s=nowhere".to_owned(), ..DataPoint::default() });
            }
            DataSet { asset: format!("a{asset}"), points, ..DataSet::default() }
        };
        SessionConfig {
            session_name: "world".to_owned(),
            topic_namespace: "plant".to_owned(),
            defaults: DataSetDefaults {
                publishing_interval: self.publishing_interval,
                conflate: self.conflate,
                acknowledge: self.acknowledge,
                key_frame_count: self.key_frame_count,
                ..DataSetDefaults::default()
            },
            data_sets: (0..self.assets_count).map(data_set).collect(),
            partitions_count: 2,
            qos: QoS::AtLeastOnce,
            retain: false,
            message_expiry: None,
        }
    }
}

/// `SplitMix64`.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn small(&mut self, end: u32) -> u32 {
        u32::try_from(self.below(u64::from(end))).unwrap()
    }
}

type TagName = (String, String);

/// A value with its number, and when it was made.
#[derive(Clone, Copy, Debug)]
struct Made {
    number: u64,
    at: UtcTime,
}

#[derive(Debug)]
enum ToServer {
    Request { request_handle: u32, token: Option<NodeId>, request: Request },
}

/// Publications on their way into a partition's log.
#[derive(Debug)]
struct Handed {
    due: Instant,
    token: PublishToken,
    publications: Vec<Publication>,
    acknowledge: AcknowledgeAt,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own, and they are free to combine")]
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) now: Instant,
    pub(crate) session: Session,
    effects: Effects<Effect>,
    pub(crate) server: ModelServer,
    pub(crate) server_is_up: bool,
    channel: Option<ChannelId>,
    to_server: VecDeque<(Instant, ToServer)>,
    to_session: VecDeque<(Instant, Message)>,
    /// Messages of both directions are swallowed.
    pub(crate) is_black_hole: bool,
    timeouts: BTreeMap<u32, Instant>,
    handed: VecDeque<Handed>,
    deliveries: VecDeque<(Instant, PublishToken)>,
    /// Partitions accept nothing.
    pub(crate) is_stalled: bool,
    next_change: BTreeMap<TagName, (Instant, NodeId, u64)>,
    made: BTreeMap<TagName, Vec<Made>>,
    received: BTreeMap<TagName, Vec<u64>>,
    ids_seen: BTreeSet<String>,
    pub(crate) publications: Vec<Publication>,
    pub(crate) reports: Vec<Report>,
    pub(crate) saved: Option<Vec<u8>>,
    pub(crate) messages_count: u64,
    /// The connection breaks before this message is taken in.
    pub(crate) drop_before: Option<u64>,
    pub(crate) is_stopped: bool,
    pub(crate) dice: Dice,
    pub(crate) connects_count: u32,
    lives_count: u64,
    /// Values may come twice after a kill, where the server had lost the Subscription: the first value of the new one.
    pub(crate) repeats_allowed: u64,
    pub(crate) repeats_count: u64,
}

/// Longer than a silence takes to be noticed, of one Subscription too, and the longest backoff.
pub(crate) const HEALING: Duration = Duration::from_secs(15);
const LATENCY: Duration = Duration::from_millis(1);

impl World {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let session = Session::new(&scenario.config(), scenario.limits, scenario.seed).unwrap();
        let effects = Effects::new(session.effects_count_max());
        let mut world = Self {
            now: Instant::ZERO,
            effects,
            session,
            server: ModelServer::new(scenario.server, START),
            server_is_up: true,
            channel: None,
            to_server: VecDeque::new(),
            to_session: VecDeque::new(),
            is_black_hole: false,
            timeouts: BTreeMap::new(),
            handed: VecDeque::new(),
            deliveries: VecDeque::new(),
            is_stalled: false,
            next_change: BTreeMap::new(),
            made: BTreeMap::new(),
            received: BTreeMap::new(),
            ids_seen: BTreeSet::new(),
            publications: Vec::new(),
            reports: Vec::new(),
            saved: None,
            messages_count: 0,
            drop_before: None,
            is_stopped: false,
            dice: Dice(scenario.seed),
            connects_count: 0,
            lives_count: 0,
            repeats_allowed: 0,
            repeats_count: 0,
            scenario,
        };
        for asset in 0..world.scenario.assets_count {
            for tag in 0..world.scenario.tags_count {
                let node_id: NodeIdText = format!("ns=1;s=a{asset}.t{tag}").parse().unwrap();
                let name = (format!("a{asset}"), format!("t{tag}"));
                world.next_change.insert(name, (Instant::ZERO, node_id.resolve(&[]).unwrap(), 0));
            }
        }
        world.change_due_values();
        world.tell(Message::Start { saved: None });
        world
    }

    pub(crate) fn utc(&self) -> UtcTime {
        START.saturating_add(self.now - Instant::ZERO)
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        let mut found = None;
        self.session.visit_counters(&mut |counter, value| {
            if counter == name {
                found = Some(value);
            }
        });
        found.unwrap_or_else(|| panic!("no counter {name}"))
    }

    fn tell(&mut self, message: Message) {
        self.session.handle(message, self.now, &mut self.effects);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.effects.pop() {
            match effect {
                Effect::Connect => self.connect(),
                Effect::Disconnect => {
                    // What was written before is still delivered.
                    let channel = self.channel.take();
                    let written: Vec<_> = self.to_server.drain(..).collect();
                    if let Some(channel) = channel {
                        if !self.is_black_hole {
                            for (_, ToServer::Request { request_handle, token, request }) in written {
                                self.server.request(channel, request_handle, token.as_ref(), &request, self.now);
                            }
                        }
                        self.server.close_channel(channel);
                    }
                    self.end_connection(DisconnectReason::Requested);
                }
                // The connection broke, and the Session does not know it yet.
                Effect::Send { .. } if self.channel.is_none() => {}
                Effect::Send { request_handle, authentication_token, request, timeout } => {
                    if let Some(timeout) = timeout {
                        self.timeouts.insert(request_handle, self.now + timeout);
                    }
                    let due = self.now + LATENCY;
                    self.to_server
                        .push_back((due, ToServer::Request { request_handle, token: authentication_token, request }));
                }
                Effect::Publish { token, publications, acknowledge, .. } => {
                    assert!(!publications.is_empty());
                    let due = self.now + Duration::from_millis(1 + self.dice.below(9));
                    let due = self.handed.back().map_or(due, |last| last.due.max(due));
                    self.handed.push_back(Handed { due, token, publications, acknowledge });
                }
                Effect::SaveState(state) => {
                    let bytes = state.to_bytes();
                    assert_eq!(SessionState::from_bytes(&bytes), Ok(state));
                    self.saved = Some(bytes);
                }
                Effect::Report(report) => self.reports.push(report),
                Effect::Stopped => self.is_stopped = true,
            }
        }
        self.effects.drain_observations();
    }

    fn connect(&mut self) {
        self.connects_count += 1;
        assert!(self.channel.is_none(), "a connection is closed before another is opened");
        self.is_black_hole = false;
        let due = self.now + LATENCY * 4;
        let utc = self.utc();
        if self.server_is_up {
            self.channel = Some(self.server.open_channel());
            let server_application_uri = "urn:model:server".into();
            self.to_session.push_back((due, Message::Connected { server_application_uri, utc }));
        } else {
            let reason = DisconnectReason::Unreachable("down".into());
            self.to_session.push_back((due, Message::Disconnected { reason, utc }));
        }
    }

    fn end_connection(&mut self, reason: DisconnectReason) {
        self.to_server.clear();
        self.timeouts.clear();
        self.to_session.retain(|(_, message)| matches!(message, Message::Accepted { .. } | Message::Delivered { .. }));
        let utc = self.utc();
        self.to_session.push_back((self.now + LATENCY, Message::Disconnected { reason, utc }));
    }

    /// The connection breaks; what is on its way is lost.
    pub(crate) fn drop_connection(&mut self) {
        if let Some(channel) = self.channel.take() {
            self.server.close_channel(channel);
            self.end_connection(DisconnectReason::ClosedByServer(StatusCode::BAD_CONNECTION_CLOSED));
        }
    }

    pub(crate) fn restart_server(&mut self) {
        self.drop_connection();
        self.server.restart();
    }

    /// Our process dies and starts again. What partitions had not accepted is perhaps in their log all the same.
    pub(crate) fn kill(&mut self) {
        if let Some(channel) = self.channel.take() {
            self.server.close_channel(channel);
        }
        self.to_server.clear();
        self.to_session.clear();
        self.timeouts.clear();
        self.deliveries.clear();
        for handed in std::mem::take(&mut self.handed) {
            if self.dice.below(2) == 0 {
                self.account(&handed.publications);
            } else {
                break;
            }
        }
        self.start_again();
    }

    /// Another life with what was saved.
    pub(crate) fn start_again(&mut self) {
        self.lives_count += 1;
        let seed = self.scenario.seed.wrapping_add(self.lives_count << 32);
        self.session = Session::new(&self.scenario.config(), self.scenario.limits, seed).unwrap();
        self.effects = Effects::new(self.session.effects_count_max());
        self.is_stopped = false;
        let saved = self.saved.as_ref().map(|bytes| SessionState::from_bytes(bytes).unwrap());
        self.tell(Message::Start { saved });
    }

    pub(crate) fn stop(&mut self, close_session: bool) {
        self.tell(Message::Stop { close_session });
    }

    fn change_due_values(&mut self) {
        let due: Vec<TagName> =
            self.next_change.iter().filter(|(_, (due, _, _))| *due <= self.now).map(|(name, _)| name.clone()).collect();
        let at = self.utc();
        for name in due {
            let period = u64::try_from(self.scenario.change_period.as_nanos()).unwrap();
            let wait = Duration::from_nanos(period / 2 + self.dice.below(period));
            let (due, node_id, number) = self.next_change.get_mut(&name).unwrap();
            *number += 1;
            *due = self.now + wait;
            self.server.set_value(node_id, &ModelValue::number(*number, at));
            self.made.entry(name).or_default().push(Made { number: *number, at });
        }
    }

    fn next_event(&self) -> Instant {
        let handed = self.handed.front().filter(|_| !self.is_stalled).map(|handed| handed.due);
        [
            self.session.poll_timeout(),
            self.server.next_timeout(),
            self.to_server.front().map(|(due, _)| *due),
            self.to_session.front().map(|(due, _)| *due),
            self.timeouts.values().min().copied(),
            handed,
            self.deliveries.front().map(|(due, _)| *due),
            self.next_change.values().map(|(due, _, _)| *due).min(),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap()
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.next_event() <= end {
            self.step();
        }
        self.now = end;
    }

    /// The next thing that happens.
    pub(crate) fn step(&mut self) {
        self.now = self.now.max(self.next_event());
        self.change_due_values();
        self.server.advance(self.now);
        self.collect_answers();
        if self.to_server.front().is_some_and(|(due, _)| *due <= self.now) {
            self.deliver_to_server();
        } else if self.to_session.front().is_some_and(|(due, _)| *due <= self.now) {
            self.deliver_to_session();
        }
        self.accept_due();
        self.time_out_due();
        if self.session.poll_timeout().is_some_and(|due| due <= self.now) {
            self.session.handle_timeout(self.now, &mut self.effects);
            self.carry_out();
            assert!(
                self.session.poll_timeout().is_none_or(|due| due > self.now),
                "what was due is done, seed {}",
                self.scenario.seed
            );
        }
    }

    fn is_dropped_here(&mut self) -> bool {
        self.messages_count += 1;
        if self.drop_before == Some(self.messages_count) {
            self.drop_connection();
            return true;
        }
        false
    }

    fn deliver_to_server(&mut self) {
        let (_, ToServer::Request { request_handle, token, request }) = self.to_server.pop_front().unwrap();
        if self.is_black_hole || self.is_dropped_here() {
            return;
        }
        let channel = self.channel.expect("requests are sent over a connection");
        self.server.request(channel, request_handle, token.as_ref(), &request, self.now);
        self.collect_answers();
    }

    fn collect_answers(&mut self) {
        let received_utc = self.utc();
        while let Some(answer) = self.server.poll_answer() {
            if Some(answer.channel) != self.channel || self.is_black_hole {
                continue;
            }
            let request_handle = answer.request_handle;
            let message = match answer.body {
                ModelAnswerBody::Response(result) => Message::Response { request_handle, result, received_utc },
                ModelAnswerBody::Publish(body) => Message::PublishResponse { request_handle, body, received_utc },
            };
            self.to_session.push_back((self.now + LATENCY, message));
        }
    }

    fn deliver_to_session(&mut self) {
        let is_from_server = matches!(
            self.to_session.front(),
            Some((_, Message::Response { .. } | Message::PublishResponse { .. } | Message::Connected { .. }))
        );
        if is_from_server && self.is_black_hole {
            self.to_session.pop_front();
            return;
        }
        if is_from_server && self.is_dropped_here() {
            return;
        }
        let (_, message) = self.to_session.pop_front().unwrap();
        if let Message::Response { request_handle, .. } = &message {
            self.timeouts.remove(request_handle);
        }
        self.tell(message);
    }

    fn time_out_due(&mut self) {
        let due: Vec<u32> =
            self.timeouts.iter().filter(|(_, due)| **due <= self.now).map(|(handle, _)| *handle).collect();
        for request_handle in due {
            if self.timeouts.remove(&request_handle).is_some() {
                let received_utc = self.utc();
                self.tell(Message::Response { request_handle, result: Err(StatusCode::BAD_TIMEOUT), received_utc });
            }
        }
    }

    fn accept_due(&mut self) {
        while !self.is_stalled && self.handed.front().is_some_and(|handed| handed.due <= self.now) {
            let handed = self.handed.pop_front().unwrap();
            self.account(&handed.publications);
            if handed.acknowledge == AcknowledgeAt::Delivered {
                self.deliveries.push_back((self.now + Duration::from_millis(40), handed.token));
            }
            self.tell(Message::Accepted { token: handed.token });
        }
        while self.deliveries.front().is_some_and(|(due, _)| *due <= self.now) {
            let (_, token) = self.deliveries.pop_front().unwrap();
            self.tell(Message::Delivered { token });
        }
    }

    /// A partition's log has these; a message whose id it has already is a redelivery.
    fn account(&mut self, publications: &[Publication]) {
        for publication in publications {
            self.publications.push(publication.clone());
            if !self.ids_seen.insert(user_property(publication, "id")) {
                self.repeats_count += 1;
                continue;
            }
            let asset = publication.topic_name_str().rsplit('/').next().unwrap().to_owned();
            let payload: serde_json::Value = serde_json::from_slice(publication.payload())
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(publication.payload())));
            let mut points_count = 0;
            for (tag, value) in payload.as_object().unwrap() {
                let one = [value.clone()];
                let values = value.as_array().map_or(one.as_slice(), Vec::as_slice);
                points_count += u32::try_from(values.len()).unwrap();
                let received = self.received.entry((asset.clone(), tag.clone())).or_default();
                received.extend(values.iter().map(|value| value["Value"].as_u64().unwrap()));
            }
            assert_eq!(publication.points_count(), points_count);
        }
    }

    /// Everything is well again; waits until what was made has arrived. Then the law is checked.
    pub(crate) fn heal_and_check(&mut self) {
        self.server_is_up = true;
        self.is_black_hole = false;
        self.is_stalled = false;
        self.drop_before = None;
        self.run_for(HEALING);
        let far = Instant::from_nanos(u64::MAX);
        for (due, _, _) in self.next_change.values_mut() {
            *due = far;
        }
        let end = self.now + Duration::from_secs(5);
        while self.next_event() <= end {
            self.step();
        }
        self.check();
    }

    /// Every value once and in order, or named as lost; and the last one of each tag is there: nobody fell silent.
    pub(crate) fn check(&mut self) {
        let seed = self.scenario.seed;
        for (name, made) in &self.made {
            let received = self.received.get(name).map_or(&[][..], Vec::as_slice);
            let mut is_received = BTreeSet::new();
            let mut newest = 0;
            for number in received {
                if *number <= newest && self.repeats_allowed > 0 {
                    self.repeats_allowed -= 1;
                    continue;
                }
                assert!(*number > newest, "{name:?}: {number} after {newest}, seed {seed}");
                newest = *number;
                is_received.insert(*number);
            }
            let last = made.last().unwrap().number;
            assert_eq!(newest, last, "{name:?} fell silent, seed {seed}");
            if self.scenario.conflate == Conflate::Last {
                continue;
            }
            let first = *is_received.first().unwrap();
            for value in made.iter().filter(|value| value.number >= first && !is_received.contains(&value.number)) {
                assert!(
                    self.reports.iter().any(|report| names(report, name, value.at)),
                    "{name:?}: {value:?} is lost and not named, seed {seed}"
                );
            }
        }
    }

    pub(crate) fn lost_count(&self) -> usize {
        self.made
            .iter()
            .map(|(name, made)| {
                let received: BTreeSet<u64> = self.received.get(name).into_iter().flatten().copied().collect();
                let first = received.first().copied().unwrap_or(0);
                made.iter().filter(|value| value.number >= first && !received.contains(&value.number)).count()
            })
            .sum()
    }
}

/// Whether a report names a value of this tag, made then, as lost.
fn names(report: &Report, (asset, tag): &TagName, at: UtcTime) -> bool {
    match report {
        Report::Gap { tags, from, until, .. }
        | Report::NotificationLost { tags, from, until, .. }
        | Report::NotificationMalformed { tags, from, until, .. } => {
            (*from..=*until).contains(&at) && tags.iter().any(|(a, t)| **a == **asset && **t == **tag)
        }
        Report::Overflow { tags } => tags.iter().any(|lost| {
            *lost.asset == **asset && *lost.tag == **tag && lost.from.is_none_or(|from| from <= at) && at <= lost.until
        }),
        Report::Resumed { .. }
        | Report::SessionCreated { .. }
        | Report::RetransmissionsShort { .. }
        | Report::Disconnected { .. }
        | Report::ServiceFailed { .. }
        | Report::SubscriptionCreated { .. }
        | Report::TagsRejected { .. }
        | Report::Silent { .. }
        | Report::ServerState { .. } => false,
    }
}

/// A User Property of a publication.
pub(crate) fn user_property(publication: &Publication, key: &str) -> String {
    let mut rest = publication.properties();
    let text = |bytes: &mut &[u8]| {
        let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
        let text = String::from_utf8(bytes[2..2 + length].to_vec()).unwrap();
        *bytes = &bytes[2 + length..];
        text
    };
    while let Some((identifier, after)) = rest.split_first() {
        rest = after;
        match identifier {
            0x01 => rest = &rest[1..],
            0x03 => drop(text(&mut rest)),
            0x26 => {
                let found = text(&mut rest);
                let value = text(&mut rest);
                if found == key {
                    return value;
                }
            }
            other => panic!("unexpected property {other}"),
        }
    }
    panic!("no user property {key}")
}
