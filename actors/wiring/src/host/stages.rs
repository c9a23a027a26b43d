//! A stop's stages on one core: who is told, and when the core has done its part.

use contract::{ConnectionAddress, CoreIndex};

use super::Host;
use crate::routing::Router;
use crate::{Address, Envelope, HostMessage, StopStage, Surroundings};

impl Host {
    pub(super) fn handle_host_message<S: Surroundings + ?Sized>(&mut self, message: HostMessage, surroundings: &mut S) {
        match message {
            HostMessage::BeginStage(stage) => {
                if self.coordinator.is_some() {
                    for core in (0..self.topology.cores_count).map(CoreIndex).filter(|core| *core != self.core) {
                        surroundings.send(core, Envelope::Host(HostMessage::BeginStage(stage)));
                    }
                }
                self.begin_stage(stage);
            }
            HostMessage::StageDone { core, stage } => {
                let next = self.coordinator.as_mut().and_then(|coordinator| coordinator.done(core, stage));
                if let Some(stage) = next {
                    self.inbox.push_back(Envelope::Host(HostMessage::BeginStage(stage)));
                }
            }
        }
    }

    fn begin_stage(&mut self, stage: StopStage) {
        self.stage = stage;
        self.stage_is_reported = false;
        self.stage_waits_for.clear();
        match stage {
            StopStage::Sources => {
                for source in self.sessions.keys().copied() {
                    self.stage_waits_for.insert(Address::OpcUa(source));
                    let message = opcua_subscription::Message::Stop { close_session: false };
                    self.inbox.push_back(Envelope::OpcUa(source, message));
                }
                for address in self.connections.addresses(self.core, None) {
                    self.stop_connection(address);
                }
            }
            StopStage::Partitions => {
                for partition in self.partitions.keys().copied() {
                    self.stage_waits_for.insert(Address::Partition(partition));
                    self.inbox.push_back(Envelope::Partition(partition, broker_partition::Message::Stop));
                }
            }
            StopStage::Flows => {
                for flow in self.flows.keys().copied() {
                    self.stage_waits_for.insert(Address::Flow(flow));
                    self.inbox.push_back(Envelope::Flow(flow, dataflow::Message::Stop));
                }
            }
            StopStage::Batchers => {
                for flow in self.batchers.keys().copied() {
                    self.stage_waits_for.insert(Address::Batcher(flow));
                    self.inbox.push_back(Envelope::Batcher(flow, egress_batcher::Message::Stop));
                }
            }
            StopStage::Running | StopStage::Done => {}
        }
    }

    pub(super) fn stop_connection(&mut self, address: ConnectionAddress) {
        self.stage_waits_for.insert(Address::Connection(address));
        self.inbox.push_back(Envelope::Connection(address, mqtt_connection::Message::Stop));
    }

    /// Tells core 0 when this core has done its part of the stage.
    pub(super) fn report_stage<S: Surroundings + ?Sized>(&mut self, surroundings: &mut S) {
        let is_stage = self.stage > StopStage::Running && self.stage < StopStage::Done;
        let waits =
            !self.stage_waits_for.is_empty() || (self.stage == StopStage::Sources && !self.connections.is_empty());
        if !is_stage || self.stage_is_reported || waits {
            return;
        }
        self.stage_is_reported = true;
        let message = HostMessage::StageDone { core: self.core, stage: self.stage };
        let mut router = Router { here: self.core, topology: &self.topology, inbox: &mut self.inbox, surroundings };
        router.send_to_core(CoreIndex(0), Envelope::Host(message));
    }
}
