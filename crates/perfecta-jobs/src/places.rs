//! Names in the output: identifiers of tables, the manifest, stages.

use std::ffi::OsStr;
use std::path::Path;

/// The manifest of a table's directory: written last, so that its presence says that all is there.
pub(crate) const MANIFEST: &str = "manifest.json";

/// The directory of a packed output: a dot is in no identifier, so it is no table's.
pub(crate) const PACKED_DIRECTORY: &str = "tables.packed";

/// The file in it that holds the tables.
pub(crate) const PACKED_FILE: &str = "tables.phtpack";

/// How the staging directory of a run begins.
pub(crate) const STAGE_PREFIX: &str = ".perfecta-stage-";

/// The lock file in it, locked as long as the run lives.
pub(crate) const STAGE_LOCK: &str = "lock";

/// An identifier `[A-Za-z_][A-Za-z0-9_]*` for a key file: its name without what follows the last
/// dot, every other byte replaced.
pub(crate) fn identifier(file_name: &OsStr) -> String {
    let stem = Path::new(file_name).file_stem().unwrap_or(file_name).as_encoded_bytes();
    let mut identifier = String::with_capacity(stem.len() + 1);
    if stem.first().is_none_or(u8::is_ascii_digit) {
        identifier.push('_');
    }
    identifier.extend(stem.iter().map(|&byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => char::from(byte),
        _ => '_',
    }));
    identifier
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_file_name_gives_an_identifier() {
        let check = |name: &[u8], expected| {
            use std::os::unix::ffi::OsStrExt;
            assert_eq!(identifier(OsStr::from_bytes(name)), expected);
        };
        check(b"HologramWorld-31016.keys", "HologramWorld_31016");
        check(b"7zip.keys", "_7zip");
        check(b".keys", "_keys");
        check(b"*\\ $(x).keys", "_____x_");
        check(b"\xff\xfe.keys", "__");
        check(b"routes.v2.bin", "routes_v2");
    }
}
