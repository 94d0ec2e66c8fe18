//! The journal's file: read when the daemon begins, appended to, and rewritten without what is over.
//!
//! A line is one write. What a death tore is the last line, which is no request that anybody was
//! promised; a line that is damaged otherwise is skipped, told, and kept in a file beside it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::JournalError;
use super::entry::{AcceptedRequest, Entry, VERSION, version_of};
use crate::access::BODY_BYTES_MAX;
use crate::wire::RequestStatus;

/// A journal is not rewritten for less than this.
const WASTE_BYTES_MIN: u64 = 1 << 20;

/// No line is longer: a request is a body, and written in other words it may be somewhat longer.
pub(super) const LINE_BYTES_MAX: u64 = 4 * BODY_BYTES_MAX as u64;

/// What is not kept is not read either.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeepBounds {
    /// Requests that have ended before this, in seconds since 1970, are not kept.
    pub(crate) ended_since: u64,
    /// Requests that have ended.
    pub(crate) ended_max: usize,
}

/// A request of an earlier daemon.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Earlier {
    pub(crate) accepted: AcceptedRequest<'static>,
    pub(crate) is_cancelled: bool,
    /// When it ended, in seconds since 1970, and how.
    pub(crate) ended: Option<(u64, RequestStatus)>,
}

/// What an earlier daemon left.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// In the order in which they were accepted.
    pub(crate) requests: Vec<Earlier>,
    /// Whether there was one, and it died.
    pub(crate) died: bool,
    /// Lines that are damaged, by number.
    pub(crate) damaged: Vec<usize>,
    /// Why what is damaged is not kept.
    pub(crate) aside_error: Option<io::Error>,
    /// Why the journal stays as it was, with all that is over.
    pub(crate) rewrite_error: Option<io::Error>,
}

/// The file, at its end.
#[derive(Debug)]
pub(crate) struct JournalFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Where the lines of every request are that is kept.
    lines: HashMap<String, Vec<Extent>>,
    live_bytes: u64,
    /// Whether the last line has no end.
    is_torn: bool,
    /// After a failed sync nobody knows what of it is on the disk.
    sync_failed: bool,
    /// What is waste by now could not be taken away.
    rewrite_failed_at: u64,
}

#[derive(Debug, Clone, Copy)]
struct Extent {
    offset: u64,
    bytes: u64,
}

