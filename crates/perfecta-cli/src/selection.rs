//! Which files are key files: by names below a directory, or by a list.

use std::ffi::OsString;
use std::fs::File;
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
    /// Take the key files listed in FILE, one a line, of which those with nothing on them count for nothing;
    /// - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["include", "exclude"])]
    files_from: Option<PathBuf>,
    /// Names in the list of --files-from end with a zero byte, as `find -print0` writes them, and not with their lines:
    /// a name may hold any other byte
    #[arg(long, short = '0', requires = "files_from")]
    null: bool,
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

    /// Whether a list of files was given.
    pub(crate) const fn is_list(&self) -> bool {
        self.files_from.is_some()
    }

    /// The files of the list, if one was given.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be read, or is empty.
    pub(crate) fn listed(&self) -> Result<Option<Inputs>, Failure> {
        let list = self.files_from.as_deref();
        let read = if self.null { read_names } else { read_lines };
        list.map(|list| read(list).and_then(|names| inputs(list, names))).transpose()
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

fn inputs(list: &Path, names: Vec<Vec<u8>>) -> Result<Inputs, Failure> {
    let paths = names.into_iter().filter(|name| !name.is_empty()).map(OsString::from_vec);
    let paths: Vec<PathBuf> = paths.map(PathBuf::from).collect();
    if paths.is_empty() {
        let message = format!("{}: the list names no key file", list.display());
        return Err(Failure::new(ExitClass::NothingMatched, message));
    }
    Ok(Inputs::Files(paths))
}

/// The names of a list, each with a zero byte after it.
fn read_names(list: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    read_list(list, 0)
}

/// The names of a list, one a line.
fn read_lines(list: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let mut lines = read_list(list, b'\n')?;
    // Editors of some systems begin a text with the mark of UTF-8; `./` before it makes it part of a name.
    if let Some(first) = lines.first_mut().filter(|first| first.starts_with(b"\xef\xbb\xbf")) {
        first.drain(..3);
    }
    Ok(lines.into_iter().map(without_carriage_return).collect())
}

fn read_list(list: &Path, end: u8) -> Result<Vec<Vec<u8>>, Failure> {
    let names: io::Result<Vec<Vec<u8>>> = if list == Path::new("-") {
        io::stdin().lock().split(end).collect()
    } else {
        File::open(list).and_then(|file| io::BufReader::new(file).split(end).collect())
    };
    names.map_err(|error| Failure::io("read the list of key files", list, &error))
}

/// Lists also come from systems that end a line with two bytes.
fn without_carriage_return(mut line: Vec<u8>) -> Vec<u8> {
    line.pop_if(|last| *last == b'\r');
    line
}
