//! Progress on standard error: a bar on a terminal, nothing elsewhere.

use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use perfecta_server::ProgressLine;

/// Whether progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressChoice {
    /// A bar where standard error is a terminal
    Auto,
    /// Nothing
    None,
}

/// The bar, or nothing.
#[derive(Debug)]
pub(crate) struct Display {
    bar: Option<ProgressBar>,
}

impl Display {
    /// A display that follows `choice`.
    pub(crate) fn new(choice: ProgressChoice) -> Self {
        let shown = choice == ProgressChoice::Auto && io::stderr().is_terminal();
        Self { bar: shown.then(bar) }
    }

    /// Shows where the job is.
    pub(crate) fn show(&self, progress: impl FnOnce() -> ProgressLine) {
        let Some(bar) = &self.bar else { return };
        let progress = progress();
        bar.set_length(progress.keys_total);
        bar.set_position(progress.keys_done);
        bar.set_message(message(&progress));
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

/// One line, cut where the terminal ends: a line that wraps cannot be drawn over.
fn bar() -> ProgressBar {
    let style =
        ProgressStyle::with_template("[{bar:10}] {wide_msg}").expect("the template is valid");
    let target = indicatif::ProgressDrawTarget::stderr_with_hz(10);
    // A bar of length 0 would be full.
    let bar = ProgressBar::with_draw_target(Some(1), target)
        .with_style(style.progress_chars("=> "))
        .with_message("looking for what there is to do");
    bar.tick();
    bar
}

/// What matters most comes first, because narrow terminals cut the rest:
/// `9,312/13,637 tables  ETA 0:12  3 failed  2.1 M keys/s  hard: nvwgf2umx.keys 41,000 attempts`.
fn message(progress: &ProgressLine) -> String {
    let mut parts = vec![format!(
        "{}/{} tables",
        thousands(u64::from(progress.settled())),
        thousands(u64::from(progress.tables))
    )];
    if let Some(seconds) = progress.seconds_left() {
        parts.push(format!("ETA {}", clock(Duration::from_secs_f64(seconds))));
    }
    if progress.failed > 0 {
        parts.push(format!("{} failed", thousands(u64::from(progress.failed))));
    }
    if progress.wall_seconds > 0.0 {
        parts.push(format!("{} keys/s", rate(progress.keys_done as f64 / progress.wall_seconds)));
    }
    if let Some(hardest) = &progress.hardest {
        let name = hardest.keys_file.file_name().unwrap_or_default().to_string_lossy();
        parts.push(format!("hard: {name} {} attempts", thousands(hardest.attempts)));
    }
    parts.join("  ")
}

/// `12345678` as `12,345,678`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
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

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(13_637), "13,637");
        assert_eq!(thousands(1_000_000), "1,000,000");
    }

    #[test]
    fn a_narrow_terminal_shows_tables_and_time_to_go() {
        let progress = ProgressLine {
            keys_done: 5,
            keys_total: 10,
            wall_seconds: 3.0,
            ..ProgressLine::default()
        };
        assert_eq!(message(&progress), "0/0 tables  ETA 0:03  2 keys/s");
    }

    #[test]
    fn time_to_go_reads_like_a_clock() {
        assert_eq!(clock(Duration::from_secs(12)), "0:12");
        assert_eq!(clock(Duration::from_secs(3725)), "1:02:05");
    }
}
