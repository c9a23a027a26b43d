//! An orderly end: no new values, what was received is waited for and acknowledged, the state is saved, the connection closed.

use contract::{Effects, Instant};

use crate::state::{Pending, Phase, Session, Stopping};
use crate::{Effect, Request};

impl Session {
    pub(crate) fn stop(&mut self, close_session: bool, now: Instant, effects: &mut Effects<Effect>) {
        if self.stopping.is_some() || self.phase == Phase::Stopped {
            return;
        }
        self.stopping = Some(Stopping { until: now + self.stop_timeout(), close_session });
        for index in 0..self.subscriptions.len() {
            self.close_interval(index, now, effects);
        }
    }

    /// Goes on with a stop: as soon as everything was accepted, or no longer waited for.
    pub(crate) fn stop_more(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        let Some(Stopping { until, close_session }) = self.stopping else { return };
        let is_settled = self.receipts.unaccepted_count() == 0 || until <= now;
        match self.phase {
            Phase::Idle | Phase::BackingOff { .. } => self.finish_stop(effects),
            Phase::Connecting | Phase::Establishing => self.disconnect(effects),
            Phase::Running if is_settled && !self.is_closing() => {
                if self.receipts.has_ready() {
                    self.publish_once(effects);
                }
                if close_session {
                    self.send(Request::CloseSession { delete_subscriptions: true }, Pending::CloseSession, effects);
                } else {
                    self.save(effects);
                    self.disconnect(effects);
                }
            }
            Phase::Running if self.is_closing() && until <= now => self.on_close_session(effects),
            Phase::Running | Phase::Disconnecting | Phase::Stopped => {}
        }
    }

    fn is_closing(&self) -> bool {
        self.requests.values().any(|pending| matches!(pending, Pending::CloseSession))
    }

    pub(crate) fn on_close_session(&mut self, effects: &mut Effects<Effect>) {
        self.disconnect(effects);
    }

    pub(crate) fn finish_stop(&mut self, effects: &mut Effects<Effect>) {
        if self.phase != Phase::Stopped {
            self.phase = Phase::Stopped;
            effects.push(Effect::Stopped);
        }
    }
}
