//! One open connection: one task that reads, writes, renews the token and keeps the time of requests.

mod keeping_time;
mod sending;

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use contract::{Instant, UtcTime};
use executor::{BlockingError, LocalFuture, LocalReceiver, LocalSender};
use futures_lite::future::or;
use glommio::timer::{Timer, sleep};
use opcua_subscription::{DisconnectReason, Message, NodeId, Request, Response, StatusCode};
use opcua_types::CreateSessionResponse;

use crate::command::Command;
use crate::connect::{Established, FIRST_REQUEST_ID, Shared, reason_of, reason_of_socket};
use crate::frame::{self, FrameType};
use crate::opening::{self, Opened};
use crate::response::{self, Answer, Service};
use crate::session_security::Proven;
use crate::status::BAD_TCP_MESSAGE_TYPE_INVALID;

/// Messages that wait for the actor; past it no command is taken.
const OUTBOX_MAX: usize = 1_024;
/// Reads in one turn; more data is read in the next one, after others on this core had theirs.
const READS_PER_TURN_MAX: usize = 8;
/// How long an orderly end may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a connection is over.
#[derive(Debug)]
pub(crate) enum End {
    /// It broke.
    Broken(DisconnectReason),
    /// The actor asked for it.
    Requested,
    /// Nobody is there any more.
    Released,
}

/// A request without an answer.
#[derive(Debug)]
struct Outstanding {
    request_handle: u32,
    service: Service,
    deadline: Option<Instant>,
    /// Of CreateSession: what the server has to sign.
    client_nonce: Vec<u8>,
}

/// A request to send.
struct ToSend {
    request_handle: u32,
    authentication_token: Option<NodeId>,
    request: Request,
    timeout: Option<Duration>,
}

/// How far the renewal of the token is.
#[derive(Debug)]
enum Renewal {
    Idle,
    Asked { request_id: u32, nonce: Vec<u8> },
}

/// What a blocking lane has done for us.
enum Done {
    Sealed { request_id: u32, nonce: Vec<u8>, frame: Result<Vec<u8>, StatusCode> },
    Opened(Result<Opened, StatusCode>),
    SessionChecked { request_handle: u32, checked: Result<Box<CreateSessionResponse>, StatusCode>, utc: UtcTime },
    Proven { to_send: Box<ToSend>, proven: Result<Proven, StatusCode> },
    Unavailable(BlockingError),
}

/// One open connection.
pub(crate) struct Connection<'a> {
    shared: &'a Shared,
    commands: &'a mut LocalReceiver<Command>,
    messages: &'a LocalSender<Message>,
    established: Established,
    outstanding: BTreeMap<u32, Outstanding>,
    next_request_id: u32,
    /// The one RSA operation under way. While it runs, nothing is sent and no frame is looked at: sequence numbers and
    /// tokens have an order.
    job: Option<LocalFuture<Done>>,
    /// Requests that wait for it, or for the renewal.
    held: VecDeque<ToSend>,
    /// Messages that wait for the actor. While there are any, the socket is not read.
    outbox: VecDeque<Message>,
    delivering: Option<LocalFuture<Result<(), Message>>>,
    renewal: Renewal,
    /// The actor asked for the end; no later than this.
    closing: Option<Instant>,
    timer: Option<(Instant, Timer)>,
    read_utc: UtcTime,
    body: Vec<u8>,
}

