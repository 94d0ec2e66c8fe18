//! From a key file to a rendered bundle: read, compare, search, verify, render.

use std::mem;
use std::sync::Arc;

use perfecta_core::format;
use perfecta_core::key::KeySet;
use perfecta_core::search::Verdict;
use perfecta_core::table::Table;
use perfecta_emit::OriginalName;
use perfecta_io::{Buffer, Failure, IoErrorKind, Op, Outcome, Replace, Symlinks};

use super::found::{Found, Place};
use super::publish::num_bytes;
use super::state::{Bundle, State};
use super::{Effect, Item, Publication, Searched, Target, Workspace, World};
use crate::config::Conflicts;
use crate::error::{ItemError, Stop};
use crate::ledger::Status;
use crate::manifest::{self, Origin};
use crate::pack::PackedTable;
use crate::render::Facts;

/// A table that was found and verified.
struct Solved {
    keys: Arc<KeySet>,
    table: Table,
    verdict: Verdict,
}

impl Item {
    pub(super) fn read_keys(&mut self, world: &World<'_>, workspace: &mut Workspace) -> Effect {
        self.state = State::ReadingKeys;
        Effect::Submit(Op::ReadFile {
            path: self.planned.keys_file.clone(),
            buffer: mem::take(&mut workspace.buffer),
            // No more was reserved for it.
            bytes_max: self.planned.file_bytes,
            symlinks: Symlinks::Follow,
            interrupt: world.cancel.interrupt(),
        })
    }

    pub(super) fn keys_read(
        &mut self,
        outcome: Outcome,
        world: &World<'_>,
        workspace: &mut Workspace,
    ) -> Effect {
        let bytes = match outcome {
            Ok(payload) => payload.into_bytes(),
            Err(Failure { mut error, buffer }) => {
                workspace.buffer = buffer.unwrap_or_default();
                // It grew since it was listed.
                if let IoErrorKind::TooLarge { .. } = error.kind {
                    error.kind = IoErrorKind::Changed;
                }
                return self.fail(State::ReadingKeys, ItemError::Input(error), world);
            }
        };
        self.report.keys_bytes = bytes.len() as u64;
        self.report.doubt = world.job.keys.doubt(&self.planned.keys_file, &bytes);
        let origin = |options_blake3| Origin {
            keys_blake3: *blake3::hash(&bytes).as_bytes(),
            options_blake3,
        };
        let publication = match &world.target {
            Target::Memory => return self.search(bytes, None, Replace::Never, world, workspace),
            Target::Pack => {
                // The options are those of the whole pack, and stand in its manifest.
                let origin = origin([0; 32]);
                return self.search(bytes, Some(origin), Replace::Never, world, workspace);
            }
            Target::Dirs(publication) => publication,
        };
        let keys_file = &self.planned.keys_file;
        let width = world.job.keys.width.of(keys_file);
        let origin = origin(manifest::with_key_file(&publication.options_blake3, keys_file, width));
        self.state = State::Comparing { bytes, origin };
        Effect::Submit(Op::ReadDirectory {
            path: self.target(publication),
            bytes_max: self.planned.found_bytes_max(&world.job),
            interrupt: world.cancel.interrupt(),
        })
    }

    pub(super) fn compare(
        &mut self,
        outcome: Outcome,
        bytes: Buffer,
        origin: Origin,
        world: &World<'_>,
        workspace: &mut Workspace,
    ) -> Effect {
        let found = self.place(world).what_is_there(outcome, &origin);
        self.found(found, bytes, origin, world, workspace)
    }

    pub(super) fn listed(
        &mut self,
        outcome: Outcome,
        bytes: Buffer,
        origin: Origin,
        world: &World<'_>,
        workspace: &mut Workspace,
    ) -> Effect {
        let found = self.place(world).what_is_listed(outcome);
        self.found(found, bytes, origin, world, workspace)
    }

