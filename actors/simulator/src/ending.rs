//! The end of a run: everybody gets well, everything drains or stops, and is judged.

use std::time::Duration;

use contract::{Instant, UtcTime};
use opcua_subscription::{AcknowledgeAt, SessionState};
use wiring::{Report, StopStage};

use crate::build::FLOW_FILTERS;
use crate::client::{Client, Role};
use crate::happening::Event;
use crate::invariants::Drops;
use crate::judge::Plant;
use crate::judge_sessions::Evidence;
use crate::plc::TagName;
use crate::{Simulator, invariants, judge};

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The plant and the publishers rest, and everything drains.
    Drain,
    /// The same, and then the process stops.
    DrainAndStop,
    /// The process stops while the plant and the publishers go on.
    Stop,
}

/// Longest time in which everything gets well, drains or stops, of virtual time.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often it is looked whether everything is well, drained or stopped.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// A quiet time after draining, for what would come too much.
const QUIET: Duration = Duration::from_millis(200);

impl Simulator {
    /// No more faults; everything drains, or the process stops in order.
    pub(crate) fn heal_and_drain(&mut self) -> Result<(), String> {
        let ending = [Ending::Drain, Ending::DrainAndStop, Ending::Stop][self.dice.index(3)];
        self.heal();
        let made: Vec<(TagName, u64)> = self.newest_values().collect();
        // Every tag comes again at every hub.
        let is_well = |simulator: &Self| made.iter().all(|(tag, number)| simulator.came_to_all_hubs(tag, number + 1));
        self.step_until(is_well, |simulator| format!("not well again: {}", simulator.undrained()))?;
        if ending != Ending::Stop {
            for plc in &mut self.plcs {
                plc.is_at_rest = true;
            }
            for client in &mut self.clients {
                client.is_at_rest = true;
            }
            self.step_until(Self::is_drained, |simulator| format!("not drained: {}", simulator.undrained()))?;
            let quiet_until = self.now + QUIET;
            while self.now < quiet_until && self.step().is_ok() {}
            if !self.is_drained() {
                return Err(format!("something came after everything had drained: {}", self.undrained()));
            }
        }
        // A stop ends sessions, with their accounts.
        self.drops = Drops::of(self.cores.iter().map(|core| &core.host));
        if ending == Ending::Drain { Ok(()) } else { self.stop(ending == Ending::Stop) }
    }

    fn stop(&mut self, is_cut_off: bool) -> Result<(), String> {
        self.is_stopping = true;
        self.is_cut_off = is_cut_off;
        for client in &mut self.clients {
            // Its last DISCONNECT may be on the way still.
            client.wills.doubt(1);
        }
        for core in &mut self.cores {
            core.host.stop();
            core.next_at = Some(self.now);
        }
        let is_stopped = |simulator: &Self| simulator.cores.iter().all(|core| core.host.stage() == StopStage::Done);
        let stages = |simulator: &Self| {
            let stages: Vec<StopStage> = simulator.cores.iter().map(|core| core.host.stage()).collect();
            format!("not stopped: {stages:?}, {}", simulator.undrained())
        };
        self.step_until(is_stopped, stages)?;
        if self.hubs.iter().any(|hub| !hub.is_closed) {
            return Err("a lane was not closed".to_owned());
        }
        if self.cores.iter().any(|core| core.host.connection_counts().live > 0) {
            return Err("a connection outlived the stop".to_owned());
        }
        Ok(())
    }

    fn step_until(
        &mut self,
        is_so: impl Fn(&Self) -> bool,
        what_is_wrong: impl Fn(&Self) -> String,
    ) -> Result<(), String> {
        let end = self.now + PATIENCE;
        while !is_so(self) {
            if self.now > end {
                return Err(what_is_wrong(self));
            }
            let look_at = self.now + LOOK_INTERVAL;
            while self.now < look_at {
                self.step()?;
            }
        }
        Ok(())
    }

    fn heal(&mut self) {
        self.is_healing = true;
        for hub in &mut self.hubs {
            hub.away_until = Instant::ZERO;
            hub.fault_one_in = 0;
        }
        for plc in &mut self.plcs {
            plc.is_up = true;
            plc.loses_answers_until = Instant::ZERO;
        }
        for log in self.logs.values_mut() {
            log.late_until = Instant::ZERO;
            log.full_until = Instant::ZERO;
        }
        for core in &mut self.cores {
            core.slow_until = Instant::ZERO;
        }
        self.panics = None;
        for client in 0..self.clients.len() {
            self.clients[client].stalled_until = Instant::ZERO;
            self.clients[client].away_until = Instant::ZERO;
            self.clients[client].cut = None;
            self.calendar.enter(self.now, Event::Dial(client));
        }
    }

