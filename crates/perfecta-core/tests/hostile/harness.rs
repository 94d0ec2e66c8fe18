//! What must hold for any bytes whatever: the fuzz targets run it on theirs, a test on a corpus.

use perfecta_core::format::pack::PackView;
use perfecta_core::format::{self, FormatError};
use perfecta_core::key::Key;
use perfecta_core::table::TableView;

/// Decodes `bytes` as a table file. Whatever comes back can be used without a panic, and a file that
/// is accepted is accepted by the less strict decoder too.
pub(crate) fn check_table(bytes: &[u8]) {
    let strict = format::decode(bytes);
    let trusting = format::decode_trusting_sections(bytes);
    match (&strict, &trusting) {
        (Ok(_), Err(error)) => panic!("the strict decoder accepts what the other refuses: {error}"),
        (Ok(view), Ok(_)) | (Err(_), Ok(view)) => look_up(view),
        (Err(error), Err(_)) => describe(error),
    }
    if let Ok(Some(section)) = format::section(bytes, format::kind::ASSIGNED) {
        assert!(section.len() < bytes.len());
    }
}

/// Decodes `bytes` as a pack, and every table of it.
pub(crate) fn check_pack(bytes: &[u8]) {
    let pack = match PackView::decode(bytes) {
        Ok(pack) => pack,
        Err(error) => return describe(&error),
    };
    for entry in pack.iter() {
        assert_eq!(
            pack.get(entry.name).map(|found| found.image_offset()),
            Some(entry.image_offset())
        );
        if let Ok(view) = entry.table_trusting_sections() {
            look_up(&view);
        }
        if let Err(error) = entry.table() {
            describe(&error);
        }
    }
    assert!(pack.get(b"").is_none());
}

/// More keys than are hashed at once, by every way to look one up.
fn look_up(view: &TableView<'_>) {
    let mut keys =
        [0, 1, 0x8000_0000, u64::from(u32::MAX), 0x0123_4567_89ab_cdef, u64::MAX].to_vec();
    keys.extend((keys.len() as u64..67).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    look_up_each(view, &keys);
    look_up_each(view, &keys.into_iter().map(|key| key as u32).collect::<Vec<_>>());
}

fn look_up_each<K: Key>(view: &TableView<'_>, keys: &[K]) {
    let capacity = view.parameters().geometry.edge_capacity();
    let mut indexes = vec![u32::MAX; keys.len()];
    view.index_batch(keys, &mut indexes);
    for (&key, index) in keys.iter().zip(indexes) {
        assert!(index < capacity);
        assert_eq!(view.index(key), index);
        if let Some(lookup) = view.lookup() {
            assert_eq!(lookup.index(key), index);
        }
    }
}

fn describe(error: &FormatError) {
    assert!(!error.to_string().is_empty());
}

/// The bytes with the first checksum of a table file made good, so that the checks behind it are
/// reached: no fuzzer guesses one.
pub(crate) fn with_good_checksums_of_table(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    let Some(length) = bytes.get(12..).and_then(|rest| rest.first_chunk::<4>()) else {
        return file;
    };
    let header_bytes = u32::from_le_bytes(*length) as usize;
    if header_bytes < 28 || header_bytes > file.len() {
        return file;
    }
    file[24..28].fill(0);
    let crc = crc32(&file[..header_bytes]);
    file[24..28].copy_from_slice(&crc.to_le_bytes());
    file
}

/// The bytes with the checksums of a pack's header, index and trailer made good.
pub(crate) fn with_good_checksums_of_pack(bytes: &[u8]) -> Vec<u8> {
    let mut pack = bytes.to_vec();
    let Some(trailer) = pack.len().checked_sub(64).filter(|&trailer| trailer >= 64) else {
        return pack;
    };
    let header_crc = crc32(&pack[..60]);
    pack[60..64].copy_from_slice(&header_crc.to_le_bytes());
    let index = pack[trailer..].first_chunk().map_or(0, |offset| u64::from_le_bytes(*offset));
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    if index <= trailer {
        let index_crc = crc32(&pack[index..trailer]);
        pack[trailer + 28..trailer + 32].copy_from_slice(&index_crc.to_le_bytes());
    }
    let crc = crc32(&pack[trailer..trailer + 52]);
    pack[trailer + 52..trailer + 56].copy_from_slice(&crc.to_le_bytes());
    pack
}

/// CRC-32 bit by bit, sharing nothing with the one under test.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    })
}
