//! A Session of the model server, its SecureChannel and its Publish requests.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use contract::Instant;

use super::ChannelId;
use crate::StatusCode;

/// A Publish request that waits for a notification.
#[derive(Debug)]
pub(super) struct QueuedPublish {
    pub(super) channel: ChannelId,
    pub(super) request_handle: u32,
    pub(super) results: Vec<StatusCode>,
}

#[derive(Debug)]
pub(super) struct ModelSession {
    pub(super) created_on: ChannelId,
    /// Where it is activated.
    pub(super) channel: Option<ChannelId>,
    pub(super) timeout: Duration,
    pub(super) heard_at: Instant,
    pub(super) publishes: VecDeque<QueuedPublish>,
    number: u32,
    activations_count: u32,
}

impl ModelSession {
    pub(super) fn new(channel: ChannelId, timeout: Duration, number: u32, now: Instant) -> Self {
        Self {
            created_on: channel,
            channel: None,
            timeout,
            heard_at: now,
            publishes: VecDeque::new(),
            number,
            activations_count: 0,
        }
    }

    /// Another one at each activation.
    pub(super) fn nonce(&self) -> Bytes {
        let mut nonce = [0; 32];
        nonce[..4].copy_from_slice(&self.number.to_be_bytes());
        nonce[4..8].copy_from_slice(&self.activations_count.to_be_bytes());
        Bytes::copy_from_slice(&nonce)
    }

    pub(super) fn activate(&mut self, channel: ChannelId, now: Instant) {
        if self.channel != Some(channel) {
            self.publishes.clear();
        }
        self.channel = Some(channel);
        self.heard_at = now;
        self.activations_count += 1;
    }

    pub(super) fn forget_channel(&mut self, channel: ChannelId) {
        self.publishes.retain(|publish| publish.channel != channel);
    }
}
