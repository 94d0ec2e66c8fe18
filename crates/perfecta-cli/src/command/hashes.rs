//! `perfecta hashes`: the hash families.

use clap::Args;
use perfecta_core::family::Family;
use perfecta_core::key::KeyWidth;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::terminal::Terminal;

/// List the hash families: id, name, seed words, and what they cannot do.
///
/// A family that hashes 32 bits also serves keys of 64 bits that use at most 32 bits, all keys together:
/// these are gathered before they are hashed. docs/families.md has all formulas.
#[derive(Debug, Args)]
pub(crate) struct Hashes {
    /// JSON objects on standard output, with the bits of seeds that may be chosen
    #[arg(long)]
    json: bool,
}

impl Hashes {
    /// Prints the list.
    ///
    /// # Errors
    /// [`Failure`] if standard output takes nothing.
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let takes_zero =
            |family: Family| family.check_suits(KeyWidth::Bits32, u64::MAX, true).is_ok();
        if self.json {
            for family in Family::all() {
                terminal.say(&json::hash_line(family, takes_zero(family)))?;
            }
            return Ok(Exit::SUCCESS);
        }
        terminal.say("id  name                      seeds  hashed bits  key 0")?;
        for family in Family::all() {
            let widths = if family.hashes_64() { "32,64" } else { "32" };
            let zero = if takes_zero(family) { "yes" } else { "no" };
            let (id, name, seeds) = (family.id(), family.name(), family.num_seeds());
            terminal.say(&format!("{id:<3} {name:<25} {seeds:<6} {widths:<12} {zero}"))?;
        }
        terminal.say(
            "hashed bits 32: keys of 32 bits, and keys of 64 bits that together use at most 32",
        )?;
        Ok(Exit::SUCCESS)
    }
}
