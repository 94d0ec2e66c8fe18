//! What the reference found, found again: its golden vectors on real key files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use perfecta_core::family::Family;
use perfecta_core::geometry::Geometry;
use perfecta_core::graph::{Attempter, Outcome, Scratch, plain};
use perfecta_core::key::{KeySet, KeyWidth, Repair};
use perfecta_core::search::{FamilyChoice, Plan, Solution, search};
use perfecta_core::seeds::SeedSource;

/// The keys of a file that may lie beside the project; where it does not, the test is skipped, and the
/// word of it is not captured.
fn shared_keys(path: &str) -> Option<KeySet> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/keys").join(path);
    let bytes = match std::fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            let word = format!("{name} is skipped: ../shared/keys/{path} is absent\n");
            std::io::stderr().write_all(word.as_bytes()).unwrap();
            return None;
        }
        Err(error) => panic!("{}: {error}", file.display()),
    };
    Some(KeySet::from_le_bytes(&bytes, KeyWidth::Bits32, Repair::default()).unwrap())
}

fn family(name: &str) -> Family {
    Family::from_name(name).unwrap()
}

fn solve(keys: &KeySet, plan: &Plan) -> Solution {
    search(keys, plan, &mut Scratch::default(), &|| true).unwrap()
}

fn named(name: &str) -> Plan {
    Plan { family: FamilyChoice::Named(family(name)), ..Plan::default() }
}

/// Winning attempt, collisions, cyclic attempts, seeds.
fn check_first_solution(keys: &str, plan: &Plan, expected: (u64, u64, u64), seeds: &[u32]) {
    let Some(keys) = shared_keys(keys) else { return };
    let solution = solve(&keys, plan);
    let win = solution.verdict.win().expect("the reference solved it");
    let tally = solution.verdict.tally;
    assert_eq!((win.attempt, tally.vertex_collisions, tally.cyclic), expected);
    if !seeds.is_empty() {
        assert_eq!(win.seeds.of_family(win.stage.family), seeds);
    }
    solution.table.expect("a winner has a table").view().verify(&keys).unwrap();
}

#[test]
fn multiply_shift_r_solves_hologram_world_at_attempt_8562() {
    check_first_solution(
        "HologramWorld-31016.keys",
        &named("MultiplyShiftR"),
        (8562, 4263, 4298),
        &[1_101_860_575, 1_603_102_509, 0x0d09],
    );
}

#[test]
fn mulshrolate_4_rx_solves_hologram_world_at_attempt_26() {
    check_first_solution(
        "HologramWorld-31016.keys",
        &named("Mulshrolate4RX"),
        (26, 10, 15),
        &[3_978_013_224, 1_433_466_278, 0x0e05_0810, 1_995_067_378, 3_127_020_546],
    );
}

#[test]
fn the_rarely_solving_functions_solve_hologram_world_where_the_reference_does() {
    let check = |name, expected: (u64, u64, u64), seeds: &[u32]| {
        check_first_solution("HologramWorld-31016.keys", &named(name), expected, seeds);
    };
    check("Jenkins", (3, 2, 0), &[]);
    check("Mulshrolate3RX", (1636, 611, 1024), &[]);
    check("Mulshrolate2RX", (22_493, 8530, 13_962), &[917_595_875, 93_782_197, 0x1c08_0110]);
    check("MultiplyShiftRX", (158_913, 60_049, 98_863), &[3_269_705_911, 3_906_588_153, 0x1b10]);
    check(
        "Mulshrolate1RX",
        (190_572, 71_863, 118_708),
        &[1_940_170_114, 1_782_045_854, 0x0c04_0010],
    );
}

#[test]
fn a_table_doubled_twice_is_solved_at_attempt_5() {
    let plan = Plan { grows_initial: 2, ..named("MultiplyShiftR") };
    let Some(keys) = shared_keys("HologramWorld-31016.keys") else { return };
    let win = *solve(&keys, &plan).verdict.win().unwrap();
    assert_eq!((win.attempt, win.stage.geometry.vertices()), (5, 262_144));
    assert_eq!(win.seeds.of_family(win.stage.family), [2_322_164_843, 1_556_526_759, 0x0608]);
}

/// Every attempt of every function has the outcome it has in the reference.
#[test]
fn three_thousand_attempts_of_each_function_come_out_as_in_the_reference() {
    check_counters("sys32/dbghelp-3162.keys", COUNTERS_OF_THE_REFERENCE);
}

/// The same on a key set for which the reference's counters are not known: these are those of a
/// second implementation of the functions, in C, with the CPU's own CRC instruction.
#[test]
fn three_thousand_attempts_of_each_function_come_out_as_in_a_second_implementation() {
    check_counters("sys32/dbghelp-3163.keys", COUNTERS_OF_A_SECOND_IMPLEMENTATION);
}

