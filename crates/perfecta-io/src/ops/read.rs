//! Whole files, directories of them, and parts: nothing is waited for that is no regular file, and
//! what changes meanwhile is an error.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::vec;

use super::{
    Paused, Progress, TRIES_MAX, inspect, list, open_directory, persist, special_kind,
    uninterrupted,
};
use crate::buffer::Buffer;
use crate::error::{IoError, IoErrorKind, Operation};
use crate::op::{Failure, FileContent, Interrupt, Outcome, Payload};
use crate::system::{At, Errno, Links, Opening, Stat, System, Wait};

/// An operation that reads, between two reads.
pub(crate) struct Reading<S: System> {
    goal: Goal<S>,
    part: Part<S>,
    interrupt: Option<Interrupt>,
    #[cfg_attr(
        not(any(ring, feature = "simulation")),
        allow(dead_code, reason = "counted by rings alone")
    )]
    tries: usize,
}

/// Bytes that one call reads: some milliseconds, after which somebody may want no more of it.
const CALL_BYTES_MAX: usize = 8 << 20;

/// What is read in all.
enum Goal<S: System> {
    /// The one part.
    Part,
    /// It and further files of a directory.
    Directory(Directory<S>),
}

/// A directory whose files are read one after another.
struct Directory<S: System> {
    directory: S::File,
    path: PathBuf,
    names: vec::IntoIter<OsString>,
    /// Name of the file that is being read.
    name: OsString,
    bytes_left: u64,
    files: Vec<FileContent>,
}

/// A file that is being read, or a part of it.
struct Part<S: System> {
    file: S::File,
    path: PathBuf,
    offset: u64,
    /// Bytes that it has to have.
    bytes: usize,
    extent: Extent,
    buffer: Buffer,
    /// Nothing more is to be read: all is there, or the file ended.
    has_ended: bool,
}

/// How much of a file a part is.
enum Extent {
    /// All of it, as it was when it was opened, and has to stay.
    Whole(Stat),
    /// Some of it.
    Range,
}

/// What a reading wants to read next.
#[cfg_attr(
    not(any(ring, feature = "simulation")),
    allow(dead_code, reason = "asked for by rings alone")
)]
pub(crate) struct ReadRequest<'r, F> {
    pub(crate) file: &'r F,
    pub(crate) into: &'r mut [u8],
    pub(crate) offset: u64,
}

/// Whether a part is read to its end.
enum Advance {
    Full,
    WouldWait,
}

/// Begins to read a regular file that stays the same meanwhile.
pub(super) fn file<S: System>(
    system: &S,
    path: PathBuf,
    buffer: Buffer,
    bytes_max: u64,
    links: Links,
    interrupt: Interrupt,
) -> Progress<S> {
    let interrupt = Some(interrupt);
    match Part::of_file(system, At::Path(&path), path.clone(), links, bytes_max, buffer) {
        Ok(part) => {
            Reading { goal: Goal::Part, part, interrupt, tries: 0 }.advance(system, Wait::Never)
        }
        Err(failure) => Progress::Done(Err(failure)),
    }
}

/// Begins to read a part of a file.
pub(super) fn range<S: System>(
    system: &S,
    path: PathBuf,
    offset: u64,
    bytes: usize,
    mut buffer: Buffer,
    links: Links,
) -> Progress<S> {
    let file = match open_to_read(system, At::Path(&path), &path, links) {
        Ok(file) => file,
        Err(error) => return Progress::Done(Err(Failure { error, buffer: Some(buffer) })),
    };
    buffer.empty_for(bytes);
    let part = Part { file, path, offset, bytes, extent: Extent::Range, buffer, has_ended: false };
    Reading { goal: Goal::Part, part, interrupt: None, tries: 0 }.advance(system, Wait::Never)
}

/// Begins to read every file of a directory.
pub(super) fn directory<S: System>(
    system: &S,
    path: PathBuf,
    bytes_max: u64,
    interrupt: Interrupt,
) -> Progress<S> {
    let interrupt = Some(interrupt);
    let directory = match Directory::open(system, path, bytes_max) {
        Ok(directory) => directory,
        Err(error) => return Progress::Done(Err(error.into())),
    };
    match directory.next(system) {
        Ok(Next::Part(directory, part)) => {
            Reading { goal: Goal::Directory(directory), part, interrupt, tries: 0 }
                .advance(system, Wait::Never)
        }
        Ok(Next::End(files)) => Progress::Done(Ok(Payload::Files(files))),
        Err(failure) => Progress::Done(Err(failure)),
    }
}

