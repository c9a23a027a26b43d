//! The last value of each tag whose DataSet sends key frames, as the wire's bytes, within a limit for all of them.

use crate::{Layout, StatusCode};

/// Bytes of a Variant that are held without an allocation: every number, and a String of 19 characters.
const INLINE_BYTES: usize = 24;

/// A value that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldValue<'h> {
    pub(crate) variant: &'h [u8],
    pub(crate) status: StatusCode,
    pub(crate) source_ticks: i64,
}

#[derive(Debug, Default)]
struct Place {
    source_ticks: i64,
    status: StatusCode,
    is_held: bool,
    inline_bytes: u8,
    inline: [u8; INLINE_BYTES],
    /// Of a longer value.
    long: Option<Box<[u8]>>,
}

/// Last values, by slot.
#[derive(Debug)]
pub(crate) struct HeldValues {
    /// By slot; the number of its place, or `None` where the DataSet sends no key frames. Empty where none does.
    place_of_slot: Vec<Option<u32>>,
    places: Vec<Place>,
    long_bytes: usize,
    long_bytes_max: usize,
    left_out_count: u64,
}

impl HeldValues {
    pub(crate) fn new(layout: &Layout, long_bytes_max: usize) -> Self {
        let mut places_count = 0;
        let mut place = |point: &crate::layout::PointPlan| {
            let sends_key_frames = layout.writers[point.writer_index as usize].key_frame_count > 0;
            sends_key_frames.then(|| {
                places_count += 1;
                places_count - 1
            })
        };
        let mut place_of_slot: Vec<Option<u32>> = layout.points.iter().map(&mut place).collect();
        if places_count == 0 {
            place_of_slot = Vec::new();
        }
        let places = (0..places_count).map(|_| Place::default()).collect();
        Self { place_of_slot, places, long_bytes: 0, long_bytes_max, left_out_count: 0 }
    }

    /// Holds a slot's newest value in place of the one before. A long value that finds no room is not held, and counted:
    /// key frames leave the tag out until it is short again.
    #[inline]
    pub(crate) fn hold(&mut self, slot_index: u32, value: HeldValue<'_>) {
        if let Some(Some(place)) = self.place_of_slot.get(slot_index as usize).copied() {
            self.hold_at(place, value);
        }
    }

    fn hold_at(&mut self, place: u32, value: HeldValue<'_>) {
        let place = &mut self.places[place as usize];
        place.source_ticks = value.source_ticks;
        place.status = value.status;
        place.is_held = true;
        if let Some(inline_bytes) = u8::try_from(value.variant.len()).ok().filter(|n| usize::from(*n) <= INLINE_BYTES) {
            self.long_bytes -= place.long.take().map_or(0, |long| long.len());
            place.inline[..value.variant.len()].copy_from_slice(value.variant);
            place.inline_bytes = inline_bytes;
            return;
        }
        if let Some(long) = place.long.as_mut().filter(|long| long.len() == value.variant.len()) {
            long.copy_from_slice(value.variant);
            return;
        }
        self.long_bytes -= place.long.take().map_or(0, |long| long.len());
        if self.long_bytes + value.variant.len() > self.long_bytes_max {
            place.is_held = false;
            self.left_out_count += 1;
            return;
        }
        self.long_bytes += value.variant.len();
        place.long = Some(value.variant.into());
    }

    /// The value that is held of a slot.
    pub(crate) fn get(&self, slot_index: u32) -> Option<HeldValue<'_>> {
        let place = &self.places[(*self.place_of_slot.get(slot_index as usize)?)? as usize];
        let variant = match &place.long {
            Some(long) => long,
            None => &place.inline[..usize::from(place.inline_bytes)],
        };
        place.is_held.then_some(HeldValue { variant, status: place.status, source_ticks: place.source_ticks })
    }

    /// Values that found no room, since the start.
    pub(crate) fn left_out_count(&self) -> u64 {
        self.left_out_count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::tests::layout_with_key_frames;

    fn value(variant: &[u8]) -> HeldValue<'_> {
        HeldValue { variant, status: StatusCode::GOOD, source_ticks: 7 }
    }

    #[test]
    fn the_newest_value_is_held_short_or_long() {
        let mut held = HeldValues::new(&layout_with_key_frames(2), 200);
        assert_eq!(held.get(0), None);
        for length in [0_u8, 1, 24, 25, 100, 100, 3] {
            let variant = vec![length; usize::from(length)];
            held.hold(0, value(&variant));
            assert_eq!(held.get(0), Some(value(&variant)));
        }
        assert_eq!(held.long_bytes, 0);
    }

    #[test]
    fn long_values_beyond_the_limit_are_left_out_and_counted() {
        let mut held = HeldValues::new(&layout_with_key_frames(2), 50);
        held.hold(0, value(&[1; 40]));
        held.hold(1, value(&[2; 40]));
        assert_eq!((held.get(0).is_some(), held.get(1), held.left_out_count()), (true, None, 1));
        held.hold(0, value(&[1; 4]));
        held.hold(1, value(&[2; 40]));
        assert!(held.get(1).is_some());
    }

    #[test]
    fn without_key_frames_nothing_is_held() {
        let mut held = HeldValues::new(&layout_with_key_frames(0), 50);
        held.hold(0, value(&[1]));
        assert_eq!((held.get(0), held.place_of_slot.len()), (None, 0));
    }
}