fn check_counters(path: &str, counters: &str) {
    let Some(keys) = shared_keys(path) else { return };
    let mut scratch = Scratch::default();
    for line in counters.trim().lines() {
        let mut fields = line.split_whitespace();
        let family = Family::from_id(fields.next().unwrap().parse().unwrap()).unwrap();
        let counts: Vec<u64> =
            fields.next().unwrap().split('/').map(|count| count.parse().unwrap()).collect();
        let family_choice = FamilyChoice::Named(family);
        let plan = Plan { family: family_choice, fixed_attempts: Some(3000), ..Plan::default() };
        let verdict = search(&keys, &plan, &mut scratch, &|| true).unwrap().verdict;
        let tally = verdict.tally;
        assert_eq!([tally.vertex_collisions, tally.cyclic, tally.acyclic], *counts, "{family}");
        if let Some(first) = fields.next() {
            let expected = first.parse().ok();
            assert_eq!(verdict.win().map(|win| win.attempt), expected, "{family}");
        }
    }
}

/// Id, vertex collisions / cyclic / solved of 3,000 attempts, first solved attempt where known.
const COUNTERS_OF_THE_REFERENCE: &str = "
1 963/2037/0
2 929/615/1456 1
3 929/615/1456
4 451/2549/0
5 0/3000/0
6 986/2014/0
7 890/2110/0
8 1014/1986/0
9 1/2999/0
10 0/3000/0
11 0/3000/0
12 0/2994/6 551
13 0/3000/0
14 890/2110/0
15 938/1970/92 14
16 900/2006/94 110
17 1118/1702/180 2
18 1555/1408/37 66
19 1586/1368/46 24
20 1017/1419/564 2
21 1149/1742/109 36
22 1140/1744/116 22
23 1276/1615/109 36
24 1825/1175/0
25 3000/0/0
26 121/2879/0
27 1351/1601/48 300
28 1003/1563/434 3
29 1429/1523/48 300
30 1392/1503/105 5
31 1842/1158/0
32 1175/1792/33 44
33 982/1613/405 27
34 1025/1654/321 13
35 979/1441/580 6
36 936/1826/238 57
37 1083/1816/101 20
38 1014/1589/397 11
39 935/952/1113 4
";

/// As above; `-` where no attempt succeeds.
const COUNTERS_OF_A_SECOND_IMPLEMENTATION: &str = "
1 998/2002/0 -
2 987/597/1416 2
3 987/597/1416 2
4 436/2564/0 -
5 0/3000/0 -
6 934/2066/0 -
7 945/2055/0 -
8 986/2014/0 -
9 1/2999/0 -
10 0/3000/0 -
11 0/3000/0 -
12 0/2991/9 48
13 0/3000/0 -
14 945/2055/0 -
15 963/1990/47 10
16 887/2022/91 5
17 1062/1752/186 40
18 1544/1422/34 66
19 1608/1343/49 170
20 1030/1401/569 3
21 1124/1755/121 5
22 1092/1792/116 7
23 1258/1621/121 5
24 1762/1238/0 -
25 3000/0/0 -
26 121/2879/0 -
27 1313/1652/35 133
28 1013/1522/465 11
29 1400/1565/35 133
30 1419/1476/105 26
31 1764/1236/0 -
32 1134/1830/36 135
33 908/1691/401 6
34 1037/1643/320 6
35 955/1466/579 5
36 945/1800/255 2
37 1114/1782/104 43
38 973/1614/413 10
39 993/922/1085 1
";

/// The assigned values are those of the reference's procedure, carried out plainly.
#[test]
fn assigned_values_are_those_of_the_plain_procedure() {
    let check = |path: &str, name: &str, attempt: u64, grows: u8| {
        let Some(keys) = shared_keys(path) else { return };
        let family = family(name);
        let mut geometry = Geometry::for_keys(keys.len()).unwrap();
        for _ in 0..grows {
            geometry = geometry.grown().unwrap();
        }
        let seeds = SeedSource::default().draw(attempt, family, geometry);
        let plain = plain::attempt(keys.hashed(), family, &seeds, geometry);
        let mut scratch = Scratch::default();
        let mut attempter = Attempter::new(keys.hashed(), &mut scratch);
        let outcome = attempter.outcome(family, &seeds, geometry, &|| true).unwrap();
        assert_eq!(outcome, Outcome::Acyclic);
        let assigned = attempter.assign(family, &seeds, geometry, &|| true).unwrap();
        assert!(plain.assigned.as_deref() == Some(assigned), "{path} {name}");
    };
    check("HologramWorld-31016.keys", "MultiplyShiftR", 8562, 0);
    check("HologramWorld-31016.keys", "Mulshrolate4RX", 26, 0);
    check("HologramWorld-31016.keys", "MultiplyShiftR", 5, 2);
}
