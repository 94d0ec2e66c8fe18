//! What a ring has in its hands, and what each of its answers means. No calls: tests drive it with
//! made-up answers.

use rustix::io::Errno;

/// What the kernel works on, from launch to landing.
///
/// ```text
///            launch                 land: its own answer
///  Vacant -----------> Flying ---------------------------> Vacant, cargo given back
///                      |    ^
///                      +----+  cancel: asked once; the answer to asking changes nothing
///
///  lose: every Flying -> Vacant, cargo given to who must keep it from being freed
/// ```
///
/// Cargo is out of reach while it flies. So whatever is in it has one owner at every moment, comes
/// back once, and what is in flight is counted by what is here.
#[derive(Debug)]
pub(super) struct Flights<C> {
    places: Vec<Place<C>>,
    vacant: Vec<u32>,
}

#[derive(Debug)]
struct Place<C> {
    /// Flights that this place had: a late answer is never taken for a later flight's.
    generation: u32,
    flight: Flight<C>,
}

#[derive(Debug)]
enum Flight<C> {
    Vacant,
    Flying { cargo: C, is_cancelled: bool },
}

/// What an answer is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(pub(super) u64);

impl Key {
    /// Of answers to cancelling, beside the key of what is cancelled.
    const ANSWER: u64 = 1 << 63;
    const GENERATION_MASK: u32 = (1 << 31) - 1;

    fn new(place: u32, generation: u32) -> Self {
        Self(u64::from(generation & Self::GENERATION_MASK) << 32 | u64::from(place))
    }

    const fn place(self) -> usize {
        self.0 as u32 as usize
    }

    const fn is_answer(self) -> bool {
        self.0 & Self::ANSWER != 0
    }

    /// The key of the answer to cancelling this.
    pub(super) const fn answer(self) -> Self {
        Self(self.0 | Self::ANSWER)
    }
}

/// The end of a flight.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Landed<C> {
    pub(super) cargo: C,
    pub(super) result: Result<usize, Errno>,
    /// Somebody asked that it end early.
    pub(super) is_cancelled: bool,
}

impl<C> Flights<C> {
    pub(super) const fn new() -> Self {
        Self { places: Vec::new(), vacant: Vec::new() }
    }

    /// How many there are of a kind.
    pub(super) fn count_if(&self, is_meant: impl Fn(&C) -> bool) -> usize {
        let is_meant = |place: &&Place<C>| match &place.flight {
            Flight::Vacant => false,
            Flight::Flying { cargo, .. } => is_meant(cargo),
        };
        self.places.iter().filter(is_meant).count()
    }

    /// Takes cargo in. What the kernel is to touch is looked up in it where it now lies.
    pub(super) fn launch(&mut self, cargo: C) -> (Key, &mut C) {
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, flight: Flight::Vacant });
            self.places.len() as u32 - 1
        });
        let Place { generation, flight } = &mut self.places[place as usize];
        let key = Key::new(place, *generation);
        *flight = Flight::Flying { cargo, is_cancelled: false };
        match flight {
            Flight::Flying { cargo, .. } => (key, cargo),
            Flight::Vacant => unreachable!("it was just launched"),
        }
    }

    /// What is to be cancelled, unless that was asked before.
    pub(super) fn cancel(&mut self, is_meant: impl Fn(&C) -> bool) -> Option<Key> {
        for (place, Place { generation, flight }) in (0..).zip(&mut self.places) {
            match flight {
                Flight::Flying { cargo, is_cancelled } if is_meant(cargo) && !*is_cancelled => {
                    *is_cancelled = true;
                    return Some(Key::new(place, *generation));
                }
                Flight::Flying { .. } | Flight::Vacant => {}
            }
        }
        None
    }

    /// Takes an answer of the ring: a flight's end, or `None` for an answer to cancelling.
    ///
    /// # Panics
    /// If nothing that flies has this key: the kernel answered twice, or somebody else did.
    pub(super) fn land(&mut self, key: Key, result: i32) -> Option<Landed<C>> {
        if key.is_answer() {
            return None;
        }
        let place = self.places.get_mut(key.place());
        let Some(Place { generation, flight }) = place else { panic!("{key:?} never flew") };
        assert_eq!(Key::new(key.place() as u32, *generation), key, "it landed before");
        match std::mem::replace(flight, Flight::Vacant) {
            Flight::Vacant => panic!("{key:?} does not fly"),
            Flight::Flying { cargo, is_cancelled } => {
                *generation = generation.wrapping_add(1);
                self.vacant.push(key.place() as u32);
                let errno = || Errno::from_raw_os_error(-result);
                let result = usize::try_from(result).map_err(|_| errno());
                Some(Landed { cargo, result, is_cancelled })
            }
        }
    }

    /// Everything that flies, when no more answers can be trusted to come. The kernel may go on
    /// writing to it for as long as the process lives.
    pub(super) fn lose(&mut self) -> Vec<C> {
        let mut lost = Vec::new();
        for (number, Place { generation, flight }) in (0..).zip(&mut self.places) {
            match std::mem::replace(flight, Flight::Vacant) {
                Flight::Vacant => {}
                Flight::Flying { cargo, .. } => {
                    *generation = generation.wrapping_add(1);
                    self.vacant.push(number);
                    lost.push(cargo);
                }
            }
        }
        lost
    }
}

