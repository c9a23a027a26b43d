//! What outlives the process, so that a Session can be resumed: small, versioned, checksummed.
//!
//! ```text
//! "mcsession" | version u8 | fields, little endian, lengths before texts | CRC-32 of all before it
//! ```

use std::time::Duration;

use bytes::Bytes;
use contract::UtcTime;

use crate::{Identifier, NodeId, StatusCode};

/// A Session with its Subscriptions, as it was last known to the server. The tokens in it are secrets: the file that
/// holds it is for its owner only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionState {
    /// The Session's id.
    pub session_id: NodeId,
    /// The secret that every request carries.
    pub authentication_token: NodeId,
    /// What the next ActivateSession request has to sign.
    pub server_nonce: Bytes,
    /// As revised by the server.
    pub session_timeout: Duration,
    /// MonitoredItems in a Subscription at most: what the plan below was made with.
    pub items_per_subscription: u32,
    /// A hash over tags, their order and their Subscriptions. Another one means that client handles have another
    /// meaning, so the Subscriptions are deleted and made anew.
    pub layout_hash: u64,
    /// The Subscriptions that are complete, and those that were lost and are not yet made again.
    pub subscriptions: Vec<SubscriptionState>,
}

/// One Subscription of a [`SessionState`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionState {
    /// Its number in the plan.
    pub subscription_index: u32,
    /// The server's id for it; `None`: it was lost, and is to be made again.
    pub subscription_id: Option<u32>,
    /// Random at its creation: with the sequence number it names a NotificationMessage for ever.
    pub birth: u64,
    /// As revised by the server.
    pub publishing_interval: Duration,
    /// As revised by the server.
    pub max_keep_alive_count: u32,
    /// The last NotificationMessage that was accepted, after an orderly stop. `None` while it runs: then the server's
    /// list of unacknowledged messages says what has to come again.
    pub last_sequence_number: Option<u32>,
    /// The server's time up to which all values had come and been accepted when this was saved; where a gap begins, if the server does not
    /// know the Subscription any more.
    pub complete_until: UtcTime,
    /// Since when values may be missing: it was lost before, and either no values came since, or no partition had accepted
    /// what came before.
    pub gap_from: Option<UtcTime>,
    /// Slots that the server refused, with its answers.
    pub rejected: Vec<(u32, StatusCode)>,
}

/// Why bytes are no [`SessionState`]. The Session starts anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionStateError {
    /// They do not begin as one does.
    #[error("this is no saved session")]
    Magic,
    /// Written by another version of the product.
    #[error("the saved session has version {found}, this program reads version {VERSION}")]
    Version {
        /// The version found.
        found: u8,
    },
    /// Damaged, cut off, or with something behind it.
    #[error("the saved session is damaged")]
    Damaged,
}

const MAGIC: &[u8; 9] = b"mcsession";
const VERSION: u8 = 1;

impl SessionState {
    /// The state as bytes, for a file or a key-value store. About 100 bytes and 40 for each Subscription.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + 48 * self.subscriptions.len());
        out.extend_from_slice(MAGIC);
        out.push(VERSION);
        put_node_id(&mut out, &self.session_id);
        put_node_id(&mut out, &self.authentication_token);
        put_bytes(&mut out, &self.server_nonce);
        put_duration(&mut out, self.session_timeout);
        out.extend_from_slice(&self.items_per_subscription.to_le_bytes());
        out.extend_from_slice(&self.layout_hash.to_le_bytes());
        put_length(&mut out, self.subscriptions.len());
        for subscription in &self.subscriptions {
            subscription.put(&mut out);
        }
        let checksum = crc32fast::hash(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads what [`SessionState::to_bytes`] wrote.
    ///
    /// # Errors
    /// See [`SessionStateError`]. Any bytes may come: nothing panics.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SessionStateError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(SessionStateError::Magic)?;
        let (version, rest) = rest.split_first().ok_or(SessionStateError::Damaged)?;
        if *version != VERSION {
            return Err(SessionStateError::Version { found: *version });
        }
        let (fields, checksum) = rest.split_last_chunk::<4>().ok_or(SessionStateError::Damaged)?;
        if crc32fast::hash(&bytes[..bytes.len() - 4]) != u32::from_le_bytes(*checksum) {
            return Err(SessionStateError::Damaged);
        }
        Reader { rest: fields }.session().ok_or(SessionStateError::Damaged)
    }
}

impl SubscriptionState {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.subscription_index.to_le_bytes());
        put_optional(out, self.subscription_id);
        out.extend_from_slice(&self.birth.to_le_bytes());
        put_duration(out, self.publishing_interval);
        out.extend_from_slice(&self.max_keep_alive_count.to_le_bytes());
        put_optional(out, self.last_sequence_number);
        out.extend_from_slice(&self.complete_until.ticks().to_le_bytes());
        out.push(u8::from(self.gap_from.is_some()));
        out.extend_from_slice(&self.gap_from.unwrap_or_default().ticks().to_le_bytes());
        put_length(out, self.rejected.len());
        for (slot, status_code) in &self.rejected {
            out.extend_from_slice(&slot.to_le_bytes());
            out.extend_from_slice(&status_code.0.to_le_bytes());
        }
    }
}

