//! The scenarios, by name: what peers are measured with, and what tries the limits.

use anyhow::bail;

use crate::generator::guests::{Crowd, Drips, Garbage, Guests, Nobody, Stalled, Storm};
use crate::generator::packet::{QoS, Version};
use crate::generator::plan::{LoadPlan, Pace, Shape};

/// What a scenario is about, and so which of its figures counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Messages a second where the broker's core is busy, else CPU per message.
    Throughput,
    /// CPU at a given rate.
    Paced,
    /// Memory of connections that say nothing, and CPU of making them.
    Idle,
    /// Latency of 50 live clients with a disturbance beside them and without.
    Disturbance,
}

/// Who is there beside the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GuestList {
    /// Nobody.
    Nobody,
    /// So many idle connections, with so many Topic Filters each.
    Crowd(u32, u32),
    /// One subscriber that stops reading.
    Stalled,
    /// So many clients a second that come and leave.
    Storm(u32),
    /// So many connections a second that send garbage.
    Garbage(u32),
    /// So many clients that send a byte a second each.
    Drips(u32),
}

impl GuestList {
    /// Has them come. `seed` draws what is drawn.
    pub(crate) fn invite(self, version: Version, seed: u64) -> Box<dyn Guests> {
        match self {
            Self::Nobody => Box::new(Nobody),
            Self::Crowd(count, filters_each) => Box::new(Crowd::new(version, count, filters_each)),
            Self::Stalled => Box::new(Stalled::new(version)),
            Self::Storm(rate) => Box::new(Storm::new(version, rate)),
            Self::Garbage(rate) => Box::new(Garbage::new(version, rate, seed)),
            Self::Drips(count) => Box::new(Drips::new(version, count)),
        }
    }
}

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scenario {
    /// As it is asked for and reported.
    pub(crate) name: &'static str,
    /// In words.
    pub(crate) title: &'static str,
    /// Which figure counts.
    pub(crate) measure: Measure,
    /// The traffic.
    pub(crate) load: LoadPlan,
    /// Who is there beside it.
    pub(crate) guests: GuestList,
}

/// Publishers of a fan-in.
const FAN_IN: Shape = Shape::FanIn { publishers: 10 };
/// Subscribers of a fan-out.
const FAN_OUT: Shape = Shape::FanOut { subscribers: 100 };
/// The live clients of a disturbance: 50 subscribers, each with a publisher.
const LIVE: Shape = Shape::Pairs { pairs: 50 };

const fn flood(shape: Shape, qos: QoS, payload_bytes: usize, window: u16, outstanding_max: u64) -> LoadPlan {
    LoadPlan { shape, qos, payload_bytes, pace: Pace::Unlimited, window, outstanding_max }
}

const fn paced(shape: Shape, qos: QoS, payload_bytes: usize, rate_per_s: u32) -> LoadPlan {
    LoadPlan { shape, qos, payload_bytes, pace: Pace::PerSecond(rate_per_s), window: 250, outstanding_max: u64::MAX }
}

const fn peers(name: &'static str, title: &'static str, measure: Measure, load: LoadPlan) -> Scenario {
    Scenario { name, title, measure, load, guests: GuestList::Nobody }
}

const fn idle(name: &'static str, title: &'static str, count: u32) -> Scenario {
    let load = paced(Shape::Nobody, QoS::AtMostOnce, 20, 1);
    Scenario { name, title, measure: Measure::Idle, load, guests: GuestList::Crowd(count, 0) }
}

const fn disturbed(name: &'static str, title: &'static str, payload_bytes: usize, guests: GuestList) -> Scenario {
    let load = paced(LIVE, QoS::AtLeastOnce, payload_bytes, 5_000);
    Scenario { name, title, measure: Measure::Disturbance, load, guests }
}

const ONE_PAIR: Shape = Shape::Pairs { pairs: 1 };
const SIXTEEN_PAIRS: Shape = Shape::Pairs { pairs: 16 };
const TWO_CLIENTS: Shape = Shape::FanIn { publishers: 2 };
const ASSETS: Shape = Shape::FanIn { publishers: 125 };

