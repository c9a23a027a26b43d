//! The sessions whose home this partition is: by Client Identifier, by connection, and when something is due for one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contract::{
    AttachRequest, ConnectionAddress, DeliveryStage, Instant, ParkedDelivery, SESSION_EXPIRY_NEVER, SessionState,
    SessionWill,
};

/// All sessions of a home, by number, in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_number: BTreeMap<u64, Session>,
    by_identifier: BTreeMap<Box<str>, u64>,
    /// Connections that have a session, and those that wait for one.
    by_connection: BTreeMap<ConnectionAddress, u64>,
    /// When each session is next to be looked at: [`Session::due`].
    due: BTreeSet<(Instant, u64)>,
    next_number: u64,
    parked_count: usize,
    bytes: u64,
}

/// One session (MQTT 5.0 §4.1).
#[derive(Debug)]
pub(crate) struct Session {
    identifier: Box<str>,
    /// `None` where there is none, or no longer.
    pub(crate) will: Option<Box<SessionWill>>,
    pub(crate) holder: Holder,
    /// The newest connection that asked for it while another has it.
    pub(crate) pending: Option<Box<Pending>>,
}

/// Who has a session.
#[derive(Debug)]
pub(crate) enum Holder {
    Connection(ConnectionAddress),
    Parked(Box<Parked>),
}

/// A session at rest.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) state: Box<SessionState>,
    /// When the Will is published.
    pub(crate) will_at: Option<Instant>,
    /// When the session ends; `None`: never.
    pub(crate) expires_at: Option<Instant>,
}

/// A connection that waits for a session.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) connection: ConnectionAddress,
    pub(crate) request: Box<AttachRequest>,
}

impl Session {
    fn due(&self) -> Option<Instant> {
        let Holder::Parked(parked) = &self.holder else { return None };
        [parked.will_at, parked.expires_at].into_iter().flatten().min()
    }

    /// Bytes that count against the budget: the Will and what is parked, without deliveries, which their partitions count.
    fn bytes(&self) -> u64 {
        let parked_bytes = match &self.holder {
            Holder::Connection(_) => 0,
            Holder::Parked(parked) => state_bytes(&parked.state),
        };
        parked_bytes + will_bytes(self.will.as_deref())
    }
}

impl Sessions {
    /// Sessions.
    pub(crate) fn count(&self) -> usize {
        self.by_number.len()
    }

    /// Sessions that no connection has.
    pub(crate) fn parked_count(&self) -> usize {
        self.parked_count
    }

    /// Bytes of Wills and of what is parked.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The session of a Client Identifier.
    pub(crate) fn find(&self, identifier: &str) -> Option<u64> {
        self.by_identifier.get(identifier).copied()
    }

    /// The session that a connection has or waits for.
    pub(crate) fn of_connection(&self, connection: ConnectionAddress) -> Option<u64> {
        self.by_connection.get(&connection).copied()
    }

    /// Whether the connection has the session.
    pub(crate) fn is_held(&self, number: u64, connection: ConnectionAddress) -> bool {
        let holder = self.by_number.get(&number).map(|session| &session.holder);
        matches!(holder, Some(Holder::Connection(holder)) if *holder == connection)
    }

    /// The session.
    ///
    /// # Panics
    /// When the number names nothing.
    pub(crate) fn get(&self, number: u64) -> &Session {
        &self.by_number[&number]
    }

    /// Begins a session of a Client Identifier that has none; its number.
    pub(crate) fn begin(&mut self, connection: ConnectionAddress, request: AttachRequest) -> u64 {
        let AttachRequest { client_identifier: identifier, will, .. } = request;
        let number = self.next_number;
        self.next_number += 1;
        let before = self.by_identifier.insert(identifier.clone(), number);
        assert_eq!(before, None, "a Client Identifier has one session");
        self.by_connection.insert(connection, number);
        let holder = Holder::Connection(connection);
        self.put(number, Session { identifier, will, holder, pending: None });
        number
    }

