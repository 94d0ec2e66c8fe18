//! All requests that are kept, and how many there may be.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::Duration;

use crate::access::Caller;
use crate::clock::SharedClock;
use crate::problem::{Problem, ProblemKind};
use crate::record::{ItemCounts, Record};
use crate::spec::JobSpec;

/// Bounds of what is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RegistryLimits {
    /// Requests that have not ended.
    pub(crate) outstanding_max: usize,
    /// Those of one user who is allowed.
    pub(crate) outstanding_user_max: usize,
    /// Key files that those name that have not ended.
    pub(crate) files_named_max: usize,
    /// The same of one user who is allowed.
    pub(crate) files_named_user_max: usize,
    /// Items that are known and not begun.
    pub(crate) items_queued_max: u64,
    /// Requests that have.
    pub(crate) ended_max: usize,
    /// Tables that these tell of, and key files that they name, together.
    pub(crate) tables_max: usize,
    /// How long these are kept.
    pub(crate) keep: Duration,
}

/// Requests by their ids, in the order in which they came.
pub(crate) struct Registry {
    limits: RegistryLimits,
    clock: SharedClock,
    /// Tells this daemon's ids from an earlier one's.
    incarnation: u32,
    next_number: u64,
    entries: BTreeMap<u64, Entry>,
    numbers: HashMap<String, u64>,
    by_idempotency_key: HashMap<String, u64>,
    /// Those that have not ended.
    outstanding: BTreeMap<u64, Arc<Record>>,
    /// What of these is whose.
    outstanding_of: HashMap<Caller, Held>,
    /// Key files that they name.
    files_named: usize,
    /// Items of theirs that wait and run. Workers change it.
    items: Arc<ItemCounts>,
    /// Numbers of those that have, in the order of their ends, and how many tables each tells of and
    /// key files it names.
    ended: BTreeMap<(Duration, u64), usize>,
    /// The same, together.
    num_tables: usize,
    /// Requests that are not kept any more, and the journal has not been told.
    forgotten: Vec<String>,
}

/// What somebody's requests are that have not ended.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    requests: usize,
    /// Key files that they name.
    files_named: usize,
}

struct Entry {
    record: Arc<Record>,
    idempotency_key: Option<String>,
}

/// What came of asking for a record.
pub(crate) enum Admission {
    /// It is to be run.
    Fresh(Arc<Record>),
    /// The same was asked for before, by the same idempotency key.
    Repeated(Arc<Record>),
}

impl Registry {
    pub(crate) fn new(limits: RegistryLimits, incarnation: u32, clock: SharedClock) -> Self {
        Self {
            limits,
            clock,
            incarnation,
            next_number: 1,
            entries: BTreeMap::new(),
            numbers: HashMap::new(),
            by_idempotency_key: HashMap::new(),
            outstanding: BTreeMap::new(),
            outstanding_of: HashMap::new(),
            files_named: 0,
            items: Arc::default(),
            ended: BTreeMap::new(),
            num_tables: 0,
            forgotten: Vec::new(),
        }
    }

    /// Takes a request in.
    ///
    /// # Errors
    /// [`Problem`] if there are too many, or another one has the same idempotency key.
    pub(crate) fn admit(
        &mut self,
        caller: Caller,
        spec: JobSpec,
        idempotency_key: Option<String>,
        now: Duration,
    ) -> Result<Admission, Problem> {
        self.sweep(now);
        if let Some(record) = self.find_repeated(&spec, idempotency_key.as_deref())? {
            return Ok(Admission::Repeated(record));
        }
        self.check_room(caller, spec.inputs.num_named())?;
        let record = Arc::new(Record::new(self.fresh_id(), caller, spec, Arc::clone(&self.clock)));
        self.insert(Arc::clone(&record), idempotency_key);
        Ok(Admission::Fresh(record))
    }

    /// The request that was sent before with the same idempotency key.
    ///
    /// # Errors
    /// [`Problem`] if it is another one.
    pub(crate) fn find_repeated(
        &self,
        spec: &JobSpec,
        idempotency_key: Option<&str>,
    ) -> Result<Option<Arc<Record>>, Problem> {
        let known = idempotency_key.and_then(|key| self.by_idempotency_key.get(key));
        let Some(number) = known else { return Ok(None) };
        let record = &self.entries[number].record;
        if record.spec != *spec {
            let detail = "another request was sent with this idempotency key";
            return Err(Problem::new(ProblemKind::Conflict, detail, "send a key of its own"));
        }
        Ok(Some(Arc::clone(record)))
    }

