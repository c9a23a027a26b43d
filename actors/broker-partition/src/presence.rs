//! Subscribers as their sessions' connections come and go: resumed, suspended, and at their end.

use contract::{ConnectionAddress, DropReason, Effects, Instant, SessionId};

use crate::effect::Effect;
use crate::records::Holder;
use crate::shared_groups::{Key, Presence};
use crate::state::BrokerPartition;
use crate::subscriber::{Orphan, Subscriber, Waiting};
use crate::subscription::SubscriptionEntry;

/// Subscriptions of ended sessions that one step takes out of the index.
const FORGOTTEN_PER_STEP_MAX: usize = 4_096;

impl BrokerPartition {
    pub(crate) fn handle_resume(&mut self, session: SessionId, connection: ConnectionAddress) {
        match self.subscribers_by_session.get(&session).copied() {
            Some(index) => self.connect_subscriber(index, connection),
            None => self.unknown_count += 1,
        }
    }

    /// A connection has the subscriber's session.
    fn connect_subscriber(&mut self, index: u32, connection: ConnectionAddress) {
        let subscriber = self.subscribers.get_mut(index);
        if subscriber.connection == Some(connection) {
            return;
        }
        if let Some(before) = subscriber.connection.replace(connection) {
            self.subscribers_by_connection.remove(&before);
        }
        self.subscribers_by_connection.insert(connection, index);
        self.note_queue(index, None);
    }

    pub(crate) fn find_or_make_subscriber(&mut self, session: SessionId, connection: ConnectionAddress) -> Option<u32> {
        let known = self.subscribers_by_session.get(&session).copied();
        if known.is_none() && self.subscribers_by_session.len() >= self.subscribers_count_max() {
            return None;
        }
        let index = known.unwrap_or_else(|| {
            let index = self.subscribers.insert(Subscriber::new(session));
            self.subscribers_by_session.insert(session, index);
            index
        });
        self.connect_subscriber(index, connection);
        Some(index)
    }

    /// Sessions of all homes.
    fn subscribers_count_max(&self) -> usize {
        self.limits.sessions_count_max as usize * usize::from(self.partitions_count)
    }

    pub(crate) fn handle_suspend(
        &mut self,
        session: SessionId,
        connection: ConnectionAddress,
        effects: &mut Effects<Effect>,
    ) {
        let index = self.subscribers_by_session.get(&session);
        if index.is_some_and(|index| self.subscribers.get(*index).connection == Some(connection)) {
            self.suspend_subscriber(connection);
        }
        if self.intake.suspend(connection) {
            effects.push(Effect::Suspended { connection });
        }
    }

    /// The connection has its session no longer: nothing is sent to it.
    pub(crate) fn suspend_subscriber(&mut self, connection: ConnectionAddress) {
        let Some(index) = self.subscribers_by_connection.remove(&connection) else { return };
        let subscriber = self.subscribers.get_mut(index);
        subscriber.connection = None;
        subscriber.drop_at_most_once(&mut self.records);
        self.note_queue(index, None);
    }

    /// The session has ended: nothing is queued for it any more, and what waits goes to other members of its Shared Subscriptions, or
    /// is dropped.
    pub(crate) fn end_subscriber(&mut self, session: SessionId) {
        let Some(index) = self.subscribers_by_session.remove(&session) else { return };
        let subscriber = self.subscribers.get_mut(index);
        subscriber.has_ended = true;
        if let Some(connection) = subscriber.connection.take() {
            self.subscribers_by_connection.remove(&connection);
        }
        if let Some(due) = subscriber.expiry_due.take() {
            self.expiries.remove(&(due, index));
        }
        let orphans = subscriber.end(&mut self.records);
        self.note_queue(index, None);
        for orphan in orphans {
            self.hand_over(index, &orphan);
        }
        let subscriber = self.subscribers.get_mut(index);
        self.ended_subscribers.merge(&std::mem::take(&mut subscriber.ledger));
        self.leaving.push_back(index);
    }

    /// Gives a record to another member of its Shared Subscription, where there is one. Its account moves with it.
    fn hand_over(&mut self, from: u32, orphan: &Orphan) {
        let publication = self.records.get(orphan.record).publication.clone();
        let chosen = self.choose_member(orphan.group, &Key::of(&publication));
        match chosen {
            Some(entry) => {
                self.subscribers.get_mut(from).ledger.accepted -= 1;
                self.enqueue_shared(entry, orphan.group, orphan.record);
                self.subscribers.get_mut(entry.subscriber).ledger.redelivered += u64::from(orphan.was_sent);
                self.handed_over_count += 1;
            }
            None => self.subscribers.get_mut(from).ledger.drop_records(DropReason::SessionEnded, 1),
        }
        self.records.release(orphan.record, Holder::Subscriber);
    }

    /// The member of a Shared Subscription that gets a record.
    pub(crate) fn choose_member(&mut self, group: u32, key: &Key<'_>) -> Option<SubscriptionEntry> {
        let Self { groups, subscribers, .. } = self;
        groups
            .choose(group, key, |subscriber| subscribers.find(subscriber).map_or(Presence::Ended, Subscriber::presence))
    }

    /// Queues a record that came by a Shared Subscription for the member that was chosen.
    pub(crate) fn enqueue_shared(&mut self, entry: SubscriptionEntry, group: u32, record: crate::records::RecordIndex) {
        let SubscriptionEntry { subscriber: index, options } = entry;
        let held = self.records.get(record);
        let expires_at = held.expires_at;
        let waiting = Waiting {
            record,
            group,
            qos: held.qos.min(options.maximum_qos()),
            retain: held.retain && options.retain_as_published(),
            identifiers: options.identifier().map_or_else(Box::default, |identifier| Box::from([identifier])),
        };
        self.subscribers.get_mut(index).enqueue(waiting, &self.limits, &mut self.records);
        self.note_queue(index, expires_at);
    }

    /// Takes Subscriptions of ended sessions out of the index, so many at once that no other client notices.
    pub(crate) fn forget_subscribers(&mut self, now: Instant) {
        let mut left_count = FORGOTTEN_PER_STEP_MAX;
        while let Some(index) = self.leaving.front().copied() {
            while let Some(node) = self.subscribers.get_mut(index).nodes.pop() {
                let removed = self.index.remove_at(node, index);
                self.count_removed(removed.options.no_local());
                left_count = left_count.saturating_sub(1);
                if left_count == 0 {
                    self.continue_at = Some(now);
                    return;
                }
            }
            while let Some(group) = self.subscribers.get_mut(index).groups.pop() {
                self.leave_group(group, index);
                self.count_removed(false);
                left_count = left_count.saturating_sub(1);
                if left_count == 0 {
                    self.continue_at = Some(now);
                    return;
                }
            }
            self.leaving.pop_front();
            self.subscribers.remove(index);
        }
    }
}