/// What peers are measured with.
pub(crate) const PEERS: [Scenario; 12] = [
    peers("fan-in-qos0-20", "fan-in QoS 0, 20 B", Measure::Throughput, flood(FAN_IN, QoS::AtMostOnce, 20, 1, 8_192)),
    peers("fan-in-qos0-200", "fan-in QoS 0, 200 B", Measure::Throughput, flood(FAN_IN, QoS::AtMostOnce, 200, 1, 8_192)),
    peers(
        "fan-in-qos1-200",
        "fan-in QoS 1, 200 B",
        Measure::Throughput,
        flood(FAN_IN, QoS::AtLeastOnce, 200, 200, 8_192),
    ),
    peers("pair-qos1", "1:1 QoS 1, window 64", Measure::Throughput, flood(ONE_PAIR, QoS::AtLeastOnce, 200, 64, 8_192)),
    peers(
        "pairs16-qos1",
        "1:1 QoS 1, 16 pairs",
        Measure::Throughput,
        flood(SIXTEEN_PAIRS, QoS::AtLeastOnce, 200, 64, 8_192),
    ),
    peers("fan-out-qos0", "fan-out 1:100 QoS 0", Measure::Throughput, flood(FAN_OUT, QoS::AtMostOnce, 200, 1, 25_600)),
    peers(
        "fan-out-qos1",
        "fan-out 1:100 QoS 1",
        Measure::Throughput,
        flood(FAN_OUT, QoS::AtLeastOnce, 200, 200, 25_600),
    ),
    peers("paced-qos1", "2 x 10,000/s QoS 1, 180 B", Measure::Paced, paced(TWO_CLIENTS, QoS::AtLeastOnce, 180, 20_000)),
    peers("paced-qos0", "2 x 10,000/s QoS 0, 180 B", Measure::Paced, paced(TWO_CLIENTS, QoS::AtMostOnce, 180, 20_000)),
    peers("trickle-qos1", "125 x 1/s QoS 1, 4 KB", Measure::Paced, paced(ASSETS, QoS::AtLeastOnce, 4_096, 125)),
    idle("idle-1000", "1,000 idle connections", 1_000),
    idle("idle-5000", "5,000 idle connections", 5_000),
];

/// What tries the limits, beside 50 live clients.
pub(crate) const LIMITS: [Scenario; 6] = [
    disturbed("connections-10000", "10,000 connections", 200, GuestList::Crowd(10_000, 0)),
    disturbed("subscriptions-1000000", "1,000,000 subscriptions", 200, GuestList::Crowd(1_000, 1_000)),
    // Large messages, so that the kernel's buffers are full within a second.
    disturbed("stalled-subscriber", "a stalled subscriber", 1_000, GuestList::Stalled),
    disturbed("connect-storm", "2,000 connects/s", 200, GuestList::Storm(2_000)),
    disturbed("garbage", "garbage, 100 connections/s", 200, GuestList::Garbage(100)),
    disturbed("slow-sender", "100 clients at 1 B/s", 200, GuestList::Drips(100)),
];

/// The scenarios that `names` ask for: each a scenario's name, or `peers`, `limits` or `all`. No name asks for `peers`.
///
/// # Errors
/// If nobody has that name.
pub(crate) fn select(names: &[String]) -> anyhow::Result<Vec<Scenario>> {
    let mut selected: Vec<Scenario> = Vec::new();
    let default = ["peers".to_owned()];
    for name in if names.is_empty() { &default } else { names } {
        let of_name: Vec<Scenario> = match name.as_str() {
            "peers" => PEERS.to_vec(),
            "limits" => LIMITS.to_vec(),
            "all" => PEERS.into_iter().chain(LIMITS).collect(),
            name => PEERS.into_iter().chain(LIMITS).filter(|scenario| scenario.name == name).collect(),
        };
        if of_name.is_empty() {
            let known: Vec<&str> = PEERS.iter().chain(&LIMITS).map(|scenario| scenario.name).collect();
            bail!("there is no scenario {name}: name peers, limits, all, or one of {}", known.join(", "));
        }
        for scenario in of_name {
            if !selected.contains(&scenario) {
                selected.push(scenario);
            }
        }
    }
    Ok(selected)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn names(selected: &[Scenario]) -> Vec<&str> {
        selected.iter().map(|scenario| scenario.name).collect()
    }

    #[test]
    fn names_are_unique_and_groups_hold_them() {
        let all = select(&["all".to_owned()]).unwrap();
        assert_eq!(all.len(), PEERS.len() + LIMITS.len());
        assert_eq!(names(&all).into_iter().collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(select(&[]).unwrap(), PEERS);
        let twice = ["garbage".to_owned(), "idle-1000".to_owned(), "limits".to_owned()];
        assert_eq!(names(&select(&twice).unwrap())[..3], ["garbage", "idle-1000", "connections-10000"]);
        assert_eq!(select(&twice).unwrap().len(), 1 + LIMITS.len());
    }

    #[test]
    fn an_unknown_name_is_told_with_the_known_ones() {
        let error = select(&["fan-in".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("fan-in:") && error.contains("fan-in-qos0-20"), "{error}");
    }

    #[test]
    fn what_is_on_its_way_fits_a_queue_of_ten_thousand() {
        for scenario in PEERS.iter().filter(|scenario| scenario.measure == Measure::Throughput) {
            let LoadPlan { outstanding_max, .. } = scenario.load;
            assert!(outstanding_max / scenario.load.copies() < 10_000, "{}", scenario.name);
        }
    }
}
