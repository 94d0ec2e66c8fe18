//! Progress on standard error: a bar on a terminal, nothing elsewhere.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use perfecta_io::thousands;
use perfecta_server::ProgressLine;

use crate::pace::Pace;
use crate::terminal::printable;
use crate::text::counted;

/// Whether progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressChoice {
    /// A bar where standard error is a terminal, and TERM is not `dumb`
    Auto,
    /// Nothing
    None,
}

/// The bar, or nothing.
#[derive(Debug)]
pub(crate) struct Display {
    bar: Option<ProgressBar>,
    pace: RefCell<Pace>,
}

impl Display {
    /// A display that follows `choice`.
    pub(crate) fn new(choice: ProgressChoice) -> Self {
        let shown = choice == ProgressChoice::Auto && io::stderr().is_terminal() && !is_dumb();
        Self { bar: shown.then(bar), pace: RefCell::default() }
    }

    /// Shows where the job is.
    pub(crate) fn show(&self, progress: impl FnOnce() -> ProgressLine) {
        let Some(bar) = &self.bar else { return };
        let progress = progress();
        let columns = columns();
        bar.set_style(style(columns));
        // As the counts beside it: what is done of the keys is another part, and the time to go tells it.
        bar.set_length(u64::from(progress.tables.max(1)));
        bar.set_position(u64::from(progress.settled()));
        let seconds_left = self.pace.borrow_mut().note(&progress);
        bar.set_message(message_beside_bar(&progress, seconds_left, columns));
    }

    /// Prints a line above the bar.
    pub(crate) fn note(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| crate::terminal::Terminal.note(line)),
            None => crate::terminal::Terminal.note(line),
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Whether the terminal says of itself that it moves no cursor: one of an editor, or a log.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// One line, cut where the terminal ends: a line that wraps cannot be drawn over.
fn bar() -> ProgressBar {
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(Narrowed), 10);
    // A bar of length 0 would be full.
    let bar = ProgressBar::with_draw_target(Some(1), target)
        .with_style(style(columns()))
        .with_message("looking for what there is to do");
    bar.tick();
    bar
}

/// Standard error as a terminal that lacks the columns of an echo: lines are filled up to its width.
#[derive(Debug)]
struct Narrowed;

impl Narrowed {
    fn put(text: fmt::Arguments<'_>) -> io::Result<()> {
        io::stderr().lock().write_fmt(text)
    }

    /// Moves the cursor `count` places in the direction of a letter (ECMA-48, CUU to CUB).
    fn go(letter: char, count: usize) -> io::Result<()> {
        if count == 0 { Ok(()) } else { Self::put(format_args!("\x1b[{count}{letter}")) }
    }
}

impl TermLike for Narrowed {
    fn width(&self) -> u16 {
        columns().saturating_sub(ECHO_COLUMNS).max(1) as u16
    }

    fn move_cursor_up(&self, count: usize) -> io::Result<()> {
        Self::go('A', count)
    }

    fn move_cursor_down(&self, count: usize) -> io::Result<()> {
        Self::go('B', count)
    }

    fn move_cursor_right(&self, count: usize) -> io::Result<()> {
        Self::go('C', count)
    }

