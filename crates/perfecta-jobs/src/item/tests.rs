//! Lives of items: whatever falls on one at any step, nothing is left behind.

use std::path::Path;
use std::sync::Arc;

use perfecta_core::geometry::Geometry;
use perfecta_core::graph::Scratch;
use perfecta_core::interrupt::{Interrupted, KeepGoing};
use perfecta_core::key::{KeySet, KeyWidth, Repair};
use perfecta_core::search::search;
use perfecta_core::table::Table;
use perfecta_emit::ArtifactKinds;
use perfecta_io::{
    Entry, EntryKind, Failure, FileContent, IoError, IoErrorKind, Op, Operation, Outcome, Payload,
    Replace,
};

use super::state::State;
use super::{Effect, Item, ItemEvent, Publication, Searched, Target, Workspace, World};
use crate::artifacts::{Artifacts, SelfTest};
use crate::config::{Durability, Inputs, Job, Output};
use crate::error::{ItemError, RenderError};
use crate::event::ItemReport;
use crate::ledger::Status;
use crate::manifest::Origin;
use crate::render::{Estimate, Facts, RenderedFile, Renderer};
use crate::runtime::CancelFlag;
use crate::schedule;

const KEYS: [u32; 3] = [2, 3, 5];

/// Of the fourth worker, where there are two rooms.
const STAGED: &str = "out/stage/1/7";

/// What is done to an item at one of its steps.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Blow {
    None,
    Failure,
    Cancel,
}

/// The file system that an item sees.
struct Script {
    ops: Vec<&'static str>,
}

impl Script {
    fn complete(&mut self, op: Op) -> Outcome {
        let (name, payload) = match op {
            Op::ReadFile { .. } => {
                ("read", Ok(Payload::Bytes(KEYS.map(u32::to_le_bytes).concat().into())))
            }
            // ENOENT
            Op::ReadDirectory { path, .. } => ("compare", Err(failure(&path, 2))),
            Op::MakeDirectories { .. } => ("make parent", Ok(Payload::Made(Vec::new()))),
            Op::WriteDirectory { parent, name, files } => {
                assert_eq!(parent.join(name), Path::new(STAGED));
                assert_eq!(files.last().unwrap().name, "manifest.json");
                ("stage", Ok(Payload::Files(files)))
            }
            Op::Publish { staged, .. } => {
                assert_eq!(staged, Path::new(STAGED));
                ("publish", Ok(Payload::Done))
            }
            Op::RemoveTree { path } => {
                assert_eq!(path, Path::new(STAGED));
                ("remove", Ok(Payload::Done))
            }
            op => panic!("an item does not submit {op:?}"),
        };
        self.ops.push(name);
        payload
    }
}

fn failure(path: &Path, errno: i32) -> Failure {
    let error = IoError::new(Operation::Write, path, IoErrorKind::System(errno));
    Failure { error, buffer: None }
}

/// An item that is to be published, and what it works with.
fn to_publish(durability: Durability) -> (Item, World<'static>) {
    let output = Output { durability, ..Output::new("out") };
    let job = Job { output: Some(output.clone()), ..Job::new(Inputs::tree("keys")) };
    let entry = Entry { path: "below/a.keys".into(), kind: EntryKind::File { bytes: 12 } };
    let planned = schedule::plan(&job, None, vec![entry]).remove(0);
    let renderer = Artifacts::new(ArtifactKinds::all(), SelfTest::FromFile);
    let rooms = vec!["out/stage/0".into(), "out/stage/1".into()];
    let publication =
        Publication { output, renderer: Arc::new(renderer), rooms, options_blake3: [7; 32] };
    let (target, cancel) = (Target::Dirs(publication), CancelFlag::default());
    let world = World { job: Arc::new(job), target, cancel };
    (Item::new(Arc::new(planned), 7), world)
}

