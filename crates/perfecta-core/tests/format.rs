//! Table files and packs: what is written is read back, and damage of any kind is refused.

#[path = "hostile/harness.rs"]
mod harness;

use std::fs;
use std::path::Path;

use perfecta_core::family::Family;
use perfecta_core::format::pack::{PackError, PackIndex, PackView, PackWriter};
use perfecta_core::format::{self, FormatError};
use perfecta_core::graph::Scratch;
use perfecta_core::key::{Downsize, KeySet, Repair};
use perfecta_core::search::{FamilyChoice, Plan, search};
use perfecta_core::seeds::SeedSource;
use perfecta_core::table::Table;
use proptest::prelude::*;

fn table_of(keys: &KeySet, family: FamilyChoice) -> Table {
    let plan = Plan { family, ..Plan::default() };
    let solution = search(keys, &plan, &mut Scratch::default(), &|| true).expect("a sound plan");
    solution.table.expect("a small set is solved")
}

fn u32_set(num_keys: u32) -> KeySet {
    let keys = (0..num_keys).map(|key| key * 48 + 0x1000).collect();
    KeySet::from_u32(keys, Repair::default()).expect("ascending keys")
}

fn small_file() -> Vec<u8> {
    format::encode(&table_of(&u32_set(20), FamilyChoice::Auto).view())
}

fn check_round_trip(table: &Table, keys: &KeySet) {
    let file = format::encode(&table.view());
    assert_eq!(file.len(), format::encoded_bytes(table.parameters()));
    assert_eq!(file.len() % format::ALIGNMENT, 0);
    for view in [format::decode(&file), format::decode_trusting_sections(&file)] {
        let view = view.expect("what was written can be read");
        assert_eq!(view.parameters(), table.parameters());
        assert_eq!(view.assigned_bytes(), table.view().assigned_bytes());
        assert_eq!(view.verify(keys), Ok(()));
        assert_eq!(format::encode(&view), file);
    }
}

#[test]
fn tables_of_every_element_width_are_read_back() {
    for num_keys in [1, 8, 9, 200, 256, 257, 5000, 70_000] {
        let keys = u32_set(num_keys);
        check_round_trip(&table_of(&keys, FamilyChoice::Auto), &keys);
    }
}

#[test]
fn tables_of_64_bit_keys_are_read_back_downsized_or_not() {
    for mask in [u64::MAX, 0xffff_0000, 0xff00_ff00_00ff_0000] {
        let random = SeedSource { rng_seed: mask, ..SeedSource::default() };
        let geometry = perfecta_core::geometry::Geometry::for_keys(8).expect("a geometry");
        let draw = |attempt| random.draw(attempt, Family::Folded, geometry).wide(2, 1) & mask;
        let repair = Repair { sort: true, dedupe: true };
        let keys = KeySet::from_u64((1..500).map(draw).collect(), repair).expect("repaired keys");
        assert_eq!(keys.downsize().is_some(), mask != u64::MAX);
        check_round_trip(&table_of(&keys, FamilyChoice::Auto), &keys);
    }
}

/// Some families solve next to nothing: their tables hold any values, the file does not mind.
#[test]
fn tables_of_every_family_are_read_back() {
    let keys = u32_set(20);
    let solved = table_of(&keys, FamilyChoice::Auto);
    for family in Family::all() {
        let mut parameters = *solved.parameters();
        parameters.family = family;
        parameters.seeds = SeedSource::default().draw(1, family, parameters.geometry);
        let values: Vec<u32> = (0..parameters.geometry.vertices()).collect();
        let table = Table::from_values(parameters, &values);
        let file = format::encode(&table.view());
        let view = format::decode(&file).expect("what was written can be read");
        assert_eq!(view.parameters(), &parameters, "{family}");
        for key in [0, 5, u32::MAX] {
            assert_eq!(view.index(key), table.index(key), "{family}");
        }
    }
}

#[test]
fn a_flip_of_any_bit_is_refused() {
    let file = small_file();
    for place in 0..file.len() {
        for bit in 0..8 {
            let mut damaged = file.clone();
            damaged[place] ^= 1 << bit;
            assert!(format::decode(&damaged).is_err(), "byte {place}, bit {bit}");
            harness::check_table(&damaged);
        }
    }
}

#[test]
fn every_truncation_and_extension_is_refused() {
    let file = small_file();
    for length in 0..file.len() {
        assert!(format::decode(&file[..length]).is_err(), "{length} bytes");
        assert!(format::decode_trusting_sections(&file[..length]).is_err(), "{length} bytes");
    }
    for more in [1, 4, 63, 64, 65, 4096] {
        let longer = [&file[..], &vec![0; more]].concat();
        let (said, found) = (file.len() as u64, file.len() as u64 + more as u64);
        assert_eq!(format::decode(&longer).err(), Some(FormatError::Surplus { said, found }));
    }
}