fn put_duration(out: &mut Vec<u8>, duration: Duration) {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    out.extend_from_slice(&nanos.to_le_bytes());
}

fn put_optional(out: &mut Vec<u8>, number: Option<u32>) {
    out.push(u8::from(number.is_some()));
    out.extend_from_slice(&number.unwrap_or(0).to_le_bytes());
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&u32::try_from(length).expect("a plan counts its parts in 32 bits").to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_node_id(out: &mut Vec<u8>, node_id: &NodeId) {
    out.extend_from_slice(&node_id.namespace_index.to_le_bytes());
    match &node_id.identifier {
        Identifier::Numeric(number) => {
            out.push(0);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Identifier::Text(text) => {
            out.push(1);
            put_bytes(out, text.as_bytes());
        }
        Identifier::Guid(guid) => {
            out.push(2);
            out.extend_from_slice(guid);
        }
        Identifier::Opaque(bytes) => {
            out.push(3);
            put_bytes(out, bytes);
        }
    }
}

/// A number that may be absent.
struct Saved(Option<u32>);

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number that may be absent; `None` where the bytes end.
    fn optional(&mut self) -> Option<Saved> {
        let [is_there] = self.array()?;
        let number = self.u32()?;
        Some(Saved((is_there == 1).then_some(number)))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        let (head, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(head)
    }

    fn node_id(&mut self) -> Option<NodeId> {
        let namespace_index = u16::from_le_bytes(self.array()?);
        let [kind] = self.array()?;
        let identifier = match kind {
            0 => Identifier::Numeric(self.u32()?),
            1 => Identifier::Text(std::str::from_utf8(self.bytes()?).ok()?.into()),
            2 => Identifier::Guid(self.array()?),
            3 => Identifier::Opaque(self.bytes()?.into()),
            _ => return None,
        };
        Some(NodeId { namespace_index, identifier })
    }

    fn subscription(&mut self) -> Option<SubscriptionState> {
        let subscription_index = self.u32()?;
        let subscription_id = self.optional()?.0;
        let birth = self.u64()?;
        let publishing_interval = Duration::from_nanos(self.u64()?);
        let max_keep_alive_count = self.u32()?;
        let last_sequence_number = self.optional()?.0;
        let complete_until = UtcTime::from_ticks(i64::from_le_bytes(self.array()?));
        let [is_gap] = self.array()?;
        let gap_from = UtcTime::from_ticks(i64::from_le_bytes(self.array()?));
        let mut rejected = Vec::new();
        for _ in 0..self.u32()? {
            rejected.push((self.u32()?, StatusCode(self.u32()?)));
        }
        Some(SubscriptionState {
            subscription_index,
            subscription_id,
            birth,
            publishing_interval,
            max_keep_alive_count,
            last_sequence_number,
            complete_until,
            gap_from: (is_gap == 1).then_some(gap_from),
            rejected,
        })
    }

    fn session(mut self) -> Option<SessionState> {
        let session_id = self.node_id()?;
        let authentication_token = self.node_id()?;
        let server_nonce = Bytes::copy_from_slice(self.bytes()?);
        let session_timeout = Duration::from_nanos(self.u64()?);
        let items_per_subscription = self.u32()?;
        let layout_hash = self.u64()?;
        let mut subscriptions = Vec::new();
        for _ in 0..self.u32()? {
            subscriptions.push(self.subscription()?);
        }
        self.rest.is_empty().then_some(SessionState {
            session_id,
            authentication_token,
            server_nonce,
            session_timeout,
            items_per_subscription,
            layout_hash,
            subscriptions,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> SessionState {
        SessionState {
            session_id: "ns=1;g=09087e75-8e5e-499b-954f-f2a9603db28a"
                .parse::<crate::NodeIdText>()
                .unwrap()
                .resolve(&[])
                .unwrap(),
            authentication_token: NodeId { namespace_index: 0, identifier: Identifier::Opaque([1, 2, 3].into()) },
            server_nonce: Bytes::from_static(&[7; 32]),
            session_timeout: Duration::from_mins(10),
            items_per_subscription: 1_000,
            layout_hash: 0x0123_4567_89ab_cdef,
            subscriptions: vec![SubscriptionState {
                subscription_index: 3,
                subscription_id: Some(77),
                birth: 9,
                publishing_interval: Duration::from_secs(1),
                max_keep_alive_count: 5,
                last_sequence_number: Some(u32::MAX),
                complete_until: UtcTime::from_ticks(-5),
                gap_from: Some(UtcTime::from_ticks(-6)),
                rejected: vec![(12, StatusCode::BAD_NODE_ID_UNKNOWN)],
            }],
        }
    }

    #[test]
    fn a_state_reads_back_as_it_was_saved() {
        assert_eq!(SessionState::from_bytes(&state().to_bytes()), Ok(state()));
    }

    #[test]
    fn every_damage_is_found() {
        let bytes = state().to_bytes();
        for length in 0..bytes.len() {
            assert!(SessionState::from_bytes(&bytes[..length]).is_err(), "length {length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(SessionState::from_bytes(&damaged).is_err(), "bit {bit}");
        }
    }
}
