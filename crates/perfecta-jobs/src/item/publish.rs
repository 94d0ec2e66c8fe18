//! From a rendered bundle to a published table: stage, rename, clear.

use perfecta_io::{Failure, FileContent, IoError, IoErrorKind, Op, Replace};

use super::state::{Bundle, State};
use super::{Effect, Item, World};
use crate::config::Durability;
use crate::error::ItemError;

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
        files: &[FileContent],
        replace: Replace,
        world: &World<'_>,
    ) -> Effect {
        self.report.files = files.len() as u32;
        self.report.bytes = num_bytes(files);
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
        let error = match failure.error {
            // Somebody made it since we looked.
            IoError { kind: IoErrorKind::Exists, path, .. } => {
                ItemError::Overtaken { target: path }
            }
            error => ItemError::Output(error),
        };
        self.fail(State::Publishing(replace), error, world)
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