#[test]
fn a_file_that_was_transferred_as_text_is_refused_by_its_first_bytes() {
    let file = small_file();
    let as_text: Vec<u8> = file
        .iter()
        .flat_map(|&byte| if byte == b'\n' { vec![b'\r', b'\n'] } else { vec![byte] })
        .collect();
    assert!(matches!(format::decode(&as_text), Err(FormatError::Magic { .. })));
    let seven_bits: Vec<u8> = file.iter().map(|byte| byte & 0x7f).collect();
    assert!(matches!(format::decode(&seven_bits), Err(FormatError::Magic { .. })));
}

/// `file` with `bytes` at `offset` and the checksum of the header made good again.
fn forged(file: &[u8], offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut forged = file.to_vec();
    forged[offset..offset + bytes.len()].copy_from_slice(bytes);
    harness::with_good_checksums_of_table(&forged)
}

#[test]
fn forged_fields_are_refused_by_name_and_place() {
    let file = small_file();
    let check = |offset: usize, bytes: &[u8], message: &str| {
        let file = forged(&file, offset, bytes);
        harness::check_table(&file);
        let error = format::decode(&file).expect_err(message).to_string();
        assert!(error.contains(message), "{error}");
    };
    check(8, &[2], "format version 2 at byte 8, this program reads version 1");
    check(12, &[0xff; 4], "header length at byte 0xc is 4294967295, must be 192");
    check(16, &[0xff; 8], "the file is cut off: 320 bytes, at least 18446744073709551615");
    check(28, &[65], "number of sections at byte 0x1c is 65, out of limits (at most 64)");
    check(28, &[0], "header length at byte 0xc is 192, must be 128");
    check(32, &[77], "no hash family has the number 77");
    check(33, &[9], "number of seeds at byte 0x21 is 9, must be 3");
    check(34, &[16], "key bits at byte 0x22 is 16, must be 32 or 64");
    check(35, &[16], "element bits at byte 0x23 is 16, must be 8");
    for log2 in [2, 31] {
        let message = "logarithm of the edge capacity at byte 0x24 is {}, out of limits (3 to 30)";
        check(36, &[log2], &message.replace("{}", &log2.to_string()));
    }
    check(36, &[6], "logarithm of the vertices at byte 0x25 is 6, must be 7");
    check(38, &[2, 0], "flags at byte 0x26 is 2, must be 0");
    check(40, &[0; 4], "number of keys at byte 0x28 is 0, must be 1");
    check(40, &[33], "number of keys at byte 0x28 is 33, out of limits (at most 32)");
    check(44, &[1], "reserved field at byte 0x2c");
    check(
        48,
        &[0xff; 8],
        "first key at byte 0x30 is 18446744073709551615, out of limits (at most 5008)",
    );
    check(
        48,
        &5000u64.to_le_bytes(),
        "number of keys from the first to the last at byte 0x28 is 20, out of limits (at most 9)",
    );
    check(60, &[1], "last key at byte 0x38 is 4294972304, out of limits (at most 4294967295)");
    check(38, &[1], "key bits of downsized keys at byte 0x22 is 32, must be 64");
    check(32, &[23, 3, 64], "hash family of 64-bit keys at byte 0x20 is 23, must be 64");
    check(64, &[1], "downsize bitmap without its flag at byte 0x40 is 1, must be 0");
    check(72 + 12, &[1], "a seed at byte 0x54 is 1, must be 0");
    check(104, &[1], "byte 0x68 must be zero and is 0x01");
    check(128, &[9], "section of unknown kind 9, listed at byte 0x80");
    check(132, &[4], "section flags at byte 0x84 is 4, must be 0");
    check(136, &[0xff; 8], "section offset at byte 0x88 is 18446744073709551615, must be 192");
    check(144, &[0xff; 8], "section length at byte 0x90 is 18446744073709551615, out of limits");
    check(144, &[63], "length of the assigned array");
    check(152, &[0xff; 4], "is damaged");
    check(156, &[1], "reserved of a section at byte 0x9c");
    check(160, &[1], "byte 0xa0 must be zero");
}

