//! Messages in an order that only a real network and a real server produce, told to a Session by hand.

#![expect(clippy::unwrap_used, reason = "a table that cannot be laid fails its test")]

use std::time::Duration;

use bytes::Bytes;
use contract::{Actor, Counters, Effects, Instant, PublishToken, QoS, UtcTime};
use opcua_subscription::model_server::encode::{ModelValue, notification_message, publish_response};
use opcua_subscription::{
    Acknowledgement, Conflate, DataPoint, DataSet, DataSetDefaults, DisconnectReason, Effect, GapCause, Limits,
    Message, MonitoredItemResult, NodeId, Report, Request, Response, Session, SessionConfig, StatusCode,
};

const START: UtcTime = UtcTime::from_ticks(17_954_352_000_000_000);
const SUBSCRIPTION_ID: u32 = 77;

/// A Session that plays with a server of this file.
struct Table {
    session: Session,
    effects: Effects<Effect>,
    now: Instant,
    /// What was asked and not yet answered.
    asked: Vec<(u32, Request)>,
    /// The names of all requests.
    names: Vec<&'static str>,
    acknowledged: Vec<Acknowledgement>,
    payloads: Vec<String>,
    tokens: Vec<PublishToken>,
    reports: Vec<Report>,
}

impl Table {
    /// A Session with one tag, whose Subscription is complete.
    fn running() -> Self {
        let point = DataPoint { name: "t".to_owned(), node_id: "ns=1;s=t".to_owned(), ..DataPoint::default() };
        let config = SessionConfig {
            session_name: "by hand".to_owned(),
            topic_namespace: "plant".to_owned(),
            defaults: DataSetDefaults { conflate: Conflate::All, ..DataSetDefaults::default() },
            data_sets: vec![DataSet { asset: "a".to_owned(), points: vec![point], ..DataSet::default() }],
            partitions_count: 1,
            qos: QoS::AtLeastOnce,
            retain: false,
            message_expiry: None,
        };
        let session = Session::new(&config, Limits::default(), 7).unwrap();
        let effects = Effects::new(session.effects_count_max());
        let mut table = Self {
            session,
            effects,
            now: Instant::ZERO,
            asked: Vec::new(),
            names: Vec::new(),
            acknowledged: Vec::new(),
            payloads: Vec::new(),
            tokens: Vec::new(),
            reports: Vec::new(),
        };
        table.tell(Message::Start { saved: None });
        table.connected();
        table
    }

    fn connected(&mut self) {
        self.tell(Message::Connected { server_application_uri: "urn:hand".into(), utc: START });
        self.answer_ordinary();
    }

    fn tell(&mut self, message: Message) {
        self.session.handle(message, self.now, &mut self.effects);
        self.take_effects();
    }

    fn take_effects(&mut self) {
        self.effects.drain_observations();
        while let Some(effect) = self.effects.pop() {
            match effect {
                Effect::Send { request_handle, request, .. } => {
                    self.names.push(request.name());
                    if let Request::Publish { acknowledgements } = &request {
                        self.acknowledged.extend(acknowledgements);
                    }
                    self.asked.push((request_handle, request));
                }
                Effect::Publish { token, publications, .. } => {
                    self.tokens.push(token);
                    let texts = publications.iter().map(|made| String::from_utf8(made.payload().to_vec()).unwrap());
                    self.payloads.extend(texts);
                }
                Effect::Report(report) => self.reports.push(report),
                Effect::Connect | Effect::Disconnect | Effect::SaveState(_) | Effect::Stopped => {}
            }
        }
    }

    /// Answers what any server would answer.
    fn answer_ordinary(&mut self) {
        let is_ordinary = |request: &Request| !matches!(request, Request::Publish { .. } | Request::Republish { .. });
        while let Some(place) = self.asked.iter().position(|(_, request)| is_ordinary(request)) {
            let (request_handle, request) = self.asked.remove(place);
            self.respond(request_handle, Ok(ordinary(&request)));
        }
    }

    fn respond(&mut self, request_handle: u32, result: Result<Response, StatusCode>) {
        self.tell(Message::Response { request_handle, result, received_utc: START });
    }

    fn take_asked(&mut self, name: &str) -> u32 {
        let place = self.asked.iter().position(|(_, request)| request.name() == name);
        self.asked.remove(place.unwrap_or_else(|| panic!("no {name} is asked: {:?}", self.asked))).0
    }

    fn is_asked(&self, name: &str) -> bool {
        self.asked.iter().any(|(_, request)| request.name() == name)
    }

    /// Answers a Publish request with a message of one value, whose number is the message's.
    fn publish(&mut self, sequence_number: u32) {
        self.publish_of(SUBSCRIPTION_ID, sequence_number, true);
    }

