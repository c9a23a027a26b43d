//! Places that are used again: values with small numbers for names, without a search and without an allocation each.

/// Values by number. Freed numbers are given again, the last freed first.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    first_free: Option<u32>,
    count: usize,
}

#[derive(Debug)]
enum Place<T> {
    Taken(T),
    Free { next: Option<u32> },
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), first_free: None, count: 0 }
    }
}

impl<T> Slab<T> {
    /// Takes a value in; its number.
    ///
    /// # Panics
    /// At 4 billion values: what a shard holds is bounded far below.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.count += 1;
        if let Some(index) = self.first_free {
            let place = &mut self.places[index as usize];
            if let Place::Free { next } = *place {
                self.first_free = next;
            }
            *place = Place::Taken(value);
            return index;
        }
        self.places.push(Place::Taken(value));
        u32::try_from(self.places.len() - 1).expect("a shard bounds what it holds")
    }

    /// Takes the value out.
    ///
    /// # Panics
    /// When the number names nothing: our own numbers are exact.
    pub(crate) fn remove(&mut self, index: u32) -> T {
        let place = std::mem::replace(&mut self.places[index as usize], Place::Free { next: self.first_free });
        let Place::Taken(value) = place else { panic!("place {index} is free") };
        self.first_free = Some(index);
        self.count -= 1;
        if self.count == 0 {
            self.give_back();
        }
        value
    }

    /// The value, where the number names one.
    pub(crate) fn find(&self, index: u32) -> Option<&T> {
        match self.places.get(index as usize) {
            Some(Place::Taken(value)) => Some(value),
            Some(Place::Free { .. }) | None => None,
        }
    }

    /// The value.
    ///
    /// # Panics
    /// When the number names nothing.
    pub(crate) fn get(&self, index: u32) -> &T {
        self.find(index).expect("our own numbers are exact")
    }

    /// The value, to change.
    ///
    /// # Panics
    /// When the number names nothing.
    pub(crate) fn get_mut(&mut self, index: u32) -> &mut T {
        match &mut self.places[index as usize] {
            Place::Taken(value) => value,
            Place::Free { .. } => panic!("place {index} is free"),
        }
    }

    /// How many values are there.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Numbers below which all values are.
    pub(crate) fn index_end(&self) -> u32 {
        u32::try_from(self.places.len()).expect("a shard bounds what it holds")
    }

    /// The values by ascending number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.places).filter_map(|(index, place)| match place {
            Place::Taken(value) => Some((index, value)),
            Place::Free { .. } => None,
        })
    }

    /// An empty slab starts over, without the memory of a past peak.
    fn give_back(&mut self) {
        self.first_free = None;
        self.places.clear();
        self.places.shrink_to(Self::KEPT_COUNT);
    }

    const KEPT_COUNT: usize = 1_024;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_places_are_used_again() {
        let mut slab = Slab::default();
        let (a, b, c) = (slab.insert('a'), slab.insert('b'), slab.insert('c'));
        assert_eq!(slab.remove(b), 'b');
        assert_eq!(slab.insert('d'), b);
        assert_eq!((slab.len(), *slab.get(a), *slab.get(b), *slab.get(c)), (3, 'a', 'd', 'c'));
        assert_eq!(slab.find(9), None);
    }

    #[test]
    fn an_empty_slab_starts_over() {
        let mut slab = Slab::default();
        for number in 0..10_000 {
            slab.insert(number);
        }
        for number in 0..10_000 {
            slab.remove(number);
        }
        assert_eq!((slab.index_end(), slab.insert(7)), (0, 0));
    }
}
