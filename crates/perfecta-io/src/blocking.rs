//! The plain backend: every operation is executed where it is submitted, and its completion queued.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use crate::engine::{Completion, Engine, Token};
use crate::error::IoError;
use crate::op::{Failure, Held, Op, Outcome, Payload};
use crate::sys;

/// Executes operations with blocking calls on the submitting thread.
#[derive(Debug, Default)]
pub struct BlockingEngine {
    completed: VecDeque<Completion>,
}

impl BlockingEngine {
    /// More would only wait in the queue.
    const IN_FLIGHT_MAX: usize = 64;
}

impl Engine for BlockingEngine {
    fn submit(&mut self, token: Token, op: Op) {
        assert!(self.completed.len() < Self::IN_FLIGHT_MAX, "{token:?} has no room");
        self.completed.push_back(Completion { token, outcome: execute(op) });
    }

    fn next_completion(&mut self) -> Option<Completion> {
        self.completed.pop_front()
    }

    fn num_in_flight(&self) -> usize {
        self.completed.len()
    }

    fn capacity(&self) -> usize {
        Self::IN_FLIGHT_MAX
    }
}

fn execute(op: Op) -> Outcome {
    match op {
        Op::ReadFile { path, mut buffer, bytes_max, symlinks } => {
            let read = sys::read_file(&path, &mut buffer, bytes_max, symlinks);
            with_buffer(read, buffer)
        }
        Op::Append { path, offset, bytes } => {
            let appended = sys::append(&path, offset, &bytes);
            with_buffer(appended, bytes)
        }
        Op::ReadRange { path, offset, bytes, mut buffer } => {
            let read = sys::read_range(&path, offset, bytes, &mut buffer);
            with_buffer(read, buffer)
        }
        Op::WriteDirectory { parent, name, files } => {
            let written = sys::write_directory(&parent, &name, &files);
            finish(written.map(|()| Payload::Files(files)))
        }
        Op::ListTree { root, entries_max, depth_max } => {
            let limits = sys::ListingLimits { entries_max, depth_max };
            finish(sys::list_tree(&root, limits).map(Payload::Listing))
        }
        Op::ReadDirectory { path, bytes_max } => {
            finish(sys::read_directory(&path, bytes_max).map(Payload::Files))
        }
        Op::Inspect { path } => Ok(Payload::Kind(sys::inspect_path(&path))),
        Op::Resolve { path } => finish(sys::resolve(&path).map(Payload::Path)),
        Op::ListDirectory { path } => finish(sys::list_directory(&path).map(Payload::Names)),
        Op::MakeDirectories { path } => done(sys::make_directories(&path)),
        Op::WriteFile { directory, file } => done(sys::write_file(&directory, &file)),
        Op::Publish { staged, target, replace } => done(sys::publish(&staged, &target, replace)),
        Op::RemoveTree { path } => done(sys::remove_tree(&path)),
        Op::OpenFilesystem { path } => held(sys::open_filesystem(&path)),
        Op::SyncFilesystem { filesystem, path } => {
            let descriptor = filesystem.resource::<OwnedFd>();
            let descriptor = descriptor.expect("an open file system belongs to its backend");
            done(sys::sync_filesystem(descriptor, &path))
        }
        Op::SyncDirectory { path } => done(sys::sync_directory(&path)),
        Op::CreateLock { path } => held(sys::create_lock(&path)),
        Op::TryLock { path } => held(sys::try_lock(&path)),
    }
}

fn with_buffer(result: Result<(), IoError>, buffer: Vec<u8>) -> Outcome {
    match result {
        Ok(()) => Ok(Payload::Bytes(buffer)),
        Err(error) => Err(Failure { error, buffer: Some(buffer) }),
    }
}

fn done(result: Result<(), IoError>) -> Outcome {
    finish(result.map(|()| Payload::Done))
}

fn held(result: Result<OwnedFd, IoError>) -> Outcome {
    finish(result.map(|descriptor| Payload::Held(Held::new(descriptor))))
}

fn finish(result: Result<Payload, IoError>) -> Outcome {
    result.map_err(|error| Failure { error, buffer: None })
}