    fn move_cursor_left(&self, count: usize) -> io::Result<()> {
        Self::go('D', count)
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        Self::put(format_args!("{line}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        Self::put(format_args!("{text}"))
    }

    fn clear_line(&self) -> io::Result<()> {
        Self::put(format_args!("\r\x1b[2K"))
    }

    fn flush(&self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

/// Terminals of fewer columns have none for the bar.
const COLUMNS_FOR_BAR: usize = 60;

fn style(columns: usize) -> ProgressStyle {
    let template = if bar_columns(columns) > 0 { "[{bar:10}] {msg}" } else { "{msg}" };
    ProgressStyle::with_template(template).expect("the template is valid").progress_chars("=> ")
}

/// What the bar takes of a line, brackets and the space after it included.
const fn bar_columns(columns: usize) -> usize {
    if columns >= COLUMNS_FOR_BAR { 13 } else { 0 }
}

/// What a terminal puts after the line when keys for signals are pressed: `^C`, and once more. A line
/// that it makes wrap is taken away in part only.
const ECHO_COLUMNS: usize = 4;

/// The message, cut to what the bar and the echo leave of `columns`.
fn message_beside_bar(
    progress: &ProgressLine,
    seconds_left: Option<f64>,
    columns: usize,
) -> String {
    let room = columns.saturating_sub(bar_columns(columns) + ECHO_COLUMNS);
    message(progress, seconds_left, room).chars().take(room).collect()
}

/// The terminal's width, as it is now.
fn columns() -> usize {
    const COLUMNS_UNKNOWN: usize = 80;
    match rustix::termios::tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        Ok(_) | Err(_) => COLUMNS_UNKNOWN,
    }
}

/// The most that `columns` hold of
/// `9,312/13,637 tables  ETA 0:12  3 failed  2.1 M keys/s  hard: nvwgf2umx.keys 41,000 attempts`.
///
/// Left out first is what moves least or can be guessed: the rate, the middle of the file's name,
/// words, the time to go where a hard search has it wait, at last the name.
fn message(progress: &ProgressLine, seconds_left: Option<f64>, columns: usize) -> String {
    let parts = Parts::of(progress, seconds_left);
    let fits = |text: &String| text.chars().count() <= columns;
    let long = [parts.with_rate(), parts.without_rate()].into_iter().find(fits);
    let name_cut = |form: &dyn Fn(&str) -> String, least: usize| {
        let name = parts.hardest.as_ref().map(|(name, _)| name.as_str())?;
        let room =
            (columns + 1).checked_sub(form("-").chars().count()).filter(|&room| room >= least)?;
        Some(form(&without_middle(name, room)))
    };
    long.or_else(|| name_cut(&|name| parts.named(name), 12))
        .or_else(|| name_cut(&|name| parts.short(name), 6))
        .or_else(|| Some(parts.short("")).filter(fits))
        .unwrap_or(parts.counts)
}

/// What can be said of a run.
struct Parts {
    counts: String,
    time_left: Option<String>,
    failed: Option<String>,
    rate: Option<String>,
    /// The file of the longest search, and its attempts.
    hardest: Option<(String, String)>,
}

impl Parts {
    fn of(progress: &ProgressLine, seconds_left: Option<f64>) -> Self {
        let count = |number: u32| thousands(u64::from(number));
        let rate = |seconds: f64| format!("{} keys/s", rate(progress.keys_done as f64 / seconds));
        Self {
            counts: format!("{}/{}", count(progress.settled()), count(progress.tables)),
            time_left: seconds_left
                .filter(|&seconds| seconds > 0.0)
                .map(|seconds| format!("ETA {}", clock(Duration::from_secs_f64(seconds.ceil())))),
            failed: (progress.failed > 0).then(|| format!("{} failed", count(progress.failed))),
            rate: Some(progress.wall_seconds).filter(|&seconds| seconds > 0.0).map(rate),
            hardest: progress.hardest.as_ref().map(|hardest| {
                let name = hardest.keys_file.file_name().unwrap_or_default().to_string_lossy();
                (printable(&name), counted(hardest.attempts, "attempt"))
            }),
        }
    }

    fn with_rate(&self) -> String {
        let hardest =
            self.hardest.as_ref().map(|(name, attempts)| format!("hard: {name} {attempts}"));
        let parts = [
            Some(self.tables()),
            self.time_left.clone(),
            self.failed.clone(),
            self.rate.clone(),
            hardest,
        ];
        joined(parts)
    }

    fn without_rate(&self) -> String {
        let name = self.hardest.as_ref().map_or("", |(name, _)| name);
        self.named(name)
    }

    /// With the hardest file called `name`.
    fn named(&self, name: &str) -> String {
        let hardest = self.hardest.as_ref().map(|(_, attempts)| format!("hard: {name} {attempts}"));
        joined([Some(self.tables()), self.time_left.clone(), self.failed.clone(), hardest])
    }

    /// As few words as can be, the hardest file called `name`.
    fn short(&self, name: &str) -> String {
        let hardest = self.hardest.as_ref().map(|(_, attempts)| format!("{name} {attempts}"));
        let hardest = hardest.map(|hardest| hardest.trim_start().to_owned());
        let time_left = self.time_left.clone().filter(|_| hardest.is_none());
        joined([Some(self.counts.clone()), time_left, self.failed.clone(), hardest])
    }

    fn tables(&self) -> String {
        format!("{} tables", self.counts)
    }
}

fn joined<const PARTS: usize>(parts: [Option<String>; PARTS]) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
}

/// At most `room` letters of a name: its beginning and its end.
fn without_middle(name: &str, room: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= room {
        return name.to_owned();
    }
    let kept = room.saturating_sub(1);
    let (head, tail) = (kept / 2, kept - kept / 2);
    letters[..head].iter().chain(&['…']).chain(&letters[letters.len() - tail..]).collect()
}

fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 1e6 => format!("{:.1} M", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.1} k", rate / 1e3),
        rate => format!("{rate:.0}"),
    }
}

