//! Who was refused, told in the log under the target `audit`, and not so often that the log fills.

use std::time::{Duration, Instant};

use crate::request::{AuthenticatorKind, Denial, Request};

/// Events at once, and then one each interval; the others are counted, and the next event tells how many.
const BURST_COUNT: u32 = 20;
const INTERVAL: Duration = Duration::from_secs(1);
/// Longer names are cut in the log.
const NAME_LETTERS_MAX: usize = 64;

/// Decides which event is told.
#[derive(Debug, Default)]
pub(crate) struct AuditLimit {
    /// When the burst is whole again.
    whole_at: Option<Instant>,
    suppressed_count: u64,
}

impl AuditLimit {
    /// Whether an event at `now` is told, and how many were not since the one before.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<u64> {
        let whole_at = self.whole_at.map_or(now, |whole_at| whole_at.max(now)) + INTERVAL;
        if whole_at.saturating_duration_since(now) > INTERVAL * BURST_COUNT {
            self.suppressed_count += 1;
            return None;
        }
        self.whole_at = Some(whole_at);
        Some(std::mem::take(&mut self.suppressed_count))
    }
}

/// Tells of a refusal. Names are those that the client has given: they are quoted and cut, and prove nothing.
pub(crate) fn tell(request: &Request, by: Option<AuthenticatorKind>, denial: Denial, suppressed_count: u64) {
    let credentials = &request.credentials;
    tracing::warn!(
        target: "audit",
        peer = %request.peer,
        client_identifier = ?cut(&credentials.client_identifier),
        user_name = ?credentials.user_name.as_deref().map(cut),
        authentication_method = ?credentials.authentication_method.as_deref().map(cut),
        authenticator = by.map(|by| by.to_string()),
        reason_code = denial.reason_code.0,
        cause = denial.cause,
        suppressed_count,
        "a client was refused"
    );
}

fn cut(name: &str) -> &str {
    name.char_indices().nth(NAME_LETTERS_MAX).map_or(name, |(end, _)| &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_by_its_first_events_and_a_count() {
        let (mut limit, start) = (AuditLimit::default(), Instant::now());
        let told = (0..1_000).filter(|_| limit.admit(start).is_some()).count();
        assert_eq!(told, 20);
        assert_eq!(limit.admit(start + INTERVAL), Some(980));
        assert_eq!(limit.admit(start + INTERVAL), None);
        assert_eq!(limit.admit(start + 60 * INTERVAL), Some(1));
    }

    #[test]
    fn names_are_cut_at_a_letter() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"\u{e9}".repeat(100)).chars().count(), NAME_LETTERS_MAX);
    }
}