/// Opens without waiting for anybody.
fn open_to_read<S: System>(
    system: &S,
    at: At<'_, S::File>,
    path: &Path,
    links: Links,
) -> Result<S::File, IoError> {
    persist(|| system.open(at, Opening::Read(links))).map_err(|errno| match errno {
        Errno::NXIO => IoError::new(Operation::Open, path, IoErrorKind::NotAFile("socket")),
        errno => IoError::system(Operation::Open, path, errno),
    })
}

impl<S: System> Reading<S> {
    /// Reads on as far as `wait` allows.
    fn advance(mut self, system: &S, wait: Wait) -> Progress<S> {
        loop {
            match self.part.advance(system, wait, self.interrupt.as_ref()) {
                Ok(Advance::WouldWait) => return Progress::Paused(Paused::Read(Box::new(self))),
                Ok(Advance::Full) => match self.next_part(system) {
                    Ok(next) => self = next,
                    Err(outcome) => return Progress::Done(outcome),
                },
                Err(error) => return Progress::Done(self.fail(error)),
            }
        }
    }

    /// The reading of the next file, or what all of it came to.
    fn next_part(self, system: &S) -> Result<Self, Outcome> {
        if let Err(error) = self.part.check(system) {
            return Err(self.fail(error));
        }
        let (buffer, interrupt) = (self.part.buffer, self.interrupt);
        let mut directory = match self.goal {
            Goal::Part => return Err(Ok(Payload::Bytes(buffer))),
            Goal::Directory(directory) => directory,
        };
        let name = std::mem::take(&mut directory.name);
        directory.bytes_left -= buffer.filled() as u64;
        directory.files.push(FileContent { name, bytes: buffer.into_vec() });
        match directory.next(system) {
            Ok(Next::Part(directory, part)) => {
                Ok(Self { goal: Goal::Directory(directory), part, interrupt, tries: 0 })
            }
            Ok(Next::End(files)) => Err(Ok(Payload::Files(files))),
            Err(failure) => Err(Err(failure)),
        }
    }

    /// Ends it with an error; the buffer comes back.
    pub(crate) fn fail(self, error: IoError) -> Outcome {
        match self.goal {
            Goal::Part => Err(Failure { error, buffer: Some(self.part.buffer) }),
            Goal::Directory(_) => Err(error.into()),
        }
    }

    /// Ends it while somebody may read for it for ever: its memory is never used again.
    #[cfg(ring)]
    pub(crate) fn lose(self) {
        self.part.buffer.lose();
    }

    /// An error of it.
    pub(crate) fn error(&self, kind: IoErrorKind) -> IoError {
        IoError::new(Operation::Read, &self.part.path, kind)
    }

    /// Reads on to the end, and waits meanwhile.
    pub(super) fn finish(self, system: &S) -> Outcome {
        match self.advance(system, Wait::ForDevice) {
            Progress::Done(outcome) => outcome,
            Progress::Paused(_) => unreachable!("a reading that may wait does not pause"),
        }
    }

    #[cfg_attr(
        not(any(ring, feature = "simulation")),
        allow(dead_code, reason = "asked for by rings alone")
    )]
    /// What somebody else may read for it. The memory stays where it is until [`Self::take`].
    pub(crate) fn request(&mut self) -> ReadRequest<'_, S::File> {
        let offset = self.part.next_offset();
        let room = self.part.room();
        let Part { file, buffer, .. } = &mut self.part;
        ReadRequest { file, into: buffer.rest(room), offset }
    }

    #[cfg_attr(
        not(any(ring, feature = "simulation")),
        allow(dead_code, reason = "given by rings alone")
    )]
    /// Takes what somebody else read for it by [`Self::request`], and goes on.
    pub(crate) fn take(mut self: Box<Self>, system: &S, read: Result<usize, Errno>) -> Progress<S> {
        match read {
            Err(Errno::INTR | Errno::AGAIN) if self.tries < TRIES_MAX => {
                self.tries += 1;
                return Progress::Paused(Paused::Read(self));
            }
            Err(errno) => {
                let error = IoError::system(Operation::Read, &self.part.path, errno);
                return Progress::Done((*self).fail(error));
            }
            Ok(count) => self.part.took(count),
        }
        (*self).advance(system, Wait::Never)
    }
}

impl<S: System> Part<S> {
    /// Opens a file to be read whole.
    fn of_file(
        system: &S,
        at: At<'_, S::File>,
        path: PathBuf,
        links: Links,
        bytes_max: u64,
        buffer: Buffer,
    ) -> Result<Self, Failure> {
        let opened = open_to_read(system, at, &path, links)
            .and_then(|file| Ok((inspect_regular(system, &file, &path, bytes_max)?, file)));
        let (before, file) = match opened {
            Ok(opened) => opened,
            Err(error) => return Err(Failure { error, buffer: Some(buffer) }),
        };
        let bytes = before.bytes as usize;
        let extent = Extent::Whole(before);
        let mut part = Self { file, path, offset: 0, bytes, extent, buffer, has_ended: false };
        let room = part.room();
        part.buffer.empty_for(room);
        Ok(part)
    }

