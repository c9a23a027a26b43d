//! A Session that has its Subscription, and PublishResponses for it.

use std::time::Duration;

use bytes::Bytes;
use contract::{Actor, Effects, Instant, PublishToken, QoS, UtcTime};
use opcua_subscription::model_server::encode::{ModelValue, notification_message, publish_response};
use opcua_subscription::{
    Conflate, DataPoint, DataSet, DataSetDefaults, Effect, Identifier, Limits, Message, MonitoredItemResult, NodeId,
    Request, Response, Session, SessionConfig, StatusCode,
};

const START: UtcTime = UtcTime::from_ticks(17_954_352_000_000_000);
const SUBSCRIPTION_ID: u32 = 9;

/// A Session of several assets, each with the same number of tags, whose values are Strings of 20 characters.
#[derive(Debug)]
pub struct SessionBench {
    session: Session,
    effects: Effects<Effect>,
    tags_count: u32,
    publishes: Vec<u32>,
    tokens: Vec<PublishToken>,
    sequence_number: u32,
    points_count: u64,
}

impl SessionBench {
    /// Makes it, with its Subscription made and Publish requests outstanding.
    ///
    /// # Panics
    /// If there is no asset or no tag.
    pub fn new(assets_count: u32, tags_count: u32, conflate: Conflate) -> Self {
        let data_set = |asset: u32| DataSet {
            asset: format!("asset{asset:03}"),
            points: (0..tags_count)
                .map(|tag| DataPoint {
                    name: format!("tag{tag:02}"),
                    node_id: format!("ns=2;s=asset{asset:03}.tag{tag:02}"),
                    ..DataPoint::default()
                })
                .collect(),
            ..DataSet::default()
        };
        let config = SessionConfig {
            session_name: "bench".to_owned(),
            topic_namespace: "plant".to_owned(),
            defaults: DataSetDefaults { conflate, ..DataSetDefaults::default() },
            data_sets: (0..assets_count).map(data_set).collect(),
            partitions_count: 1,
            qos: QoS::AtLeastOnce,
            retain: false,
            message_expiry: None,
        };
        let session = Session::new(&config, Limits::default(), 1).expect("the configuration is valid");
        let effects = Effects::new(session.effects_count_max());
        let mut bench = Self {
            session,
            effects,
            tags_count: assets_count * tags_count,
            publishes: Vec::new(),
            tokens: Vec::new(),
            sequence_number: 0,
            points_count: 0,
        };
        bench.tell(Message::Start { saved: None });
        bench.tell(Message::Connected { server_application_uri: "urn:bench".into(), utc: START });
        bench
    }

    /// The next PublishResponse, with `repeats_count` values of each tag.
    pub fn response(&mut self, repeats_count: u32) -> Bytes {
        self.sequence_number += 1;
        let at = |tag: u32| START.saturating_add(Duration::from_micros(u64::from(tag * 7_919 % 1_000_000)));
        let text = |tag: u32| ModelValue::text(&format!("t{tag:09}{:010}", u64::from(tag) * 7_919), at(tag));
        let values: Vec<(u32, ModelValue)> =
            (0..repeats_count).flat_map(|_| (0..self.tags_count).map(|tag| (tag, text(tag)))).collect();
        let published = START.saturating_add(Duration::from_secs(1));
        let message = notification_message(self.sequence_number, published, &values);
        publish_response(SUBSCRIPTION_ID, &[self.sequence_number], false, &message, &[])
    }

    /// Takes a response, and accepts the publications that come of it. Returns how many data points they hold.
    ///
    /// # Panics
    /// If no Publish request is outstanding, which a Session always sees to.
    pub fn take(&mut self, body: Bytes) -> u64 {
        let before = self.points_count;
        let request_handle = self.publishes.pop().expect("a Publish request is always outstanding");
        let received_utc = START.saturating_add(Duration::from_millis(1_002));
        self.tell(Message::PublishResponse { request_handle, body, received_utc });
        for token in std::mem::take(&mut self.tokens) {
            self.tell(Message::Accepted { token });
        }
        self.points_count - before
    }

    fn tell(&mut self, message: Message) {
        self.session.handle(message, Instant::ZERO, &mut self.effects);
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
                    self.points_count += publications.iter().map(|made| u64::from(made.points_count())).sum::<u64>();
                }
                Effect::Connect | Effect::Disconnect | Effect::SaveState(_) | Effect::Report(_) | Effect::Stopped => {}
            }
        }
        for (request_handle, response) in answers {
            self.tell(Message::Response { request_handle, result: Ok(response), received_utc: START });
        }
    }
}

/// What a server that agrees to everything answers.
fn answer(request: &Request) -> Response {
    let node_id = |number| NodeId { namespace_index: 0, identifier: Identifier::Numeric(number) };
    let nonce = Bytes::from_static(&[1; 32]);
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
        | Request::TransferSubscriptions { .. } => unreachable!("a Session that runs asks for none of these"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_or_every_value_comes_out() {
        for (conflate, expected) in [(Conflate::Last, 6), (Conflate::All, 18)] {
            let mut bench = SessionBench::new(2, 3, conflate);
            for _ in 0..3 {
                let body = bench.response(3);
                assert_eq!(bench.take(body), expected, "{conflate:?}");
            }
        }
    }
}