/// A bitmap of 0 was accepted: all keys of such a table get one index.
#[test]
fn a_downsize_bitmap_that_cannot_be_that_of_the_keys_is_refused() {
    let keys = (0..300).map(|key| (key % 20) << 40 | (key / 20) << 4).collect();
    let repair = Repair { sort: true, dedupe: false };
    let keys = KeySet::from_u64(keys, repair).expect("distinct keys");
    let table = table_of(&keys, FamilyChoice::Auto);
    let file = format::encode(&table.view());
    let (bitmap, last) = (0x1f00_0000_00f0_u64, 0x1300_0000_00e0_u64);
    assert_eq!((keys.bitmap(), keys.last()), (bitmap, last));
    let check = |offset: usize, value: u64, message: &str| {
        let file = forged(&file, offset, &value.to_le_bytes());
        harness::check_table(&file);
        for decoded in [format::decode(&file), format::decode_trusting_sections(&file)] {
            let error = decoded.expect_err(message).to_string();
            assert!(error.starts_with(message), "{error}");
        }
        let mut parameters = *table.parameters();
        match offset {
            48 => parameters.first_key = value,
            56 => parameters.last_key = value,
            _ => parameters.downsize = Downsize::new(value),
        }
        assert!(!parameters.are_consistent(), "{message}");
    };
    let in_the_bits = "key in the bits of the downsize bitmap";
    check(64, 0, &format!("last {in_the_bits} at byte 0x38 is 20890720927968, must be 0"));
    check(64, bitmap ^ 0x20, &format!("last {in_the_bits} at byte 0x38"));
    check(48, 1, &format!("first {in_the_bits} at byte 0x30 is 1, must be 0"));
    check(56, last + 1, &format!("last {in_the_bits} at byte 0x38"));
    let few =
        "number of keys in the bits of the downsize bitmap at byte 0x28 is 300, out of limits";
    check(56, 0x0f00_0000_00f0, &format!("{few} (at most 256)"));
}

/// The least bitmaps: of one key, and of two.
#[test]
fn tables_of_the_keys_0_and_0_with_another_are_read_back() {
    for keys in [vec![0], vec![0, 1 << 50]] {
        let keys = KeySet::from_u64(keys, Repair::default()).expect("ascending keys");
        assert_eq!(keys.downsize().map(|downsize| downsize.bitmap()), Some(keys.last()));
        check_round_trip(&table_of(&keys, FamilyChoice::Auto), &keys);
    }
}

#[test]
fn a_section_of_unknown_kind_is_passed_over_only_if_it_says_so() {
    let file = small_file();
    let with_section = |flags: u32| {
        let note = b"a note of a later version";
        let mut sections = Vec::new();
        let offset = file.len() as u64;
        for word in [77, flags] {
            sections.extend_from_slice(&word.to_le_bytes());
        }
        sections.extend_from_slice(&offset.to_le_bytes());
        sections.extend_from_slice(&(note.len() as u64).to_le_bytes());
        sections.extend_from_slice(&crc32fast::hash(note).to_le_bytes());
        sections.extend_from_slice(&[0; 4]);
        let mut longer = [&file[..], note].concat();
        longer.resize(file.len() + 64, 0);
        // Header and two entries are 192 bytes, as with one.
        longer[16..24].copy_from_slice(&(file.len() as u64 + 64).to_le_bytes());
        longer[28] = 2;
        forged(&longer, 160, &sections)
    };
    let ignored = with_section(format::section_flag::MAY_BE_IGNORED);
    let view = format::decode(&ignored).expect("a section that may be ignored");
    assert_eq!(view.verify(&u32_set(20)), Ok(()));
    let section = format::section(&ignored, 77).expect("a sound file");
    assert_eq!(section, Some(&b"a note of a later version"[..]));
    let error = format::decode(&with_section(0)).expect_err("it must be understood");
    assert_eq!(error, FormatError::UnknownSection { kind: 77, offset: 160 });
}

fn small_pack() -> Vec<u8> {
    let mut writer = PackWriter::default();
    let mut pack = PackWriter::header().to_vec();
    for (name, num_keys) in [("shell32", 30), ("advapi32", 3), ("ntdll/x", 300)] {
        let image = format::encode(&table_of(&u32_set(num_keys), FamilyChoice::Auto).view());
        let offset = writer.append(name.as_bytes(), &image, [num_keys as u8; 32]);
        assert_eq!(offset, Ok(pack.len() as u64));
        pack.extend_from_slice(&image);
    }
    assert_eq!(writer.end(), pack.len() as u64);
    let of_tables: usize = ["shell32", "advapi32", "ntdll/x"]
        .map(|name| PackWriter::index_bytes(name.as_bytes()))
        .iter()
        .sum();
    let images = pack.len() - PackWriter::header().len();
    pack.extend_from_slice(&writer.finish());
    let frame = pack.len() - images - of_tables;
    let least = PackWriter::FRAME_BYTES_MAX - 63;
    assert!((least..=PackWriter::FRAME_BYTES_MAX).contains(&frame), "{frame}");
    pack
}

