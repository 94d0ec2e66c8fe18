//! From a rendered bundle to a published table: stage, read back, manifest, rename.

use std::mem;

use perfecta_io::{Failure, FileContent, IoError, IoErrorKind, Op, Outcome, Replace};

use super::state::{Bundle, State};
use super::{Effect, Item, World};
use crate::config::Durability;
use crate::error::ItemError;

impl Item {
    pub(super) fn make_parent(&mut self, bundle: Box<Bundle>, world: &World<'_>) -> Effect {
        if self.planned.below.as_os_str().is_empty() {
            return self.stage(bundle, world);
        }
        let publication = world.publication().expect("only what is written is staged");
        self.state = State::MakingParent(bundle);
        Effect::Submit(Op::MakeDirectories {
            path: publication.output.directory.join(&self.planned.below),
        })
    }

    pub(super) fn stage(&mut self, mut bundle: Box<Bundle>, world: &World<'_>) -> Effect {
        let publication = world.publication().expect("only what is written is staged");
        let files = mem::take(&mut bundle.files);
        self.state = State::Staging(bundle);
        Effect::Submit(Op::WriteDirectory {
            parent: publication.stage.clone(),
            name: self.position.to_string().into(),
            files,
        })
    }

    pub(super) fn read_back(
        &mut self,
        mut bundle: Box<Bundle>,
        outcome: Outcome,
        world: &World<'_>,
    ) -> Effect {
        match outcome {
            Ok(payload) => bundle.files = payload.into_files(),
            Err(failure) => return self.fail_output(State::Staging(bundle), failure, world),
        }
        let bytes = bundle.files.iter().map(|file| file.bytes.len() as u64).sum();
        self.state = State::ReadingBack(bundle);
        Effect::Submit(Op::ReadDirectory { path: self.staged_path(world), bytes_max: bytes })
    }

    pub(super) fn check_written(
        &mut self,
        mut bundle: Box<Bundle>,
        outcome: Outcome,
        world: &World<'_>,
    ) -> Effect {
        let publication = world.publication().expect("only what is written is staged");
        let written = match outcome {
            Ok(payload) => payload.into_files(),
            Err(failure) => return self.fail_output(State::ReadingBack(bundle), failure, world),
        };
        bundle.files.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        let checked = same_files(&bundle.files, &written)
            .and_then(|()| publication.renderer.check(&written, Some(&bundle.keys)));
        if let Err(error) = checked {
            return self.fail(State::ReadingBack(bundle), error, world);
        }
        let Bundle { files, manifest, replace, .. } = *bundle;
        self.report.files = files.len() as u32 + 1;
        self.report.bytes =
            files.iter().chain([&manifest]).map(|file| file.bytes.len() as u64).sum();
        self.state = State::WritingManifest(replace);
        Effect::Submit(Op::WriteFile { directory: self.staged_path(world), file: manifest })
    }

    pub(super) fn staged(&mut self, replace: Replace, world: &World<'_>) -> Effect {
        match world.durability() {
            Durability::Process => self.publish(replace, world),
            Durability::Power => {
                self.state = State::Staged(replace);
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

    pub(super) fn clear(&mut self, replace: Replace, world: &World<'_>) -> Effect {
        match replace {
            Replace::Never => self.published(world),
            Replace::Exchange => {
                self.state = State::Clearing;
                Effect::Submit(Op::RemoveTree { path: self.staged_path(world) })
            }
        }
    }

    pub(super) fn published(&mut self, world: &World<'_>) -> Effect {
        match world.durability() {
            Durability::Process => self.settle(),
            Durability::Power => {
                self.state = State::Published;
                Effect::AwaitNameSync
            }
        }
    }
}

/// Whether what was read back is what was written.
fn same_files(rendered: &[FileContent], written: &[FileContent]) -> Result<(), ItemError> {
    let damaged = |file: &FileContent, reason: &str| ItemError::Damaged {
        file: file.name.to_string_lossy().into_owned(),
        reason: reason.to_owned(),
    };
    if let Some(file) =
        written.iter().find(|file| !rendered.iter().any(|own| own.name == file.name))
    {
        return Err(damaged(file, "nobody here wrote it"));
    }
    for (index, file) in rendered.iter().enumerate() {
        match written.get(index) {
            Some(read) if read == file => {}
            Some(_) => return Err(damaged(file, "what was read back is not what was written")),
            None => return Err(damaged(file, "it is missing")),
        }
    }
    Ok(())
}