    /// An id that no request has, also none of an earlier daemon.
    fn fresh_id(&mut self) -> String {
        loop {
            let id = format!("{:08x}-{}", self.incarnation, self.next_number);
            if !self.numbers.contains_key(&id) {
                return id;
            }
            self.next_number += 1;
        }
    }

    /// Takes a request in that was accepted.
    pub(crate) fn insert(&mut self, record: Arc<Record>, idempotency_key: Option<String>) {
        let number = self.next_number;
        self.next_number += 1;
        self.numbers.insert(record.id.clone(), number);
        if let Some(key) = &idempotency_key {
            self.by_idempotency_key.insert(key.clone(), number);
        }
        if let Some(at) = record.ended_at() {
            self.put_ended(at, number, &record);
        } else {
            record.count_items_in(Some(Arc::clone(&self.items)));
            self.outstanding.insert(number, Arc::clone(&record));
            let files_named = record.spec.inputs.num_named();
            let of_owner = self.outstanding_of.entry(record.owner).or_default();
            of_owner.requests += 1;
            of_owner.files_named += files_named;
            self.files_named += files_named;
        }
        self.entries.insert(number, Entry { record, idempotency_key });
    }

    /// Takes a request out that was not accepted after all.
    pub(crate) fn withdraw(&mut self, id: &str) {
        if let Some(number) = self.numbers.get(id).copied() {
            self.remove(number);
        }
    }

    /// Takes in that a request has ended, and forgets what is then too much.
    pub(crate) fn note_end(&mut self, id: &str) {
        let Some(&number) = self.numbers.get(id) else { return };
        // Whoever is about to tell its end says so once more.
        let Some(at) = self.entries[&number].record.ended_at() else { return };
        if let Some(record) = self.take_outstanding(number) {
            self.put_ended(at, number, &record);
            self.sweep(at);
        }
    }

    fn put_ended(&mut self, at: Duration, number: u64, record: &Record) {
        let num_tables = record.num_tables() + record.spec.inputs.num_named();
        self.num_tables += num_tables;
        self.ended.insert((at, number), num_tables);
    }

    /// Refuses more than there is room for.
    fn check_room(&self, caller: Caller, files_named: usize) -> Result<(), Problem> {
        let outstanding = self.num_outstanding();
        let of_caller = self.outstanding_of.get(&caller).copied().unwrap_or_default();
        let is_bounded = matches!(caller, Caller::User(_));
        let items = self.items.queued();
        let busy = |what: String| {
            let detail = format!("{what} have not ended");
            Err(Problem::new(ProblemKind::Busy, detail, "try again after some have"))
        };
        if outstanding >= self.limits.outstanding_max {
            return busy(format!("{outstanding} requests"));
        }
        if is_bounded && of_caller.requests >= self.limits.outstanding_user_max {
            return busy(format!("{} requests of this user", of_caller.requests));
        }
        if self.files_named + files_named > self.limits.files_named_max {
            return busy(format!("requests that name {} key files", self.files_named));
        }
        if is_bounded && of_caller.files_named + files_named > self.limits.files_named_user_max {
            let files = of_caller.files_named;
            return busy(format!("requests of this user that name {files} key files"));
        }
        if items >= self.limits.items_queued_max {
            return busy(format!("requests with {items} tables that are not begun"));
        }
        Ok(())
    }

    /// The request of an id.
    ///
    /// # Errors
    /// [`Problem`] if there is none.
    pub(crate) fn find(&self, id: &str) -> Result<Arc<Record>, Problem> {
        let number = self.numbers.get(id).ok_or_else(|| Problem::no_such_request(id))?;
        Ok(Arc::clone(&self.entries[number].record))
    }

    /// Forgets a request that has ended.
    ///
    /// # Errors
    /// [`Problem`] if there is none, or it has not.
    pub(crate) fn forget(&mut self, id: &str) -> Result<(), Problem> {
        if !self.find(id)?.state().is_final() {
            let detail = format!("request {id} has not ended");
            return Err(Problem::new(ProblemKind::Conflict, detail, "cancel it first"));
        }
        let number = self.numbers[id];
        self.remove(number);
        Ok(())
    }

    /// All requests, in the order in which they came, to be looked at when the registry is free again:
    /// workers wait for it.
    pub(crate) fn all(&self) -> Vec<Arc<Record>> {
        self.entries.values().map(|entry| Arc::clone(&entry.record)).collect()
    }

