//! Whose timeout is next.

use std::collections::{BTreeMap, BTreeSet};

use contract::Instant;

use crate::Address;

/// The timeouts of a host's actors; at most one for each.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    by_time: BTreeSet<(Instant, Address)>,
    by_address: BTreeMap<Address, Instant>,
}

impl Alarms {
    /// Sets, moves or ends the alarm of `address`.
    pub(crate) fn set(&mut self, address: Address, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.by_address.insert(address, at),
            None => self.by_address.remove(&address),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, address));
        }
        if let Some(at) = at {
            self.by_time.insert((at, address));
        }
    }

    /// The next alarm.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the first actor whose alarm is due at `now`. It has no alarm until it is set again.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Address> {
        let &(at, address) = self.by_time.first().filter(|(at, _)| *at <= now)?;
        self.by_time.remove(&(at, address));
        self.by_address.remove(&address);
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use contract::PartitionIndex;

    use super::*;

    #[test]
    fn an_alarm_rings_once_and_in_order() {
        let [first, second] = [0, 1].map(|index| Address::Partition(PartitionIndex(index)));
        let mut alarms = Alarms::default();
        alarms.set(first, Some(Instant::from_millis(20)));
        alarms.set(second, Some(Instant::from_millis(10)));
        alarms.set(first, Some(Instant::from_millis(30)));
        assert_eq!(alarms.next(), Some(Instant::from_millis(10)));
        let now = Instant::from_millis(25);
        assert_eq!((alarms.take_due(now), alarms.take_due(now)), (Some(second), None));
        alarms.set(first, None);
        assert_eq!(alarms.next(), None);
    }
}
