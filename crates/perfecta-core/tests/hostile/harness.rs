//! What must hold for any bytes whatever: the fuzz targets run it on theirs, a test on a corpus.

use perfecta_core::format::pack::PackView;
use perfecta_core::format::{self, FormatError};
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

fn look_up(view: &TableView<'_>) {
    let capacity = view.parameters().geometry.edge_capacity();
    let keys = [0, 1, 0x8000_0000, u64::from(u32::MAX), 0x0123_4567_89ab_cdef, u64::MAX];
    let mut indexes = [0; 6];
    view.index_batch(&keys, &mut indexes);
    for (key, index) in keys.into_iter().zip(indexes) {
        assert!(index < capacity);
        assert_eq!(view.index(key), index);
        assert!(view.index(key as u32) < capacity);
    }
}

fn describe(error: &FormatError) {
    assert!(!error.to_string().is_empty());
}
