//! A line of the journal: a JSON object whose first field is the checksum of all that follows it.
//!
//! ```text
//! {"crc":"........","accepted":{"id":"5e1d-1","at_unix_ms":1,...,"spec":{...}}}
//! ```

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::access::Caller;
use crate::spec::JobSpec;
use crate::wire::RequestStatus;

/// The version that is written, and the only one that is read.
pub(crate) const VERSION: u32 = 1;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry<'e> {
    /// The first line, and that of a later daemon that goes on with the file as it is.
    Journal { version: u32 },
    /// A request is to be run, whatever becomes of the daemon.
    Accepted(AcceptedRequest<'e>),
    /// Its client does not want it any more.
    Cancelled { id: String },
    /// It has ended, at so many seconds since 1970.
    Ended { at: u64, status: RequestStatus },
    /// It is not kept any more.
    Forgotten { id: String },
    /// The daemon ended in order. Where this is not the last line, it died.
    Stopped {},
}

/// A request as it was accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AcceptedRequest<'e> {
    pub(crate) id: String,
    /// When, in milliseconds since 1970.
    pub(crate) at_unix_ms: u64,
    /// Who asked for it.
    pub(crate) owner: Caller,
    /// Its idempotency key.
    pub(crate) key: Option<String>,
    /// Daemons that died before it had ended.
    pub(crate) deaths: u32,
    pub(crate) spec: Cow<'e, JobSpec>,
}

const BEFORE_CHECKSUM: &str = "{\"crc\":\"";
const AFTER_CHECKSUM: &str = "\",";
const CHECKSUM_DIGITS: usize = 8;

impl Entry<'_> {
    /// The line, with its end.
    pub(crate) fn to_line(&self) -> String {
        let body = serde_json::to_string(self).expect("entries hold strings and numbers only");
        let fields = &body[1..];
        format!("{}{fields}\n", before(fields.as_bytes()))
    }
}

/// What stands before the other fields.
pub(super) fn before(fields: &[u8]) -> String {
    format!("{BEFORE_CHECKSUM}{:08x}{AFTER_CHECKSUM}", crc32fast::hash(fields))
}

impl Entry<'static> {
    /// The entry of a line without its end; `None` if it is not what was written.
    pub(crate) fn of_line(line: &[u8]) -> Option<Self> {
        let (checksum, fields) =
            line.strip_prefix(BEFORE_CHECKSUM.as_bytes())?.split_at_checked(CHECKSUM_DIGITS)?;
        let fields = fields.strip_prefix(AFTER_CHECKSUM.as_bytes())?;
        let checksum = u32::from_str_radix(str::from_utf8(checksum).ok()?, 16).ok()?;
        if crc32fast::hash(fields) != checksum {
            return None;
        }
        serde_json::from_slice(&[b"{", fields].concat()).ok()
    }
}

/// The version that a first line tells, also one that is written otherwise than ours.
pub(crate) fn version_of(line: &[u8]) -> Option<u64> {
    let line: serde_json::Value = serde_json::from_slice(line).ok()?;
    line.get("journal")?.get("version")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry<'static> {
        let json = r#"{"inputs": {"files": ["/a"]}, "output": null}"#;
        let spec = serde_json::from_str(json).unwrap();
        Entry::Accepted(AcceptedRequest {
            id: "1-1".to_owned(),
            at_unix_ms: 3,
            owner: Caller::User(7),
            key: None,
            deaths: 2,
            spec,
        })
    }

    #[test]
    fn a_line_says_what_was_written_and_no_changed_byte_goes_unseen() {
        let line = entry().to_line();
        let text = line.strip_suffix('\n').unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
        assert_eq!(Entry::of_line(text.as_bytes()), Some(entry()));
        for place in 0..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[place] ^= 1;
            assert_eq!(Entry::of_line(&changed), None, "byte {place}");
            assert_eq!(Entry::of_line(&text.as_bytes()[..place]), None, "{place} bytes");
        }
    }

    #[test]
    fn the_version_is_read_off_a_first_line_of_any_version() {
        let first = Entry::Journal { version: VERSION }.to_line();
        assert_eq!(version_of(first.as_bytes()), Some(u64::from(VERSION)));
        assert_eq!(version_of(br#"{"journal": {"version": 7, "more": 1}}"#), Some(7));
        assert_eq!(version_of(b"{}"), None);
    }
}
