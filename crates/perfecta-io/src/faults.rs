//! Calls that go wrong on purpose.
//!
//! A [`FaultPlan`] numbers the calls of the engines that share it, in the order in which they are
//! made, keeps a log of them, and says which go wrong and how. A test fails call 0, then call 1, and
//! so on, until a run makes fewer calls than that.

mod system;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;

pub(crate) use self::system::Faulty;
use crate::random::Random;
use crate::system::Errno;

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this error number and does nothing. A sync that fails so loses what it was to
    /// write, unless it was only interrupted.
    Errno(i32),
    /// It reads or writes one byte less than it was asked for, if that was more than one.
    ShortByOne,
    /// It reads or writes half of what it was asked for, if that was more than one byte.
    ShortByHalf,
    /// It takes longer.
    Delay(Duration),
}

impl Fault {
    /// Faults that no operation may fail by.
    pub const HARMLESS: [Self; 4] = [
        Self::Errno(Errno::INTR.raw_os_error()),
        Self::ShortByOne,
        Self::ShortByHalf,
        Self::Delay(Duration::from_millis(100)),
    ];
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which it was, counted from 0.
    pub number: u64,
    /// Its name.
    pub name: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What went wrong with it by the plan. What has no length is not shortened, but named here.
    pub fault: Option<Fault>,
    /// What came of it: bytes where it counts them, or an error number. `None` while it is made.
    pub answer: Option<Result<u64, i32>>,
}

/// Which calls go wrong, and all calls that were made. The engines that share one are a process.
#[derive(Debug, Default)]
pub struct FaultPlan {
    state: Mutex<PlanState>,
}

#[derive(Default)]
struct PlanState {
    injected: Vec<Injection>,
    drawing: Option<Drawing>,
    foreign: BTreeMap<u64, Box<dyn FnOnce() + Send>>,
    calls: Vec<Call>,
}

/// Calls from one number to before another go wrong.
#[derive(Debug)]
struct Injection {
    begin: u64,
    end: u64,
    fault: Fault,
}

/// Draws faults for calls.
#[derive(Debug)]
struct Drawing {
    random: Random,
    one_in: u64,
    faults: Vec<Fault>,
}

impl FaultPlan {
    /// A plan by which one call in `one_in` begins to go wrong in one of these ways, drawn by a seed.
    /// An interruption, or being told to come again, comes up to five times in a row.
    ///
    /// # Panics
    /// If there are no faults, or `one_in` is 0.
    #[must_use]
    pub fn drawn(seed: u64, one_in: u64, faults: &[Fault]) -> Self {
        assert!(one_in > 0, "some calls have to go well");
        assert!(!faults.is_empty(), "nothing to draw from");
        let drawing = Drawing { random: Random::new(seed), one_in, faults: faults.to_vec() };
        let state = PlanState { drawing: Some(drawing), ..PlanState::default() };
        Self { state: Mutex::new(state) }
    }

    /// Lets calls go wrong: `7..8` is one call, `7..12` a burst, and `7..` with an error number a
    /// process that dies there: it reaches nothing any more.
    pub fn inject(&self, calls: impl RangeBounds<u64>, fault: Fault) {
        let begin = match calls.start_bound() {
            Bound::Included(&begin) => begin,
            Bound::Excluded(&before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match calls.end_bound() {
            Bound::Included(&last) => last + 1,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => u64::MAX,
        };
        self.state.lock().injected.push(Injection { begin, end, fault });
    }

    /// Lets somebody else act right before call number `call`: another program that writes, moves or
    /// removes what the call is about to meet. On a simulated machine that is done without an engine.
    pub fn meanwhile(&self, call: u64, act: impl FnOnce() + Send + 'static) {
        self.state.lock().foreign.insert(call, Box::new(act));
    }

    /// Calls made so far.
    #[must_use]
    pub fn num_calls(&self) -> u64 {
        self.state.lock().calls.len() as u64
    }

    /// The calls made so far, from number `begin` on.
    #[must_use]
    pub fn calls(&self, begin: u64) -> Vec<Call> {
        let state = self.state.lock();
        state.calls.get(begin as usize..).map(<[Call]>::to_vec).unwrap_or_default()
    }

    /// The first call that went wrong by this plan.
    #[must_use]
    pub fn first_hit(&self) -> Option<Call> {
        self.state.lock().calls.iter().find(|call| call.fault.is_some()).cloned()
    }

    /// Numbers a call that is about to be made, and says what goes wrong with it.
    fn begin(&self, name: &'static str, path: &Path) -> (u64, Option<Fault>) {
        let mut state = self.state.lock();
        let number = state.calls.len() as u64;
        let fault = state.fault_of(number);
        let path = path.to_owned();
        state.calls.push(Call { number, name, path, fault, answer: None });
        let foreign = state.foreign.remove(&number);
        drop(state);
        if let Some(act) = foreign {
            act();
        }
        (number, fault)
    }

    fn end(&self, number: u64, answer: Result<u64, i32>) {
        self.state.lock().calls[number as usize].answer = Some(answer);
    }
}

impl PlanState {
    /// What was injected last counts.
    fn fault_of(&mut self, number: u64) -> Option<Fault> {
        let is_meant = |injection: &&Injection| (injection.begin..injection.end).contains(&number);
        if let Some(injection) = self.injected.iter().rev().find(is_meant) {
            return Some(injection.fault);
        }
        let Drawing { random, one_in, faults } = self.drawing.as_mut()?;
        if !random.one_in(*one_in) {
            return None;
        }
        let fault = faults[random.index(faults.len())];
        let bursts = [Errno::INTR, Errno::AGAIN].map(|errno| Fault::Errno(errno.raw_os_error()));
        if bursts.contains(&fault) {
            let end = number + 1 + random.below(5);
            self.injected.push(Injection { begin: number, end, fault });
        }
        Some(fault)
    }
}

impl fmt::Debug for PlanState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { injected, drawing, foreign: _, calls } = self;
        write!(formatter, "{injected:?} {drawing:?} after {} calls", calls.len())
    }
}

/// `17 write /out/table/a = 12`
impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.number, self.name, self.path.display())?;
        match self.answer {
            None => {}
            Some(Ok(count)) => write!(formatter, " = {count}")?,
            Some(Err(errno)) => {
                write!(formatter, ": {}", std::io::Error::from_raw_os_error(errno))?;
            }
        }
        match self.fault {
            None => Ok(()),
            Some(fault) => write!(formatter, " <- {fault:?}"),
        }
    }
}
