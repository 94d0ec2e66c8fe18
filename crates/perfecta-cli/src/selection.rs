//! Which files are key files: by names below a directory, or by a list.

use std::ffi::OsString;
use std::io::{self, BufRead};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use perfecta_jobs::{ExitClass, Inputs, NameFilter};

use crate::failure::Failure;
use crate::job_options::InputOptions;

/// Which files are key files.
#[derive(Debug, Args)]
pub(crate) struct SelectionOptions {
    /// Take only files of this name; can be given again [default: *.keys, and with --key-size 64 or
    /// auto *.keys64 too]
    #[arg(long, value_name = "GLOB", value_parser = parse_pattern)]
    include: Vec<String>,
    /// Leave out files of this name; can be given again
    #[arg(long, value_name = "GLOB", value_parser = parse_pattern)]
    exclude: Vec<String>,
    /// Take the key files listed in FILE, one a line; - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["include", "exclude"])]
    files_from: Option<PathBuf>,
}

/// What a variable without a value leaves.
fn parse_pattern(value: &str) -> Result<String, String> {
    if value.is_empty() {
        return Err(
            "an empty pattern is no name's; write one such as '*.keys', or leave it out".to_owned()
        );
    }
    Ok(value.to_owned())
}

impl SelectionOptions {
    /// Whether names were given.
    pub(crate) const fn has_names(&self) -> bool {
        !self.include.is_empty() || !self.exclude.is_empty()
    }

    /// The files of the list, if one was given.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be read, or is empty.
    pub(crate) fn listed(&self) -> Result<Option<Inputs>, Failure> {
        let list = self.files_from.as_deref();
        list.map(|list| read_list(list).map(Inputs::Files)).transpose()
    }

    /// Which names below a directory are taken.
    ///
    /// # Errors
    /// [`Failure`] if one is no pattern.
    pub(crate) fn names(&self, input: &InputOptions) -> Result<NameFilter, Failure> {
        let filter = NameFilter::new(input.checked().width, &self.include, &self.exclude);
        filter.map_err(|error| {
            Failure::usage(error.to_string()).with_remedy(
                "write a pattern such as '*.keys', 'a?.keys' or 'x86/**', in quotes; \\[ stands for a [",
            )
        })
    }
}

fn read_list(list: &Path) -> Result<Vec<PathBuf>, Failure> {
    let lines: io::Result<Vec<Vec<u8>>> = if list == Path::new("-") {
        io::stdin().lock().split(b'\n').collect()
    } else {
        std::fs::File::open(list).and_then(|file| io::BufReader::new(file).split(b'\n').collect())
    };
    let mut lines =
        lines.map_err(|error| Failure::io("read the list of key files", list, &error))?;
    // Editors of some systems begin a text with the mark of UTF-8; `./` before it makes it part of a name.
    if let Some(first) = lines.first_mut().filter(|first| first.starts_with(b"\xef\xbb\xbf")) {
        first.drain(..3);
    }
    let lines = lines.into_iter().map(without_carriage_return);
    let paths = lines.filter(|line| !line.is_empty()).map(OsString::from_vec);
    let paths: Vec<PathBuf> = paths.map(PathBuf::from).collect();
    if paths.is_empty() {
        let message = format!("{}: the list names no key file", list.display());
        return Err(Failure::new(ExitClass::NothingMatched, message));
    }
    Ok(paths)
}

/// Lists also come from systems that end a line with two bytes.
fn without_carriage_return(mut line: Vec<u8>) -> Vec<u8> {
    line.pop_if(|last| *last == b'\r');
    line
}