    fn publish_of(&mut self, subscription_id: u32, sequence_number: u32, has_value: bool) {
        let message = if has_value { message(sequence_number) } else { keep_alive(sequence_number) };
        self.publish_message(subscription_id, &[sequence_number], &message);
    }

    fn publish_message(&mut self, subscription_id: u32, listed: &[u32], message: &Bytes) {
        let request_handle = self.take_asked("Publish");
        let body = publish_response(subscription_id, listed, false, message, &[]);
        self.tell(Message::PublishResponse { request_handle, body, received_utc: START });
    }

    fn republish(&mut self, result: Result<Bytes, StatusCode>) {
        let request_handle = self.take_asked("Republish");
        self.respond(request_handle, result.map(|body| Response::Republish { body }));
    }

    fn accept_all(&mut self) {
        for token in std::mem::take(&mut self.tokens) {
            self.tell(Message::Accepted { token });
        }
    }

    /// The numbers of the values that were published.
    fn values(&self) -> Vec<u64> {
        let value = |payload: &String| {
            let payload: serde_json::Value = serde_json::from_str(payload).unwrap();
            payload["t"]["Value"].as_u64().unwrap()
        };
        self.payloads.iter().map(value).collect()
    }

    fn counter(&self, name: &str) -> u64 {
        let mut found = 0;
        self.session.visit_counters(&mut |counter, value| found += if counter == name { value } else { 0 });
        found
    }
}

fn message(sequence_number: u32) -> Bytes {
    let at = START.saturating_add(Duration::from_secs(u64::from(sequence_number)));
    notification_message(sequence_number, at, &[(0, ModelValue::number(u64::from(sequence_number), at))])
}

fn keep_alive(sequence_number: u32) -> Bytes {
    notification_message(sequence_number, START, &[])
}

fn ordinary(request: &Request) -> Response {
    match request {
        Request::CreateSession { requested_session_timeout, .. } => Response::CreateSession {
            session_id: NodeId::standard(1),
            authentication_token: NodeId::standard(2),
            revised_session_timeout: *requested_session_timeout,
            server_nonce: Bytes::from_static(b"nonce"),
        },
        Request::ActivateSession { .. } => Response::ActivateSession { server_nonce: Bytes::from_static(b"other") },
        Request::CloseSession { .. } => Response::CloseSession,
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
                    monitored_item_id: 1,
                    revised_sampling_interval: item.sampling_interval,
                    revised_queue_size: item.queue_size,
                })
                .collect(),
        },
        Request::DeleteSubscriptions { subscription_ids } => {
            Response::DeleteSubscriptions { results: vec![StatusCode::GOOD; subscription_ids.len()] }
        }
        Request::TransferSubscriptions { .. } => Response::TransferSubscriptions { results: Vec::new() },
        Request::Publish { .. } | Request::Republish { .. } => unreachable!("answered by the test"),
    }
}

#[test]
fn messages_that_overtake_each_other_are_put_in_order() {
    let mut table = Table::running();
    table.publish(1);
    table.publish(3);
    assert_eq!(table.values(), [1]);
    table.publish(2);
    assert_eq!(table.values(), [1, 2, 3]);
    // The Republish that was asked for in the meantime brings what is there already.
    table.republish(Ok(message(2)));
    assert_eq!(table.values(), [1, 2, 3]);
    assert_eq!(table.counter("duplicates"), 1);
}

#[test]
fn the_first_messages_may_overtake_each_other_too() {
    let mut table = Table::running();
    table.publish_message(SUBSCRIPTION_ID, &[1, 2, 3], &message(3));
    table.publish(1);
    table.publish(2);
    table.republish(Ok(message(1)));
    assert_eq!(table.values(), [1, 2, 3]);
    // What was listed is there, and so is what came after the list.
    table.republish(Ok(message(2)));
    table.accept_all();
    table.publish(4);
    assert_eq!(table.values(), [1, 2, 3, 4]);
    assert!(!table.is_asked("Republish"));
}

#[test]
fn messages_that_wait_for_the_first_one_do_not_withhold_the_request_that_lists_it() {
    let mut table = Table::running();
    let mut number = 1;
    while table.is_asked("Publish") {
        number += 1;
        table.publish_message(SUBSCRIPTION_ID, &[1, number], &message(number));
    }
    assert!(table.values().is_empty());
    table.tell(Message::Disconnected { reason: DisconnectReason::TimedOut, utc: START });
    table.asked.clear();
    table.now += Duration::from_secs(1);
    table.session.handle_timeout(table.now, &mut table.effects);
    table.take_effects();
    table.connected();
    assert!(table.is_asked("Publish"));
}

