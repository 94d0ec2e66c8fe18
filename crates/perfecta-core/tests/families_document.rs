//! `docs/families.md` against the code: every row is read, computed and compared.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use perfecta_core::family::{Family, MemberVisitor};
use perfecta_core::geometry::Geometry;
use perfecta_core::seeds::{SeedSource, Seeds};

/// A row of the table.
struct Row<'a> {
    family: Family,
    seeds: u8,
    mask: &'a str,
    words: [&'a str; 2],
}

/// The rows: lines that begin with a number between bars.
fn rows() -> Vec<Row<'static>> {
    let document = include_str!("../../../docs/families.md");
    let cells = |line: &'static str| -> Vec<&'static str> {
        line.split('|').map(|cell| cell.trim().trim_matches('`')).collect()
    };
    let lines = document.lines().filter(|line| line.starts_with("| ")).map(cells);
    let lines = lines.filter(|cells| cells[1].parse::<u8>().is_ok());
    lines
        .map(|cells| {
            let family = Family::from_id(cells[1].parse().unwrap()).unwrap();
            assert_eq!(family.name(), cells[2]);
            Row {
                family,
                seeds: cells[3].parse().unwrap(),
                mask: cells[4],
                words: [cells[5], cells[6]],
            }
        })
        .collect()
}

fn drawn(family: Family, attempt: u64, geometry: Geometry) -> Seeds {
    SeedSource::default().draw(attempt, family, geometry)
}

struct Vertices(u32);

impl MemberVisitor<u32> for Vertices {
    type Output = (u32, u32);

    fn visit<F: Fn(u32) -> (u32, u32) + Copy>(self, vertices: F) -> (u32, u32) {
        vertices(self.0)
    }
}

#[test]
fn every_function_of_the_reference_has_its_row() {
    let ids: Vec<u8> = rows().iter().map(|row| row.family.id()).collect();
    assert_eq!(ids, (1..=39).collect::<Vec<u8>>());
}

#[test]
fn every_formula_gives_the_vertices_of_the_code() {
    for row in rows() {
        for attempt in 1..200 {
            let geometry = Geometry::from_edge_capacity_log2(3 + (attempt % 28) as u8).unwrap();
            let seeds = drawn(row.family, attempt, geometry);
            for key in [0, 1, u32::MAX, 0x8000_0000, (attempt as u32).wrapping_mul(0x9e37_79b9)] {
                let words = row.words.map(|text| Text::of(text, key, &seeds).whole());
                let vertices = words.map(|word| word & (geometry.vertices() - 1));
                let expected = row.family.with_member_u32(&seeds, geometry, Vertices(key));
                assert_eq!((vertices[0], vertices[1]), expected, "{} {key:#x}", row.family);
            }
        }
    }
}

#[test]
fn seeds_and_masks_are_those_that_are_drawn() {
    let geometry = Geometry::from_edge_capacity_log2(3).unwrap();
    for row in rows() {
        assert_eq!(row.seeds, row.family.num_seeds(), "{}", row.family);
        let (names, mask) = row.mask.rsplit_once(' ').unwrap_or(("", "0xffffffff"));
        let mask = u32::from_str_radix(mask.strip_prefix("0x").unwrap(), 16).unwrap();
        for number in 1..=usize::from(row.seeds) {
            let masked = names.split(", ").any(|name| name == format!("s{number}"));
            let mut wanted = if masked { mask } else { u32::MAX };
            let words = (1..500).map(|attempt| drawn(row.family, attempt, geometry).word(number));
            if row.family.shift_is_first_byte_of(number) {
                let shift = 32 - u32::from(geometry.vertices_log2());
                assert!(words.clone().all(|word| word & 0xff == shift), "{}", row.family);
                wanted = wanted & !0xff | shift;
            }
            let all = words.fold(0, |bits, word| bits | word);
            assert_eq!(all, wanted, "{} s{number}", row.family);
        }
    }
}

/// The words in the order in which operators bind, the loosest first.
const OPERATORS: [&[&str]; 5] = [&["^"], &["&"], &["<<", ">>"], &["+", "-"], &["*"]];

/// A formula that is being read and computed, for one key and one member.
struct Text<'a> {
    rest: &'a str,
    key: u32,
    seeds: &'a Seeds,
}

impl<'a> Text<'a> {
    const fn of(rest: &'a str, key: u32, seeds: &'a Seeds) -> Self {
        Self { rest, key, seeds }
    }