impl JournalFile {
    /// The journal in `directory`, which is the daemon's alone, without what is over if there is room to
    /// write it anew.
    ///
    /// # Errors
    /// [`JournalError`] if it is another version's, or cannot be read or written.
    pub(crate) fn open(directory: &Path, bounds: KeepBounds) -> Result<(Self, Left), JournalError> {
        let path = directory.join("journal");
        let failed = |error| JournalError::Io { path: path.clone(), error };
        let found = match File::open(&path) {
            Ok(file) => Found::read(&path, file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::default(),
            Err(error) => return Err(failed(error)),
        };
        let Found { mut left, extents } = found;
        left.drop_over(bounds);
        let aside = directory.join("journal.damaged");
        if !left.damaged.is_empty() {
            // The one before it has been told of; what is kept here is for those who look into it.
            let _ = fs::remove_file(&aside);
            left.aside_error = fs::hard_link(&path, &aside).err();
        }
        let lines = left.requests.iter().flat_map(Earlier::lines);
        let journal = match Self::write(&path, lines) {
            Ok(journal) => journal,
            Err(error) => {
                if !left.damaged.is_empty() && left.aside_error.is_none() {
                    left.aside_error = copy_aside(&path, &aside).err();
                }
                let resumed = Self::resume(&path, extents, &left);
                let Ok(journal) = resumed else {
                    return Err(JournalError::Io { path: beside(&path), error });
                };
                left.rewrite_error = Some(error);
                journal
            }
        };
        Ok((journal, left))
    }

    /// Goes on with the file that is there.
    fn resume(path: &Path, extents: Extents, left: &Left) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).open(path)?;
        let Extents { mut lines, end } = extents;
        let kept: HashSet<&str> =
            left.requests.iter().map(|earlier| earlier.accepted.id.as_str()).collect();
        lines.retain(|id, _| kept.contains(id.as_str()));
        // What a death tore is cut off, or becomes a damaged line.
        let is_torn = file.set_len(end).is_err();
        let bytes = file.metadata()?.len();
        let mut journal = Self {
            path: path.to_owned(),
            file,
            bytes,
            live_bytes: lines.values().flatten().map(|extent| extent.bytes).sum(),
            lines,
            is_torn,
            sync_failed: false,
            rewrite_failed_at: bytes,
        };
        // Where there is no room for it, no request is taken either.
        let _ = journal.append(&Entry::Journal { version: VERSION }.to_line());
        Ok(journal)
    }

    /// Writes a file of these lines in the place of what is there.
    ///
    /// # Errors
    /// If it cannot be written. What there is of it takes no room then.
    fn write(path: &Path, lines: impl Iterator<Item = (String, String)>) -> io::Result<Self> {
        let beside = beside(path);
        let _ = fs::remove_file(&beside);
        let written = Self::write_beside(&beside, path, lines);
        let renamed = written.and_then(|journal| fs::rename(&beside, path).map(|()| journal));
        let mut journal = renamed.inspect_err(|_| drop(fs::remove_file(&beside)))?;
        // It is the journal from here on, whether or not a power cut would take its name away.
        let named = File::open(path.parent().unwrap_or(Path::new(".")));
        journal.sync_failed = named.and_then(|directory| directory.sync_all()).is_err();
        Ok(journal)
    }

    fn write_beside(
        beside: &Path,
        path: &Path,
        lines: impl Iterator<Item = (String, String)>,
    ) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(beside)?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            bytes: 0,
            lines: HashMap::new(),
            live_bytes: 0,
            is_torn: false,
            sync_failed: false,
            rewrite_failed_at: 0,
        };
        journal.append(&Entry::Journal { version: VERSION }.to_line())?;
        for (id, line) in lines {
            journal.append_first(&id, &line)?;
        }
        journal.file.sync_data()?;
        Ok(journal)
    }

    /// A line of a request; one that is not kept, or not any more, has no use for it.
    ///
    /// # Errors
    /// As [`Self::append_first`].
    pub(crate) fn append_for(&mut self, id: &str, line: &str) -> io::Result<()> {
        if self.keeps(id) { self.append_first(id, line) } else { self.append(line) }
    }

    /// A line of a request that is kept from now on, if it was not.
    ///
    /// # Errors
    /// If there is no room for it. It is then not there.
    pub(crate) fn append_first(&mut self, id: &str, line: &str) -> io::Result<()> {
        self.append(line)?;
        let bytes = line.len() as u64;
        let extent = Extent { offset: self.bytes - bytes, bytes };
        self.live_bytes += bytes;
        self.lines.entry(id.to_owned()).or_default().push(extent);
        Ok(())
    }

    /// A line.
    ///
    /// # Errors
    /// As [`Self::append_first`].
    pub(crate) fn append(&mut self, line: &str) -> io::Result<()> {
        let text = if self.is_torn { format!("\n{line}") } else { line.to_owned() };
        let appended = self.file.write_all(text.as_bytes());
        if appended.is_ok() {
            self.bytes += text.len() as u64;
            self.is_torn = false;
        } else if self.file.set_len(self.bytes).is_err() {
            // A part of it may stay: it is to be a damaged line of its own, and not of the next.
            self.is_torn = true;
            self.bytes = self.bytes.max(self.file.seek(SeekFrom::End(0))?);
        }
        appended
    }

    /// Finds out whether so many bytes more find room. What is written for that is cut off again, or stays as
    /// empty lines.
    ///
    /// # Errors
    /// If they do not.
    pub(crate) fn find_room(&mut self, bytes: usize) -> io::Result<()> {
        // Where all of the rest would be taken to no end, others would find nothing meanwhile.
        if self.room_bytes().is_some_and(|room| room < bytes as u64) {
            return Err(Errno::NOSPC.into());
        }
        let length = self.file.metadata()?.len();
        let written = self.file.write_all(&vec![b'\n'; bytes]);
        if self.file.set_len(length).is_err()
            && let Ok(end) = self.file.seek(SeekFrom::End(0))
        {
            self.bytes = self.bytes.max(end);
        }
        written
    }

    /// How long it is.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What its file system has left, if that tells.
    pub(crate) fn room_bytes(&self) -> Option<u64> {
        let found = rustix::fs::fstatvfs(&self.file).ok().filter(|found| found.f_blocks > 0)?;
        found.f_bavail.checked_mul(found.f_frsize)
    }

    /// Appends to another file from now on, which may refuse it.
    #[cfg(test)]
    pub(crate) fn redirect(&mut self, file: File) {
        self.file = file;
    }

    /// Whether a request has lines that are kept.
    pub(crate) fn keeps(&self, id: &str) -> bool {
        self.lines.contains_key(id)
    }

    /// The lines of a request are waste from now on; gives whether there were any.
    pub(crate) fn forget(&mut self, id: &str) -> bool {
        let lines = self.lines.remove(id);
        let bytes = lines.iter().flatten().map(|extent| extent.bytes);
        self.live_bytes -= bytes.sum::<u64>();
        lines.is_some()
    }

    /// Has everything that was appended survive a power cut.
    ///
    /// # Errors
    /// If the disk did not take it; it is not asked again, because it may have dropped what it did
    /// not take, and would say nothing of that.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.sync_failed {
            return Err(io::Error::other("an earlier sync failed"));
        }
        self.file.sync_data().inspect_err(|_| self.sync_failed = true)
    }

    /// Rewrites the file if more than half of it is waste.
    ///
    /// # Errors
    /// If it cannot be written. It is then as it was, and tried again when it has doubled.
    pub(crate) fn rewrite_if_due(&mut self) -> io::Result<()> {
        let waste = self.bytes - self.live_bytes;
        if waste < WASTE_BYTES_MIN.max(self.live_bytes) || self.bytes < 2 * self.rewrite_failed_at {
            return Ok(());
        }
        let rewritten =
            self.live_lines().and_then(|lines| Self::write(&self.path, lines.into_iter()));
        match rewritten {
            Ok(journal) => {
                *self = journal;
                Ok(())
            }
            Err(error) => {
                self.rewrite_failed_at = self.bytes;
                Err(error)
            }
        }
    }

    /// All lines that are kept, in the order in which they were written.
    fn live_lines(&mut self) -> io::Result<Vec<(String, String)>> {
        let places = self.lines.iter().flat_map(|(id, lines)| lines.iter().map(move |at| (at, id)));
        let places: BTreeMap<u64, (u64, String)> =
            places.map(|(at, id)| (at.offset, (at.bytes, id.clone()))).collect();
        let mut lines = Vec::with_capacity(places.len());
        for (offset, (bytes, id)) in places {
            let mut line = String::with_capacity(bytes as usize);
            self.file.seek(SeekFrom::Start(offset))?;
            (&self.file).take(bytes).read_to_string(&mut line)?;
            lines.push((id, line));
        }
        Ok(lines)
    }
}

