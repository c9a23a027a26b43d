//! Which records a batch settles.

use contract::{Credit, Event, Offset};

use crate::effect::Settlement;

/// The records behind `events`, by partition; each offset once, neighbours joined. About 100 ns an event.
pub(crate) fn settlements(events: &[Event]) -> Vec<Settlement> {
    let mut records: Vec<_> = events.iter().map(|event| (event.id, event.publication.size_bytes() as u64)).collect();
    records.sort_unstable();
    let mut settlements: Vec<Settlement> = Vec::new();
    for (id, bytes) in records {
        let belongs =
            |last: &&mut Settlement| (last.flow, last.partition, last.epoch) == (id.flow, id.partition, id.epoch);
        if let Some(last) = settlements.last_mut().filter(belongs) {
            last.released.count += 1;
            last.released.bytes += bytes;
            let range = last.offsets.last_mut().expect("a settlement starts with a range");
            if range.end == id.offset {
                range.end = id.offset.next();
            } else if range.end < id.offset {
                last.offsets.push(id.offset..id.offset.next());
            }
        } else {
            settlements.push(Settlement {
                flow: id.flow,
                partition: id.partition,
                epoch: id.epoch,
                offsets: vec![id.offset..Offset(id.offset.0 + 1)],
                released: Credit { count: 1, bytes },
            });
        }
    }
    settlements
}

#[cfg(test)]
mod tests {
    use contract::PartitionIndex;

    use super::*;
    use crate::testing::event;

    #[test]
    fn neighbours_are_joined_and_what_lies_between_is_not_settled() {
        let at = |partition, offset| event(partition, offset, "k");
        let settled = settlements(&[at(1, 5), at(0, 2), at(0, 1), at(0, 4), at(0, 2)]);
        assert_eq!(settled.len(), 2);
        assert_eq!(settled[0].partition, PartitionIndex(0));
        assert_eq!(settled[0].offsets, [Offset(1)..Offset(3), Offset(4)..Offset(5)]);
        assert_eq!(settled[0].released.count, 4, "a record that was sent twice spent credit twice");
        assert_eq!(settled[1].offsets, [Offset(5)..Offset(6)]);
        assert_eq!(settled[1].released.bytes, at(1, 5).publication.size_bytes() as u64);
    }
}
