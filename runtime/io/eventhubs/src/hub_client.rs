//! The connection that batches travel on: one link for each hub partition, each in a session of its own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use azure_core::http::Url;
use azure_core_amqp::{
    AmqpConnection, AmqpConnectionApis as _, AmqpConnectionOptions, AmqpError, AmqpSendOptions, AmqpSendOutcome,
    AmqpSender, AmqpSenderApis as _, AmqpSession, AmqpSessionApis as _, AmqpSessionOptions,
};
use contract::{Event, HubPartitionIndex};
use egress_batcher::{Failure, Outcome};
use tokio::sync::{Mutex, RwLock};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::authorization::Authorization;
use crate::config::{RouteConfig, Timeouts};
use crate::encoding::{BATCH_MESSAGE_FORMAT, Envelope};
use crate::failure::{failure_of_amqp, outcome_of};

/// How long a batch waits for its outcome before somebody looks whether the connection is there, and then again.
const PROBE_PERIOD: Duration = Duration::from_secs(1);

/// A connection to one hub.
pub(crate) struct HubClient {
    hub: String,
    url: Url,
    timeouts: Timeouts,
    connection: AmqpConnection,
    authorization: Authorization,
    /// Attached by the first batch; at most one for each hub partition.
    links: RefCell<BTreeMap<HubPartitionIndex, Rc<Link>>>,
    /// Read by each batch under way, written by the close, which so waits for all of them.
    under_way: RwLock<()>,
    /// Held by the one batch that looks after the connection while it waits.
    probe: Mutex<()>,
    lost: CancellationToken,
    let_go: CancellationToken,
}

/// The way to one partition of the hub.
struct Link {
    sender: AmqpSender,
    /// Ends the link's session when it is dropped.
    _session: AmqpSession,
    /// The largest message that the link takes, in bytes; `None` where it did not say.
    message_bytes_max: Option<u64>,
}

impl HubClient {
    /// Connects, and attaches the link of the hub's first partition, which shows whether sending is allowed.
    ///
    /// # Errors
    /// What the hub or the way to it answered, or [`Failure::TimedOut`].
    pub(crate) async fn open(config: &RouteConfig) -> Result<Self, Failure> {
        let client = Self {
            hub: config.hub.clone(),
            url: config.url(),
            timeouts: config.timeouts,
            connection: AmqpConnection::new(),
            authorization: Authorization::new(config.tokens.clone()),
            links: RefCell::default(),
            under_way: RwLock::new(()),
            probe: Mutex::new(()),
            lost: CancellationToken::new(),
            let_go: CancellationToken::new(),
        };
        let options = AmqpConnectionOptions {
            custom_endpoint: config.custom_endpoint.clone(),
            ..AmqpConnectionOptions::default()
        };
        let opened = async {
            client.connection.open("millicore".to_owned(), client.url.clone(), Some(options)).await?;
            client.link(HubPartitionIndex(0)).await.map(drop)
        };
        match timeout(config.timeouts.open, opened).await {
            Ok(Ok(())) => Ok(client),
            Ok(Err(error)) => {
                let failure = client.failure_of("a connection could not be opened", &error);
                client.close().await;
                Err(failure)
            }
            Err(_) => {
                client.close().await;
                Err(Failure::TimedOut)
            }
        }
    }

    /// The largest message that the hub takes, in bytes, as its first partition's link said.
    pub(crate) fn message_bytes_max(&self) -> Option<u64> {
        self.links.borrow().get(&HubPartitionIndex(0)).and_then(|link| link.message_bytes_max)
    }

