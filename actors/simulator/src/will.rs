//! Will Messages: when each is owed, when it is void, judged by how often it came.

use std::time::Duration;

use contract::Instant;

use crate::message::Sent;
use crate::wire::WillText;

/// Longest time from when a Will is due until it has come, once everything is well.
const UNTIL_PUBLISHED_MAX: Duration = Duration::from_millis(1_500);

/// What is owed about one Will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    /// Nothing yet: its connection lives.
    Open,
    /// It is to come once, unless the session is continued before `due_at`, at the earliest.
    Waits { due_at: Instant },
    /// It is to come once.
    Once,
    /// It must not come.
    Never,
    /// It may come once: nobody outside can know.
    Perhaps,
}

/// The Will of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) message: Sent,
    delay_s: u32,
    pub(crate) owed: Owed,
}

/// The Wills of a client, of all of its connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wills {
    pub(crate) all: Vec<Will>,
    /// When the last of them that waits has come, if it comes.
    pub(crate) settled_at: Instant,
}

/// How a connection ended, for its Will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Without a word, or with DISCONNECT 0x04.
    Abrupt,
    /// DISCONNECT 0x00 was read.
    Taken,
    /// Whether DISCONNECT 0x00 was read is not known.
    Doubtful,
}

impl Wills {
    /// A CONNECT with this Will is on its way.
    pub(crate) fn attempt(&mut self, will: &WillText) {
        self.all.push(Will { message: will.message.clone(), delay_s: will.delay_s, owed: Owed::Perhaps });
    }

    /// Its CONNACK came: the session goes on, or is new.
    pub(crate) fn welcomed(&mut self, session_present: bool, now: Instant) {
        let Some((newest, before)) = self.all.split_last_mut() else { return };
        newest.owed = Owed::Open;
        // An attempt between the two, of which nobody knows what became, leaves nothing to be sure of.
        let last_sure = before.iter().rposition(|will| will.owed != Owed::Perhaps);
        let is_next = last_sure.is_some_and(|place| place + 1 == before.len());
        for will in before {
            let Owed::Waits { due_at } = will.owed else { continue };
            will.owed = match (is_next, session_present) {
                (true, true) if now < due_at => Owed::Never,
                (true, false) => Owed::Once,
                (_, _) => Owed::Perhaps,
            };
        }
    }

    /// The CONNECT was refused.
    pub(crate) fn refused(&mut self) {
        if let Some(newest) = self.all.last_mut() {
            newest.owed = Owed::Never;
        }
    }

    /// The connection ended at `now`.
    pub(crate) fn ended(&mut self, end: End, session_expiry_s: u32, now: Instant) {
        let Some(newest) = self.all.last_mut() else { return };
        let delay = Duration::from_secs(newest.delay_s.min(session_expiry_s).into());
        self.settled_at = self.settled_at.max(now + delay + UNTIL_PUBLISHED_MAX);
        if newest.owed != Owed::Open {
            return;
        }
        newest.owed = match end {
            End::Abrupt if delay.is_zero() => Owed::Once,
            End::Abrupt => Owed::Waits { due_at: now + delay },
            End::Taken => Owed::Never,
            End::Doubtful => Owed::Perhaps,
        };
    }

    /// Memory is lost: what has not come may never come.
    pub(crate) fn forgotten(&mut self, has_come: impl Fn(&Sent) -> bool) {
        for will in &mut self.all {
            if will.owed != Owed::Never && !has_come(&will.message) {
                will.owed = Owed::Perhaps;
            }
        }
    }

    /// Nobody knows what becomes of the newest `count` of those that have not come for certain.
    pub(crate) fn doubt(&mut self, count: usize) {
        for will in self.all.iter_mut().rev().take(count) {
            if matches!(will.owed, Owed::Never | Owed::Waits { .. }) {
                will.owed = Owed::Perhaps;
            }
        }
    }
}
