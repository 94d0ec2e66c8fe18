//! From a rendered bundle to a published table: stage, rename, clear.

use perfecta_io::{
    Buffer, Failure, FileContent, IoErrorKind, Op, Outcome, Payload, Replace, Symlinks,
};

use super::state::{Bundle, State};
use super::{Effect, Item, World};
use crate::config::Durability;
use crate::error::ItemError;
use crate::ledger::Status;
use crate::places::MANIFEST;

/// No manifest of one table is longer.
const MANIFEST_BYTES_MAX: u64 = 64 << 10;

impl Item {
    pub(super) fn make_parent(&mut self, bundle: Bundle, world: &World<'_>) -> Effect {
        if self.planned.below.as_os_str().is_empty() {
            return self.stage(bundle, world);
        }
        let publication = world.publication().expect("only what is written is staged");
        self.state = State::MakingParent(bundle);
        Effect::Submit(Op::MakeDirectories {
            path: publication.output.directory.join(&self.planned.below),
        })
    }

    pub(super) fn stage(&mut self, bundle: Bundle, world: &World<'_>) -> Effect {
        let publication = world.publication().expect("only what is written is staged");
        let Bundle { files, replace } = bundle;
        self.state = State::Staging(replace);
        Effect::Submit(Op::WriteDirectory {
            parent: self.room(publication).to_owned(),
            name: self.position.to_string().into(),
            files,
        })
    }

    pub(super) fn staged(
        &mut self,
        mut files: Vec<FileContent>,
        replace: Replace,
        world: &World<'_>,
    ) -> Effect {
        self.report.files = files.len() as u32;
        self.report.bytes = num_bytes(&files);
        self.manifest = files.pop().map(|manifest| manifest.bytes);
        match world.durability() {
            Durability::Process => self.publish(replace, world),
            Durability::Power => {
                self.state = State::Staged(replace);
                Effect::AwaitStageSync
            }
        }
    }

    /// Whoever published it may have died before its name was safe.
    pub(super) fn unchanged(&mut self, world: &World<'_>) -> Effect {
        match world.durability() {
            Durability::Process => self.settle(),
            Durability::Power => {
                self.state = State::Unchanged;
                Effect::AwaitStageSync
            }
        }
    }

    pub(super) fn publish(&mut self, replace: Replace, world: &World<'_>) -> Effect {
        let publication = world.publication().expect("only what is written is published");
        self.state = State::Publishing(replace);
        Effect::Submit(Op::Publish {
            staged: self.staged_path(world),
            target: self.target(publication),
            replace,
        })
    }

    pub(super) fn not_published(
        &mut self,
        replace: Replace,
        failure: Failure,
        world: &World<'_>,
    ) -> Effect {
        if failure.error.kind != IoErrorKind::Exists {
            let error = ItemError::Output(failure.error);
            return self.fail(State::Publishing(replace), error, world);
        }
        // Somebody made it since we looked: another run into the same directory, it may be.
        self.state = State::Overtaken;
        Effect::Submit(Op::ReadFile {
            path: failure.error.path.join(MANIFEST),
            buffer: Buffer::default(),
            bytes_max: MANIFEST_BYTES_MAX,
            symlinks: Symlinks::Refuse,
            interrupt: world.cancel.interrupt(),
        })
    }

    /// A manifest says everything of a table, hashes of its files too, and whoever published it had
    /// checked those.
    pub(super) fn overtaken(&mut self, outcome: Outcome, world: &World<'_>) -> Effect {
        let theirs = outcome.ok().map(Payload::into_bytes);
        let is_same = theirs.is_some_and(|theirs| self.manifest.as_deref() == Some(theirs.bytes()));
        if is_same {
            self.yield_to_theirs();
            self.state = State::Yielding;
            return Effect::Submit(Op::RemoveTree { path: self.staged_path(world) });
        }
        let publication = world.publication().expect("only what is written is published");
        let error = ItemError::Overtaken { target: self.target(publication) };
        self.fail(State::Overtaken, error, world)
    }

    /// What is there is the same, and nothing of it was written here.
    pub(super) fn yield_to_theirs(&mut self) {
        self.report.status = Status::Unchanged;
        (self.report.bytes, self.report.files) = (0, 0);
    }

    pub(super) fn published(&mut self, replace: Replace, world: &World<'_>) -> Effect {
        match world.durability() {
            Durability::Process => self.clear(replace, world),
            Durability::Power => {
                self.state = State::Published(replace);
                Effect::AwaitNameSync
            }
        }
    }

    /// Removes what was there before: until the new name is safe, the old one may come back.
    pub(super) fn clear(&mut self, replace: Replace, world: &World<'_>) -> Effect {
        match replace {
            Replace::Never => self.settle(),
            Replace::Exchange => {
                self.state = State::Clearing;
                Effect::Submit(Op::RemoveTree { path: self.staged_path(world) })
            }
        }
    }
}

/// Bytes of all files.
pub(super) fn num_bytes(files: &[FileContent]) -> u64 {
    files.iter().map(|file| file.bytes.len() as u64).sum()
}
