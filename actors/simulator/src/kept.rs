//! Whether the broker has a session for a client, as far as the client can know.

use std::time::Duration;

use contract::Instant;

/// Longest time from the end of a socket until its session's expiry begins to count: slow cores, logs that are late or full.
const UNTIL_PARKED_MAX: Duration = Duration::from_secs(4);

/// What the broker keeps of a client between its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nothing.
    Nothing,
    /// Nobody outside knows.
    Perhaps,
    /// A session, at least until then, and no longer than `gone_at`, where that is known.
    Surely { until: Instant, gone_at: Option<Instant> },
}

/// What one CONNECT asks of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) clean_start: bool,
    /// 0: the session ends with the connection.
    pub(crate) session_expiry_s: u32,
}

impl Kept {
    /// A CONNECT is on its way; what is kept if its answer never comes.
    pub(crate) fn after_attempt(self, wish: Wish) -> Self {
        match (self, wish) {
            (Self::Nothing, Wish { session_expiry_s: 0, .. }) => Self::Nothing,
            // A session that goes on is kept from its next end on, which is later.
            (Self::Surely { until, .. }, Wish { clean_start: false, session_expiry_s: 1.. }) => {
                Self::Surely { until, gone_at: None }
            }
            (Self::Nothing | Self::Perhaps | Self::Surely { .. }, _) => Self::Perhaps,
        }
    }

    /// A connection that had its CONNACK ended at `now`. `is_known_at_once`: the broker hears of it.
    pub(crate) fn after_end(session_expiry_s: u32, now: Instant, is_known_at_once: bool) -> Self {
        if session_expiry_s == 0 {
            return Self::Nothing;
        }
        let until = now + Duration::from_secs(session_expiry_s.into());
        Self::Surely { until, gone_at: is_known_at_once.then_some(until + UNTIL_PARKED_MAX) }
    }

    /// Checks Session Present of a CONNACK (MQTT-3.2.2-2, MQTT-3.2.2-3): the CONNECT was sent at `asked_at`, the CONNACK came at `now`.
    pub(crate) fn allows(
        self,
        session_present: bool,
        wish: Wish,
        asked_at: Instant,
        now: Instant,
    ) -> Result<(), String> {
        if !session_present {
            return match self {
                Self::Surely { until, .. } if now < until && !wish.clean_start => {
                    Err(format!("a session that was to live until {until:?} is gone at {now:?}"))
                }
                Self::Nothing | Self::Perhaps | Self::Surely { .. } => Ok(()),
            };
        }
        match self {
            _ if wish.clean_start => Err("a clean start found a session".to_owned()),
            Self::Nothing => Err("there is a session, which nobody made".to_owned()),
            Self::Surely { gone_at: Some(gone_at), .. } if asked_at > gone_at => {
                Err(format!("a session that was to end by {gone_at:?} is there at {now:?}"))
            }
            Self::Perhaps | Self::Surely { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_owed_until_it_expires_and_not_after() {
        let at = Instant::from_millis;
        let wish = Wish { clean_start: false, session_expiry_s: 2 };
        let kept = Kept::after_end(2, at(1_000), true);
        assert!(kept.allows(false, wish, at(2_000), at(2_999)).is_err());
        assert!(kept.allows(false, wish, at(2_990), at(3_001)).is_ok());
        assert!(kept.allows(true, wish, at(6_900), at(6_950)).is_ok());
        assert!(kept.allows(true, wish, at(7_001), at(7_050)).is_err());
        assert!(kept.allows(true, Wish { clean_start: true, ..wish }, at(2_000), at(2_001)).is_err());
        assert_eq!(Kept::after_end(0, at(1_000), true), Kept::Nothing);
        assert!(Kept::Nothing.allows(true, wish, at(2_000), at(2_001)).is_err());
    }
}