    /// Sends one batch and waits for its outcome. At most one at a time for each hub partition.
    pub(crate) async fn send(&self, hub_partition: HubPartitionIndex, events: &[Event]) -> Outcome {
        let _under_way = self.under_way.read().await;
        let sent = async {
            let link = self.link(hub_partition).await?;
            let envelope = Envelope::new(events);
            if link.message_bytes_max.is_some_and(|bytes_max| envelope.encoded_bytes() as u64 > bytes_max) {
                return Ok(Outcome::Failed(Failure::SizeExceeded));
            }
            link.send(envelope).await.map(outcome_of)
        };
        let outcome = tokio::select! {
            sent = timeout(self.timeouts.send, sent) => match sent {
                Ok(Ok(outcome)) => return outcome,
                Ok(Err(error)) => Outcome::Failed(self.failure_of("a batch was not sent", &error)),
                Err(_) => Outcome::Failed(Failure::TimedOut),
            },
            () = self.lost() => Outcome::Failed(Failure::ConnectionLost),
        };
        // What failed without an outcome is in an unknown state; the next batch attaches anew.
        self.links.borrow_mut().remove(&hub_partition);
        outcome
    }

    /// Renews the right to send until the client is let go of.
    pub(crate) async fn keep_authorized(&self) {
        tokio::select! {
            () = self.authorization.keep(&self.connection, self.timeouts.open) => {}
            () = self.let_go.cancelled() => {}
        }
    }

    /// Waits for the batches under way, each of which ends within its timeout, and closes.
    pub(crate) async fn let_go(&self) {
        self.let_go.cancel();
        let _all = self.under_way.write().await;
        self.close().await;
    }

    /// Says goodbye within the time for it; what is not closed then is dropped.
    pub(crate) async fn close(&self) {
        self.let_go.cancel();
        self.links.borrow_mut().clear();
        if timeout(self.timeouts.close, self.connection.close()).await.is_err() {
            tracing::debug!(hub = self.hub, "the hub did not answer the close");
        }
    }

    /// Ends when the connection is gone. The SDK does not tell a batch that waits for its outcome; so one of those
    /// that wait asks for a session from time to time, which a connection that ended refuses at once.
    async fn lost(&self) {
        let probe = async {
            let _alone = self.probe.lock().await;
            loop {
                tokio::time::sleep(PROBE_PERIOD).await;
                let session = AmqpSession::new();
                if let Err(error) = session.begin(&self.connection, None).await {
                    tracing::info!(hub = self.hub, %error, "the connection ended under a batch");
                    return self.lost.cancel();
                }
                // Its end is not worth a word: the next probe finds out.
                let _ended = session.end().await;
            }
        };
        tokio::select! {
            () = probe => {}
            () = self.lost.cancelled() => {}
        }
    }

    async fn link(&self, hub_partition: HubPartitionIndex) -> Result<Rc<Link>, AmqpError> {
        if let Some(link) = self.links.borrow().get(&hub_partition) {
            return Ok(Rc::clone(link));
        }
        let path = format!("{}/Partitions/{hub_partition}", self.url);
        self.authorization.authorize(&self.connection, &path).await?;
        let link = Rc::new(Link::attach(&self.connection, path).await?);
        self.links.borrow_mut().insert(hub_partition, Rc::clone(&link));
        Ok(link)
    }

    fn failure_of(&self, what: &str, error: &AmqpError) -> Failure {
        let failure = failure_of_amqp(error);
        tracing::info!(hub = self.hub, %failure, %error, "{what}");
        failure
    }
}

impl Link {
    async fn attach(connection: &AmqpConnection, path: String) -> Result<Self, AmqpError> {
        let session = AmqpSession::new();
        session.begin(connection, Some(AmqpSessionOptions::with_unbounded_windows())).await?;
        let sender = AmqpSender::new();
        sender.attach(&session, path.clone(), path, None).await?;
        // Zero says that there is no limit (AMQP 1.0 §2.7.3).
        let message_bytes_max = sender.max_message_size().await?.filter(|bytes| *bytes > 0);
        Ok(Self { sender, _session: session, message_bytes_max })
    }

    async fn send(&self, envelope: Envelope) -> Result<AmqpSendOutcome, AmqpError> {
        let options = AmqpSendOptions { message_format: Some(BATCH_MESSAGE_FORMAT), ..AmqpSendOptions::default() };
        self.sender.send(envelope.into_message(), Some(options)).await
    }
}
