//! Where an effect goes: next to us, another core, a shell.

use std::collections::VecDeque;

use contract::{CoreIndex, Effects, PartitionIndex};

use crate::{Address, Envelope, Report, ShellRequest, Surroundings, Topology};

/// Takes what the actors of one core push, and brings it on its way.
pub(crate) struct Router<'a, S: ?Sized> {
    pub(crate) here: CoreIndex,
    pub(crate) topology: &'a Topology,
    pub(crate) inbox: &'a mut VecDeque<Envelope>,
    pub(crate) surroundings: &'a mut S,
}

impl<S: Surroundings + ?Sized> Router<'_, S> {
    /// To an actor, wherever it lives.
    pub(crate) fn send(&mut self, address: Address, envelope: Envelope) {
        let core = self.topology.core_of(address);
        self.send_to_core(core, envelope);
    }

    /// To the host of a core, or one of its actors.
    pub(crate) fn send_to_core(&mut self, core: CoreIndex, envelope: Envelope) {
        let Some(envelope) = self.surroundings.pass(envelope) else { return };
        if core == self.here {
            self.inbox.push_back(envelope);
        } else {
            self.surroundings.send(core, envelope);
        }
    }

    /// To one partition.
    pub(crate) fn send_to_partition(&mut self, partition: PartitionIndex, message: broker_partition::Message) {
        self.send(Address::Partition(partition), Envelope::Partition(partition, message));
    }

    /// To every partition: what `message` makes for each.
    pub(crate) fn send_to_partitions(&mut self, mut message: impl FnMut() -> broker_partition::Message) {
        for partition in self.topology.partition_indexes() {
            self.send_to_partition(partition, message());
        }
    }

    pub(crate) fn request(&mut self, request: ShellRequest) {
        self.surroundings.request(request);
    }

    pub(crate) fn report(&mut self, address: Address, report: Report) {
        self.surroundings.request(ShellRequest::Report(address, report));
    }

    /// Hands the latencies of a step over.
    pub(crate) fn observe<E>(&mut self, effects: &mut Effects<E>) {
        for observation in effects.drain_observations() {
            self.surroundings.observe(observation);
        }
    }
}

/// What a host must know of an actor's step, beside where its effects went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aftermath {
    /// It goes on.
    Lives,
    /// It has said its last word.
    Stopped,
}