    fn place<'w>(&'w self, world: &'w World<'_>) -> Place<'w> {
        let publication = world.publication().expect("only what is written is compared");
        let identifier = self.planned.identifier.as_str();
        let keys_name = self.planned.keys_file.file_name().unwrap_or_default().as_encoded_bytes();
        let (target, renderer) = (self.target(publication), &*publication.renderer);
        Place { target, identifier, keys_name, renderer }
    }

    fn found(
        &mut self,
        found: Found,
        bytes: Buffer,
        origin: Origin,
        world: &World<'_>,
        workspace: &mut Workspace,
    ) -> Effect {
        let publication = world.publication().expect("only what is written is compared");
        let replaces = publication.output.conflicts == Conflicts::Replace;
        match found {
            Found::Nothing => self.search(bytes, Some(origin), Replace::Never, world, workspace),
            Found::Ours { has_other_options } => {
                self.report.replaces_other_options = has_other_options;
                self.search(bytes, Some(origin), Replace::Exchange, world, workspace)
            }
            Found::Foreign(_) if replaces => {
                self.search(bytes, Some(origin), Replace::Exchange, world, workspace)
            }
            Found::Large => {
                self.state = State::Listing { bytes, origin };
                Effect::Submit(Op::ListDirectory { path: self.target(publication) })
            }
            Found::Foreign(error) => {
                workspace.buffer = bytes;
                self.fail(State::ReadingKeys, error, world)
            }
            Found::Failed(error) => {
                workspace.buffer = bytes;
                self.fail(State::ReadingKeys, ItemError::Output(error), world)
            }
            Found::Same { num_keys } => {
                workspace.buffer = bytes;
                self.report.keys = num_keys;
                self.report.status = Status::Unchanged;
                self.unchanged(world)
            }
        }
    }

    fn search(
        &mut self,
        bytes: Buffer,
        origin: Option<Origin>,
        replace: Replace,
        world: &World<'_>,
        workspace: &mut Workspace,
    ) -> Effect {
        let keys = world.job.keys.parse(&self.planned.keys_file, &bytes);
        workspace.buffer = bytes;
        match keys {
            Ok(keys) => {
                self.report.keys = keys.len() as u64;
                self.state = State::Searching { origin, replace };
                Effect::Search(keys)
            }
            Err(error) => self.fail(State::ReadingKeys, ItemError::Keys(error), world),
        }
    }

    pub(super) fn searched(
        &mut self,
        searched: Searched,
        origin: Option<Origin>,
        replace: Replace,
        world: &World<'_>,
    ) -> Effect {
        let Searched { keys, report, outcome } = searched;
        let state = State::Searching { origin, replace };
        self.report.search = report;
        let (table, verdict) = match outcome {
            Ok(solved) => solved,
            Err(stop) => return self.stop(state, stop, world),
        };
        let verified = table.view().verify_while(&keys, &world.cancel.keep_going());
        if let Err(stop) = verified.map_err(Stop::interrupted).and_then(|it| Ok(it?)) {
            return self.stop(state, stop, world);
        }
        let solved = Solved { keys, table, verdict };
        let (publication, origin) = match (&world.target, origin) {
            (Target::Memory, None) => return self.settle(),
            (Target::Memory, Some(_)) => unreachable!("what stays in memory has no origin"),
            (Target::Dirs(_) | Target::Pack, None) => {
                unreachable!("what is written says what it was made of")
            }
            (Target::Pack, Some(origin)) => return self.pack(solved, &origin),
            (Target::Dirs(publication), Some(origin)) => (publication, origin),
        };
        match self.render(world, publication, &solved, &origin, replace) {
            Ok(bundle) => {
                let bytes = num_bytes(&bundle.files);
                self.state = State::Reserving(bundle);
                Effect::Reserve(bytes)
            }
            Err(stop) => self.stop(state, stop, world),
        }
    }

    fn render(
        &self,
        world: &World<'_>,
        publication: &Publication<'_>,
        solved: &Solved,
        origin: &Origin,
        replace: Replace,
    ) -> Result<Bundle, Stop> {
        let keys_file = self.planned.keys_file.file_name().unwrap_or_default();
        let keys_file = OriginalName::new(keys_file.as_encoded_bytes());
        let Solved { keys, table, verdict } = solved;
        let facts = Facts {
            identifier: &self.planned.identifier,
            keys_file: &keys_file,
            keys_blake3: origin.keys_blake3,
            keys_file_bytes: self.planned.file_bytes,
            keys,
            verdict,
        };
        let mut artifacts = Vec::new();
        publication.renderer.render(&facts, table, &mut artifacts)?;
        let rng_seed = world.job.search.seeds.rng_seed;
        let manifest = manifest::render(&facts, table, rng_seed, origin, &artifacts);
        let mut files: Vec<_> = artifacts.into_iter().map(|artifact| artifact.file).collect();
        let checked = publication.renderer.check(&files, Some(keys), &world.cancel.keep_going());
        checked.map_err(Stop::interrupted)??;
        files.push(manifest);
        Ok(Bundle { files, replace })
    }

    fn pack(&mut self, solved: Solved, origin: &Origin) -> Effect {
        let Solved { keys, table, .. } = solved;
        let entry = format::encode(&table.view());
        self.report.bytes = entry.len() as u64;
        self.state = State::Packing;
        let name = self.planned.target().into_os_string().into_encoded_bytes();
        let keys_blake3 = origin.keys_blake3;
        Effect::Deliver(Box::new(PackedTable { name, entry, keys, keys_blake3 }))
    }
}
