//! One route: its client, what is under way, and the answers that found a full mailbox.

use std::collections::VecDeque;
use std::rc::Rc;

use egress_batcher::{Failure, Message, Outcome, Send};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use mailbox::{Doorbell, Sender};

use crate::config::RouteConfig;
use crate::hub_client::HubClient;
use crate::hub_properties::hub_partitions_count;
use crate::message::{LaneAnswer, Request};

/// Work that a route has started.
pub(crate) type Work = LocalBoxFuture<'static, Done>;

/// What became of work, and which route it was for.
pub(crate) struct Done {
    pub(crate) route: usize,
    pub(crate) result: WorkResult,
}

/// What became of work.
pub(crate) enum WorkResult {
    /// A client was made, for a hub with so many partitions; or why not.
    Opened(Result<(Rc<HubClient>, u16), Failure>),
    /// The hub was asked for its partitions.
    Refreshed(Result<u16, Failure>),
    /// A batch has settled.
    Sent(Message),
    /// A client was closed, or its tokens need no more renewal.
    Ended,
}

/// One route of the lane.
pub(crate) struct RouteState {
    index: usize,
    config: Rc<RouteConfig>,
    client: Option<Rc<HubClient>>,
    in_flight_count: usize,
    answers: Sender<LaneAnswer>,
    /// Answers that wait for space. One for each command that is not answered yet, at most.
    waiting: VecDeque<LaneAnswer>,
    closed: bool,
}

impl RouteState {
    pub(crate) fn new(index: usize, config: RouteConfig, answers: Sender<LaneAnswer>) -> Self {
        let config = Rc::new(config);
        Self { index, config, client: None, in_flight_count: 0, answers, waiting: VecDeque::new(), closed: false }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Does what a batcher asks; what that starts goes to `start`.
    pub(crate) fn handle(&mut self, request: Request, mut start: impl FnMut(Work)) {
        match request {
            Request::Open => {
                self.let_go_of_client(&mut start);
                start(self.open());
            }
            Request::RefreshPartitions => {
                let config = Rc::clone(&self.config);
                start(self.work(async move { WorkResult::Refreshed(hub_partitions_count(&config).await) }));
            }
            Request::Send(send) => match self.send(send) {
                Ok(work) => start(work),
                Err(settled) => self.answer(settled),
            },
            Request::Close => {
                self.closed = true;
                self.let_go_of_client(&mut start);
            }
        }
    }

    /// Takes the result of work; what that starts goes to `start`.
    pub(crate) fn finish(&mut self, result: WorkResult, mut start: impl FnMut(Work)) {
        match result {
            WorkResult::Opened(Ok((client, _))) if self.closed => {
                self.client = Some(client);
                self.let_go_of_client(&mut start);
            }
            WorkResult::Opened(Ok((client, hub_partitions_count))) => {
                self.answer(Message::Opened { hub_partitions_count, message_bytes_max: client.message_bytes_max() });
                self.client = Some(Rc::clone(&client));
                start(self.work(async move {
                    client.keep_authorized().await;
                    WorkResult::Ended
                }));
            }
            WorkResult::Opened(Err(failure)) => self.answer(Message::OpenFailed(failure)),
            WorkResult::Refreshed(Ok(hub_partitions_count)) => {
                self.waiting.retain(|answer| !matches!(answer.message, Message::PartitionsRefreshed { .. }));
                self.answer(Message::PartitionsRefreshed { hub_partitions_count });
            }
            WorkResult::Sent(settled) => {
                self.in_flight_count -= 1;
                self.answer(settled);
            }
            WorkResult::Refreshed(Err(_)) | WorkResult::Ended => {}
        }
    }

    /// Puts what waits into the mailbox; what finds no room stays, and `doorbell` rings when there is some.
    pub(crate) fn flush(&mut self, doorbell: &Doorbell) {
        self.answers.send_many(&mut self.waiting);
        if self.answers.is_disconnected() {
            // Its batcher is gone, and nobody else wants to know.
            self.waiting.clear();
        } else if !self.waiting.is_empty() {
            self.answers.notify_when_space(doorbell);
        }
    }

    /// Lets go of the client at the end of the lane.
    pub(crate) fn let_go_of_client(&mut self, mut start: impl FnMut(Work)) {
        if let Some(client) = self.client.take() {
            start(self.work(async move {
                client.let_go().await;
                WorkResult::Ended
            }));
        }
    }

    fn open(&self) -> Work {
        let config = Rc::clone(&self.config);
        self.work(async move {
            let opened = async {
                let count = hub_partitions_count(&config).await?;
                Ok((Rc::new(HubClient::open(&config).await?), count))
            };
            WorkResult::Opened(opened.await)
        })
    }

    /// The work of sending, or how the batch settled without it.
    fn send(&mut self, send: Send) -> Result<Work, Message> {
        let settled = |outcome| Message::Settled { batch_id: send.batch_id, outcome };
        let Some(client) = self.client.clone() else {
            return Err(settled(Outcome::Failed(Failure::ConnectionLost)));
        };
        if self.in_flight_count >= self.config.batches_in_flight_max {
            return Err(settled(Outcome::Failed(Failure::Transient)));
        }
        self.in_flight_count += 1;
        Ok(self.work(async move {
            let outcome = client.send(send.hub_partition, &send.events).await;
            WorkResult::Sent(Message::Settled { batch_id: send.batch_id, outcome })
        }))
    }

    fn work(&self, result: impl Future<Output = WorkResult> + 'static) -> Work {
        let route = self.index;
        async move { Done { route, result: result.await } }.boxed_local()
    }

    fn answer(&mut self, message: Message) {
        self.waiting.push_back(LaneAnswer { route: self.index, message });
    }
}
