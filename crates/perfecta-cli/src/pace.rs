//! How long a run goes on yet, by what its tables took so far.
//!
//! A table takes some time for itself and some for each of its keys. The largest are begun first, so
//! that neither their keys nor their number alone tells what the rest takes: both are found from two
//! spans of the run, of which the later has the smaller tables.

use std::ops::Sub;

use perfecta_server::ProgressLine;

/// A run that has not gone on for so long says nothing of what is left.
const SECONDS_MIN: f64 = 1.0;
/// Between two samples that are kept.
const SECONDS_APART: f64 = 0.1;
/// Then every other sample is forgotten.
const SAMPLES_MAX: usize = 256;

/// How a run went on.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    samples: Vec<Sample>,
}

/// What was done by then, or within a span.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    seconds: f64,
    keys: f64,
    tables: f64,
}

impl Pace {
    /// Notes where the run is. Seconds that it goes on yet, where that can be said.
    pub(crate) fn note(&mut self, progress: &ProgressLine) -> Option<f64> {
        let now = Sample {
            seconds: progress.wall_seconds,
            keys: progress.keys_done as f64,
            tables: f64::from(progress.settled()),
        };
        if self.samples.last().is_none_or(|last| now.seconds - last.seconds >= SECONDS_APART) {
            if self.samples.len() == SAMPLES_MAX {
                let mut place = 0;
                self.samples.retain(|_| {
                    place += 1;
                    place % 2 == 0
                });
            }
            self.samples.push(now);
        }
        if now.seconds < SECONDS_MIN || now.tables == 0.0 {
            return None;
        }
        let half = self.samples.iter().rfind(|sample| sample.seconds <= now.seconds / 2.0);
        let half = half.copied().unwrap_or_default();
        let left = Sample {
            keys: progress.keys_total.saturating_sub(progress.keys_done) as f64,
            tables: f64::from(progress.tables) - now.tables,
            ..Sample::default()
        };
        seconds_of(left, half, now - half).or_else(|| progress.seconds_left())
    }
}

/// What `left` takes, by two spans; `None` where these say nothing of it.
fn seconds_of(left: Sample, early: Sample, late: Sample) -> Option<f64> {
    if late.tables == 0.0 {
        return None;
    }
    let by_tables = late.seconds / late.tables * left.tables;
    let by_keys = (late.keys > 0.0).then(|| late.seconds / late.keys * left.keys);
    let determinant = early.keys * late.tables - late.keys * early.tables;
    if determinant <= 0.0 {
        // The later tables are no smaller: those that are left are as the last ones.
        return Some(by_tables);
    }
    let of_key = (early.seconds * late.tables - late.seconds * early.tables) / determinant;
    let of_table = (early.keys * late.seconds - late.keys * early.seconds) / determinant;
    if of_key < 0.0 {
        return Some(by_tables);
    }
    if of_table < 0.0 { by_keys } else { Some(of_key * left.keys + of_table * left.tables) }
}

impl Sub for Sample {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            seconds: self.seconds - other.seconds,
            keys: self.keys - other.keys,
            tables: self.tables - other.tables,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of tables whose numbers of keys fall from 10,000 to 1, where a key and a table take so many
    /// seconds: what is left, as it is told and as it is, after each tenth of the tables.
    fn told_and_true(of_key: f64, of_table: f64) -> Vec<(Option<f64>, f64)> {
        const TABLES: u32 = 10_000;
        let keys_total: u64 = (1..=u64::from(TABLES)).sum();
        let seconds_of =
            |keys: u64, tables: u32| of_key * keys as f64 + of_table * f64::from(tables);
        let mut pace = Pace::default();
        let mut progress = ProgressLine { tables: TABLES, keys_total, ..ProgressLine::default() };
        let mut told_and_true = Vec::new();
        for keys in (1..=u64::from(TABLES)).rev() {
            progress.ok += 1;
            progress.keys_done += keys;
            progress.wall_seconds = seconds_of(progress.keys_done, progress.ok);
            let told = pace.note(&progress);
            if progress.ok.is_multiple_of(TABLES / 10) {
                told_and_true.push((told, seconds_of(keys_total, TABLES) - progress.wall_seconds));
            }
        }
        told_and_true
    }

    #[test]
    fn what_is_left_is_told_whatever_tables_and_keys_take() {
        // 30 s: by keys alone, by tables alone, and by both.
        for (of_key, of_table) in [(6e-7, 0.0), (0.0, 3e-3), (2e-7, 2e-3)] {
            for (told, left) in told_and_true(of_key, of_table) {
                let told = told.unwrap();
                assert!(
                    (told - left).abs() < 0.02 * left + 0.1,
                    "{told} of {left}: {of_key} {of_table}"
                );
            }
        }
    }

    #[test]
    fn nothing_is_told_too_early_and_what_stands_still_is_told_by_all_of_it() {
        let mut pace = Pace::default();
        let at = |seconds, ok| ProgressLine {
            tables: 100,
            ok,
            keys_done: u64::from(ok) * 10,
            keys_total: 1000,
            wall_seconds: seconds,
            ..ProgressLine::default()
        };
        assert_eq!(pace.note(&at(0.9, 10)), None);
        // The last 40 took 1.1 s.
        let told = pace.note(&at(2.0, 50)).unwrap();
        assert!((told - 1.1 / 40.0 * 50.0).abs() < 1e-9, "{told}");
        assert_eq!(pace.note(&at(4.0, 50)), Some(4.0));
        assert_eq!(pace.note(&at(9.0, 50)), Some(9.0));
    }
}
