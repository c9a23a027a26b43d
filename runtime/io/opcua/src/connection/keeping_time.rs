//! What is due by the clock: time-outs of requests, and the renewal of the token; one timer for all.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use contract::Instant;
use glommio::timer::Timer;
use opcua_subscription::StatusCode;
use opcua_types::SecurityTokenRequestType;

use super::{Connection, Done, End, Renewal};
use crate::connect::{TokenTimes, fresh_nonce, reason_of};
use crate::opening::{self, Opened};
use crate::status::BAD_TCP_MESSAGE_TYPE_INVALID;

impl Connection<'_> {
    pub(super) fn renew(&mut self) -> Result<(), StatusCode> {
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

    pub(super) fn send_opening(&mut self, request_id: u32, nonce: Vec<u8>, frame: &[u8]) {
        self.established.channel.take_sequence();
        self.established.wire.out().extend_from_slice(frame);
        self.renewal = Renewal::Asked { request_id, nonce };
        let latest = self.shared.clock.now() + self.shared.config.connect_timeout;
        let ends_at = &mut self.established.token_times.ends_at;
        *ends_at = latest.min(*ends_at);
    }

    pub(super) fn on_opened(&mut self, opened: Result<Opened, StatusCode>) -> Result<(), End> {
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
    pub(super) fn take_due(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
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

    pub(super) fn first_overdue(&self, now: Instant) -> Option<u32> {
        let mut requests = self.outstanding.iter();
        requests.find(|(_, request)| request.deadline.is_some_and(|deadline| deadline <= now)).map(|(id, _)| *id)
    }

    /// One timer stands for all deadlines. One that comes too early is left: it costs less than making another.
    pub(super) fn arm(&mut self, now: Instant, context: &mut Context<'_>) {
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
}
