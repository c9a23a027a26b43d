//! Time: when to connect again, when a server is too silent, when to stop waiting. Never trusts "connected".

use std::time::Duration;

use contract::{Effects, Instant};

use crate::state::{Pending, Phase, Session};
use crate::subscription::{Stage, Subscription};
use crate::{Effect, GapCause, Report};

impl Session {
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Idle | Phase::Connecting | Phase::Disconnecting | Phase::Establishing | Phase::Stopped => None,
            Phase::BackingOff { until } => Some(until),
            Phase::Running => match self.stopping {
                Some(stopping) => Some(stopping.until),
                None => self.next_timeout_of_subscriptions().into_iter().chain(self.liveness_due()).min(),
            },
        }
    }

    fn next_timeout_of_subscriptions(&self) -> Option<Instant> {
        let due = |subscription: &Subscription| match subscription.stage {
            Stage::Waiting { not_before } => Some(not_before),
            Stage::Creating | Stage::AddingItems => None,
            Stage::Running => subscription.retry_at,
        };
        let silence = self.silence_due().into_iter().chain(self.lone_silence_due().map(|(due, _)| due));
        self.subscriptions.iter().filter_map(due).chain(silence).min()
    }

    /// When the server is to be asked whether it is there; `None` while it is being asked.
    fn liveness_due(&self) -> Option<Instant> {
        let is_asking = self.requests.values().any(|pending| matches!(pending, Pending::ReadLiveness));
        let wait = self.liveness_interval().saturating_mul(self.liveness_misses + 1);
        (!is_asking).then_some(self.heard_at + wait)
    }

    /// How long nothing may be heard before the server is asked; well within what keeps the Session alive.
    pub(crate) fn liveness_interval(&self) -> Duration {
        self.limits.liveness_interval.min((self.revised_timeout / 3).max(Duration::from_millis(100)))
    }

    /// When all Subscriptions together will have been silent for too long: the connection is dead. Silence counts only
    /// while the server has Publish requests to break it with.
    fn silence_due(&self) -> Option<Instant> {
        if self.no_publish_request_since.is_some() {
            return None;
        }
        let running = || self.subscriptions.iter().filter(|subscription| subscription.stage == Stage::Running);
        let heard_at = running().map(|subscription| subscription.heard_at).max()?;
        let silence_max = running().map(Subscription::silence_max).max()?;
        Some(heard_at + silence_max)
    }

    /// When one Subscription will have been silent for so long that it is gone, although others may be heard; and which. By
    /// then a dead connection has been noticed, whose Subscriptions fell silent up to one keep-alive apart.
    fn lone_silence_due(&self) -> Option<(Instant, usize)> {
        if self.no_publish_request_since.is_some() {
            return None;
        }
        let due = |(index, subscription): (usize, &Subscription)| {
            let due = subscription.heard_at + subscription.silence_max() * 2;
            (subscription.stage == Stage::Running).then_some((due, index))
        };
        self.subscriptions.iter().enumerate().filter_map(due).min()
    }

    pub(crate) fn on_timeout(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        match self.phase {
            Phase::BackingOff { until } if until <= now => self.connect(effects),
            Phase::Running => {
                self.watch_silence(now, effects);
                self.watch_liveness(now, effects);
            }
            Phase::Idle
            | Phase::Connecting
            | Phase::Establishing
            | Phase::Disconnecting
            | Phase::BackingOff { .. }
            | Phase::Stopped => {}
        }
    }

    /// Nothing came for one and a half keep-alive intervals: the connection is dead. Nothing came of one Subscription for
    /// twice that time: it is.
    fn watch_silence(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        if self.silence_due().is_some_and(|due| due <= now) {
            self.counts.silences += 1;
            let heard_at = self.subscriptions.iter().map(|subscription| subscription.heard_at).max();
            let silent_for = now - heard_at.unwrap_or(now);
            Self::report(effects, Report::Silent { silent_for });
            self.disconnect(effects);
        }
        while self.phase == Phase::Running
            && let Some((_, index)) = self.lone_silence_due().filter(|(due, _)| *due <= now)
        {
            self.counts.silences += 1;
            self.delete_and_lose(index, GapCause::SubscriptionSilent, now, effects);
        }
    }

    /// Nothing was heard at all: asks whether the server is there. Also keeps the Session alive while Publish requests are
    /// withheld.
    fn watch_liveness(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        if self.phase == Phase::Running && self.liveness_due().is_some_and(|due| due <= now) {
            self.read_liveness(effects);
        }
    }

    /// How long a stop may take.
    pub(crate) const fn stop_timeout(&self) -> Duration {
        self.limits.stop_timeout
    }
}
