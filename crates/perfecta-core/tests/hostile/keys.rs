//! What must hold for any bytes as a key file: the fuzz target runs it on its own, a test on a corpus.

use perfecta_core::key::{KeyError, KeySet, KeyWidth, Repair};

/// Reads `bytes` as a key file in every way that there is. What comes back is sorted and distinct, and
/// keeps that when it is read again.
pub(crate) fn check_keys(bytes: &[u8]) {
    for width in [KeyWidth::Bits32, KeyWidth::Bits64] {
        for (sort, dedupe) in [(false, false), (true, false), (false, true), (true, true)] {
            let repair = Repair { sort, dedupe };
            check(KeySet::from_le_bytes(bytes, width, repair), width, repair);
            check(KeySet::from_text(bytes, width, repair), width, repair);
        }
    }
}

fn check(read: Result<KeySet, KeyError>, width: KeyWidth, repair: Repair) {
    let keys = match read {
        Ok(keys) => keys,
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.remedy().is_empty());
            let is_of_order = matches!(error, KeyError::NotSorted { .. });
            return assert!(!(repair.sort && is_of_order), "{error}");
        }
    };
    let all: Vec<u64> = keys.iter().collect();
    assert_eq!(keys.width(), width);
    assert!(all.is_sorted_by(|left, right| left < right));
    assert_eq!((all.len(), all[0], all[all.len() - 1]), (keys.len(), keys.first(), keys.last()));
    assert_eq!(keys.bitmap(), all.iter().fold(0, |bits, key| bits | key));
    let again: Vec<u8> =
        all.iter().flat_map(|key| key.to_le_bytes()[..width.bytes()].to_vec()).collect();
    let again =
        KeySet::from_le_bytes(&again, width, Repair::default()).map(|keys| keys.hashed().clone());
    assert_eq!(again.as_ref().ok(), Some(keys.hashed()));
    let lines: String = all.iter().map(|key| format!("{key:#x}\n")).collect();
    let again = KeySet::from_text(lines.as_bytes(), width, Repair::default());
    assert_eq!(again.ok().as_ref().map(KeySet::hashed), Some(keys.hashed()));
}