    fn whole(mut self) -> u32 {
        let value = self.operations(0);
        assert!(self.rest.is_empty(), "{:?} is left", self.rest);
        value
    }

    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn operations(&mut self, level: usize) -> u32 {
        let Some(operators) = OPERATORS.get(level) else { return self.operand() };
        let mut left = self.operations(level + 1);
        while let Some(operator) = operators.iter().find(|operator| self.take(operator)) {
            let right = self.operations(level + 1);
            left = match *operator {
                "^" => left ^ right,
                "&" => left & right,
                "<<" => left << right,
                ">>" => left >> right,
                "+" => left.wrapping_add(right),
                "-" => left.wrapping_sub(right),
                _ => left.wrapping_mul(right),
            };
        }
        left
    }

    fn operand(&mut self) -> u32 {
        if self.take("~") {
            return !self.operand();
        }
        if self.take("(") {
            let value = self.operations(0);
            assert!(self.take(")"), "{:?}", self.rest);
            return value;
        }
        let text = self.rest.trim_start();
        let end = text.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.rest = rest;
        if self.take("(") { self.called(word) } else { self.named(word) }
    }

    fn named(&self, word: &str) -> u32 {
        let number = |digits: &str| digits.parse::<usize>().unwrap();
        match word.split_at(1) {
            ("k", "") => self.key,
            ("s", digits) => self.seeds.word(number(digits)),
            ("b", digits) => self.seeds.byte(3, number(digits)),
            ("c", digits) => self.seeds.byte(6, number(digits)),
            _ => word.parse().unwrap(),
        }
    }

    fn called(&mut self, name: &str) -> u32 {
        let mut given = vec![self.operations(0)];
        while self.take(",") {
            given.push(self.operations(0));
        }
        assert!(self.take(")"), "{:?}", self.rest);
        match (name, &given[..]) {
            ("rotl", &[word, bits]) => word.rotate_left(bits),
            ("rotr", &[word, bits]) => word.rotate_right(bits),
            ("xrotr", &[word, bits]) => word ^ word.rotate_right(bits),
            ("xshr", &[word, bits]) => word ^ (word >> bits),
            ("halves", &[word]) => (word & 0xffff) ^ (word >> 16),
            ("mulshr64", &[word, high, low, bits]) => {
                let multiplier = u64::from(high) << 32 | u64::from(low);
                (u64::from(word).wrapping_mul(multiplier) >> bits) as u32
            }
            ("crc", &[sum, word]) => crc(sum, word),
            ("djb", &[word, seed]) => {
                over_bytes(word, seed, |sum, byte| sum.wrapping_mul(33).wrapping_add(byte))
            }
            ("djbxor", &[word, seed]) => {
                over_bytes(word, seed, |sum, byte| sum.wrapping_mul(33) ^ byte)
            }
            ("fnv", &[word, seed]) => over_bytes(word, seed ^ 2_166_136_261, |sum, byte| {
                sum.wrapping_mul(16_777_619) ^ byte
            }),
            ("jenkins", &[word, seed]) => jenkins(word, seed),
            _ => panic!("{name} of {given:?}"),
        }
    }
}

fn over_bytes(word: u32, start: u32, fold: impl Fn(u32, u32) -> u32) -> u32 {
    word.to_le_bytes().into_iter().fold(start, |sum, byte| fold(sum, u32::from(byte)))
}

/// Bit by bit: shares nothing with the tables of the code.
fn crc(sum: u32, word: u32) -> u32 {
    (0..32).fold(sum ^ word, |sum, _| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg()))
}

/// As the page writes it, the shifts read from there.
fn jenkins(word: u32, seed: u32) -> u32 {
    let document = include_str!("../../../docs/families.md");
    let (_, steps) = document.split_once("c = seed; then").unwrap();
    let (steps, _) = steps.split_once("and the result").unwrap();
    let shifts: Vec<u32> = steps
        .split([')', '\n'])
        .filter_map(|part| part.rsplit_once("<< ").or(part.rsplit_once(">> ")))
        .map(|(_, bits)| bits.parse().unwrap())
        .collect();
    let (mut a, mut b, mut c) = (word.wrapping_add(0x9e37_79b9), 0x9e37_79b9_u32, seed);
    for of_line in shifts.chunks(3) {
        a = a.wrapping_sub(b).wrapping_sub(c) ^ (c >> of_line[0]);
        b = b.wrapping_sub(c).wrapping_sub(a) ^ (a << of_line[1]);
        c = c.wrapping_sub(a).wrapping_sub(b) ^ (b >> of_line[2]);
    }
    c
}