fn clock(left: Duration) -> String {
    let seconds = left.as_secs();
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perfecta_server::HardestLine;

    fn at_work() -> ProgressLine {
        ProgressLine {
            tables: 13_637,
            ok: 9_309,
            failed: 3,
            keys_done: 5_000_000,
            keys_total: 10_000_000,
            wall_seconds: 12.0,
            ..ProgressLine::default()
        }
    }

    fn with_a_hard_search() -> ProgressLine {
        let keys_file = "keys/windows/nvwgf2umx-31016.keys".into();
        let hardest = HardestLine { keys_file, attempts: 41_000 };
        ProgressLine { hardest: Some(hardest), ..at_work() }
    }

    #[test]
    fn a_narrow_terminal_leaves_out_what_moves_least() {
        let check = |progress: &ProgressLine, columns: usize, expected: &str| {
            assert_eq!(
                message(progress, progress.seconds_left(), columns),
                expected,
                "{columns} columns"
            );
        };
        let (plain, hard) = (at_work(), with_a_hard_search());
        check(&plain, 80, "9,312/13,637 tables  ETA 0:12  3 failed  416.7 k keys/s");
        check(&plain, 40, "9,312/13,637 tables  ETA 0:12  3 failed");
        check(&plain, 36, "9,312/13,637  ETA 0:12  3 failed");
        check(
            &hard,
            107,
            "9,312/13,637 tables  ETA 0:12  3 failed  416.7 k keys/s  hard: nvwgf2umx-31016.keys 41,000 attempts",
        );
        check(
            &hard,
            90,
            "9,312/13,637 tables  ETA 0:12  3 failed  hard: nvwgf2umx-31016.keys 41,000 attempts",
        );
        check(
            &hard,
            76,
            "9,312/13,637 tables  ETA 0:12  3 failed  hard: nvwgf2…6.keys 41,000 attempts",
        );
        check(&hard, 67, "9,312/13,637  3 failed  nvwgf2umx-31016.keys 41,000 attempts");
        check(&hard, 50, "9,312/13,637  3 failed  nvwg….keys 41,000 attempts");
        check(&hard, 40, "9,312/13,637  3 failed  41,000 attempts");
        check(&hard, 12, "9,312/13,637");
    }

    #[test]
    fn a_line_is_never_longer_than_the_terminal_that_has_room_for_counts() {
        for columns in 12..130 {
            for progress in [at_work(), with_a_hard_search()] {
                let line = message(&progress, progress.seconds_left(), columns);
                assert!(line.chars().count() <= columns, "{columns} columns: {line}");
            }
        }
    }

    #[test]
    fn the_bar_is_as_full_as_the_counts_say() {
        let bar = ProgressBar::hidden();
        let display = Display { bar: Some(bar.clone()), pace: RefCell::default() };
        display.show(at_work);
        assert_eq!((bar.position(), bar.length()), (9_312, Some(13_637)));
        display.show(ProgressLine::default);
        assert_eq!((bar.position(), bar.length()), (0, Some(1)));
    }

    #[test]
    fn the_echo_of_a_key_does_not_wrap_the_line() {
        for columns in 0..130 {
            for progress in [at_work(), with_a_hard_search()] {
                let line = message_beside_bar(&progress, progress.seconds_left(), columns);
                let taken = bar_columns(columns) + line.chars().count() + "^C^C".len();
                assert!(taken <= columns.max(4), "{columns} columns: {line}");
            }
        }
        assert_eq!(usize::from(Narrowed.width()) + "^C^C".len(), columns());
    }

    #[test]
    fn there_is_time_to_go_until_there_is_none() {
        let time_left = |keys_done| {
            let progress = ProgressLine { keys_done, ..at_work() };
            Parts::of(&progress, progress.seconds_left()).time_left
        };
        assert_eq!(time_left(9_999_999).as_deref(), Some("ETA 0:01"));
        assert_eq!(time_left(8_900_000).as_deref(), Some("ETA 0:02"));
        assert_eq!(time_left(10_000_000), None);
    }

    #[test]
    fn time_to_go_reads_like_a_clock() {
        assert_eq!(clock(Duration::from_secs(12)), "0:12");
        assert_eq!(clock(Duration::from_secs(3725)), "1:02:05");
    }
}