/// Where a journal is written anew.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("rewritten")
}

/// Puts a copy of the journal in the place of its second name: it is gone on with, and what is kept is not
/// to change with it.
fn copy_aside(path: &Path, aside: &Path) -> io::Result<()> {
    fs::remove_file(aside)?;
    // A part of it would be taken for all.
    fs::copy(path, aside).map(drop).inspect_err(|_| drop(fs::remove_file(aside)))
}

/// What is in a journal.
#[derive(Default)]
struct Found {
    left: Left,
    extents: Extents,
}

/// Where it is.
#[derive(Default)]
struct Extents {
    lines: HashMap<String, Vec<Extent>>,
    /// Of the last line that has one.
    end: u64,
}

/// Takes everything from a journal that it holds.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn read(path: &Path, journal: impl Read) -> Result<Left, JournalError> {
    Found::read(path, journal).map(|found| found.left)
}

impl Found {
    fn read(path: &Path, journal: impl Read) -> Result<Self, JournalError> {
        let failed = |error| JournalError::Io { path: path.to_owned(), error };
        let mut reader = BufReader::new(journal);
        let (mut fold, mut line) = (Fold::default(), Vec::new());
        for number in 1.. {
            line.clear();
            let mut bounded = reader.by_ref().take(LINE_BYTES_MAX);
            bounded.read_until(b'\n', &mut line).map_err(failed)?;
            // What has no end is nothing, or what a death tore; or it is no journal from here on.
            let Some(text) = line.strip_suffix(b"\n") else {
                let is_cut = line.len() as u64 == LINE_BYTES_MAX;
                fold.damaged.extend(is_cut.then_some(number));
                break;
            };
            if number == 1 && version_of(text).is_some_and(|version| version != u64::from(VERSION))
            {
                return Err(JournalError::Version { path: path.to_owned() });
            }
            let extent = Extent { offset: fold.extents.end, bytes: line.len() as u64 };
            fold.extents.end += extent.bytes;
            match Entry::of_line(text) {
                _ if text.is_empty() => {}
                Some(entry) => fold.take(entry, extent),
                None => fold.damaged.push(number),
            }
        }
        Ok(fold.found())
    }
}