/// Drives an item through its life; at step `at`, the blow falls.
fn life(durability: Durability, at: usize, blow: Blow) -> (ItemReport, Vec<&'static str>, bool) {
    let (mut item, world) = to_publish(durability);
    let mut workspace = Workspace { worker: 3, ..Workspace::default() };
    let mut script = Script { ops: Vec::new() };
    let mut event = ItemEvent::Started;
    for step in 0.. {
        let effect = item.on(event, &world, &mut workspace);
        let falls = step == at && item.may_be_abandoned();
        event = match effect {
            Effect::Settle => return (item.into_report(), script.ops, step > at),
            Effect::Submit(_) if falls && blow == Blow::Cancel => ItemEvent::Cancelled,
            Effect::Submit(op) if falls && blow == Blow::Failure => {
                let _ = script.complete(op);
                // EIO
                ItemEvent::Completed(Err(failure(Path::new("somewhere"), 5)))
            }
            Effect::Submit(op) => ItemEvent::Completed(script.complete(op)),
            Effect::Search(keys) => ItemEvent::Searched(Box::new(found(keys, &world.job))),
            Effect::Reserve(bytes) => {
                assert!(bytes > 1000);
                ItemEvent::Allowed
            }
            Effect::AwaitStageSync => {
                // Whoever has the batch goes on.
                workspace.worker = 0;
                ItemEvent::StagesSynced
            }
            Effect::AwaitNameSync => ItemEvent::NamesSynced,
            Effect::Deliver(table) => panic!("nobody packs {table:?}"),
        };
    }
    unreachable!("an item settles")
}

fn found(keys: KeySet, job: &Job) -> Searched {
    let found = search(&keys, &job.search, &mut Scratch::default(), &|| true).unwrap();
    let outcome = Ok((found.table.unwrap(), found.verdict));
    Searched { keys: Arc::new(keys), report: None, outcome }
}

#[test]
fn a_life_without_blows_ends_published() {
    let way = ["read", "compare", "make parent", "stage", "publish"];
    for durability in [Durability::Process, Durability::Power] {
        let (report, ops, _) = life(durability, 0, Blow::None);
        assert_eq!((report.status, &*ops), (Status::Ok, &way[..]));
        assert_eq!((report.files, report.keys), (4, 3));
    }
}

#[test]
fn whenever_a_blow_falls_what_was_staged_is_removed_and_nothing_else() {
    for (blow, status) in [(Blow::Failure, Status::Failed), (Blow::Cancel, Status::Cancelled)] {
        let mut blows = 0;
        for at in 0..12 {
            let (report, ops, fell) = life(Durability::Power, at, blow);
            if !fell || report.status == Status::Ok {
                continue;
            }
            blows += 1;
            assert_eq!((report.status, report.bytes, report.files), (status, 0, 0), "{at}");
            assert_eq!(report.error.is_some(), blow == Blow::Failure);
            let removes = ops.iter().filter(|op| **op == "remove").count();
            let is_staged = ops.contains(&"stage") || (blow == Blow::Cancel && removes == 1);
            assert_eq!(removes, usize::from(is_staged), "{at}: {ops:?}");
            assert!(blow == Blow::Failure || !ops.contains(&"publish"), "{at}: {ops:?}");
        }
        assert_eq!(blows, 5, "{blow:?}");
    }
}

#[test]
#[should_panic(expected = "an item that is Queued does not take StagesSynced")]
fn an_event_out_of_place_is_a_bug() {
    let job = Job::new(Inputs::tree("keys"));
    let entry = Entry { path: "a.keys".into(), kind: EntryKind::File { bytes: 12 } };
    let planned = schedule::plan(&job, None, vec![entry]).remove(0);
    let (target, cancel) = (Target::Memory, CancelFlag::default());
    let world = World { job: Arc::new(job), target, cancel };
    Item::new(Arc::new(planned), 0).on(ItemEvent::StagesSynced, &world, &mut Workspace::default());
}

/// What an item reads first and next; then nothing comes of it but what `outcome` says.
fn read(outcome: impl Fn(&Path) -> Outcome) -> (Vec<u64>, Effect, Item) {
    let (mut item, world) = to_publish(Durability::Process);
    let mut workspace = Workspace::default();
    let mut bounds = Vec::new();
    let mut effect = item.on(ItemEvent::Started, &world, &mut workspace);
    loop {
        let outcome = match &effect {
            Effect::Submit(Op::ReadFile { path, bytes_max, .. }) => {
                bounds.push(*bytes_max);
                outcome(path)
            }
            Effect::Submit(Op::ReadDirectory { path, bytes_max, .. }) => {
                bounds.push(*bytes_max);
                Err(failure(path, 2))
            }
            _ => return (bounds, effect, item),
        };
        effect = item.on(ItemEvent::Completed(outcome), &world, &mut workspace);
    }
}

