//! A small AMQP client that reads every partition of a hub: the bench's independent witness of what arrived.
//!
//! [`Reader::connect`], then [`Reader::next`] until enough was read, then [`Reader::close`] or drop.

mod client;
mod read_event;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use crate::codec::DecodeError;
use crate::codec::encoder as put;
use crate::codec::outcome::{AmqpError, DeliveryState};
use crate::codec::performative::{Attach, Disposition, Flow, Performative, Transfer};
use crate::codec::value::Value;
use crate::namespace::now_us;
use crate::selector::Start;
use crate::token::AccessKey;

use client::Client;
pub use read_event::ReadEvent;

/// How long setting up may take.
const SETUP_TIMEOUT: Duration = Duration::from_secs(20);
/// Events that may be under way on each partition.
const CREDIT: u32 = 2_000;
/// Frames that may be under way on each session; said again with every grant of credit.
const WINDOW: u32 = 1_000_000;
/// Partition links of one session; handles go to 255.
const LINKS_PER_SESSION: u16 = 200;
/// Largest message that is put together.
const MESSAGE_BYTES_MAX: usize = 2 << 20;
const TOKEN_LIFETIME_S: i64 = 24 * 3_600;

/// What to read, and as whom.
#[derive(Debug, Clone)]
pub struct ReaderOptions {
    /// `HOST:PORT` of the endpoint, without TLS.
    pub address: String,
    /// The hub.
    pub hub: String,
    /// `$Default`, or another: each group is served apart.
    pub consumer_group: String,
    /// Where to start in every partition.
    pub start: Start,
    /// What signs the token; without it none is put, and the endpoint must not ask for one.
    pub access_key: Option<AccessKey>,
}