    /// So many of those behind a number that somebody may see, in the order in which they came; and the
    /// number that the rest is behind, if there is a rest. What is forgotten meanwhile moves none of
    /// them to another page.
    pub(crate) fn page(
        &self,
        caller: Caller,
        after: u64,
        limit: usize,
    ) -> (Vec<Arc<Record>>, Option<u64>) {
        let behind = self.entries.range((Excluded(after), Unbounded));
        let mut seen = behind.filter(|(_, entry)| caller.may_see(entry.record.owner));
        let mut last = after;
        let page = seen.by_ref().take(limit).map(|(number, entry)| {
            last = *number;
            Arc::clone(&entry.record)
        });
        let page = page.collect();
        (page, seen.next().map(|_| last))
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Those that have not ended.
    pub(crate) fn outstanding(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.outstanding.values()
    }

    /// How many these are.
    pub(crate) fn num_outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Items of theirs that wait and run.
    pub(crate) fn items(&self) -> &ItemCounts {
        &self.items
    }

    /// Forgets what was kept long enough, and of what is too much, what ended first.
    pub(crate) fn sweep(&mut self, now: Duration) {
        while let Some((&(at, number), _)) = self.ended.first_key_value() {
            let is_old = now.saturating_sub(at) > self.limits.keep;
            let is_much = self.ended.len() > self.limits.ended_max
                || (self.num_tables > self.limits.tables_max && self.ended.len() > 1);
            if !is_old && !is_much {
                break;
            }
            let id = self.remove(number);
            self.forgotten.extend(id);
        }
    }

    /// What was swept since this was asked for last.
    pub(crate) fn take_forgotten(&mut self) -> Vec<String> {
        std::mem::take(&mut self.forgotten)
    }

    /// Takes a request out of those that have not ended, if it is one of them.
    fn take_outstanding(&mut self, number: u64) -> Option<Arc<Record>> {
        let record = self.outstanding.remove(&number)?;
        let of_owner = self.outstanding_of.get_mut(&record.owner).expect("it is counted");
        let files_named = record.spec.inputs.num_named();
        of_owner.requests -= 1;
        of_owner.files_named -= files_named;
        self.files_named -= files_named;
        record.count_items_in(None);
        // Users come and go.
        if of_owner.requests == 0 {
            self.outstanding_of.remove(&record.owner);
        }
        Some(record)
    }

    /// Takes a request out, and gives its id.
    fn remove(&mut self, number: u64) -> Option<String> {
        let Entry { record, idempotency_key } = self.entries.remove(&number)?;
        self.numbers.remove(&record.id);
        if self.take_outstanding(number).is_none() {
            let at = record.ended_at().expect("it has ended");
            let num_tables = self.ended.remove(&(at, number));
            self.num_tables -= num_tables.expect("it is among those that have");
        }
        if let Some(key) = idempotency_key {
            self.by_idempotency_key.remove(&key);
        }
        Some(record.id.clone())
    }
}

#[cfg(test)]
mod tests {
    use perfecta_jobs::{Event, ItemReport, Progress, Status, Summary};

    use super::*;
    use crate::report::ProcessUse;
    use crate::spec::InputSpec;

    const SECOND: Duration = Duration::from_secs(1);

    fn registry() -> Registry {
        let limits = RegistryLimits {
            outstanding_max: 2,
            outstanding_user_max: 1,
            items_queued_max: 5,
            files_named_max: 9,
            files_named_user_max: 7,
            ended_max: 2,
            tables_max: 5,
            keep: 10 * SECOND,
        };
        Registry::new(limits, 0xabc, crate::clock::tests::any())
    }