#[test]
fn no_more_is_read_than_was_reserved() {
    let keys = || Payload::Bytes(KEYS.map(u32::to_le_bytes).concat().into());
    let (bounds, effect, item) = read(|_| Ok(keys()));
    assert!(matches!(effect, Effect::Search(_)));
    let job = Job::new(Inputs::tree("keys"));
    assert_eq!(bounds, [12, item.planned().found_bytes_max(&job)]);
}

#[test]
fn a_key_file_that_grew_since_it_was_listed_has_changed() {
    let kind = IoErrorKind::TooLarge { bytes: 16, bytes_max: 12 };
    let (bounds, effect, item) = read(|path| {
        let error = IoError::new(Operation::Read, path, kind.clone());
        Err(Failure { error, buffer: None })
    });
    assert!(matches!(effect, Effect::Settle));
    assert_eq!(bounds, [12]);
    let error = item.into_report().error.unwrap().to_string();
    assert_eq!(error, "cannot read keys/below/a.keys: it changed while it was read");
}

#[test]
#[should_panic(expected = "what is written says what it was made of")]
fn a_table_without_an_origin_is_a_bug_where_it_is_written() {
    let (mut item, world) = to_publish(Durability::Process);
    item.state = State::Searching { origin: None, replace: Replace::Never };
    let keys = KeySet::from_u32(KEYS.to_vec(), Repair::default()).unwrap();
    let searched = ItemEvent::Searched(Box::new(found(keys, &world.job)));
    item.on(searched, &world, &mut Workspace::default());
}

/// Renders as others do, and the user cancels when that is done.
struct CancelledWhenRendered(Artifacts, CancelFlag);

impl Renderer for CancelledWhenRendered {
    fn fingerprint(&self) -> String {
        self.0.fingerprint()
    }

    fn render(
        &self,
        facts: &Facts<'_>,
        table: &Table,
        artifacts: &mut Vec<RenderedFile>,
    ) -> Result<(), RenderError> {
        self.1.cancel();
        self.0.render(facts, table, artifacts)
    }

    fn check(
        &self,
        files: &[FileContent],
        keys: Option<&KeySet>,
        keep_going: &KeepGoing<'_>,
    ) -> Result<Result<(), ItemError>, Interrupted> {
        self.0.check(files, keys, keep_going)
    }

    fn estimate(&self, num_keys: u64, width: KeyWidth, geometry: Geometry) -> Estimate {
        self.0.estimate(num_keys, width, geometry)
    }
}

/// The keys of one large table are looked up twice: before it is rendered, and in what was.
#[test]
fn who_cancels_waits_for_no_look_up_of_many_keys() {
    let keys: Vec<u32> = (0..200_000).map(|key| key * 7919).collect();
    for is_rendered in [false, true] {
        let (mut item, mut world) = to_publish(Durability::Process);
        if is_rendered {
            let artifacts = Artifacts::new("pht".parse().unwrap(), SelfTest::FromFile);
            let renderer = CancelledWhenRendered(artifacts, world.cancel.clone());
            let Target::Dirs(publication) = &mut world.target else { unreachable!() };
            publication.renderer = Arc::new(renderer);
        } else {
            world.cancel.cancel();
        }
        let origin = Some(Origin { keys_blake3: [1; 32], options_blake3: [2; 32] });
        item.state = State::Searching { origin, replace: Replace::Never };
        let keys = KeySet::from_u32(keys.clone(), Repair::default()).unwrap();
        let searched = ItemEvent::Searched(Box::new(found(keys, &world.job)));
        let effect = item.on(searched, &world, &mut Workspace::default());
        assert!(matches!(effect, Effect::Settle), "{effect:?}");
        assert_eq!(item.into_report().status, Status::Cancelled);
    }
}
