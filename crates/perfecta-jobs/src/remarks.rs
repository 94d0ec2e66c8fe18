//! What is remarked of tables that are there: one line of each kind for all of a job's, at its end.

use std::path::{Path, PathBuf};

use perfecta_core::search::Plan;

use crate::config::Doubt;
use crate::event::ItemReport;
use crate::ledger::Status;

/// What there is to remark.
#[derive(Debug, Default)]
pub(crate) struct Remarks {
    texts: Files,
    pairs: Files,
    /// The same of files that `--key-size 32` does not take where it chooses the names.
    pairs_keys64: Files,
    out_of_time: Files,
    all_the_same: Files,
    not_made: Files,
    other_options: Files,
}

/// The first of some key files in the order of the plan, and how many there are.
#[derive(Debug, Default)]
struct Files {
    first: Option<(u32, PathBuf)>,
    count: u64,
}

impl Remarks {
    /// Takes note of an item that is settled.
    pub(crate) fn note(&mut self, position: u32, report: &ItemReport, plan: &Plan) {
        match report.status {
            Status::Ok => {
                if report.replaces_other_options {
                    self.other_options.add(position, report);
                }
                self.note_search(position, report, plan);
            }
            // One that somebody else published meanwhile was searched for all the same.
            Status::Unchanged if report.search.is_none() && plan.fixed_attempts.is_some() => {
                self.not_made.add(position, report);
            }
            Status::Unchanged => {}
            Status::Failed | Status::Cancelled => return,
        }
        match report.doubt {
            Some(Doubt::Text) => self.texts.add(position, report),
            Some(Doubt::Pairs) if is_keys64(&report.keys_file) => {
                self.pairs_keys64.add(position, report);
            }
            Some(Doubt::Pairs) => self.pairs.add(position, report),
            None => {}
        }
    }

    fn note_search(&mut self, position: u32, report: &ItemReport, plan: &Plan) {
        let Some(search) = report.search.filter(|it| Some(it.attempts) < plan.fixed_attempts)
        else {
            return;
        };
        let is_constant = plan.seeds.is_constant(search.hash);
        let files = if is_constant { &mut self.all_the_same } else { &mut self.out_of_time };
        files.add(position, report);
    }

    /// One line of each kind, if there is something to say.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let kinds = [
            (&self.texts, format!("{}: this table is of other keys", Doubt::Text)),
            (&self.pairs, format!("{}: this table is of pairs of them", Doubt::Pairs)),
            (
                &self.pairs_keys64,
                format!(
                    "{}, for all of a directory with --include '*.keys64', or rename it to *.keys and give \
                     --key-size auto: this table is of pairs of them",
                    Doubt::Pairs
                ),
            ),
            (
                &self.out_of_time,
                "fewer attempts were made than --fixed-attempts says: the time for a key file was over \
                 (--max-seconds)"
                    .to_owned(),
            ),
            (
                &self.all_the_same,
                "one attempt was made instead of --fixed-attempts: the seeds are fixed, so every attempt is \
                 the same"
                    .to_owned(),
            ),
            (
                &self.not_made,
                "no attempts were made: the table of these keys and options is there, unchanged; --no-output \
                 makes the --fixed-attempts and counts them"
                    .to_owned(),
            ),
            (
                &self.other_options,
                "a table made with other options, or by another version, was there and is replaced".to_owned(),
            ),
        ];
        kinds
            .into_iter()
            .filter_map(|(files, remark)| Some(format!("{}: {remark}", files.named()?)))
    }
}

impl Files {
    fn add(&mut self, position: u32, report: &ItemReport) {
        self.count += 1;
        if self.first.as_ref().is_none_or(|(first, _)| position < *first) {
            self.first = Some((position, report.keys_file.clone()));
        }
    }

    fn named(&self) -> Option<String> {
        let (_, first) = self.first.as_ref()?;
        Some(format!("{}{}", first.display(), and_more(self.count as usize - 1)))
    }
}

fn is_keys64(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "keys64")
}

/// How many files more there are than the one that is named.
pub(crate) fn and_more(files: usize) -> String {
    match files {
        0 => String::new(),
        1 => " and 1 file more".to_owned(),
        more => format!(" and {more} files more"),
    }
}