    /// The newest value of each tag.
    fn newest_values(&self) -> impl Iterator<Item = (TagName, u64)> + '_ {
        let tags = self.plcs.iter().flat_map(|plc| &plc.made);
        tags.filter_map(|(tag, made)| Some((tag.clone(), made.last()?.number)))
    }

    /// Whether a value of this tag that is no older came to every hub, or was too large for it.
    fn came_to_all_hubs(&self, tag: &TagName, number: u64) -> bool {
        self.hubs.iter().all(|hub| {
            let newest = hub.values.get(tag).and_then(|values| values.last()).map(|(_, number)| *number);
            newest >= Some(number) || hub.too_large.contains(&(tag.clone(), number))
        })
    }

    fn is_drained(&self) -> bool {
        self.clients.iter().all(Client::is_done)
            && self.clients.iter().all(|client| client.wills.settled_at < self.now)
            && self.cores.iter().all(|core| invariants::is_drained(&core.host))
            && self.newest_values().all(|(tag, number)| self.came_to_all_hubs(&tag, number))
    }

    fn undrained(&self) -> String {
        let clients = self.clients.iter().filter(|client| !client.is_done()).map(|client| client.identifier.clone());
        let cores = self.cores.iter().flat_map(|core| invariants::undrained(&core.host));
        let late = self.newest_values().filter(|(tag, number)| !self.came_to_all_hubs(tag, *number));
        let late = late.map(|((asset, tag), number)| {
            let came =
                self.hubs.iter().map(|hub| hub.values.get(&(asset.clone(), tag.clone()))?.last().map(|last| last.1));
            format!("{asset}.{tag} {number} came {:?}", came.collect::<Vec<_>>())
        });
        let wills = self.clients.iter().map(|client| client.wills.settled_at).filter(|at| *at >= self.now);
        let wills = wills.map(|at| format!("a Will until {at:?}"));
        clients.chain(cores).chain(late).chain(wills).collect::<Vec<_>>().join(", ")
    }

    /// Judges what came of what went in.
    pub(crate) fn judge(&mut self) -> Result<(), String> {
        let reports: Vec<&opcua_subscription::Report> = self
            .reports
            .iter()
            .filter_map(|(_, report)| match report {
                Report::OpcUa(report) => Some(report),
                Report::Connection(_) | Report::Partition(_) | Report::Batcher(_) => None,
            })
            .collect();
        self.outcome.publications = self.hubs[0].stored.len() as u64;
        for (hub, filters) in self.hubs.iter().zip(FLOW_FILTERS) {
            if let Some(wrong) = &hub.wrong {
                return Err(wrong.clone());
            }
            judge::judge_messages(filters, &hub.stored, &self.clients, &self.acceptance.refused)?;
            for (plc, saved) in self.plcs.iter().zip(&self.saved) {
                let excused_until = plc.killed_at.filter(|_| plc.acknowledge == AcknowledgeAt::Accepted);
                let plant = Plant {
                    made: &plc.made,
                    was_restarted: plc.was_restarted,
                    excused_until,
                    is_cut_off: self.is_cut_off,
                    gap_from: gap_from(saved.as_ref()),
                };
                self.outcome.values_lost_and_named += judge::judge_values(hub, &plant, &reports)?;
            }
        }
        self.judge_sessions()
    }

    fn judge_sessions(&mut self) -> Result<(), String> {
        let came = &self.hubs[0].wills;
        self.outcome.wills = came.len() as u64;
        let dialed = self.clients.iter().flat_map(|client| &client.dialed);
        self.outcome.resumptions = dialed.filter(|dialed| dialed.is_resumed).count() as u64;
        let evidence = Evidence {
            clients: &self.clients,
            refused: &self.acceptance.refused,
            stored_at: &self.hubs[0].stored_at,
            parked_at: &self.sessions.parked_at,
            is_cut_off: self.is_cut_off,
        };
        for client in &self.clients {
            let session = client.dialed.last().and_then(|dialed| self.sessions.sessions.get(&dialed.address));
            evidence.judge_subscriber(client, session.map_or(0, |session| self.drops.of_session(*session)))?;
        }
        let is_member = |client: &&Client| matches!(client.role, Role::Subscriber { share_name: Some(_), .. });
        let members: Vec<&Client> = self.clients.iter().filter(is_member).collect();
        evidence.judge_group(&members, self.drops.at_queues())?;
        evidence.judge_wills(came, self.drops.at_memory_limits)
    }
}

/// The beginning of the earliest gap that a Session has saved.
fn gap_from(saved: Option<&Vec<u8>>) -> Option<UtcTime> {
    let state = SessionState::from_bytes(saved?).expect("what was saved is read");
    state.subscriptions.iter().filter_map(|subscription| subscription.gap_from).min()
}