/// Why nothing more can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// The socket failed, or the endpoint went away.
    #[error("the endpoint cannot be reached: {0}")]
    Io(#[from] std::io::Error),
    /// What came is no AMQP, or no event.
    #[error("the endpoint sent something malformed: {0}")]
    Decode(#[from] DecodeError),
    /// The endpoint ended a link, a session or the connection.
    #[error("the endpoint refused: {} ({})", .0.condition, .0.description)]
    Refused(AmqpError),
    /// The endpoint broke a rule.
    #[error("the endpoint did something unexpected: {0}")]
    Unexpected(&'static str),
    /// Setting up took too long.
    #[error("the endpoint did not answer in time")]
    TimedOut,
}

struct PartitionLink {
    partition: u16,
    delivery_count: u32,
    credit: u32,
    partial: BytesMut,
}

/// A connection that reads all partitions of one hub. About 1 us for each small event.
pub struct Reader {
    client: Client,
    /// By channel and handle.
    links: BTreeMap<(u16, u32), PartitionLink>,
    /// Ids of the next transfers, by channel.
    next_incoming_ids: BTreeMap<u16, u32>,
}

impl Reader {
    /// Connects, puts a token, asks how many partitions there are, and starts reading all of them.
    ///
    /// # Errors
    /// The endpoint cannot be reached, refuses, or does not answer within 20 s.
    pub async fn connect(options: &ReaderOptions) -> Result<Self, ReaderError> {
        timeout(SETUP_TIMEOUT, Self::set_up(options)).await.map_err(|_| ReaderError::TimedOut)?
    }

    async fn set_up(options: &ReaderOptions) -> Result<Self, ReaderError> {
        let mut client = Client::connect(&options.address).await?;
        if let Some(key) = &options.access_key {
            let audience = format!("amqp://{}/{}", options.address, options.hub);
            let expires_s = now_us() / 1_000_000 + TOKEN_LIFETIME_S;
            let token = Value::String(key.sign(&audience, expires_s));
            let properties = [
                ("operation", "put-token".to_owned()),
                ("type", "servicebus.windows.net:sastoken".to_owned()),
                ("name", audience),
            ];
            client.ask("$cbs", &properties, &token).await?;
        }
        let properties = [
            ("operation", "READ".to_owned()),
            ("type", "com.microsoft:eventhub".to_owned()),
            ("name", options.hub.clone()),
        ];
        let hub = client.ask("$management", &properties, &Value::Null).await?;
        let count = hub.get("partition_count").and_then(Value::as_integer);
        let count = count.and_then(|count| u16::try_from(count).ok());
        let count = count.ok_or(ReaderError::Unexpected("a hub without a count of partitions"))?;
        let mut reader = Self { client, links: BTreeMap::new(), next_incoming_ids: BTreeMap::new() };
        for partition in 0..count {
            reader.attach(partition, options).await?;
        }
        // Only when all are attached: nothing but transfers comes from here on, and none of them is overlooked.
        let links: Vec<(u16, u32)> = reader.links.keys().copied().collect();
        for (channel, handle) in links {
            reader.grant(channel, handle);
        }
        Ok(reader)
    }

    /// Starts reading one partition.
    async fn attach(&mut self, partition: u16, options: &ReaderOptions) -> Result<(), ReaderError> {
        // Session 0 belongs to the nodes.
        let channel = 1 + partition / LINKS_PER_SESSION;
        let handle = u32::from(partition % LINKS_PER_SESSION);
        if let std::collections::btree_map::Entry::Vacant(next_id) = self.next_incoming_ids.entry(channel) {
            let begin = self.client.begin(channel, WINDOW).await?;
            next_id.insert(begin.next_outgoing_id);
        }
        let address = format!("{}/ConsumerGroups/{}/Partitions/{partition}", options.hub, options.consumer_group);
        let mut source = BytesMut::new();
        put::descriptor(&mut source, 0x28);
        put::list(&mut source, |fields| {
            fields.string(&address);
            (0..6).for_each(|_| fields.null());
            fields.with(|out| put_selector(out, options.start));
            (0..3).for_each(|_| fields.null());
        });
        let mut target = BytesMut::new();
        put::descriptor(&mut target, 0x29);
        put::list(&mut target, |fields| {
            fields.string("reader");
            (0..6).for_each(|_| fields.null());
        });
        let attach = Attach {
            name: format!("reader-{partition}"),
            handle,
            is_receiver: true,
            sender_settle_mode: 1,
            source: source.freeze(),
            target: target.freeze(),
            ..Attach::default()
        };
        let answer = self.client.attach(channel, attach).await?;
        let delivery_count = answer.initial_delivery_count.unwrap_or(0);
        self.links.insert(
            (channel, handle),
            PartitionLink { partition, delivery_count, credit: CREDIT, partial: BytesMut::new() },
        );
        Ok(())
    }

    /// Says how much may come on a link.
    fn grant(&mut self, channel: u16, handle: u32) {
        let Some(link) = self.links.get_mut(&(channel, handle)) else { return };
        link.credit = CREDIT;
        let flow = Flow {
            next_incoming_id: self.next_incoming_ids.get(&channel).copied(),
            incoming_window: WINDOW,
            handle: Some(handle),
            delivery_count: Some(link.delivery_count),
            link_credit: Some(CREDIT),
            ..Flow::default()
        };
        self.client.queue(channel, &Performative::Flow(flow));
    }

    /// Waits for the next event of any partition. Order holds within each partition. May be cancelled.
    ///
    /// The endpoint closes a connection that is silent for long: call this again within a minute.
    ///
    /// # Errors
    /// The connection or a link is over; connect again.
    pub async fn next(&mut self) -> Result<ReadEvent, ReaderError> {
        loop {
            let (channel, performative, payload) = self.client.receive().await?;
            match performative {
                Performative::Transfer(transfer) => {
                    if let Some(event) = self.on_transfer(channel, &transfer, payload)? {
                        return Ok(event);
                    }
                }
                Performative::Detach(detach) => return Err(refused(detach.error)),
                Performative::End(error) | Performative::Close(error) => return Err(refused(error)),
                Performative::Flow(flow) if flow.echo => {
                    if let Some(handle) = flow.handle {
                        self.grant(channel, handle);
                    }
                }
                Performative::Flow(_) | Performative::Disposition(_) => {}
                Performative::Open(_)
                | Performative::Begin(_)
                | Performative::Attach(_)
                | Performative::SaslMechanisms(_)
                | Performative::SaslInit(_)
                | Performative::SaslOutcome(_) => return Err(ReaderError::Unexpected("a performative out of place")),
            }
        }
    }

    fn on_transfer(
        &mut self,
        channel: u16,
        transfer: &Transfer,
        payload: Bytes,
    ) -> Result<Option<ReadEvent>, ReaderError> {
        if let Some(next_id) = self.next_incoming_ids.get_mut(&channel) {
            *next_id = next_id.wrapping_add(1);
        }
        let Some(link) = self.links.get_mut(&(channel, transfer.handle)) else {
            // An answer of a node that came late.
            return Ok(None);
        };
        if transfer.more || !link.partial.is_empty() {
            if link.partial.len() + payload.len() > MESSAGE_BYTES_MAX {
                return Err(ReaderError::Unexpected("a message larger than any hub takes"));
            }
            link.partial.extend_from_slice(&payload);
            if transfer.more {
                return Ok(None);
            }
        }
        let message = if link.partial.is_empty() { payload } else { link.partial.split().freeze() };
        link.delivery_count = link.delivery_count.wrapping_add(1);
        link.credit = link.credit.saturating_sub(1);
        let (partition, needs_grant) = (link.partition, link.credit <= CREDIT / 2);
        if needs_grant {
            self.grant(channel, transfer.handle);
        }
        if let (Some(first), false) = (transfer.delivery_id, transfer.settled == Some(true)) {
            let state = Some(DeliveryState::Accepted);
            let disposition = Disposition { is_receiver: true, first, last: None, settled: true, state };
            self.client.queue(channel, &Performative::Disposition(disposition));
        }
        ReadEvent::new(partition, message).map(Some).map_err(ReaderError::Decode)
    }

    /// Says goodbye. Dropping the reader does the same as far as the endpoint's events go.
    ///
    /// # Errors
    /// The connection was over before.
    pub async fn close(mut self) -> Result<(), ReaderError> {
        self.client.queue(0, &Performative::Close(None));
        self.client.flush().await
    }
}

fn put_selector(out: &mut BytesMut, start: Start) {
    const SELECTOR: &str = "apache.org:selector-filter:string";
    put::map(out, |map| {
        map.symbol(SELECTOR);
        map.with(|out| {
            out.extend_from_slice(&[0]);
            put::symbol(out, SELECTOR);
            put::string(out, &start.selector());
        });
    });
}

fn refused(error: Option<AmqpError>) -> ReaderError {
    ReaderError::Refused(error.unwrap_or_else(|| AmqpError::new("amqp:connection:forced", "closed without a reason")))
}
