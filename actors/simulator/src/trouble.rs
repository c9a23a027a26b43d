//! Faults, as they are caused.

use contract::PartitionIndex;

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
            Fault::ClientTakenOver => {
                let was_connected = self.clients[client].connection.is_some();
                if was_connected {
                    self.clients[client].lost();
                    self.calendar.enter(self.now, Event::Dial(client));
                }
                was_connected
            }
            Fault::ProcessKilled => {
                let is_time = self.life < 2 && self.dice.one_in(2);
                if is_time {
                    self.kill();
                }
                is_time
            }
            Fault::ClientVanished => match self.clients[client].connection {
                Some(address) => {
                    self.close_at(address, self.now);
                    true
                }
                None => false,
            },
            Fault::ClientStalled => {
                self.clients[client].stalled_until = a_while;
                true
            }
            Fault::MalformedBytes => match self.clients[client].connection {
                Some(address) => {
                    self.write_to_server(address, &[0xff, 0xff, 0xff, 0xff, 0xff]);
                    true
                }
                None => false,
            },
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
}