/// What follows from entering the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entered {
    /// Answers may be there.
    Back,
    /// The ring told that it dropped an answer, or that it is none: nothing more will come of it.
    Lost,
}

impl Entered {
    pub(super) fn new(result: Result<usize, Errno>) -> Self {
        match result {
            // A signal; time is up; no memory to take more in; answers have to be taken first. The
            // next entry takes in what was left.
            Ok(_) | Err(Errno::INTR | Errno::TIME | Errno::AGAIN | Errno::BUSY | Errno::NOMEM) => {
                Self::Back
            }
            // `EBADR`: an answer was dropped. Anything else says that our ring is no ring.
            Err(_) => Self::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(flights: &Flights<&'static str>) -> usize {
        flights.count_if(|_| true)
    }

    fn launch(flights: &mut Flights<&'static str>, cargo: &'static str) -> Key {
        flights.launch(cargo).0
    }

    #[test]
    fn cargo_comes_back_once_and_in_any_order() {
        let mut flights = Flights::new();
        let keys = ["a", "b", "c"].map(|cargo| launch(&mut flights, cargo));
        assert_eq!(count(&flights), 3);
        for (key, cargo) in [(keys[2], "c"), (keys[0], "a"), (keys[1], "b")] {
            let landed = flights.land(key, 5).unwrap();
            assert_eq!(landed, Landed { cargo, result: Ok(5), is_cancelled: false });
        }
        assert_eq!(count(&flights), 0);
        let again = std::panic::AssertUnwindSafe(|| flights.land(keys[0], 5));
        std::panic::catch_unwind(again).unwrap_err();
    }

    #[test]
    fn an_answer_to_cancelling_gives_nothing_back_before_or_after_the_flight_ends() {
        for answer_first in [true, false] {
            let mut flights = Flights::new();
            let key = launch(&mut flights, "a");
            assert_eq!(flights.cancel(|cargo| *cargo == "a"), Some(key));
            assert_eq!(flights.cancel(|cargo| *cargo == "a"), None, "asked once");
            if answer_first {
                // "Already at it": it may still end well.
                assert_eq!(flights.land(key.answer(), -Errno::ALREADY.raw_os_error()), None);
                assert_eq!(count(&flights), 1);
            }
            let landed = flights.land(key, -Errno::CANCELED.raw_os_error()).unwrap();
            assert_eq!((landed.result, landed.is_cancelled), (Err(Errno::CANCELED), true));
            let next = launch(&mut flights, "b");
            if !answer_first {
                assert_eq!(flights.land(key.answer(), 0), None);
            }
            assert_eq!(count(&flights), 1);
            assert_ne!(next, key, "the place is the same, the flight is not");
            assert_eq!(flights.land(next, 0).unwrap().cargo, "b");
        }
    }

    #[test]
    #[should_panic(expected = "it landed before")]
    fn an_answer_to_an_earlier_flight_is_not_taken_for_the_present_one() {
        let mut flights = Flights::new();
        let key = launch(&mut flights, "a");
        flights.land(key, 1);
        launch(&mut flights, "b");
        flights.land(key, 1);
    }

    #[test]
    fn a_dropped_answer_loses_what_flies_and_nothing_that_landed() {
        let mut flights = Flights::new();
        let keys = ["a", "b", "c"].map(|cargo| launch(&mut flights, cargo));
        assert_eq!(Entered::new(Err(Errno::BADR)), Entered::Lost);
        // What was answered before the loss was noticed is still there to be taken.
        assert_eq!(flights.land(keys[1], 7).unwrap().cargo, "b");
        assert_eq!(flights.lose(), ["a", "c"]);
        assert_eq!(count(&flights), 0);
        assert!(flights.lose().is_empty());
    }

    #[test]
    fn interruptions_and_full_queues_lose_nothing() {
        for errno in [Errno::INTR, Errno::TIME, Errno::AGAIN, Errno::BUSY] {
            assert_eq!(Entered::new(Err(errno)), Entered::Back);
        }
        assert_eq!(Entered::new(Ok(3)), Entered::Back);
    }
}