    /// Bytes to ask for in all: of a whole file one more than it has, so that it is seen to grow.
    const fn room(&self) -> usize {
        match self.extent {
            Extent::Whole(_) => self.bytes + 1,
            Extent::Range => self.bytes,
        }
    }

    const fn next_offset(&self) -> u64 {
        self.offset + self.buffer.filled() as u64
    }

    fn advance(
        &mut self,
        system: &S,
        wait: Wait,
        interrupt: Option<&Interrupt>,
    ) -> Result<Advance, IoError> {
        while !self.has_ended {
            if interrupt.is_some_and(Interrupt::is_asked) {
                return Err(IoError::new(Operation::Read, &self.path, IoErrorKind::Cancelled));
            }
            let (offset, filled) = (self.next_offset(), self.buffer.filled());
            let into = self.buffer.rest(self.room().min(filled + CALL_BYTES_MAX));
            let read = match wait {
                Wait::Never => uninterrupted(|| system.read(&self.file, into, offset, wait)),
                Wait::ForDevice => persist(|| system.read(&self.file, into, offset, wait)),
            };
            match read {
                // Linux 5.9 and 5.10 may say so before the end, if what comes next is not in memory.
                Ok(0) if wait == Wait::Never && self.buffer.filled() < self.bytes => {
                    return Ok(Advance::WouldWait);
                }
                Ok(count) => self.took(count),
                Err(Errno::AGAIN) if wait == Wait::Never => return Ok(Advance::WouldWait),
                Err(errno) => return Err(IoError::system(Operation::Read, &self.path, errno)),
            }
        }
        Ok(Advance::Full)
    }

    /// So many bytes were read; none means that the file ended.
    fn took(&mut self, count: usize) {
        self.buffer.fill(count);
        self.has_ended = count == 0 || self.buffer.filled() >= self.bytes;
    }

    /// Whether all is there and the file stayed what it was.
    fn check(&self, system: &S) -> Result<(), IoError> {
        let filled = self.buffer.filled();
        let kind = match &self.extent {
            Extent::Whole(before) => {
                let after = inspect(system, &self.file, &self.path)?;
                let stayed = filled == self.bytes && before.version() == after.version();
                if stayed { None } else { Some(IoErrorKind::Changed) }
            }
            Extent::Range => {
                let (bytes, expected) = (self.next_offset(), self.offset + self.bytes as u64);
                (bytes != expected).then_some(IoErrorKind::WrongLength { bytes, expected })
            }
        };
        kind.map_or(Ok(()), |kind| Err(IoError::new(Operation::Read, &self.path, kind)))
    }
}

/// What an open file is, if it is a regular one that is not too large.
fn inspect_regular<S: System>(
    system: &S,
    file: &S::File,
    path: &Path,
    bytes_max: u64,
) -> Result<Stat, IoError> {
    let stat = inspect(system, file, path)?;
    if let Some(kind) = special_kind(stat.kind) {
        return Err(IoError::new(Operation::Read, path, IoErrorKind::NotAFile(kind)));
    }
    let bytes = stat.bytes;
    if bytes > bytes_max {
        let kind = IoErrorKind::TooLarge { bytes, bytes_max };
        return Err(IoError::new(Operation::Read, path, kind));
    }
    Ok(stat)
}

/// What comes after a file of a directory.
#[expect(clippy::large_enum_variant, reason = "taken apart at once, never kept")]
enum Next<S: System> {
    Part(Directory<S>, Part<S>),
    End(Vec<FileContent>),
}

impl<S: System> Directory<S> {
    fn open(system: &S, path: PathBuf, bytes_max: u64) -> Result<Self, IoError> {
        let directory = open_directory(system, At::Path(&path), &path, Links::Refuse)?;
        let names = list::names(system, &directory, &path)?.into_iter();
        let (name, files) = (OsString::new(), Vec::new());
        Ok(Self { directory, path, names, name, bytes_left: bytes_max, files })
    }

    /// Opens the next file.
    fn next(mut self, system: &S) -> Result<Next<S>, Failure> {
        let Some(name) = self.names.next() else { return Ok(Next::End(self.files)) };
        let at = At::In(&self.directory, Path::new(&name));
        let (path, buffer) = (self.path.join(&name), Buffer::default());
        // The buffer is ours, not one that comes back.
        let part = Part::of_file(system, at, path, Links::Refuse, self.bytes_left, buffer)
            .map_err(|failure| failure.error)?;
        Ok(Next::Part(Self { name, ..self }, part))
    }
}
