//! What the tokens of a connection allow, and until when.

use std::time::{Duration, Instant};

use super::now_s;
use crate::namespace::now_us;
use crate::token::{Grant, covers};

/// Audiences that one connection may have tokens for.
const GRANTS_COUNT_MAX: usize = 4_096;

/// The grants of one connection, one for each audience.
pub(super) struct Authority {
    all: bool,
    grants: Vec<Grant>,
    next_expiry: Option<Instant>,
}

impl Authority {
    pub(super) fn new(all: bool) -> Self {
        Self { all, grants: Vec::new(), next_expiry: None }
    }

    /// Allows everything for as long as the connection lives.
    pub(super) fn allow_all(&mut self) {
        self.all = true;
    }

    /// Adds a grant, or renews it. Returns false when there are too many.
    pub(super) fn add(&mut self, grant: Grant, now: Instant) -> bool {
        let now_s = now_s();
        self.grants.retain(|known| known.path != grant.path && known.expires_s > now_s);
        if self.grants.len() >= GRANTS_COUNT_MAX {
            return false;
        }
        self.grants.push(grant);
        self.plan_expiry(now);
        true
    }

    /// Whether a valid token covers `path`.
    pub(super) fn allows(&self, path: &str) -> bool {
        let now_s = now_s();
        self.all || self.grants.iter().any(|grant| grant.expires_s > now_s && covers(&grant.path, path))
    }

    /// Whether a valid token is about `hub` or anything in it.
    pub(super) fn knows(&self, hub: &str) -> bool {
        let now_s = now_s();
        let about = |grant: &Grant| covers(&grant.path, hub) || covers(hub, &grant.path) || grant.path == "$management";
        self.all || self.grants.iter().any(|grant| grant.expires_s > now_s && about(grant))
    }

    /// When a token expires next, as far as is known.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry
    }

    /// Whether a token expired since this was last asked.
    pub(super) fn has_expired(&mut self, now: Instant) -> bool {
        let expired = self.next_expiry.is_some_and(|due| due <= now);
        if expired {
            self.plan_expiry(now);
        }
        expired
    }

    fn plan_expiry(&mut self, now: Instant) {
        let now_us = now_us();
        let left_us = self.grants.iter().map(|grant| grant.expires_s.saturating_mul(1_000_000).saturating_sub(now_us));
        let left_us = left_us.filter(|left_us| *left_us > 0).min();
        // One day at most: far-off times would overflow, and looking again costs nothing.
        let left = left_us.map(|left_us| Duration::from_micros(left_us.unsigned_abs()).min(Duration::from_hours(24)));
        self.next_expiry = left.map(|left| now + left);
    }
}
