//! One open connection: one task that reads, writes, renews the token and keeps the time of requests.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use contract::{Instant, UtcTime};
use executor::{BlockingError, LocalFuture, LocalReceiver, LocalSender};
use futures_lite::future::or;
use glommio::timer::{Timer, sleep};
use opcua_subscription::{DisconnectReason, Message, NodeId, Request, Response, StatusCode};
use opcua_types::{CreateSessionResponse, SecurityTokenRequestType};

use crate::channel::Sent;
use crate::command::Command;
use crate::connect::{Established, FIRST_REQUEST_ID, Shared, TokenTimes, fresh_nonce, reason_of, reason_of_socket};
use crate::frame::{self, FrameType};
use crate::opening::{self, Opened};
use crate::request;
use crate::response::{self, Answer, Service};
use crate::session_security::{self, Proof, Proven};
use crate::status::{BAD_TCP_MESSAGE_TYPE_INVALID, BAD_TCP_NOT_ENOUGH_RESOURCES};

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

    /// Whether a request may be sent. Not while a token is renewed: servers are known to forget the old token's keys
    /// as soon as they are asked for another.
    fn may_send(&self) -> bool {
        self.job.is_none() && matches!(self.renewal, Renewal::Idle)
    }

    fn send_held(&mut self) -> bool {
        let mut sent = false;
        while self.may_send()
            && let Some(to_send) = self.held.pop_front()
        {
            self.send(to_send);
            sent = true;
        }
        sent
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

    fn hold(&mut self, to_send: ToSend) {
        if self.has_room() {
            self.held.push_back(to_send);
        } else {
            self.refuse(to_send.request_handle, StatusCode::BAD_TOO_MANY_OPERATIONS);
        }
    }

    fn has_room(&self) -> bool {
        let requests_max = usize::try_from(self.shared.config.limits.requests_max).unwrap_or(usize::MAX);
        self.outstanding.len() + self.held.len() < requests_max
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

    fn check_session(&mut self, request: Outstanding, response: Box<CreateSessionResponse>) {
        let (request_handle, utc) = (request.request_handle, self.read_utc);
        let Some(both) = self.established.asymmetric.clone() else {
            return self.answer(request_handle, Ok(response::created_session(*response)));
        };
        let checked = self
            .shared
            .blocking
            .run(move || session_security::check_session(&response, &both, &request.client_nonce).map(|()| response));
        self.job = Some(Box::pin(async move {
            let done = |checked| Done::SessionChecked { request_handle, checked, utc };
            checked.await.map_or_else(Done::Unavailable, done)
        }));
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

    /// Sends a request, or answers why not.
    fn send(&mut self, to_send: ToSend) {
        let limits = &self.shared.config.limits;
        let request_handle = to_send.request_handle;
        if !self.has_room() {
            return self.refuse(request_handle, StatusCode::BAD_TOO_MANY_OPERATIONS);
        }
        let write_bytes_max = usize::try_from(limits.write_bytes_max).unwrap_or(usize::MAX);
        if self.established.wire.waiting_bytes() > write_bytes_max {
            return self.refuse(request_handle, BAD_TCP_NOT_ENOUGH_RESOURCES);
        }
        if let Request::ActivateSession { server_nonce } = &to_send.request {
            let server_nonce = server_nonce.to_vec();
            return self.prove(to_send, server_nonce);
        }
        let service = Service::of(&to_send.request);
        let header = self.header(&to_send);
        let context = self.shared.context.context();
        let mut client_nonce = Vec::new();
        self.body.clear();
        let written = match to_send.request {
            Request::CreateSession { session_name, requested_session_timeout } => {
                client_nonce = session_security::client_nonce().to_vec();
                let Established { endpoint, asymmetric, .. } = &self.established;
                let named = (&*session_name, requested_session_timeout);
                let config = &self.shared.config;
                let request = session_security::create_session(
                    config,
                    endpoint,
                    asymmetric.as_ref(),
                    header,
                    &client_nonce,
                    named,
                );
                request::write(&request, &context, &mut self.body)
            }
            other @ (Request::ActivateSession { .. }
            | Request::CloseSession { .. }
            | Request::Read { .. }
            | Request::CreateSubscription(_)
            | Request::CreateMonitoredItems { .. }
            | Request::DeleteSubscriptions { .. }
            | Request::Publish { .. }
            | Request::Republish { .. }
            | Request::TransferSubscriptions { .. }) => request::write_request(other, header, &context, &mut self.body),
        };
        self.send_body(written, request_handle, service, to_send.timeout, client_nonce);
    }

    fn header(&self, to_send: &ToSend) -> opcua_types::RequestHeader {
        let token = to_send.authentication_token.as_ref();
        request::header(token, to_send.request_handle, to_send.timeout, self.shared.clock.utc())
    }

    /// Queues the body that was written, and waits for its answer.
    fn send_body(
        &mut self,
        written: Result<(), StatusCode>,
        request_handle: u32,
        service: Service,
        timeout: Option<Duration>,
        client_nonce: Vec<u8>,
    ) {
        let request_id = self.take_request_id();
        let Established { wire, channel, .. } = &mut self.established;
        let sent = written.and_then(|()| channel.send(Sent::Message, request_id, &self.body, wire.out()));
        if let Err(code) = sent {
            return self.refuse(request_handle, code);
        }
        let deadline = timeout.map(|timeout| self.shared.clock.now() + timeout);
        self.outstanding.insert(request_id, Outstanding { request_handle, service, deadline, client_nonce });
    }

    fn take_request_id(&mut self) -> u32 {
        let request_id = self.next_request_id;
        self.next_request_id = self.next_request_id.checked_add(1).unwrap_or(FIRST_REQUEST_ID);
        request_id
    }

    fn prove(&mut self, to_send: ToSend, server_nonce: Vec<u8>) {
        let Established { asymmetric, endpoint, .. } = &self.established;
        let proof = Proof {
            asymmetric: asymmetric.clone(),
            certificate: endpoint.certificate.clone(),
            token_policy: endpoint.token_policy.clone(),
            user: self.shared.config.user.clone(),
            server_nonce,
        };
        if !proof.is_costly() {
            let proven = proof.make();
            return self.send_activation(&to_send, proven);
        }
        let to_send = Box::new(to_send);
        let proven = self.shared.blocking.run(move || proof.make());
        self.job = Some(Box::pin(async move {
            proven.await.map_or_else(Done::Unavailable, |proven| Done::Proven { to_send, proven })
        }));
    }

    fn send_activation(&mut self, to_send: &ToSend, proven: Result<Proven, StatusCode>) {
        let header = self.header(to_send);
        self.body.clear();
        let written = proven.and_then(|proven| {
            request::write(&proven.into_request(header), &self.shared.context.context(), &mut self.body)
        });
        self.send_body(written, to_send.request_handle, Service::ActivateSession, to_send.timeout, Vec::new());
    }

    fn renew(&mut self) -> Result<(), StatusCode> {
        let request_id = self.take_request_id();
        let both = self.established.asymmetric.clone();
        let nonce = fresh_nonce(both.is_some());
        let kind = SecurityTokenRequestType::Renew;
        let opening = self.shared.opening(&self.established.channel, kind, request_id, &nonce, both.is_some())?;
        let Some(both) = both else {
            let frame = opening::seal(&opening, None)?;
            self.send_opening(request_id, nonce, &frame);
            return Ok(());
        };
        let sealed = self.shared.blocking.run(move || opening::seal(&opening, Some(&both)));
        self.job = Some(Box::pin(async move {
            sealed.await.map_or_else(Done::Unavailable, |frame| Done::Sealed { request_id, nonce, frame })
        }));
        Ok(())
    }

    fn send_opening(&mut self, request_id: u32, nonce: Vec<u8>, frame: &[u8]) {
        self.established.channel.take_sequence();
        self.established.wire.out().extend_from_slice(frame);
        self.renewal = Renewal::Asked { request_id, nonce };
        let latest = self.shared.clock.now() + self.shared.config.connect_timeout;
        let ends_at = &mut self.established.token_times.ends_at;
        *ends_at = latest.min(*ends_at);
    }

    fn on_opened(&mut self, opened: Result<Opened, StatusCode>) -> Result<(), End> {
        let opened = opened.map_err(|code| End::Broken(reason_of(code)))?;
        let Renewal::Asked { request_id, nonce } = std::mem::replace(&mut self.renewal, Renewal::Idle) else {
            return Err(End::Broken(reason_of(BAD_TCP_MESSAGE_TYPE_INVALID)));
        };
        let channel = &mut self.established.channel;
        let taken = self.shared.take_token(channel, opened, request_id, &nonce);
        self.established.token_times = taken.map_err(End::Broken)?;
        tracing::debug!("the channel's token is renewed");
        Ok(())
    }

    /// Does what is due by the clock, and arms the timer for what comes next. Whether anything was done.
    fn take_due(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let now = self.shared.clock.now();
        let mut is_due = false;
        while let Some(request_id) = self.first_overdue(now) {
            let request = self.outstanding.remove(&request_id).expect("it was just found");
            self.refuse(request.request_handle, StatusCode::BAD_TIMEOUT);
            is_due = true;
        }
        if self.closing.is_some_and(|latest| now >= latest) {
            return Err(End::Requested);
        }
        let TokenTimes { renew_at, ends_at } = self.established.token_times;
        if now >= ends_at {
            tracing::warn!("the server did not renew the channel's token in time");
            return Err(End::Broken(reason_of(StatusCode::BAD_TIMEOUT)));
        }
        if now >= renew_at && self.job.is_none() && matches!(self.renewal, Renewal::Idle) {
            self.renew().map_err(|code| End::Broken(reason_of(code)))?;
            is_due = true;
        }
        self.arm(now, context);
        Ok(is_due)
    }

    fn first_overdue(&self, now: Instant) -> Option<u32> {
        let mut requests = self.outstanding.iter();
        requests.find(|(_, request)| request.deadline.is_some_and(|deadline| deadline <= now)).map(|(id, _)| *id)
    }

    /// One timer stands for all deadlines. One that comes too early is left: it costs less than making another.
    fn arm(&mut self, now: Instant, context: &mut Context<'_>) {
        let TokenTimes { renew_at, ends_at } = self.established.token_times;
        let token = if matches!(self.renewal, Renewal::Idle) && self.job.is_none() { renew_at } else { ends_at };
        let requests = self.outstanding.values().filter_map(|request| request.deadline);
        let next = requests.chain(self.closing).fold(token, Instant::min);
        if self.timer.as_ref().is_none_or(|(at, _)| *at > next || *at <= now) {
            self.timer = Some((next, Timer::new(next.saturating_since(now).max(Duration::from_millis(1)))));
        }
        if let Some((_, timer)) = &mut self.timer
            && Pin::new(timer).poll(context).is_ready()
        {
            self.timer = None;
            context.waker().wake_by_ref();
        }
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
