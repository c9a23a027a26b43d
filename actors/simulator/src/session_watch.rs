//! Which session a connection has, and when it was at rest: watched from outside.

use std::collections::BTreeMap;

use broker_partition::Message as ToPartition;
use contract::{ConnectionAddress, Instant, SessionId};
use mqtt_connection::Message as ToConnection;
use wiring::Envelope;

/// What was seen of sessions.
#[derive(Debug, Default)]
pub(crate) struct SessionWatch {
    /// The session that each connection was given.
    pub(crate) sessions: BTreeMap<ConnectionAddress, SessionId>,
    /// When each connection gave its session back, at rest in all partitions.
    pub(crate) parked_at: BTreeMap<ConnectionAddress, Instant>,
}

impl SessionWatch {
    /// An envelope that an actor sends.
    pub(crate) fn pass(&mut self, envelope: &Envelope, now: Instant) {
        match envelope {
            Envelope::Connection(connection, ToConnection::Attached { session, .. }) => {
                self.sessions.insert(*connection, *session);
            }
            Envelope::Partition(_, ToPartition::Park { connection, .. }) => {
                self.parked_at.insert(*connection, now);
            }
            Envelope::OpcUa(..)
            | Envelope::Connection(..)
            | Envelope::Partition(..)
            | Envelope::Flow(..)
            | Envelope::Batcher(..)
            | Envelope::Host(_) => {}
        }
    }
}