    fn spec(file: &str) -> JobSpec {
        let json = format!(r#"{{"inputs": {{"files": ["{file}"]}}, "output": null}}"#);
        serde_json::from_str(&json).unwrap()
    }

    fn admit(registry: &mut Registry, at: Duration) -> Arc<Record> {
        match registry.admit(Caller::Owner, spec("/a"), None, at).unwrap() {
            Admission::Fresh(record) => record,
            Admission::Repeated(_) => panic!("no key was sent"),
        }
    }

    fn end(registry: &mut Registry, record: &Record, at: Duration) {
        let process = ProcessUse { threads_max: 1, memory_peak_bytes: None };
        record.end(Ok(Summary::default()), process, at, drop);
        registry.note_end(&record.id);
    }

    #[test]
    fn more_requests_than_allowed_are_told_to_come_again() {
        let mut registry = registry();
        let first = admit(&mut registry, SECOND);
        admit(&mut registry, SECOND);
        let refused =
            registry.admit(Caller::Owner, spec("/a"), None, SECOND).map(drop).unwrap_err();
        assert_eq!(refused.kind, ProblemKind::Busy);
        end(&mut registry, &first, SECOND);
        admit(&mut registry, SECOND);
    }

    #[test]
    fn a_user_who_has_enough_leaves_room_for_others() {
        let mut registry = registry();
        let mut admit =
            |user| registry.admit(Caller::User(user), spec("/a"), None, SECOND).map(drop);
        admit(7).unwrap();
        let refused = admit(7).unwrap_err();
        assert_eq!(refused.kind, ProblemKind::Busy);
        assert!(refused.detail.contains("of this user"), "{refused:?}");
        admit(8).unwrap();
    }

    #[test]
    fn no_request_is_taken_while_too_many_tables_wait() {
        let mut registry = registry();
        let first = admit(&mut registry, SECOND);
        first.place(5, 0);
        let refused = registry.admit(Caller::Owner, spec("/a"), None, SECOND).map(drop);
        assert!(refused.unwrap_err().detail.contains("5 tables"));
        first.place(4, 1);
        let second = admit(&mut registry, SECOND);
        // What has ended counts no more, whatever was told of it last.
        second.place(5, 0);
        end(&mut registry, &second, SECOND);
        admit(&mut registry, SECOND);
    }

    /// A request that names so many key files.
    fn naming(count: usize) -> JobSpec {
        JobSpec { inputs: InputSpec::Files(vec!["/a".into(); count]), ..spec("/a") }
    }

    #[test]
    fn no_request_is_taken_that_names_more_key_files_than_there_is_room_for() {
        let mut registry = registry();
        let mut admit = |caller, count| registry.admit(caller, naming(count), None, SECOND);
        let refused = admit(Caller::User(7), 8).map(drop).unwrap_err();
        assert!(refused.detail.contains("of this user"), "{refused:?}");
        let Ok(Admission::Fresh(record)) = admit(Caller::User(7), 7) else {
            panic!("there is room");
        };
        let refused = admit(Caller::Owner, 3).map(drop).unwrap_err();
        assert_eq!(refused.kind, ProblemKind::Busy);
        assert!(refused.detail.contains("name 7 key files"), "{refused:?}");
        admit(Caller::Owner, 2).map(drop).unwrap();
        end(&mut registry, &record, SECOND);
        registry.admit(Caller::User(7), naming(7), None, SECOND).map(drop).unwrap();
    }

    #[test]
    fn what_is_too_much_is_forgotten_when_another_request_ends() {
        let mut registry = registry();
        let mut with_files = |count: usize| {
            let admission = registry.admit(Caller::Owner, naming(count), None, SECOND);
            let Ok(Admission::Fresh(record)) = admission else { panic!("there is room") };
            end(&mut registry, &record, SECOND);
            let kept = registry.all().into_iter().map(|record| record.spec.inputs.num_named());
            (kept.collect::<Vec<_>>(), registry.take_forgotten().len())
        };
        assert_eq!(with_files(2), (vec![2], 0));
        assert_eq!(with_files(3), (vec![2, 3], 0));
        assert_eq!(with_files(1), (vec![3, 1], 1));
        assert_eq!(with_files(9), (vec![9], 2));
    }

    #[test]
    fn items_that_wait_and_run_are_those_of_all_requests_that_have_not_ended() {
        let mut registry = registry();
        let items = |registry: &Registry| (registry.items().queued(), registry.items().running());
        let (first, second) = (admit(&mut registry, SECOND), admit(&mut registry, SECOND));
        first.place(4, 1);
        second.place(3, 2);
        assert_eq!(items(&registry), (7, 3));
        first.place(2, 3);
        assert_eq!(items(&registry), (5, 5));
        end(&mut registry, &second, SECOND);
        assert_eq!(items(&registry), (2, 3));
        second.place(9, 9);
        assert_eq!(items(&registry), (2, 3));
        registry.withdraw(&first.id);
        assert_eq!(items(&registry), (0, 0));
        // What was told before it was taken in counts, too.
        registry.insert(first, None);
        assert_eq!(items(&registry), (2, 3));
    }

    #[test]
    fn a_repeated_request_is_the_same_one_and_another_with_its_key_is_refused() {
        let mut registry = registry();
        let key = || Some("k".to_owned());
        let Ok(Admission::Fresh(record)) = registry.admit(Caller::Owner, spec("/a"), key(), SECOND)
        else {
            panic!("it is the first");
        };
        let Ok(Admission::Repeated(again)) =
            registry.admit(Caller::Owner, spec("/a"), key(), SECOND)
        else {
            panic!("it is the same");
        };
        assert_eq!(record.id, again.id);
        let refused =
            registry.admit(Caller::Owner, spec("/b"), key(), SECOND).map(drop).unwrap_err();
        assert_eq!(refused.kind, ProblemKind::Conflict);
    }

    #[test]
    fn requests_that_ended_are_kept_for_a_time_and_up_to_a_number() {
        let mut registry = registry();
        let ids: Vec<String> = (1..=3)
            .map(|at| {
                let record = admit(&mut registry, at * SECOND);
                end(&mut registry, &record, at * SECOND);
                record.id.clone()
            })
            .collect();
        registry.sweep(4 * SECOND);
        let kept =
            |registry: &Registry| registry.all().iter().map(|record| record.id.clone()).collect();
        let both: Vec<String> = kept(&registry);
        assert_eq!(both, ids[1..]);
        registry.sweep(12 * SECOND + SECOND / 2);
        let last: Vec<String> = kept(&registry);
        assert_eq!(last, ids[2..]);
        assert!(registry.find(&ids[1]).is_err());
    }

    #[test]
    fn pages_of_requests_come_to_all_that_somebody_may_see_each_once() {
        let mut registry = registry();
        registry.limits.outstanding_max = 9;
        registry.limits.outstanding_user_max = 9;
        let callers = [Caller::User(7), Caller::Owner, Caller::User(7), Caller::User(8)];
        let records: Vec<Arc<Record>> = callers
            .into_iter()
            .chain([Caller::User(7)])
            .map(|caller| match registry.admit(caller, spec("/a"), None, SECOND).unwrap() {
                Admission::Fresh(record) => record,
                Admission::Repeated(_) => panic!("no key was sent"),
            })
            .collect();
        let check = |registry: &Registry, caller, (after, limit), page: &[usize], next| {
            let (told, rest) = registry.page(caller, after, limit);
            let told: Vec<&str> = told.iter().map(|record| record.id.as_str()).collect();
            let wanted: Vec<&str> = page.iter().map(|&which| records[which].id.as_str()).collect();
            assert_eq!((told, rest), (wanted, next));
        };
        check(&registry, Caller::Owner, (0, 9), &[0, 1, 2, 3, 4], None);
        check(&registry, Caller::Owner, (0, 5), &[0, 1, 2, 3, 4], None);
        check(&registry, Caller::Owner, (0, 4), &[0, 1, 2, 3], Some(4));
        check(&registry, Caller::Owner, (4, 4), &[4], None);
        check(&registry, Caller::Owner, (u64::MAX, 4), &[], None);
        check(&registry, Caller::Owner, (2, 0), &[], Some(2));
        check(&registry, Caller::User(7), (0, 2), &[0, 2], Some(3));
        // What goes meanwhile takes none out of the next page.
        end(&mut registry, &records[0], SECOND);
        registry.forget(&records[0].id).unwrap();
        check(&registry, Caller::User(7), (3, 2), &[4], None);
    }

    #[test]
    fn a_request_that_was_removed_takes_no_others_place() {
        let mut registry = registry();
        let kept = admit(&mut registry, SECOND);
        end(&mut registry, &kept, SECOND);
        for _ in 0..5 {
            let removed = admit(&mut registry, SECOND);
            end(&mut registry, &removed, SECOND);
            registry.forget(&removed.id).unwrap();
        }
        registry.sweep(SECOND);
        assert!(registry.find(&kept.id).is_ok());
        assert_eq!(registry.ended.len(), 1);
    }

    #[test]
    fn of_requests_that_ended_so_many_are_kept_as_tell_of_so_many_tables() {
        let mut registry = registry();
        let mut with_tables = |count: usize| {
            let record = admit(&mut registry, SECOND);
            let report = ItemReport::new("a.keys".into(), "a".to_owned(), Status::Ok);
            let progress = Progress::default();
            let settled = Event::Settled { report: &report, progress: &progress };
            (0..count).for_each(|_| record.observe(&settled));
            end(&mut registry, &record, SECOND);
            registry.sweep(SECOND);
            registry.all().iter().map(|record| record.num_tables()).collect::<Vec<_>>()
        };
        assert_eq!(with_tables(2), [2]);
        assert_eq!(with_tables(1), [2, 1]);
        assert_eq!(with_tables(2), [1, 2]);
        // The last one can be asked for, however large it is.
        assert_eq!(with_tables(9), [9]);
    }

    #[test]
    fn a_request_that_has_not_ended_is_not_forgotten() {
        let mut registry = registry();
        let record = admit(&mut registry, SECOND);
        assert_eq!(registry.forget(&record.id).unwrap_err().kind, ProblemKind::Conflict);
        end(&mut registry, &record, SECOND);
        registry.forget(&record.id).unwrap();
        assert_eq!(registry.forget(&record.id).unwrap_err().kind, ProblemKind::NotFound);
    }
}