    /// Ends a session. Whoever waits for it is still told apart by [`Sessions::of_connection`] no longer.
    pub(crate) fn end(&mut self, number: u64) -> Session {
        let session = self.take(number);
        self.by_identifier.remove(&session.identifier);
        if let Holder::Connection(connection) = session.holder {
            self.by_connection.remove(&connection);
        }
        if let Some(pending) = &session.pending {
            self.by_connection.remove(&pending.connection);
        }
        session
    }

    /// Changes a session, and notes what follows from the change.
    pub(crate) fn change<R>(&mut self, number: u64, change: impl FnOnce(&mut Session) -> R) -> R {
        let mut session = self.take(number);
        let result = change(&mut session);
        self.put(number, session);
        result
    }

    /// A connection waits for the session; the one that waited before.
    pub(crate) fn wait(&mut self, number: u64, pending: Pending) -> Option<ConnectionAddress> {
        self.by_connection.insert(pending.connection, number);
        let before = self.change(number, |session| session.pending.replace(Box::new(pending)))?;
        self.by_connection.remove(&before.connection);
        Some(before.connection)
    }

    /// Who waits for the session waits no longer.
    pub(crate) fn take_pending(&mut self, number: u64) -> Option<Pending> {
        self.get(number).pending.as_ref()?;
        let pending = self.change(number, |session| session.pending.take())?;
        self.by_connection.remove(&pending.connection);
        Some(*pending)
    }

    /// Puts a session to rest that a connection has.
    pub(crate) fn park(&mut self, number: u64, parked: Parked) {
        let holder =
            self.change(number, |session| std::mem::replace(&mut session.holder, Holder::Parked(Box::new(parked))));
        if let Holder::Connection(connection) = holder {
            self.by_connection.remove(&connection);
        }
    }

    /// Gives a parked session to a connection; what was parked.
    pub(crate) fn resume(
        &mut self,
        number: u64,
        connection: ConnectionAddress,
        request: AttachRequest,
    ) -> Option<Box<SessionState>> {
        let holder = self.change(number, |session| {
            session.will = request.will;
            std::mem::replace(&mut session.holder, Holder::Connection(connection))
        });
        self.by_connection.insert(connection, number);
        match holder {
            Holder::Parked(parked) => Some(parked.state),
            Holder::Connection(_) => None,
        }
    }

    /// The earliest moment at which something is due, and for which session.
    pub(crate) fn first_due(&self) -> Option<(Instant, u64)> {
        self.due.first().copied()
    }

    fn take(&mut self, number: u64) -> Session {
        let session = self.by_number.remove(&number).expect("a session is known by its number until it ends");
        self.bytes -= session.bytes();
        self.parked_count -= usize::from(matches!(session.holder, Holder::Parked(_)));
        if let Some(due) = session.due() {
            self.due.remove(&(due, number));
        }
        session
    }

    fn put(&mut self, number: u64, session: Session) {
        self.bytes += session.bytes();
        self.parked_count += usize::from(matches!(session.holder, Holder::Parked(_)));
        if let Some(due) = session.due() {
            self.due.insert((due, number));
        }
        self.by_number.insert(number, session);
    }
}

/// The moment so many seconds after `now`; `None`: never.
pub(crate) fn after_s(now: Instant, seconds: u32) -> Option<Instant> {
    (seconds != SESSION_EXPIRY_NEVER).then(|| now + Duration::from_secs(seconds.into()))
}

/// Bytes of a Will that count against the budget.
pub(crate) fn will_bytes(will: Option<&SessionWill>) -> u64 {
    will.map_or(0, |will| will.publication.size_bytes() as u64)
}

/// Bytes of what a connection left, without the deliveries' publications.
pub(crate) fn state_bytes(state: &SessionState) -> u64 {
    let published_count =
        state.in_flight.iter().filter(|each| matches!(each.stage, DeliveryStage::Published(_))).count();
    let deliveries_bytes = (state.waiting.len() + published_count) * size_of::<contract::Delivery>();
    let topic_filters_bytes: usize = state.topic_filters.iter().map(|text| text.len() + size_of::<Box<str>>()).sum();
    let bytes = size_of::<SessionState>()
        + size_of_val(&*state.credits)
        + state.in_flight.len() * size_of::<ParkedDelivery>()
        + deliveries_bytes
        + size_of_val(&*state.received)
        + topic_filters_bytes;
    bytes as u64
}
