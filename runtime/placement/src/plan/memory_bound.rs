//! What all limits of a profile may take together.

use super::PlannedExecutor;
use super::warning::locked_bytes;
use crate::profile::{MailboxProfile, Profile};

/// How much of what takes memory a site has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteCounts {
    /// OPC UA servers.
    pub servers: u32,
    /// Destinations of flows.
    pub destinations: u32,
}

/// The sum of all limits. Nothing of it is taken before it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryBound {
    /// What may be taken, and how many bytes at most.
    pub parts: Vec<(&'static str, u64)>,
    /// What they should stay below, in bytes.
    pub ceiling_bytes: u64,
}

/// An entry of a channel holds a handle, not the data.
const MAILBOX_ENTRY_BYTES: u64 = 64;

/// What one password costs while it is checked, as `millicore passwd` writes its hash (argon2id, 19 MiB).
const PASSWORD_BYTES: u64 = 19 << 20;

/// A TLS handshake under way.
const HANDSHAKE_BYTES: u64 = 5 << 10;

impl MemoryBound {
    /// The sum of the parts in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.parts.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }

    /// Whether the sum stays below the ceiling.
    pub fn fits(&self) -> bool {
        self.total_bytes() <= self.ceiling_bytes
    }

    pub(super) fn new(profile: &Profile, executors: &[PlannedExecutor], site: SiteCounts) -> Self {
        let (broker, opcua, egress) = (&profile.broker, &profile.opcua, &profile.egress);
        let sessions = u64::from(site.servers) * u64::from(opcua.sessions_per_server);
        let session_bytes = u64::from(opcua.message_bytes_max) + u64::from(opcua.held_values_bytes_max);
        let batches_bytes = u64::from(egress.batches_in_flight_max) * u64::from(egress.batch_bytes_max);
        let rings_bytes = executors.iter().map(|executor| locked_bytes(&profile.executor, executor.ring_depth)).sum();
        let parts = vec![
            ("the process itself", profile.memory.process_bytes),
            (
                "broker shards: queues, Retained Messages, log",
                product(broker.shards_count(), broker.memory_profile.shard_bytes_max()),
            ),
            ("MQTT connections' buffers", product(broker.frontends_count(), broker.frontend_bytes_max)),
            (
                "MQTT clients that prove who they are",
                product(broker.authentication_threads_count.into(), PASSWORD_BYTES)
                    + product(broker.handshakes_count_max, HANDSHAKE_BYTES),
            ),
            ("OPC UA sessions: a message, last values", sessions.saturating_mul(session_bytes)),
            (
                "egress: pending events, batches in flight",
                product(site.destinations, egress.pending_bytes_max + batches_bytes),
            ),
            ("mailboxes", mailboxes_bytes(&profile.mailbox, executors.len())),
            ("rings of the executors", rings_bytes),
        ];
        Self { parts, ceiling_bytes: profile.memory.ceiling_bytes }
    }
}

fn product(count: u32, bytes: u64) -> u64 {
    u64::from(count).saturating_mul(bytes)
}

/// A channel of each kind between every pair of executors: more than are ever made.
fn mailboxes_bytes(mailbox: &MailboxProfile, executors_count: usize) -> u64 {
    let entries: u32 =
        telemetry::ActorKind::ALL.into_iter().map(|kind| mailbox.depth(kind)).sum::<u32>() + mailbox.lane_depth;
    let executors = u64::try_from(executors_count).unwrap_or(u64::MAX);
    executors.saturating_mul(executors).saturating_mul(u64::from(entries) * MAILBOX_ENTRY_BYTES)
}
