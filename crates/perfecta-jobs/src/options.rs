//! The options of a job that shape the bytes of its tables, as a text that is hashed. The hash is kept with
//! what is published, and says whether it is still what was asked for.
//!
//! The text is a format, though nobody reads it: another one for the same options makes every published
//! table anew. So it is written out by names and numbers that stand in files and requests already, and owes
//! nothing to what things are called in the code. Whoever changes it counts [`FORMAT`] up.

use std::fmt::Write as _;

use perfecta_core::key::Repair;
use perfecta_core::search::{FamilyChoice, Plan};
use perfecta_core::seeds::SeedSource;

use crate::config::{Job, KeyEncoding, KeyOptions, WidthRule};
use crate::manifest::Digest;

/// The number of the format.
const FORMAT: u32 = 1;

/// The hash of everything but the keys that shapes the bytes of a table: made by this version, and
/// rendered as `rendering` says.
pub(crate) fn digest(job: &Job, rendering: &str) -> Digest {
    digest_of(&text(job, env!("CARGO_PKG_VERSION"), rendering))
}

fn digest_of(text: &str) -> Digest {
    *blake3::hash(text.as_bytes()).as_bytes()
}

/// A line for each option. All is taken apart, so that a field that is added must be thought of.
fn text(job: &Job, version: &str, rendering: &str) -> String {
    let Job {
        keys,
        search,
        // What is written is the same, wherever it comes from, whoever makes it, and wherever it goes.
        inputs: _,
        output: _,
        ramp: _,
        share: _,
        nodes: _,
        limits: _,
    } = job;
    let mut text = format!("options {FORMAT}\nperfecta {version}\nrendering {rendering}\n");
    let written = write_keys(&mut text, keys).and_then(|()| write_search(&mut text, search));
    written.expect("a string takes all");
    text
}

fn write_keys(text: &mut String, keys: &KeyOptions) -> std::fmt::Result {
    let KeyOptions { width, encoding, repair: Repair { sort, dedupe } } = keys;
    match width {
        WidthRule::Fixed(width) => writeln!(text, "key-bits {}", width.bits())?,
        WidthRule::FromName => writeln!(text, "key-bits by-name")?,
    }
    let encoding = match encoding {
        KeyEncoding::Binary => "binary",
        KeyEncoding::Text => "text",
    };
    writeln!(text, "encoding {encoding}")?;
    writeln!(text, "sort {}\ndedupe {}", u8::from(*sort), u8::from(*dedupe))
}

fn write_search(text: &mut String, search: &Plan) -> std::fmt::Result {
    let Plan {
        family,
        seeds: SeedSource { rng_seed, rng_subsequence, fixed },
        fixed_attempts,
        grow_after,
        grows_max,
        grows_initial,
        // These say whether there is a table, and not which.
        attempts_max: _,
        memory_bytes_max: _,
    } = search;
    match family {
        FamilyChoice::Auto => writeln!(text, "family auto")?,
        FamilyChoice::Named(family) => writeln!(text, "family {}", family.id())?,
    }
    writeln!(text, "rng-seed {rng_seed}\nrng-subsequence {rng_subsequence}")?;
    for word in fixed {
        writeln!(text, "seed {word}")?;
    }
    for (name, attempts) in [("fixed-attempts", fixed_attempts), ("grow-after", grow_after)] {
        match attempts {
            Some(attempts) => writeln!(text, "{name} {attempts}")?,
            None => writeln!(text, "{name} none")?,
        }
    }
    writeln!(text, "grows-max {grows_max}\ngrows-initial {grows_initial}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use perfecta_core::family::Family;
    use perfecta_core::key::KeyWidth;
    use perfecta_emit::ArtifactKinds;

    use super::*;
    use crate::artifacts::{Artifacts, SelfTest};
    use crate::config::{Inputs, Output};
    use crate::render::Renderer;

    fn job() -> Job {
        Job::new(Inputs::Files(Vec::new()))
    }

    /// Where this changes, every table that was published is made anew by the next run. Is that meant, count
    /// [`FORMAT`] up; is it not, as where something got another name in the code, put the text right.
    #[test]
    fn the_digest_of_published_tables_stays() {
        let mut job = job();
        job.keys.width = WidthRule::FromName;
        job.keys.repair.sort = true;
        job.search.family = FamilyChoice::Named(Family::from_name("MultiplyShiftR").unwrap());
        job.search.seeds.fixed[2] = 0x0500;
        job.search.grow_after = Some(100);
        let artifacts = Artifacts::new("pht,c".parse().unwrap(), SelfTest::WithKeys);
        let text = text(&job, "0.0.0", &artifacts.fingerprint());
        assert_eq!(
            text,
            "options 1\nperfecta 0.0.0\nrendering pht,c keys-included\nkey-bits by-name\nencoding binary\n\
             sort 1\ndedupe 0\nfamily 23\nrng-seed 2312889792548900901\nrng-subsequence 0\nseed 0\nseed 0\n\
             seed 1280\nseed 0\nseed 0\nseed 0\nseed 0\nseed 0\nfixed-attempts none\ngrow-after 100\n\
             grows-max 5\ngrows-initial 0\n"
        );
        let digest = blake3::Hash::from_bytes(digest_of(&text)).to_hex();
        assert_eq!(
            digest.as_str(),
            "4280cc0eef0dc18e7524344b3c60858720a2ccf60df0edb7da5934b663ff35c8"
        );
    }

    #[test]
    fn options_that_shape_bytes_are_told_apart_and_others_are_not() {
        let rendering = |kinds: &str, self_test| {
            Artifacts::new(kinds.parse::<ArtifactKinds>().unwrap(), self_test).fingerprint()
        };
        let plain = rendering("all", SelfTest::FromFile);
        let of = |change: &dyn Fn(&mut Job)| {
            let mut job = job();
            change(&mut job);
            digest(&job, &plain)
        };
        let shaping: [&dyn Fn(&mut Job); 16] = [
            &|_| {},
            &|job| job.keys.width = WidthRule::Fixed(KeyWidth::Bits64),
            &|job| job.keys.width = WidthRule::FromName,
            &|job| job.keys.encoding = KeyEncoding::Text,
            &|job| job.keys.repair.sort = true,
            &|job| job.keys.repair.dedupe = true,
            &|job| job.search.family = FamilyChoice::Named(Family::Folded),
            &|job| job.search.family = FamilyChoice::Named(Family::from_id(1).unwrap()),
            &|job| job.search.seeds.rng_seed = 1,
            &|job| job.search.seeds.rng_subsequence = 1,
            &|job| job.search.seeds.fixed[0] = 1,
            &|job| job.search.seeds.fixed[7] = 1,
            &|job| job.search.fixed_attempts = Some(1),
            &|job| job.search.grow_after = Some(1),
            &|job| job.search.grows_max = 1,
            &|job| job.search.grows_initial = 1,
        ];
        let mut digests: BTreeSet<Digest> = shaping.iter().map(|change| of(change)).collect();
        digests.insert(digest(&job(), &rendering("all", SelfTest::WithKeys)));
        digests.insert(digest(&job(), &rendering("pht", SelfTest::FromFile)));
        assert_eq!(digests.len(), shaping.len() + 2);
        let others: [&dyn Fn(&mut Job); 4] = [
            &|job| job.inputs = Inputs::Files(vec!["a.keys".into()]),
            &|job| job.output = Some(Output::new("out")),
            &|job| job.search.attempts_max = 1,
            &|job| job.search.memory_bytes_max = 1,
        ];
        for (number, change) in others.iter().enumerate() {
            assert_eq!(of(change), of(&|_| {}), "{number}");
        }
    }
}
