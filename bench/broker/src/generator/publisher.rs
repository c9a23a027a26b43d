//! One publishing client.

use super::acknowledgements::{Acknowledgements, identifier};
use super::engine::Engine;
use super::packet::{PublishTemplate, QoS, Version};
use super::plan::LoadPlan;

/// A publisher: its messages are numbered from 0.
#[derive(Debug)]
pub(crate) struct Publisher {
    token: usize,
    template: PublishTemplate,
    published: u64,
    window: u16,
    /// `None` for QoS 0.
    acknowledgements: Option<Acknowledgements>,
}

impl Publisher {
    /// The `publisher`-th one of a plan, on the connection `token`.
    pub(crate) fn new(token: usize, version: Version, plan: &LoadPlan, publisher: u32) -> Self {
        let topic = LoadPlan::topic(publisher);
        Self {
            token,
            template: PublishTemplate::new(version, &topic, plan.qos, plan.payload_bytes, publisher),
            published: 0,
            window: plan.window,
            acknowledgements: (plan.qos == QoS::AtLeastOnce).then(Acknowledgements::new),
        }
    }

    /// Its connection.
    pub(crate) fn token(&self) -> usize {
        self.token
    }

    /// Messages published so far.
    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    /// Keeps the broker's Receive Maximum (MQTT 5.0 §3.2.2.3.2).
    pub(crate) fn limit_window(&mut self, receive_maximum: u16) {
        self.window = self.window.min(receive_maximum);
    }

    /// Publishes up to `count_max` messages in one write, as far as the window lets it and `room_bytes` hold them; each
    /// carries `time_ns`. Gives how many.
    pub(crate) fn publish_many(&mut self, engine: &mut Engine, count_max: u64, room_bytes: usize, time_ns: u64) -> u64 {
        let count = count_max.min((room_bytes / self.template.size_bytes()) as u64);
        let before = self.published;
        if count == 0 || !self.is_free() {
            return 0;
        }
        let token = self.token;
        engine.send(token, |output| {
            while self.published < before + count && self.is_free() {
                if let Some(acknowledgements) = &mut self.acknowledgements {
                    acknowledgements.publish(self.published);
                }
                self.template.write(output, identifier(self.published), self.published, time_ns);
                self.published += 1;
            }
        });
        self.published - before
    }

    fn is_free(&self) -> bool {
        self.acknowledgements.as_ref().is_none_or(|waiting| waiting.is_free(self.published, self.window))
    }

    /// PUBACK came.
    pub(crate) fn acknowledge(&mut self, packet_identifier: u16, reason_code: u8) {
        if let Some(acknowledgements) = &mut self.acknowledgements {
            acknowledgements.acknowledge(packet_identifier, reason_code, self.published);
        }
    }

    /// Whether no PUBACK is awaited.
    pub(crate) fn has_all_acknowledged(&self) -> bool {
        self.acknowledgements.as_ref().is_none_or(|acknowledgements| acknowledgements.waiting_count() == 0)
    }

    /// Whether the broker acknowledged message `sequence`; of QoS 0 it acknowledges none.
    pub(crate) fn is_acknowledged(&self, sequence: u64) -> bool {
        let acknowledgements = self.acknowledgements.as_ref();
        acknowledgements.is_some_and(|acknowledgements| acknowledgements.is_acknowledged(sequence, self.published))
    }

    /// Messages that the broker refused.
    pub(crate) fn refused_count(&self) -> u64 {
        self.acknowledgements.as_ref().map_or(0, Acknowledgements::refused_count)
    }

    /// PUBACKs that nobody waited for.
    pub(crate) fn strays_count(&self) -> u64 {
        self.acknowledgements.as_ref().map_or(0, Acknowledgements::strays_count)
    }
}
