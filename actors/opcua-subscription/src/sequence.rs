//! Sequence numbers of NotificationMessages: 1 follows the largest one, 0 is never used (Part 4 §7.26, §5.14.1.1).

/// The number after `number`.
pub(crate) const fn after(number: u32) -> u32 {
    if number == u32::MAX { 1 } else { number + 1 }
}

/// The number before `number`; that of 1, and of 0, is the largest.
pub(crate) const fn before(number: u32) -> u32 {
    if number <= 1 { u32::MAX } else { number - 1 }
}

/// How many steps lead from `from` to `to`; a long way ahead means that `to` is the older one.
pub(crate) const fn distance(from: u32, to: u32) -> u32 {
    if to >= from { to - from } else { (u32::MAX - from) + to }
}

/// Whether `number` comes after `reference`, by the shorter way round.
pub(crate) const fn is_after(number: u32, reference: u32) -> bool {
    let steps = distance(reference, number);
    steps != 0 && steps <= u32::MAX / 2
}

/// Sorts numbers that lie near `reference` from the oldest to the newest.
pub(crate) fn sort_from_oldest(numbers: &mut [u32], reference: u32) {
    numbers.sort_unstable_by_key(|number| {
        if is_after(*number, reference) {
            i64::from(distance(reference, *number))
        } else {
            -i64::from(distance(*number, reference))
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_follows_the_largest() {
        assert_eq!((after(u32::MAX), after(7), before(1), before(8)), (1, 8, u32::MAX, 7));
        assert_eq!((distance(u32::MAX, 1), distance(u32::MAX - 1, 2), distance(5, 9)), (1, 3, 4));
        assert!(is_after(1, u32::MAX) && !is_after(u32::MAX, 1) && !is_after(5, 5));
    }

    #[test]
    fn numbers_around_the_turn_sort_by_age() {
        let mut numbers = [2, u32::MAX, 1, u32::MAX - 1];
        sort_from_oldest(&mut numbers, 1);
        assert_eq!(numbers, [u32::MAX - 1, u32::MAX, 1, 2]);
    }
}
