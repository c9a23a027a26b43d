//! What a data point costs from PublishResponse to publication: `cargo run --release --example cost -p opcua-subscription`.
//!
//! Prints nanoseconds a point for the whole step (visitor, slots, JSON, publication, acknowledgement), and for the visitor
//! and the slots alone, found by sending each tag ten times where only the last value is written.

use std::time::Duration;

use contract::{Actor, Effects, Instant, PublishToken, QoS, UtcTime};
use opcua_subscription::model_server::encode::{ModelValue, notification_message, publish_response};
use opcua_subscription::{
    Conflate, DataPoint, DataSet, DataSetDefaults, Effect, Identifier, Limits, Message, MonitoredItemResult, NodeId,
    Request, Response, Session, SessionConfig, StatusCode,
};

const START: UtcTime = UtcTime::from_ticks(17_954_352_000_000_000);
const SUBSCRIPTION_ID: u32 = 9;

fn main() {
    println!("{:<44}{:>10}{:>10}{:>10}", "case", "ns/point", "visitor", "B/point");
    let text = |tag: u32, at| ModelValue::text(&format!("t{tag:09}{:010}", tag * 7_919), at);
    let double = |tag: u32, at| ModelValue::double(f64::from(tag).mul_add(0.37, 20.125), at);
    run("20 assets x 50 tags, String of 20", 20, 50, text);
    run("20 assets x 50 tags, Double", 20, 50, double);
    run("1 asset x 1,000 tags, Double", 1, 1_000, double);
}

fn run(name: &str, assets_count: u32, tags_count: u32, value: impl Fn(u32, UtcTime) -> ModelValue) {
    let once = Bench::new(assets_count, tags_count).measure(1, &value);
    let ten_times = Bench::new(assets_count, tags_count).measure(10, &value);
    let visitor = (10.0 * ten_times.nanos_per_point - once.nanos_per_point) / 9.0;
    println!("{name:<44}{:>10.1}{visitor:>10.1}{:>10.1}", once.nanos_per_point, once.bytes_per_point);
}

struct Figures {
    nanos_per_point: f64,
    bytes_per_point: f64,
}

struct Bench {
    session: Session,
    effects: Effects<Effect>,
    tags_count: u32,
    publishes: Vec<u32>,
    tokens: Vec<PublishToken>,
    payload_bytes: usize,
    now: Instant,
}

impl Bench {
    fn new(assets_count: u32, tags_count: u32) -> Self {
        let data_set = |asset: u32| DataSet {
            asset: format!("asset{asset:03}"),
            points: (0..tags_count)
                .map(|tag| DataPoint {
                    name: format!("tag{tag:04}"),
                    node_id: format!("ns=2;s=a{asset}.t{tag}"),
                    ..DataPoint::default()
                })
                .collect(),
            ..DataSet::default()
        };
        let config = SessionConfig {
            session_name: "cost".to_owned(),
            topic_namespace: "plant".to_owned(),
            defaults: DataSetDefaults { conflate: Conflate::Last, ..DataSetDefaults::default() },
            data_sets: (0..assets_count).map(data_set).collect(),
            partitions_count: 1,
            qos: QoS::AtLeastOnce,
            retain: false,
            message_expiry: None,
        };
        let session = Session::new(&config, Limits::default(), 1).expect("the configuration is valid");
        let effects = Effects::new(session.effects_count_max());
        let tags_count = assets_count * tags_count;
        let now = Instant::ZERO;
        let mut bench =
            Self { session, effects, tags_count, publishes: Vec::new(), tokens: Vec::new(), payload_bytes: 0, now };
        bench.tell(Message::Start { saved: None });
        bench.tell(Message::Connected { server_application_uri: "urn:bench".into(), utc: START });
        bench
    }

