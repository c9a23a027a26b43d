//! What will happen when: events in the order of their time, and of their making where that is the same.

use std::collections::BTreeMap;

use contract::Instant;

/// Events to come.
#[derive(Debug)]
pub(crate) struct Calendar<E> {
    events: BTreeMap<(Instant, u64), E>,
    made_count: u64,
}

impl<E> Calendar<E> {
    pub(crate) fn new() -> Self {
        Self { events: BTreeMap::new(), made_count: 0 }
    }

    /// Has `event` happen at `at`, after what was entered for that time before.
    pub(crate) fn enter(&mut self, at: Instant, event: E) {
        self.events.insert((at, self.made_count), event);
        self.made_count += 1;
    }

    /// When the next event is due.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next event if it is due at `now`.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<E> {
        let entry = self.events.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    /// Forgets the events that `is_void` names.
    pub(crate) fn strike(&mut self, mut is_void: impl FnMut(&E) -> bool) {
        self.events.retain(|_, event| !is_void(event));
    }
}
