//! Places for what is in hand; an operation's token is the number of its place.

/// Numbered places.
///
/// Invariant: a place is free, or open and empty while what belongs there is being moved on, or full.
#[derive(Debug)]
pub(super) struct Slots<T> {
    places: Vec<Place<T>>,
    free: Vec<usize>,
}

#[derive(Debug)]
enum Place<T> {
    Free,
    Open,
    Full(T),
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// An empty place.
    pub(super) fn open(&mut self) -> usize {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::Free);
            self.places.len() - 1
        });
        self.places[place] = Place::Open;
        place
    }

    /// Puts something to its place.
    pub(super) fn put(&mut self, place: usize, value: T) {
        assert!(matches!(self.places[place], Place::Open), "slot {place} is not empty");
        self.places[place] = Place::Full(value);
    }

    /// Takes what is there, to move it on; the place stays its own.
    pub(super) fn take(&mut self, place: usize) -> T {
        match std::mem::replace(&mut self.places[place], Place::Open) {
            Place::Full(value) => value,
            Place::Free | Place::Open => panic!("slot {place} completes twice"),
        }
    }

    /// What is there.
    pub(super) fn get(&self, place: usize) -> &T {
        match &self.places[place] {
            Place::Full(value) => value,
            Place::Free | Place::Open => panic!("slot {place} is empty"),
        }
    }

    /// Gives an empty place back.
    pub(super) fn close(&mut self, place: usize) {
        assert!(matches!(self.places[place], Place::Open), "slot {place} is not empty");
        self.places[place] = Place::Free;
        self.free.push(place);
    }

    /// All that is in a place, with its number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.places.iter().enumerate().filter_map(|(place, value)| match value {
            Place::Full(value) => Some((place, value)),
            Place::Free | Place::Open => None,
        })
    }

    /// Places that are not free.
    pub(super) const fn num_open(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether every place is free.
    pub(super) const fn is_empty(&self) -> bool {
        self.num_open() == 0
    }
}
