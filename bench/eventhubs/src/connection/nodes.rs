//! What `$cbs` and `$management` answer.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::link::{ANSWERS_COUNT_MAX, Direction, Egress, Node, Source};
use super::{Connection, Failure, now_s};
use crate::codec::encoder as put;
use crate::codec::message::SmallMessage;
use crate::codec::outcome::AmqpError;
use crate::codec::value::Value;
use crate::namespace::Namespace;
use crate::token::{Grant, TokenError, path_of};

const OK: i32 = 200;
const ACCEPTED: i32 = 202;
const BAD_REQUEST: i32 = 400;
const UNAUTHORIZED: i32 = 401;
const NOT_FOUND: i32 = 404;
const TOO_MANY: i32 = 429;

/// How long a bearer token counts that does not say.
const BEARER_LIFETIME_S: i64 = 3_600;

/// Status, text for people, body.
struct Answer {
    status: i32,
    description: String,
    body: Value,
}

impl Answer {
    fn new(status: i32, description: impl Into<String>) -> Self {
        Self { status, description: description.into(), body: Value::Null }
    }

    /// The whole message (§3.2), to be matched by the request's id.
    fn encode(&self, correlation_id: &Value) -> Bytes {
        let mut out = BytesMut::new();
        put::descriptor(&mut out, 0x73);
        put::list(&mut out, |fields| {
            // Message id, user, to, subject, reply-to; then content type to reply-to-group id.
            (0..5).for_each(|_| fields.null());
            fields.value(correlation_id);
            (0..7).for_each(|_| fields.null());
        });
        put::descriptor(&mut out, 0x74);
        put::map(&mut out, |properties| {
            properties.string("status-code");
            properties.int(self.status);
            properties.string("status-description");
            properties.string(&self.description);
            let condition = match self.status {
                UNAUTHORIZED => "amqp:unauthorized-access",
                NOT_FOUND => "amqp:not-found",
                BAD_REQUEST => "amqp:not-implemented",
                TOO_MANY => "amqp:resource-limit-exceeded",
                _ => return,
            };
            properties.string("error-condition");
            properties.symbol(condition);
        });
        put::descriptor(&mut out, 0x77);
        self.body.encode(&mut out);
        out.freeze()
    }
}

impl Connection {
    /// Answers a request to a node, on the link that the request names.
    pub(super) fn answer(&mut self, channel: u16, node: Node, payload: &Bytes, now: Instant) -> Result<(), Failure> {
        let request = SmallMessage::decode(payload)?;
        let answer = match node {
            Node::Cbs => self.put_token(&request, now),
            Node::Management => self.read(&request),
            Node::Hub { .. } => return Ok(()),
        };
        let encoded = answer.encode(&request.message_id);
        let Some((channel, handle)) = self.find_answer_link(channel, node, request.reply_to.as_deref()) else {
            tracing::debug!("a request has no link for its answer");
            return Ok(());
        };
        let link = self.sessions.get_mut(&channel).and_then(|session| session.links.get_mut(&handle));
        let Some(Direction::Egress(Egress { source: Source::Node { answers, .. }, .. })) =
            link.map(|link| &mut link.direction)
        else {
            return Ok(());
        };
        if answers.len() >= ANSWERS_COUNT_MAX {
            let error = AmqpError::new("amqp:resource-limit-exceeded", "too many answers wait for credit");
            self.detach(channel, handle, error);
        } else {
            answers.push_back(encoded);
        }
        Ok(())
    }

    /// The link that receives from `node` at `reply_to`: of the same session first, then any.
    fn find_answer_link(&self, channel: u16, node: Node, reply_to: Option<&str>) -> Option<(u16, u32)> {
        let rank = |(at, handle): &(u16, u32)| {
            let link = self.sessions.get(at)?.links.get(handle).filter(|link| !link.is_detaching)?;
            let Direction::Egress(Egress { source: Source::Node { node: from, address, .. }, .. }) = &link.direction
            else {
                return None;
            };
            let is_named = reply_to.is_some() && address.as_deref() == reply_to;
            (*from == node).then_some((is_named, *at == channel))
        };
        let ranked = self.senders.iter().filter_map(|at| Some((rank(at)?, *at)));
        ranked.max_by_key(|(rank, _)| *rank).map(|(_, at)| at)
    }

