//! Directories that lie apart on the device, as far as a file system can be brought to it.
//!
//! A file system that is asked to scatter directories takes for each a place where there is room. On
//! one that was used for a while these places may be neighbours, so it is looked at where a directory
//! came to lie, and others are made until one is far enough from all that are kept.

use std::ffi::OsString;
use std::path::Path;

use super::{open_directory, persist};
use crate::error::{IoError, Operation};
use crate::system::{At, Links, Removal, System};

/// So many are made at most for one that is kept: each takes a fraction of a millisecond.
const CANDIDATES_MAX: usize = 32;

/// Directories are filled with gaps: files in them take so many times their own number of places. (On
/// ext4 four times as many were seen.)
const PLACES_PER_FILE: u64 = 8;

/// No distance is asked for with which fewer than so many times as many directories would find a place.
const DENSITY: u64 = 4;

/// Makes `count` directories in `parent` for about `files` files each, apart from one another if the
/// file system can; their names are numbers.
pub(super) fn make_directories<S: System>(
    system: &S,
    parent: &Path,
    count: usize,
    files: u64,
) -> Result<Vec<OsString>, IoError> {
    let opened = open_directory(system, At::Path(parent), parent, Links::Refuse)?;
    // Most file systems cannot, and nothing but speed is lost.
    let places = if count > 1 { persist(|| system.scatter(&opened)) } else { Ok(0) };
    let farthest = places.unwrap_or_default() / (count.max(1) as u64 * DENSITY);
    let mut maker = Maker {
        system,
        parent,
        opened,
        num_made: 0,
        far: farthest.min(files.saturating_mul(PLACES_PER_FILE)),
        kept: Vec::new(),
        rejected: Vec::new(),
    };
    let names = (0..count).map(|_| maker.make()).collect();
    // Only now: until then they take the places that were too near. One that stays is an empty
    // directory in what is the caller's.
    for name in std::mem::take(&mut maker.rejected) {
        let at = At::In(&maker.opened, Path::new(&name));
        let _ = persist(|| system.remove(at, Removal::Directory));
    }
    names
}

struct Maker<'a, S: System> {
    system: &'a S,
    parent: &'a Path,
    opened: S::File,
    num_made: usize,
    /// A distance that is enough; with 0, all are.
    far: u64,
    /// Places of those that are kept.
    kept: Vec<u64>,
    rejected: Vec<OsString>,
}

struct Candidate {
    name: OsString,
    place: u64,
    /// From the nearest that is kept.
    distance: u64,
}

impl<S: System> Maker<'_, S> {
    /// Makes one that is kept.
    fn make(&mut self) -> Result<OsString, IoError> {
        let mut best = self.candidate()?;
        for _ in 1..CANDIDATES_MAX {
            if best.distance >= self.far {
                break;
            }
            // A place that is near serves, too.
            let Ok(other) = self.candidate() else { break };
            let nearer = if other.distance > best.distance {
                std::mem::replace(&mut best, other)
            } else {
                other
            };
            self.rejected.push(nearer.name);
        }
        self.kept.push(best.place);
        Ok(best.name)
    }

    fn candidate(&mut self) -> Result<Candidate, IoError> {
        let name = OsString::from(self.num_made.to_string());
        self.num_made += 1;
        let at = At::In(&self.opened, Path::new(&name));
        persist(|| self.system.make_directory(at)).map_err(|errno| {
            IoError::system(Operation::MakeDirectory, &self.parent.join(&name), errno)
        })?;
        let place = if self.far == 0 { None } else { self.place(at) };
        let distances = self.kept.iter().filter_map(|kept| Some(kept.abs_diff(place?)));
        let distance = distances.min().unwrap_or(u64::MAX);
        Ok(Candidate { name, place: place.unwrap_or_default(), distance })
    }

    /// Where a directory lies, if that can be seen.
    fn place(&self, at: At<'_, S::File>) -> Option<u64> {
        let stat = persist(|| self.system.inspect_at(at, Links::Refuse)).ok()?;
        let (_, inode) = stat.identity;
        Some(inode)
    }
}