impl<'a> Connection<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        commands: &'a mut LocalReceiver<Command>,
        messages: &'a LocalSender<Message>,
        established: Established,
    ) -> Self {
        Self {
            shared,
            commands,
            messages,
            established,
            outstanding: BTreeMap::new(),
            next_request_id: FIRST_REQUEST_ID,
            job: None,
            held: VecDeque::new(),
            outbox: VecDeque::new(),
            delivering: None,
            renewal: Renewal::Idle,
            closing: None,
            timer: None,
            read_utc: shared.clock.utc(),
            body: Vec::new(),
        }
    }

    /// Lives until the end; then what was received has been delivered, and the socket is closed.
    pub(crate) async fn run(mut self) -> End {
        let end = poll_fn(|context| match self.turn(context) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        })
        .await;
        self.close(matches!(end, End::Requested | End::Released)).await;
        if !matches!(end, End::Released) && poll_fn(|context| self.poll_deliver(context)).await.is_err() {
            return End::Released;
        }
        end
    }

    /// Does all that can be done without waiting, and leaves word of what it waits for.
    fn turn(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        let mut reads_left = READS_PER_TURN_MAX;
        loop {
            let job_done = self.poll_job(context)?;
            let commanded = self.poll_commands(context)?;
            let received = self.poll_frames(context, &mut reads_left)?;
            let sent = self.send_held();
            let delivered = self.poll_deliver(context);
            if matches!(delivered, Poll::Ready(Err(()))) {
                return Err(End::Released);
            }
            if !(job_done || commanded || received || sent) {
                break;
            }
        }
        let due = self.take_due(context)?;
        if let Poll::Ready(Err(error)) = self.established.wire.poll_flush(context) {
            return Err(End::Broken(reason_of_socket(&error)));
        }
        if due || reads_left == 0 {
            context.waker().wake_by_ref();
        }
        Ok(())
    }

    fn poll_job(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let Some(job) = &mut self.job else { return Ok(false) };
        let Poll::Ready(done) = job.as_mut().poll(context) else { return Ok(false) };
        self.job = None;
        self.finish_job(done)?;
        Ok(true)
    }

    fn poll_commands(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let mut taken = false;
        while self.outbox.len() < OUTBOX_MAX {
            let received = pin!(self.commands.receive()).poll(context);
            let Poll::Ready(command) = received else { break };
            taken = true;
            match command.ok_or(End::Released)? {
                // There is a connection already.
                Command::Connect => {}
                Command::Disconnect => self.closing = Some(self.shared.clock.now() + CLOSE_TIMEOUT),
                Command::Send { request_handle, authentication_token, request, timeout } => {
                    let to_send = ToSend { request_handle, authentication_token, request, timeout };
                    if self.may_send() { self.send(to_send) } else { self.hold(to_send) }
                }
            }
        }
        if self.closing.is_some() && self.may_send() && self.held.is_empty() { Err(End::Requested) } else { Ok(taken) }
    }

    /// Reads, and handles what is whole, until something must wait.
    fn poll_frames(&mut self, context: &mut Context<'_>, reads_left: &mut usize) -> Result<bool, End> {
        let mut received = false;
        while self.job.is_none() && self.outbox.is_empty() && self.delivering.is_none() {
            if self.take_frame()? {
                received = true;
                continue;
            }
            if *reads_left == 0 {
                break;
            }
            match self.established.wire.poll_read(context) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => {
                    return Err(End::Broken(DisconnectReason::ClosedByServer(StatusCode::BAD_CONNECTION_CLOSED)));
                }
                Poll::Ready(Ok(_)) => {
                    *reads_left -= 1;
                    self.read_utc = self.shared.clock.utc();
                }
                Poll::Ready(Err(error)) => return Err(End::Broken(reason_of_socket(&error))),
            }
        }
        Ok(received)
    }

    /// Handles the next whole frame, if there is one.
    fn take_frame(&mut self) -> Result<bool, End> {
        let broken = |code| End::Broken(reason_of(code));
        let Established { wire, channel, asymmetric, .. } = &mut self.established;
        let Some(frame) = wire.buffer.next_frame().map_err(broken)? else { return Ok(false) };
        match frame.kind {
            FrameType::Message => {
                if let Some(received) = channel.receive(&frame).map_err(broken)? {
                    self.on_received(received.request_id, received.body)?;
                }
            }
            FrameType::Open => match (&self.renewal, asymmetric) {
                (Renewal::Idle, _) => return Err(broken(BAD_TCP_MESSAGE_TYPE_INVALID)),
                (Renewal::Asked { .. }, None) => {
                    let opened = opening::open(frame.bytes, None);
                    self.on_opened(opened)?;
                }
                (Renewal::Asked { .. }, Some(both)) => {
                    let (bytes, both) = (frame.bytes.to_vec(), both.clone());
                    let opened = self.shared.blocking.run(move || opening::open(&bytes, Some(&both)));
                    self.job = Some(Box::pin(async { opened.await.map_or_else(Done::Unavailable, Done::Opened) }));
                }
            },
            FrameType::Error => {
                let code = frame::read_error(frame.bytes);
                return Err(End::Broken(DisconnectReason::ClosedByServer(code)));
            }
            FrameType::Close => {
                let code = StatusCode::BAD_SECURE_CHANNEL_CLOSED;
                return Err(End::Broken(DisconnectReason::ClosedByServer(code)));
            }
            FrameType::Acknowledge => return Err(broken(BAD_TCP_MESSAGE_TYPE_INVALID)),
        }
        Ok(true)
    }

    fn on_received(&mut self, request_id: u32, body: Result<Bytes, StatusCode>) -> Result<(), End> {
        // Unknown: its time was over.
        let Some(request) = self.outstanding.remove(&request_id) else { return Ok(()) };
        let answer = match body {
            Ok(body) => {
                let context = self.shared.context.context();
                response::read(request.service, &body, &context).map_err(|code| End::Broken(reason_of(code)))?
            }
            Err(aborted) => Err(aborted),
        };
        match answer {
            Ok(Answer::Response(response)) => self.answer(request.request_handle, Ok(response)),
            Ok(Answer::Publish(body)) => self.outbox.push_back(Message::PublishResponse {
                request_handle: request.request_handle,
                body,
                received_utc: self.read_utc,
            }),
            Ok(Answer::CreateSession(response)) => self.check_session(request, response),
            Err(code) => self.answer(request.request_handle, Err(code)),
        }
        Ok(())
    }

    fn answer(&mut self, request_handle: u32, result: Result<Response, StatusCode>) {
        self.outbox.push_back(Message::Response { request_handle, result, received_utc: self.read_utc });
    }

    /// Answers by ourselves, without the server.
    fn refuse(&mut self, request_handle: u32, code: StatusCode) {
        let received_utc = self.shared.clock.utc();
        self.outbox.push_back(Message::Response { request_handle, result: Err(code), received_utc });
    }

    fn finish_job(&mut self, done: Done) -> Result<(), End> {
        match done {
            Done::Sealed { request_id, nonce, frame } => {
                let frame = frame.map_err(|code| End::Broken(reason_of(code)))?;
                self.send_opening(request_id, nonce, &frame);
            }
            Done::Opened(opened) => self.on_opened(opened)?,
            Done::SessionChecked { request_handle, checked, utc } => {
                let result = checked.map(|response| response::created_session(*response));
                self.outbox.push_back(Message::Response { request_handle, result, received_utc: utc });
            }
            Done::Proven { to_send, proven } => self.send_activation(&to_send, proven),
            Done::Unavailable(error) => {
                tracing::warn!(%error, "the blocking pool did not do its part of a connection");
                return Err(End::Broken(reason_of(StatusCode::BAD_RESOURCE_UNAVAILABLE)));
            }
        }
        Ok(())
    }

    /// Hands messages to the actor, in order. Ready when none is left, or with an error when the actor is gone.
    fn poll_deliver(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ()>> {
        loop {
            if let Some(delivering) = &mut self.delivering {
                let delivered = ready!(delivering.as_mut().poll(context));
                self.delivering = None;
                if delivered.is_err() {
                    return Poll::Ready(Err(()));
                }
            }
            let Some(message) = self.outbox.pop_front() else { return Poll::Ready(Ok(())) };
            if let Err(message) = self.messages.try_send(message) {
                let messages = self.messages.clone();
                self.delivering = Some(Box::pin(async move { messages.send(message).await }));
            }
        }
    }

    /// Says goodbye where that is polite, writes what is queued, closes.
    async fn close(&mut self, is_polite: bool) {
        let request_id = self.take_request_id();
        let Established { wire, channel, .. } = &mut self.established;
        if is_polite {
            self.shared.say_goodbye(channel, wire, request_id);
            let late = async {
                sleep(CLOSE_TIMEOUT).await;
                Err(io::ErrorKind::TimedOut.into())
            };
            if let Err(error) = or(wire.flush(), late).await {
                tracing::debug!(%error, "the connection ends with bytes that were not written");
            }
        }
        wire.shutdown().await;
    }
}
