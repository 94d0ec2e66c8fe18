//! `perfecta`: order-preserving perfect hash tables from files of keys.
//!
//! This crate turns flags into checked requests, hands them to the other crates and prints what
//! comes of them. Flags are defined once, beside the command or group that they belong to.

mod access_options;
mod command;
mod endpoint_options;
mod exit;
mod failure;
mod job_options;
mod job_run;
mod json;
mod key_file;
mod life_options;
mod log_options;
mod machine;
mod options;
mod progress;
mod remote_options;
mod reporter;
mod selection;
mod signals;
mod supervisor;
mod terminal;
mod text;
mod trace;
mod work_options;

use std::process::ExitCode;

use clap::Parser;

use crate::command::Command;
use crate::terminal::Terminal;

/// Order-preserving perfect hash tables from files of keys.
///
/// `index(key)` is the key's rank in its sorted set: two loads, no probing, no comparison.
#[derive(Debug, Parser)]
#[command(name = "perfecta", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Start with: perfecta keygen demo-keys && perfecta bulk-create demo-keys demo-tables --key-size auto"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let terminal = Terminal;
    match cli.command.run(&terminal) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            terminal.complain(&failure);
            failure.exit().into()
        }
    }
}