#[test]
fn a_keep_alive_that_is_ahead_reveals_what_is_missing() {
    let mut table = Table::running();
    table.publish(1);
    table.accept_all();
    table.publish_of(SUBSCRIPTION_ID, 4, false);
    table.republish(Ok(message(2)));
    table.republish(Ok(message(3)));
    assert_eq!(table.values(), [1, 2, 3]);
    assert!(!table.is_asked("Republish"));
}

#[test]
fn a_message_that_the_server_has_no_more_is_named_and_the_next_ones_follow() {
    let mut table = Table::running();
    table.publish(1);
    table.publish(4);
    table.republish(Err(StatusCode::BAD_MESSAGE_NOT_AVAILABLE));
    // A server that answers a number it does not have with an empty message.
    table.republish(Ok(keep_alive(3)));
    assert_eq!(table.values(), [1, 4]);
    let is_named = |report: &Report| matches!(report, Report::NotificationLost { sequence_number: 2, count: 2, .. });
    assert!(table.reports.iter().any(is_named));
}

#[test]
fn what_waited_is_published_although_the_subscription_is_gone() {
    let mut table = Table::running();
    table.publish(1);
    table.publish(3);
    table.republish(Err(StatusCode::BAD_SUBSCRIPTION_ID_INVALID));
    assert_eq!(table.values(), [1, 3]);
    table.answer_ordinary();
    table.publish(1);
    let is_gap = |report: &Report| matches!(report, Report::Gap { cause: GapCause::SubscriptionLost, .. });
    assert!(table.reports.iter().any(is_gap));
}

#[test]
fn after_a_new_connection_the_missing_are_asked_for_before_anything_new() {
    let mut table = Table::running();
    table.publish(1);
    table.tell(Message::Disconnected {
        reason: DisconnectReason::ClosedByServer(StatusCode::BAD_CONNECTION_CLOSED),
        utc: START,
    });
    table.asked.clear();
    table.names.clear();
    table.now += Duration::from_secs(1);
    table.session.handle_timeout(table.now, &mut table.effects);
    table.take_effects();
    table.connected();
    assert_eq!(table.names, ["ActivateSession", "Read", "Republish"]);
    table.republish(Ok(message(2)));
    assert!(!table.is_asked("Publish"));
    table.republish(Err(StatusCode::BAD_MESSAGE_NOT_AVAILABLE));
    assert!(table.is_asked("Publish"));
    table.publish(3);
    assert_eq!(table.values(), [1, 2, 3]);
}

#[test]
fn an_acknowledgement_follows_acceptance_and_survives_its_connection() {
    let mut table = Table::running();
    table.publish(1);
    assert!(table.acknowledged.is_empty());
    table.accept_all();
    let first = Acknowledgement { subscription_id: SUBSCRIPTION_ID, sequence_number: 1 };
    assert_eq!(table.acknowledged, [first]);
    // The request that carried it is never answered.
    table.tell(Message::Disconnected { reason: DisconnectReason::TimedOut, utc: START });
    table.asked.clear();
    table.now += Duration::from_secs(1);
    table.session.handle_timeout(table.now, &mut table.effects);
    table.take_effects();
    table.connected();
    table.republish(Err(StatusCode::BAD_MESSAGE_NOT_AVAILABLE));
    assert_eq!(table.acknowledged, [first, first]);
}

#[test]
fn a_subscription_that_nobody_knows_is_deleted() {
    let mut table = Table::running();
    table.publish_of(5, 1, true);
    let is_deletion = |request: &Request| *request == Request::DeleteSubscriptions { subscription_ids: vec![5] };
    assert!(table.asked.iter().any(|(_, request)| is_deletion(request)));
    assert!(table.values().is_empty());
}

#[test]
fn bytes_that_are_no_response_are_counted_and_the_message_is_asked_for_again() {
    let mut table = Table::running();
    table.publish(1);
    let request_handle = table.take_asked("Publish");
    table.tell(Message::PublishResponse { request_handle, body: Bytes::from_static(b"x"), received_utc: START });
    assert_eq!(table.counter("messages_malformed"), 1);
    table.publish(3);
    table.republish(Ok(message(2)));
    assert_eq!(table.values(), [1, 2, 3]);
}

#[test]
fn a_session_that_is_gone_is_made_anew_on_the_same_connection() {
    let mut table = Table::running();
    table.publish(1);
    let request_handle = table.take_asked("Publish");
    table.names.clear();
    table.asked.clear();
    table.respond(request_handle, Err(StatusCode::BAD_SESSION_ID_INVALID));
    let request_handle = table.take_asked("ActivateSession");
    table.respond(request_handle, Err(StatusCode::BAD_SESSION_ID_INVALID));
    table.answer_ordinary();
    assert_eq!(
        table.names[..5],
        ["ActivateSession", "CreateSession", "ActivateSession", "Read", "TransferSubscriptions"]
    );
    table.publish(1);
    assert!(table.is_asked("Publish"));
}