    fn tell(&mut self, message: Message) {
        self.session.handle(message, self.now, &mut self.effects);
        self.effects.drain_observations();
        let mut answers = Vec::new();
        while let Some(effect) = self.effects.pop() {
            match effect {
                Effect::Send { request_handle, request: Request::Publish { .. }, .. } => {
                    self.publishes.push(request_handle);
                }
                Effect::Send { request_handle, request, .. } => answers.push((request_handle, answer(&request))),
                Effect::Publish { token, publications, .. } => {
                    self.tokens.push(token);
                    self.payload_bytes += publications.iter().map(|made| made.payload().len()).sum::<usize>();
                }
                Effect::Connect | Effect::Disconnect | Effect::SaveState(_) | Effect::Report(_) | Effect::Stopped => {}
            }
        }
        for (request_handle, response) in answers {
            self.tell(Message::Response { request_handle, result: Ok(response), received_utc: START });
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
    fn measure(&mut self, repeats_count: u32, value: &impl Fn(u32, UtcTime) -> ModelValue) -> Figures {
        const ROUNDS: u32 = 2_000;
        let at = |tag: u32| START.saturating_add(Duration::from_micros(u64::from(tag * 7_919 % 1_000_000)));
        let values: Vec<(u32, ModelValue)> =
            (0..repeats_count).flat_map(|_| (0..self.tags_count).map(|tag| (tag, value(tag, at(tag))))).collect();
        let mut taken = Duration::ZERO;
        let rounds = ROUNDS / repeats_count;
        for round in 1..=rounds + rounds / 4 {
            let message = notification_message(round, START.saturating_add(Duration::from_secs(1)), &values);
            let body = publish_response(SUBSCRIPTION_ID, &[round], false, &message, &[]);
            let request_handle = self.publishes.pop().expect("a Publish request is always outstanding");
            let received_utc = START.saturating_add(Duration::from_millis(1_002));
            let begin = std::time::Instant::now();
            self.tell(Message::PublishResponse { request_handle, body, received_utc });
            for token in std::mem::take(&mut self.tokens) {
                self.tell(Message::Accepted { token });
            }
            if round > rounds / 4 {
                taken += begin.elapsed();
            } else {
                self.payload_bytes = 0;
            }
        }
        let points = f64::from(rounds) * f64::from(self.tags_count);
        Figures {
            nanos_per_point: taken.as_secs_f64() * 1e9 / (points * f64::from(repeats_count)),
            bytes_per_point: f64::from(u32::try_from(self.payload_bytes / 1_024).expect("few GiB")) * 1_024.0 / points,
        }
    }
}

fn answer(request: &Request) -> Response {
    let node_id = |number| NodeId { namespace_index: 0, identifier: Identifier::Numeric(number) };
    let nonce = bytes::Bytes::from_static(&[1; 32]);
    match request {
        Request::CreateSession { .. } => Response::CreateSession {
            session_id: node_id(1),
            authentication_token: node_id(2),
            revised_session_timeout: Duration::from_mins(10),
            server_nonce: nonce,
        },
        Request::ActivateSession { .. } => Response::ActivateSession { server_nonce: nonce },
        Request::Read { .. } => Response::Read { values: Vec::new() },
        Request::CreateSubscription(asked) => Response::CreateSubscription {
            subscription_id: SUBSCRIPTION_ID,
            revised_publishing_interval: asked.requested_publishing_interval,
            revised_lifetime_count: asked.requested_lifetime_count,
            revised_max_keep_alive_count: asked.requested_max_keep_alive_count,
        },
        Request::CreateMonitoredItems { items, .. } => Response::CreateMonitoredItems {
            results: items
                .iter()
                .map(|item| MonitoredItemResult {
                    status_code: StatusCode::GOOD,
                    monitored_item_id: item.client_handle,
                    revised_sampling_interval: item.sampling_interval,
                    revised_queue_size: item.queue_size,
                })
                .collect(),
        },
        Request::CloseSession { .. }
        | Request::DeleteSubscriptions { .. }
        | Request::Publish { .. }
        | Request::Republish { .. }
        | Request::TransferSubscriptions { .. } => unreachable!("a bench needs none of these"),
    }
}
