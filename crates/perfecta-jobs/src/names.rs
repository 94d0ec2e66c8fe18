//! Which names are key files.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use perfecta_core::key::KeyWidth;

use crate::config::WidthRule;
use crate::remarks::and_more;

/// Patterns that a name must and must not match.
///
/// As in gitignore and ripgrep, a pattern without `/` is held against the file's name, one with `/`
/// against its path below the root; `*` does not cross a `/`, `**` does.
#[derive(Debug, Clone)]
pub struct NameFilter {
    include: Patterns,
    exclude: Box<Exclude>,
    words: String,
    given: Given,
}

/// What is not taken.
#[derive(Debug, Clone)]
struct Exclude {
    files: Patterns,
    /// Directories of which nothing is taken.
    whole: GlobSet,
}

/// Patterns as they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Given {
    /// None, where the usual ones are meant.
    include: Vec<String>,
    exclude: Vec<String>,
}

/// A pattern that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(#[from] globset::Error);

/// Files that are called as key files are, and that the usual patterns do not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    first: PathBuf,
    more: usize,
    taken_by: TakenBy,
}

/// What takes files that the usual patterns do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakenBy {
    /// `--key-size auto`: they are of 64-bit keys.
    KeySize,
    /// `--include`.
    Include,
    /// Some this, some that.
    Both,
}

#[derive(Debug, Clone)]
struct Patterns {
    of_names: GlobSet,
    of_paths: GlobSet,
}

impl NameFilter {
    /// Names that match one of `include` and none of `exclude`. Where nothing is to be included, it is what
    /// files of keys of this width are usually called.
    ///
    /// # Errors
    /// [`PatternError`] with the pattern and what is wrong with it.
    pub fn new<S: AsRef<str>>(
        width: WidthRule,
        include: &[S],
        exclude: &[S],
    ) -> Result<Self, PatternError> {
        let given = Given { include: owned(include), exclude: owned(exclude) };
        let taken = match &given.include[..] {
            [] => owned(width.default_patterns()),
            chosen => chosen.to_vec(),
        };
        Ok(Self {
            include: Patterns::new(&taken)?,
            exclude: Box::new(Exclude {
                files: Patterns::new(exclude)?,
                whole: excluded_whole(exclude)?,
            }),
            words: taken.join(", "),
            given,
        })
    }

    /// Whether the file at `path`, below the root, is a key file.
    #[must_use]
    pub(crate) fn admits(&self, path: &Path) -> bool {
        self.include.match_any(path) && !self.exclude.files.match_any(path)
    }

    /// Whether what cannot be read at `path` may hide key files: nobody excluded it, or all below it.
    #[must_use]
    pub(crate) fn may_hide_inputs(&self, path: &Path) -> bool {
        !self.exclude.files.match_any(path) && !self.exclude.whole.is_match(path)
    }

    /// How the file at `path` would be taken if it is no key file though it is called as those are, and nobody
    /// chose that: the patterns are the usual ones, which look at the case of letters and know no `.keys32`.
    pub(crate) fn passed_over(&self, path: &Path) -> Option<TakenBy> {
        let is_usual = |extension: &str| {
            let of_keys = ["keys", "keys32", "keys64"];
            of_keys.iter().any(|usual| usual.eq_ignore_ascii_case(extension))
        };
        let extension = path.extension().and_then(OsStr::to_str)?;
        let is_passed_over = self.given.include.is_empty()
            && is_usual(extension)
            && !self.include.match_any(path)
            && !self.exclude.files.match_any(path);
        is_passed_over.then_some(match extension {
            "keys64" => TakenBy::KeySize,
            _ => TakenBy::Include,
        })
    }

    /// The patterns that a name must match one of; none if it is the usual ones.
    #[must_use]
    pub fn include(&self) -> &[String] {
        &self.given.include
    }

    /// The patterns that a name must not match.
    #[must_use]
    pub fn exclude(&self) -> &[String] {
        &self.given.exclude
    }

    /// The patterns that a name must match one of, for messages.
    #[must_use]
    pub fn words(&self) -> &str {
        &self.words
    }
}

impl PassedOver {
    /// All of these, which lie below a root; `None` if there are none.
    pub(crate) fn of<'f>(
        root: &Path,
        files: impl Iterator<Item = (&'f Path, TakenBy)>,
    ) -> Option<Self> {
        files.fold(None, |passed_over: Option<Self>, (path, taken_by)| {
            Some(match passed_over {
                None => Self { first: root.join(path), more: 0, taken_by },
                Some(Self { first, more, taken_by: before }) => {
                    let taken_by = if taken_by == before { before } else { TakenBy::Both };
                    Self { first, more: more + 1, taken_by }
                }
            })
        })
    }

    /// The one that is named.
    pub(crate) const fn first_mut(&mut self) -> &mut PathBuf {
        &mut self.first
    }

    /// What takes them.
    pub(crate) const fn remedy(&self) -> &'static str {
        match self.taken_by {
            TakenBy::KeySize => "--key-size auto takes *.keys64",
            TakenBy::Include => "--include says which names are taken",
            TakenBy::Both => {
                "--key-size auto takes *.keys64, and --include says which other names are taken"
            }
        }
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.first.display(), and_more(self.more))
    }
}

