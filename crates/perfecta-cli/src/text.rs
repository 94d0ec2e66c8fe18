//! What people read: the facts of a table, the end of a run.

use std::path::Path;

use perfecta_io::thousands;
use perfecta_jobs::DryRun;
use perfecta_server::{SummaryLine, TableLine};

use crate::failure::Failure;
use crate::terminal::{Terminal, printable};

/// The facts of one table, and its place, if it is published.
///
/// # Errors
/// [`Failure`] if standard output takes nothing.
pub(crate) fn table_facts(
    terminal: &Terminal,
    table: &TableLine,
    place: Option<&Path>,
) -> Result<(), Failure> {
    let say = |name: &str, value: &str| terminal.say(&format!("{name:<18} {value}"));
    say("table", &table.table)?;
    say("status", &table.status)?;
    say("keys", &thousands(table.keys))?;
    if let Some(search) = &table.search {
        say("edge capacity", &thousands(u64::from(search.edge_capacity)))?;
        say("vertices", &thousands(u64::from(search.vertices)))?;
        say("hash", &search.hash)?;
        // A search that was cancelled may have a winner, and there is no table of it.
        let winner = search.winning_attempt.filter(|_| table.status != "cancelled");
        if winner.is_some() {
            let words = search.seeds.iter().map(|seed| format!("{seed:#010x}"));
            say("seeds", &words.collect::<Vec<_>>().join(", "))?;
        }
        say("attempts", &thousands(search.attempts))?;
        if let Some(winner) = winner {
            say("winning attempt", &thousands(winner))?;
        }
        say("vertex collisions", &thousands(search.vertex_collisions))?;
        say("cyclic", &thousands(search.cyclic))?;
        say("grows", &search.grows.to_string())?;
        say("solve seconds", &format!("{:.6}", search.solve_seconds))?;
    }
    if table.files > 0 {
        say("written", &files_and_bytes(u64::from(table.files), table.bytes))?;
    }
    let is_there = matches!(table.status.as_str(), "ok" | "unchanged");
    let place = place.filter(|_| is_there).map(|place| place.display().to_string());
    place.map_or(Ok(()), |place| say("path", &printable(&place)))
}

/// The end of a run, and what was done with its files: `written` or `checked`.
///
/// # Errors
/// [`Failure`] if standard output takes nothing.
pub(crate) fn summary(
    terminal: &Terminal,
    summary: &SummaryLine,
    done: &str,
) -> Result<(), Failure> {
    let SummaryLine { ok, unchanged, failed, cancelled, .. } = *summary;
    let outcomes = outcomes(ok, [unchanged, failed, cancelled]);
    let tables = counted(u64::from(summary.tables), "table");
    let keys = counted(summary.keys, "key");
    terminal.say(&format!("{tables}: {outcomes}; {keys}"))?;
    if summary.files > 0 {
        terminal.say(&format!("{done}: {}", files_and_bytes(summary.files, summary.bytes)))?;
    }
    terminal.say(&format!("{:.2} s wall, {:.2} s CPU", summary.wall_seconds, summary.cpu_seconds))
}

/// What a run would do.
pub(crate) fn plan(plan: &DryRun) -> String {
    let (tables, keys) = (counted(u64::from(plan.tables), "table"), counted(plan.keys, "key"));
    format!("{tables}, {keys}; about {}", files_and_bytes(plan.files, plan.bytes))
}

/// What came of tables: `0 ok, 23 cancelled`. The others are those that are unchanged, failed, cancelled.
pub(crate) fn outcomes(ok: u32, others: [u32; 3]) -> String {
    let mut counts = vec![format!("{} ok", thousands(u64::from(ok)))];
    for (count, word) in others.into_iter().zip(["unchanged", "failed", "cancelled"]) {
        if count > 0 {
            counts.push(format!("{} {word}", thousands(u64::from(count))));
        }
    }
    counts.join(", ")
}

fn files_and_bytes(files: u64, bytes: u64) -> String {
    format!("{}, {} bytes", counted(files, "file"), thousands(bytes))
}

/// How long something has lasted, in the largest unit of which it has three.
pub(crate) fn lasting(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 180.0 => format!("{seconds:.0} s"),
        seconds if seconds < 180.0 * 60.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 72.0 * 3600.0 => format!("{:.0} h", seconds / 3600.0),
        seconds => format!("{:.0} days", seconds / 86_400.0),
    }
}

/// `1 table`, `13,637 tables`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_long_is_said_in_large_units() {
        let check = |seconds: f64, expected: &str| assert_eq!(lasting(seconds), expected);
        check(0.0, "0 s");
        check(179.0, "179 s");
        check(180.0, "3 min");
        check(10_799.0, "180 min");
        check(10_800.0, "3 h");
        check(259_200.0, "3 days");
    }
}