#[test]
fn a_pack_gives_every_table_by_name() {
    let pack = small_pack();
    let view = PackView::decode(&pack).expect("what was written can be read");
    let names: Vec<&[u8]> = view.iter().map(|entry| entry.name).collect();
    assert_eq!(names, [&b"advapi32"[..], b"ntdll/x", b"shell32"]);
    for (name, num_keys) in [("shell32", 30), ("advapi32", 3), ("ntdll/x", 300)] {
        let entry = view.get(name.as_bytes()).expect("it was put in");
        assert_eq!(entry.keys_blake3, &[num_keys as u8; 32]);
        assert_eq!(entry.image_offset() % 64, 0);
        let table = entry.table().expect("an undamaged image");
        assert_eq!(table.verify(&u32_set(num_keys)), Ok(()));
    }
    assert!(view.get(b"shell3").is_none());
    assert!(view.get(b"shell322").is_none());
}

#[test]
fn an_empty_pack_is_a_pack() {
    let pack = [&PackWriter::header()[..], &PackWriter::default().finish()].concat();
    let view = PackView::decode(&pack).expect("header and trailer");
    assert!(view.is_empty());
    assert!(view.get(b"a").is_none());
}

#[test]
fn a_pack_refuses_names_and_images_that_are_none() {
    let mut writer = PackWriter::default();
    let image = small_file();
    assert_eq!(writer.append(b"", &image, [0; 32]), Err(PackError::NameLength(0)));
    assert_eq!(writer.append(&[b'a'; 4097], &image, [0; 32]), Err(PackError::NameLength(4097)));
    assert_eq!(
        writer.append(b"a", &image[1..], [0; 32]),
        Err(PackError::ImageLength(image.len() - 1))
    );
    assert_eq!(writer.append(b"a", &image, [0; 32]), Ok(64));
    let duplicate = Err(PackError::DuplicateName(b"a"[..].into()));
    assert_eq!(writer.append(b"a", &image, [0; 32]), duplicate);
    assert_eq!(writer.end(), 64 + image.len() as u64);
}

/// Found by fuzzing: an image without bytes, beyond the index, was let pass and could not be sliced.
#[test]
fn an_image_beyond_the_index_is_refused() {
    let pack = small_pack();
    let trailer = pack.len() - 64;
    let index = u64::from_le_bytes(*pack[trailer..].first_chunk().expect("a trailer")) as usize;
    let check = |image_offset: u64, image_bytes: u64, message: &str| {
        let mut pack = pack.clone();
        pack[index + 8..index + 16].copy_from_slice(&image_offset.to_le_bytes());
        pack[index + 16..index + 24].copy_from_slice(&image_bytes.to_le_bytes());
        let pack = harness::with_good_checksums_of_pack(&pack);
        let error = PackView::decode(&pack).expect_err(message).to_string();
        assert!(error.contains(message), "{error}");
    };
    check(0x3a_0000, 0, "offset of an image");
    check(0, 64, "offset of an image");
    check(u64::MAX - 63, 64, "offset of an image");
    check(128, u64::MAX - 63, "length of an image");
    check(65, 64, "alignment of an image");
}

#[test]
fn damage_anywhere_in_a_pack_is_found() {
    let pack = small_pack();
    let is_sound = |pack: &[u8]| {
        PackView::decode(pack).is_ok_and(|view| view.iter().all(|entry| entry.table().is_ok()))
    };
    assert!(is_sound(&pack));
    for place in 0..pack.len() {
        let mut damaged = pack.clone();
        damaged[place] ^= 0x10;
        assert!(!is_sound(&damaged), "byte {place}");
        harness::check_pack(&damaged);
    }
    for length in 0..pack.len() {
        assert!(PackView::decode(&pack[..length]).is_err(), "{length} bytes");
    }
    assert!(PackView::decode(&[&pack[..], &[0; 64]].concat()).is_err());
}

