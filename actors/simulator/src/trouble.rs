//! Faults, as they are caused.

use std::sync::Arc;

use access::AccessRules;
use contract::{Instant, PartitionIndex};
use wiring::ListenerIndex;

use crate::client::Role;
use crate::cut::Cut;
use crate::happening::Event;
use crate::{Fault, Simulator};

impl Simulator {
    pub(crate) fn fault(&mut self) {
        if self.is_healing {
            return;
        }
        let kind = Fault::ALL[self.dice.index(Fault::ALL.len())];
        if self.cause(kind) {
            self.outcome.faults.count(kind);
        }
        let at = self.after(30_000..250_000);
        self.calendar.enter(at, Event::Fault);
    }

    /// Has one client's connection break at a packet, as soon as it comes by.
    pub(crate) fn arm_cut(&mut self) {
        if self.is_healing {
            return;
        }
        let client = self.dice.index(self.clients.len());
        let cuts = Cut::all();
        self.clients[client].cut = Some(cuts[self.dice.index(cuts.len())]);
        let at = self.after(20_000..120_000);
        self.calendar.enter(at, Event::Cut);
    }

    /// Makes a fault; whether there was an occasion. Those of a batch are drawn by the hub and counted there.
    fn cause(&mut self, fault: Fault) -> bool {
        let plc = self.dice.index(self.plcs.len());
        let client = self.dice.index(self.clients.len());
        let partition = PartitionIndex(u16::try_from(self.dice.index(self.logs.len())).expect("small"));
        let core = self.dice.index(self.cores.len());
        let hub = self.dice.index(self.hubs.len());
        let a_while = self.after(50_000..800_000);
        match fault {
            Fault::OpcUaConnectionLost => {
                let is_connected = self.plcs[plc].is_connected();
                self.plcs[plc].drop_connection(self.now);
                self.enter_plc_events(plc);
                is_connected
            }
            Fault::OpcUaServerRestarted if self.plcs[plc].is_steady => false,
            Fault::OpcUaServerRestarted | Fault::OpcUaServerAway => {
                self.plcs[plc].drop_connection(self.now);
                if fault == Fault::OpcUaServerRestarted {
                    self.plcs[plc].restart();
                }
                self.plcs[plc].is_up = false;
                self.enter_plc_events(plc);
                self.calendar.enter(a_while, Event::PlcIsBack(plc));
                true
            }
            Fault::OpcUaServerSilent => {
                let is_connected = self.plcs[plc].is_connected();
                self.plcs[plc].is_silent = true;
                is_connected
            }
            Fault::OpcUaAnswersLost => {
                self.plcs[plc].loses_answers_until = a_while;
                true
            }
            Fault::ClientTakenOver
            | Fault::ClientVanished
            | Fault::ClientAway
            | Fault::ClientLeft
            | Fault::ClientStalled
            | Fault::ConnectionPanicked
            | Fault::MalformedBytes => self.cause_at_client(fault, client, a_while),
            Fault::ProcessKilled => {
                let is_time = self.life < 2 && self.dice.one_in(2);
                if is_time {
                    self.kill();
                }
                is_time
            }
            Fault::AccessChanged => {
                let listener = ListenerIndex(u16::try_from(self.dice.index(self.plan.listeners.len())).expect("small"));
                self.cores[core].host.change_access(listener, &Arc::new(AccessRules::allow_all()));
                self.cores[core].next_at = Some(self.now);
                true
            }
            Fault::HubAway => {
                self.hubs[hub].away_until = a_while;
                true
            }
            Fault::HubBusy
            | Fault::HubReleased
            | Fault::HubModified
            | Fault::HubOutcomeLost
            | Fault::HubConnectionLost => {
                self.hubs[hub].fault_one_in = self.dice.within(2..12);
                false
            }
            Fault::LogLate => {
                self.logs.get_mut(&partition).expect("drawn from them").late_until = a_while;
                true
            }
            Fault::LogFull => {
                self.logs.get_mut(&partition).expect("drawn from them").full_until = a_while;
                true
            }
            Fault::CoreSlow => {
                self.cores[core].slow_until = a_while;
                true
            }
        }
    }

    /// Makes a fault of a client or its socket; whether there was an occasion.
    fn cause_at_client(&mut self, fault: Fault, client: usize, a_while: Instant) -> bool {
        let Some(address) = self.clients[client].connection else { return false };
        if fault == Fault::ClientLeft {
            return self.leave(client);
        }
        if fault == Fault::ConnectionPanicked {
            // Counted when it does.
            self.panics = Some(address);
            return false;
        }
        if fault == Fault::ClientTakenOver {
            // A guest comes under another name, so that nothing would end its old connection.
            if self.clients[client].role == Role::Guest {
                return false;
            }
            self.lose(client, address, self.now, false);
            self.calendar.enter(self.now, Event::Dial(client));
        } else if fault == Fault::ClientStalled {
            self.clients[client].stalled_until = a_while;
        } else if fault == Fault::MalformedBytes {
            if let Some(socket) = self.sockets.get_mut(address) {
                socket.is_sullied = true;
            }
            self.write_to_server(address, &[0xff, 0xff, 0xff, 0xff, 0xff]);
        } else {
            if fault == Fault::ClientAway {
                self.clients[client].away_until = self.after(500_000..6_000_000);
            }
            self.close_at(address, self.now);
        }
        true
    }
}