impl Default for NameFilter {
    /// All `*.keys`.
    fn default() -> Self {
        let width = WidthRule::Fixed(KeyWidth::Bits32);
        Self::new::<&str>(width, &[], &[]).expect("the pattern is valid")
    }
}

impl Patterns {
    fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, PatternError> {
        let (mut of_names, mut of_paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns.iter().map(AsRef::as_ref) {
            let is_of_paths = pattern.contains('/');
            let set = if is_of_paths { &mut of_paths } else { &mut of_names };
            // In a name there is no `/` that `*` could cross; and what may cross it, as `*.keys`, is looked up
            // without a regular expression.
            set.add(GlobBuilder::new(pattern).literal_separator(is_of_paths).build()?);
        }
        Ok(Self { of_names: of_names.build()?, of_paths: of_paths.build()? })
    }

    fn match_any(&self, path: &Path) -> bool {
        let name_matches = path.file_name().is_some_and(|name| self.of_names.is_match(name));
        name_matches || self.of_paths.is_match(path)
    }
}

fn owned<S: AsRef<str>>(patterns: &[S]) -> Vec<String> {
    patterns.iter().map(|pattern| pattern.as_ref().to_owned()).collect()
}

/// The directories of which patterns such as `dir/**` leave nothing.
fn excluded_whole<S: AsRef<str>>(exclude: &[S]) -> Result<GlobSet, PatternError> {
    let mut directories = GlobSetBuilder::new();
    for pattern in exclude.iter().filter_map(|pattern| pattern.as_ref().strip_suffix("/**")) {
        directories.add(GlobBuilder::new(pattern).literal_separator(true).build()?);
    }
    Ok(directories.build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NARROW: WidthRule = WidthRule::Fixed(KeyWidth::Bits32);

    #[test]
    fn a_pattern_without_a_slash_is_about_the_name_and_one_with_it_about_the_path() {
        let check = |include: &[&str], exclude: &[&str], path: &str, expected: bool| {
            let filter = NameFilter::new(NARROW, include, exclude).unwrap();
            assert_eq!(filter.admits(Path::new(path)), expected, "{include:?} {exclude:?} {path}");
        };
        check(&["*.keys"], &[], "a/b/c.keys", true);
        check(&["*.keys"], &[], "c.keys.bak", false);
        check(&["*.keys"], &["mfc*"], "x/mfc42.keys", false);
        check(&["a/*.keys"], &[], "a/c.keys", true);
        check(&["a/*.keys"], &[], "a/b/c.keys", false);
        check(&["a/**/*.keys"], &["**/b/**"], "a/b/c.keys", false);
        check(&["{a,b}-[0-9]*"], &[], "b-7.keys", true);
        assert!(NameFilter::new(NARROW, &["[a"], &[]).is_err());
    }

    #[test]
    fn what_cannot_be_read_hides_no_inputs_where_all_of_it_is_excluded() {
        let check = |exclude: &[&str], path: &str, expected: bool| {
            let filter = NameFilter::new(NARROW, &[], exclude).unwrap();
            assert_eq!(filter.may_hide_inputs(Path::new(path)), expected, "{exclude:?} {path}");
        };
        check(&[], "lost+found", true);
        check(&["lost+found"], "lost+found", false);
        check(&["lost+found"], "a/lost+found", false);
        check(&["lost+found/**"], "lost+found", false);
        check(&["lost+found/**"], "lost+found/b/c", false);
        check(&["lost+found/**"], "a/lost+found", true);
        check(&["**/lost+found/**"], "a/lost+found", false);
        check(&["lost+found/*"], "lost+found", true);
        check(&["lost+found/**/*.keys"], "lost+found", true);
        check(&["*.keys"], "lost+found", true);
    }

    #[test]
    fn what_is_called_as_key_files_are_is_passed_over_by_the_usual_patterns_alone() {
        let check = |width, include: &[&str], exclude: &[&str], path: &str, expected| {
            let filter = NameFilter::new(width, include, exclude).unwrap();
            assert_eq!(filter.passed_over(Path::new(path)), expected, "{include:?} {path}");
        };
        let (by_size, by_include) = (Some(TakenBy::KeySize), Some(TakenBy::Include));
        for (path, expected) in [
            ("a.KEYS", by_include),
            ("x/a.keys64", by_size),
            ("a.Keys64", by_include),
            ("a.keys32", by_include),
        ] {
            check(NARROW, &[], &[], path, expected);
            check(NARROW, &[], &["*[aA].*"], path, None);
            check(NARROW, &["b*"], &[], path, None);
            check(NARROW, &["*.keys"], &[], path, None);
        }
        check(WidthRule::FromName, &[], &[], "a.keys64", None);
        check(WidthRule::FromName, &[], &[], "a.keys32", by_include);
        for path in ["a.keys", "a.txt", "keys", "a.keys.bak"] {
            check(NARROW, &[], &[], path, None);
        }
    }
}