#[test]
fn damage_of_a_pack_is_told_by_its_part_and_a_lost_end_as_such() {
    let pack = small_pack();
    let trailer = pack.len() - 64;
    let index = u64::from_le_bytes(*pack[trailer..].first_chunk().expect("a trailer")) as usize;
    let reason = |pack: &[u8]| {
        let whole = PackView::decode(pack)
            .and_then(|view| view.iter().try_for_each(|entry| entry.table().map(drop)));
        whole.expect_err("it is damaged").to_string()
    };
    let check = |place: usize, part: &str| {
        let mut damaged = pack.clone();
        damaged[place] ^= 1;
        let reason = reason(&damaged);
        assert!(reason.starts_with(part), "byte {place}: {reason}");
    };
    check(20, "the header at byte 0x0 is damaged");
    check(64, "the image of a table at byte 0x40 is damaged");
    check(index, &format!("the index at byte {index:#x} is damaged"));
    check(trailer, &format!("the trailer at byte {trailer:#x} is damaged"));
    check(pack.len() - 1, "the file is cut off, or its end is damaged");
    for length in [128, 192, index, index + 64, trailer, pack.len() - 1] {
        let reason = reason(&pack[..length]);
        assert!(reason.starts_with("the file is cut off"), "{length} bytes: {reason}");
    }
}

#[test]
fn the_index_of_a_pack_is_read_without_its_images() {
    let pack = small_pack();
    let (total, trailer) = (pack.len() as u64, &pack[pack.len() - PackIndex::TRAILER_BYTES..]);
    let offset = PackIndex::offset(trailer, total).expect("a whole pack") as usize;
    let index = PackIndex::decode(&pack[offset..], total).expect("a whole pack");
    let view = PackView::decode(&pack).expect("a whole pack");
    assert_eq!(index.iter().len(), 3);
    for (table, entry) in index.iter().zip(view.iter()) {
        assert_eq!((table.name, table.keys_blake3), (entry.name, entry.keys_blake3));
        assert_eq!(table.place.offset, entry.image_offset());
        assert_eq!(table.place.bytes, entry.image.len() as u64);
        assert!(table.place.table(entry.image).is_ok());
        assert!(table.place.table(&entry.image[..64]).is_err());
    }
    assert!(PackIndex::offset(trailer, total + 64).is_err());
    assert!(PackIndex::decode(&pack[offset + 64..], total).is_err());
    assert!(PackIndex::decode(&pack[offset - 64..], total).is_err());
}

/// What fuzzing begins with.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(name);
    let files = fs::read_dir(corpus).expect("there is a corpus");
    files.map(|file| fs::read(file.expect("it is listed").path()).expect("it is read")).collect()
}

#[test]
fn fuzzing_begins_with_tables_and_packs_of_this_version() {
    let (tables, packs) = (seeds("table"), seeds("pack"));
    assert!(tables.len() == 3 && packs.len() == 1);
    for table in &tables {
        assert!(format::decode(table).is_ok());
    }
    for pack in &packs {
        let pack = PackView::decode(pack).expect("it is a pack");
        assert!(pack.iter().all(|entry| entry.table().is_ok()) && pack.iter().count() == 2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        harness::check_table(&bytes);
        harness::check_pack(&bytes);
    }

    /// Bytes changed anywhere, then the header's checksum made good: the checks behind it must hold.
    #[test]
    fn forged_tables_do_no_harm(
        changes in prop::collection::vec((0usize..320, any::<u8>()), 1..6),
        length in prop::option::weighted(0.2, 192usize..320),
    ) {
        let mut file = small_file_once().clone();
        for (place, byte) in changes {
            file[place] = byte;
        }
        file[..8].copy_from_slice(&format::MAGIC);
        file.truncate(length.unwrap_or(file.len()));
        harness::check_table(&forged(&file, 8, &format::VERSION.to_le_bytes()));
    }

    /// So for the index and the trailer of a pack.
    #[test]
    fn forged_packs_do_no_harm(changes in prop::collection::vec((any::<usize>(), any::<u8>()), 1..6)) {
        let mut pack = small_pack_once().clone();
        let trailer = pack.len() - 64;
        let index = u64::from_le_bytes(*pack[trailer..].first_chunk().expect("a trailer")) as usize;
        for (place, byte) in changes {
            pack[index + place % (trailer + 32 - index)] = byte;
        }
        let pack = harness::with_good_checksums_of_pack(&pack);
        harness::check_pack(&pack);
    }
}

fn small_file_once() -> &'static Vec<u8> {
    static FILE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    FILE.get_or_init(small_file)
}

fn small_pack_once() -> &'static Vec<u8> {
    static PACK: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    PACK.get_or_init(small_pack)
}

/// As the fuzz targets run them.
#[test]
fn the_corpus_of_the_fuzz_targets_is_harmless() {
    for file in [small_file(), small_pack()] {
        for length in [0, 8, 63, 64, 128, 192, 200, file.len()] {
            let bytes = &file[..length.min(file.len())];
            harness::check_table(bytes);
            harness::check_pack(bytes);
            harness::check_table(&harness::with_good_checksums_of_table(bytes));
            harness::check_pack(&harness::with_good_checksums_of_pack(bytes));
        }
    }
}