    fn put_token(&mut self, request: &SmallMessage, now: Instant) -> Answer {
        let property = |name: &str| request.application_properties.get(name);
        let text = |name: &str| property(name).and_then(Value::as_text);
        if text("operation") != Some("put-token") {
            return Answer::new(BAD_REQUEST, "the operation is not put-token");
        }
        let (Some(audience), Some(token)) = (text("name"), body_text(&request.body)) else {
            return Answer::new(BAD_REQUEST, "a token needs a name and a text");
        };
        let is_bearer = text("type") == Some("jwt");
        let mut namespace = self.namespace.borrow_mut();
        let granted = if !namespace.options.check_tokens || is_bearer {
            let stated_s = property("expiration").and_then(Value::as_integer).map(|ms| ms / 1_000);
            let expires_s = stated_s.unwrap_or_else(|| now_s() + BEARER_LIFETIME_S);
            if expires_s > now_s() {
                Ok(Grant { path: path_of(audience), expires_s, unchecked: true })
            } else {
                Err(TokenError::Expired)
            }
        } else {
            namespace.options.access_key.check(&token, audience, now_s())
        };
        match granted {
            Ok(grant) => {
                namespace.counters.bearer_unchecked += u64::from(grant.unchecked);
                if self.authority.add(grant, now) {
                    Answer::new(ACCEPTED, "Accepted")
                } else {
                    Answer::new(TOO_MANY, "too many tokens on one connection")
                }
            }
            Err(reason) => {
                namespace.counters.unauthorized += 1;
                Answer::new(UNAUTHORIZED, format!("InvalidSignature or expired: {reason}."))
            }
        }
    }

    fn read(&mut self, request: &SmallMessage) -> Answer {
        let text = |name: &str| request.application_properties.get(name).and_then(Value::as_text);
        let (Some("READ"), Some(kind), Some(name)) = (text("operation"), text("type"), text("name")) else {
            return Answer::new(BAD_REQUEST, "only READ of a named entity is answered");
        };
        if !self.authority.knows(&path_of(name)) {
            self.namespace.borrow_mut().counters.unauthorized += 1;
            return Answer::new(UNAUTHORIZED, "Unauthorized access. No token covers the entity.");
        }
        let namespace = self.namespace.borrow();
        let Some(hub) = namespace.find_hub(name) else {
            return Answer::new(NOT_FOUND, format!("The messaging entity '{name}' could not be found."));
        };
        let body = match kind {
            "com.microsoft:eventhub" => describe_hub(&namespace, hub),
            "com.microsoft:partition" => {
                let Some(body) = text("partition").and_then(|id| describe_partition(&namespace, hub, id)) else {
                    return Answer::new(NOT_FOUND, "the hub has no such partition");
                };
                body
            }
            _ => return Answer::new(BAD_REQUEST, format!("entities of type '{kind}' are unknown")),
        };
        Answer { body, ..Answer::new(OK, "OK") }
    }
}

fn body_text(body: &Value) -> Option<String> {
    if let Value::Binary(bytes) = body {
        return std::str::from_utf8(bytes).ok().map(str::to_owned);
    }
    body.as_text().map(str::to_owned)
}

fn describe_hub(namespace: &Namespace, hub: usize) -> Value {
    let hub = &namespace.hubs[hub];
    let count = hub.partitions.len();
    entries([
        ("name", Value::String(hub.name.clone())),
        ("type", Value::String("com.microsoft:eventhub".into())),
        ("created_at", Value::Timestamp(hub.created_ms)),
        ("partition_count", Value::Int(i32::try_from(count).expect("the command line allows 1,024"))),
        ("partition_ids", Value::Array((0..count).map(|id| Value::String(id.to_string())).collect())),
    ])
}

fn describe_partition(namespace: &Namespace, hub: usize, id: &str) -> Option<Value> {
    let hub = &namespace.hubs[hub];
    let state = hub.partitions.get(id.parse::<usize>().ok()?)?;
    let information = state.partition.information();
    Some(entries([
        ("name", Value::String(hub.name.clone())),
        ("type", Value::String("com.microsoft:partition".into())),
        ("partition", Value::String(id.to_owned())),
        ("begin_sequence_number", Value::Long(information.begin_sequence_number)),
        ("last_enqueued_sequence_number", Value::Long(information.last_sequence_number)),
        ("begin_sequence_number_epoch", Value::Int(-1)),
        ("last_enqueued_sequence_number_epoch", Value::Int(-1)),
        ("last_enqueued_offset", Value::String(information.last_offset.to_string())),
        ("last_enqueued_time_utc", Value::Timestamp(information.last_enqueued_ms)),
        ("is_partition_empty", Value::Bool(information.is_empty)),
    ]))
}

fn entries<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(name, value)| (Value::String(name.to_owned()), value)).collect())
}