/// What the lines so far come to. Those of a request that is not there, or not any more, are waste.
#[derive(Default)]
struct Fold {
    /// By their places, of which none is given twice.
    requests: BTreeMap<usize, Earlier>,
    next_place: usize,
    places: HashMap<String, usize>,
    extents: Extents,
    damaged: Vec<usize>,
    stopped: bool,
    /// Whether a daemon began: each writes a line at once.
    has_begun: bool,
}

impl Fold {
    fn take(&mut self, entry: Entry<'static>, extent: Extent) {
        self.has_begun = true;
        let is_stop = matches!(entry, Entry::Stopped {});
        let stopped = std::mem::replace(&mut self.stopped, is_stop);
        match entry {
            Entry::Stopped {} => {}
            Entry::Journal { .. } => self.count_deaths(stopped),
            // An id is one request's.
            Entry::Accepted(accepted) if self.places.contains_key(&accepted.id) => {}
            Entry::Accepted(accepted) => {
                let place = self.next_place;
                self.next_place += 1;
                self.places.insert(accepted.id.clone(), place);
                self.extents.lines.insert(accepted.id.clone(), vec![extent]);
                let earlier = Earlier { accepted, is_cancelled: false, ended: None };
                self.requests.insert(place, earlier);
            }
            Entry::Cancelled { id } => {
                if let Some(earlier) = self.find(&id, extent) {
                    earlier.is_cancelled = true;
                }
            }
            Entry::Ended { at, status } => {
                if let Some(earlier) = self.find(&status.id, extent) {
                    earlier.ended = Some((at, status));
                }
            }
            Entry::Forgotten { id } => {
                if let Some(place) = self.places.remove(&id) {
                    self.requests.remove(&place);
                    self.extents.lines.remove(&id);
                }
            }
        }
    }

    /// The line that it was accepted by may be damaged, or it is forgotten.
    fn find(&mut self, id: &str, extent: Extent) -> Option<&mut Earlier> {
        let place = self.places.get(id)?;
        self.extents.lines.get_mut(id)?.push(extent);
        self.requests.get_mut(place)
    }

    /// Another daemon begins, or the file ends.
    fn count_deaths(&mut self, stopped: bool) {
        for earlier in self.requests.values_mut().filter(|earlier| earlier.ended.is_none()) {
            earlier.accepted.deaths = earlier.accepted.deaths.saturating_add((!stopped).into());
        }
    }

    fn found(mut self) -> Found {
        let (died, damaged) = (self.has_begun && !self.stopped, std::mem::take(&mut self.damaged));
        self.count_deaths(self.stopped);
        let requests = self.requests.into_values().collect();
        let left = Left { requests, died, damaged, aside_error: None, rewrite_error: None };
        Found { left, extents: self.extents }
    }
}

impl Left {
    fn drop_over(&mut self, bounds: KeepBounds) {
        let has_ended = |earlier: &Earlier| earlier.ended.is_some();
        let is_kept = |earlier: &Earlier| {
            earlier.ended.as_ref().is_none_or(|(at, _)| *at >= bounds.ended_since)
        };
        self.requests.retain(is_kept);
        let num_ended = self.requests.iter().filter(|earlier| has_ended(earlier)).count();
        let mut excess = num_ended.saturating_sub(bounds.ended_max);
        self.requests.retain(|earlier| {
            let is_excess = has_ended(earlier) && excess > 0;
            excess -= usize::from(is_excess);
            !is_excess
        });
    }
}

impl Earlier {
    /// The lines that say so.
    pub(super) fn lines(&self) -> impl Iterator<Item = (String, String)> {
        let Self { accepted, is_cancelled, ended } = self;
        let id = accepted.id.clone();
        let cancelled = is_cancelled.then(|| Entry::Cancelled { id: id.clone() });
        let ended = ended.clone().map(|(at, status)| Entry::Ended { at, status });
        let entries = [Some(Entry::Accepted(accepted.clone())), cancelled, ended];
        entries.into_iter().flatten().map(move |entry| (id.clone(), entry.to_line()))
    }
}
