//! Errors of tables as people are told them: each once, with what can be done about it, and no more of
//! them than anybody reads, unless all are wanted. Lines for machines tell all.

use std::collections::{BTreeMap, HashSet};

use perfecta_jobs::ExitClass;
use perfecta_server::ErrorLine;

use crate::text;

/// How many errors of tables are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorsTold {
    /// So many.
    UpTo(u64),
    /// Every one.
    All,
}

impl ErrorsTold {
    /// `--errors N|all`.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn parse(value: &str) -> Result<Self, String> {
        match value {
            "all" => Ok(Self::All),
            _ => value.parse().map(Self::UpTo).map_err(|_| "a whole number, or all".to_owned()),
        }
    }
}

/// What was told of errors, and what was not.
#[derive(Debug)]
pub(crate) struct Complaints {
    most: ErrorsTold,
    told: u64,
    /// The error that was told last, if others may share it, and for how many tables it was not
    /// told again.
    shared: Option<(ErrorLine, u64)>,
    /// Conflicts that were told, each with its key file: a list can name a file again and again.
    conflicts: HashSet<(String, String)>,
    /// What was said last that the user can do: it is not said again.
    remedy: Option<String>,
    /// Tables that are not told of, by the class of their error.
    untold: BTreeMap<String, u64>,
}

impl Complaints {
    /// Nothing was told yet, and so much will be.
    pub(crate) fn up_to(most: ErrorsTold) -> Self {
        Self {
            most,
            told: 0,
            shared: None,
            conflicts: HashSet::new(),
            remedy: None,
            untold: BTreeMap::new(),
        }
    }

    /// The lines of one more table that failed. Unless all are wanted, one whose error many share is told
    /// with the first of them.
    pub(crate) fn of(&mut self, keys_file: &str, error: &ErrorLine) -> Vec<String> {
        let is_conflict = error.class == ExitClass::Conflict.name();
        if is_conflict && !self.conflicts.insert((keys_file.to_owned(), error.message.clone())) {
            return Vec::new();
        }
        let ErrorsTold::UpTo(most) = self.most else { return self.lines(keys_file, error) };
        if let Some((shared, count)) = &mut self.shared
            && shared == error
        {
            *count += 1;
            return Vec::new();
        }
        if self.told >= most {
            *self.untold.entry(error.class.clone()).or_default() += 1;
            return Vec::new();
        }
        self.told += 1;
        let mut lines: Vec<String> = self.repeated().into_iter().collect();
        if is_shared(error) {
            self.shared = Some((error.clone(), 0));
        }
        lines.extend(self.lines(keys_file, error));
        lines
    }

    /// The lines of one table; what can be done is said where it was not said just before.
    fn lines(&mut self, keys_file: &str, error: &ErrorLine) -> Vec<String> {
        let names_file = error.message.contains(&format!(" {keys_file}: "));
        let subject = if names_file { String::new() } else { format!("{keys_file}: ") };
        let mut lines = vec![format!("error: {subject}{}", error.message)];
        let remedy = error.remedy.as_ref().filter(|_| error.remedy != self.remedy);
        lines.extend(remedy.map(|remedy| format!("  help: {remedy}")));
        self.remedy.clone_from(&error.remedy);
        lines
    }

    /// The lines that are left at the end, with `where_all` are told.
    pub(crate) fn rest(&mut self, where_all: &str) -> Vec<String> {
        let mut lines: Vec<String> = self.repeated().into_iter().collect();
        let untold = std::mem::take(&mut self.untold);
        if !untold.is_empty() {
            let tables = text::counted(untold.values().sum(), "table");
            let classes = untold.iter().map(|(class, count)| format!("{count} {class}"));
            let classes = classes.collect::<Vec<_>>().join(", ");
            let more = if self.told > 0 { " more" } else { "" };
            lines.push(format!("error: {tables}{more} failed ({classes})"));
            lines.push(format!("  help: {where_all}"));
        }
        lines
    }

    /// How many tables more failed for the reason that was told last.
    fn repeated(&mut self) -> Option<String> {
        let (_, count) = self.shared.take()?;
        let tables = text::counted(count, "table");
        (count > 0).then(|| format!("error: {tables} more for the same reason"))
    }
}

/// Whether an error can be the output's, not the key file's: then others may have it word by word.
fn is_shared(error: &ErrorLine) -> bool {
    [ExitClass::Io, ExitClass::Denied, ExitClass::Verification]
        .iter()
        .any(|class| class.name() == error.class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(class: ExitClass, message: &str) -> ErrorLine {
        ErrorLine::new(class, message.to_owned(), Some("mend it"))
    }

    /// What is told of so many bad files, and of two that another error stops.
    fn told(most: ErrorsTold, bad: u32) -> Vec<String> {
        let mut complaints = Complaints::up_to(most);
        let mut lines = Vec::new();
        for number in 0..bad {
            let name = format!("{number}.keys");
            lines.extend(complaints.of(&name, &error(ExitClass::InvalidKeys, "no keys")));
        }
        for name in ["x.keys", "y.keys"] {
            lines.extend(complaints.of(name, &error(ExitClass::Io, "disk full")));
        }
        lines.extend(complaints.rest("look elsewhere"));
        lines
    }

    #[test]
    fn so_many_errors_are_told_as_are_asked_for_and_the_others_counted() {
        let check = |most, bad, expected: &[&str]| assert_eq!(told(most, bad), expected);
        let first = "error: 0.keys: no keys";
        let rest = "error: 4 tables more failed (2 invalid_keys, 2 io)";
        let help = "  help: mend it";
        check(ErrorsTold::UpTo(1), 3, &[first, help, rest, "  help: look elsewhere"]);
        let shared = ["error: x.keys: disk full", "error: 1 table more for the same reason"];
        check(ErrorsTold::UpTo(2), 1, &[first, help, shared[0], shared[1]]);
        let each = ["error: x.keys: disk full", "error: y.keys: disk full"];
        check(ErrorsTold::All, 1, &[first, help, each[0], each[1]]);
        let none = "error: 3 tables failed (1 invalid_keys, 2 io)";
        check(ErrorsTold::UpTo(0), 1, &[none, "  help: look elsewhere"]);
    }

    #[test]
    fn what_fails_for_the_reason_told_last_is_counted_as_such_whatever_is_told_beside_it() {
        let mut complaints = Complaints::up_to(ErrorsTold::UpTo(1));
        let (full, bad) = (error(ExitClass::Io, "full"), error(ExitClass::InvalidKeys, "bad"));
        assert_eq!(complaints.of("a", &full).len(), 2);
        for (name, error) in [("b", &bad), ("c", &full)] {
            assert_eq!(complaints.of(name, error), [""; 0]);
        }
        let rest = [
            "error: 1 table more for the same reason",
            "error: 1 table more failed (1 invalid_keys)",
        ];
        assert_eq!(complaints.rest("look")[..2], rest);
    }
}
