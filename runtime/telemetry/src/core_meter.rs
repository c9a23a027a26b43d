//! What one core's loop measures while it runs its actors.

use std::collections::VecDeque;
use std::time::Duration;

use contract::{Observation, Publication};
use serde::{Deserialize, Serialize};

use crate::HopHistograms;

/// The kinds of actors that a core runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActorKind {
    /// One OPC UA Session.
    OpcUaSubscription,
    /// All MQTT connections of a core together.
    MqttConnection,
    /// One broker partition.
    BrokerPartition,
    /// One dataflow.
    Dataflow,
    /// One destination of a flow.
    EgressBatcher,
}

impl ActorKind {
    /// All kinds, in the order in which data flows.
    pub const ALL: [Self; 5] =
        [Self::OpcUaSubscription, Self::MqttConnection, Self::BrokerPartition, Self::Dataflow, Self::EgressBatcher];

    /// The name that profiles and reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpcUaSubscription => "opcua-subscription",
            Self::MqttConnection => "mqtt-connection",
            Self::BrokerPartition => "broker-partition",
            Self::Dataflow => "dataflow",
            Self::EgressBatcher => "egress-batcher",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::OpcUaSubscription => 0,
            Self::MqttConnection => 1,
            Self::BrokerPartition => 2,
            Self::Dataflow => 3,
            Self::EgressBatcher => 4,
        }
    }
}

/// How much the actors of one kind used of a core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActorUse {
    /// Messages handled, timeouts included.
    pub messages: u64,
    /// Time spent in them.
    pub busy: Duration,
}

/// A message as the live view shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentMessage {
    /// The Topic Name.
    pub topic_name: String,
    /// The first [`RecentMessage::TEXT_BYTES_MAX`] bytes of the payload; bytes that are no UTF-8 are replaced.
    pub text: String,
    /// Bytes of the whole payload.
    pub payload_bytes: usize,
}

impl RecentMessage {
    /// Bytes of payload that are shown.
    pub const TEXT_BYTES_MAX: usize = 160;

    fn of(publication: &Publication) -> Self {
        let payload = publication.payload();
        let shown = &payload[..payload.len().min(Self::TEXT_BYTES_MAX)];
        Self {
            topic_name: publication.topic_name_str().to_owned(),
            text: String::from_utf8_lossy(shown).into_owned(),
            payload_bytes: payload.len(),
        }
    }
}

/// The measurements of one core: time by kind of actor, latencies by hop, the last few messages.
#[derive(Debug, Default)]
pub struct CoreMeter {
    uses: [ActorUse; ActorKind::ALL.len()],
    histograms: HopHistograms,
    recent: VecDeque<Publication>,
    longest_of_turn: Option<(ActorKind, Duration)>,
}

impl CoreMeter {
    /// Messages that are remembered for the live view; older ones are forgotten.
    pub const RECENT_COUNT_MAX: usize = 8;

    /// Charges `busy` for `messages` messages to `kind`.
    pub fn charge(&mut self, kind: ActorKind, messages: u64, busy: Duration) {
        let charged = &mut self.uses[kind.index()];
        charged.messages += messages;
        charged.busy += busy;
        if self.longest_of_turn.is_none_or(|(_, longest)| busy > longest) {
            self.longest_of_turn = Some((kind, busy));
        }
    }

    /// The kind that ran longest since the last call; a stall is put down to it.
    pub fn take_longest(&mut self) -> Option<(ActorKind, Duration)> {
        self.longest_of_turn.take()
    }

    /// Records a latency.
    pub fn observe(&mut self, observation: Observation) {
        self.histograms.record(observation);
    }

    /// Remembers a message for the live view, sharing its bytes.
    pub fn remember(&mut self, publication: &Publication) {
        if self.recent.len() == Self::RECENT_COUNT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(publication.clone());
    }

    /// What each kind of actor used, in the order of [`ActorKind::ALL`].
    pub fn uses(&self) -> impl Iterator<Item = (ActorKind, ActorUse)> + '_ {
        ActorKind::ALL.into_iter().zip(self.uses)
    }

    /// The latencies.
    pub fn histograms(&self) -> &HopHistograms {
        &self.histograms
    }

    /// The last few messages, oldest first.
    pub fn recent(&self) -> Vec<RecentMessage> {
        self.recent.iter().map(RecentMessage::of).collect()
    }
}

#[cfg(test)]
mod tests {
    use contract::{Instant, MESSAGE_EXPIRY_NEVER, PublicationArena, PublicationDraft, QoS, UtcTime};

    use super::*;

    fn publication(arena: &mut PublicationArena, payload: &[u8]) -> Publication {
        let draft = PublicationDraft {
            topic_name: "a",
            properties: &[],
            qos: QoS::AtMostOnce,
            retain: false,
            message_expiry_s: MESSAGE_EXPIRY_NEVER,
            received_at: Instant::ZERO,
            received_utc: UtcTime::default(),
        };
        let mut builder = arena.begin(&draft);
        builder.put(payload);
        builder.finish(0)
    }

    #[test]
    fn a_stall_is_put_down_to_whoever_ran_longest() {
        let mut meter = CoreMeter::default();
        meter.charge(ActorKind::Dataflow, 1, Duration::from_millis(1));
        meter.charge(ActorKind::BrokerPartition, 3, Duration::from_millis(12));
        meter.charge(ActorKind::EgressBatcher, 1, Duration::from_millis(2));
        assert_eq!(meter.take_longest(), Some((ActorKind::BrokerPartition, Duration::from_millis(12))));
        assert_eq!(meter.take_longest(), None);
        let partition = meter.uses().find(|(kind, _)| *kind == ActorKind::BrokerPartition).unwrap().1;
        assert_eq!(partition, ActorUse { messages: 3, busy: Duration::from_millis(12) });
    }

    #[test]
    fn only_the_last_messages_are_remembered_and_only_their_beginning_is_shown() {
        let mut meter = CoreMeter::default();
        let mut arena = PublicationArena::new(1_024);
        for number in 0..20_u8 {
            meter.remember(&publication(&mut arena, &[b'a' + number; 500]));
        }
        let recent = meter.recent();
        assert_eq!(recent.len(), CoreMeter::RECENT_COUNT_MAX);
        assert_eq!(recent[0].text, "m".repeat(RecentMessage::TEXT_BYTES_MAX));
        assert_eq!(recent[0].payload_bytes, 500);
    }
}
