//! `perfecta`: order-preserving perfect hash tables from files of keys.
//!
//! This crate turns flags into checked requests, hands them to the other crates and prints what
//! comes of them. Flags are defined once, beside the command or group that they belong to.

mod access_options;
mod command;
mod complaints;
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
mod pace;
mod progress;
mod remote_options;
mod reporter;
mod selection;
mod signals;
mod supervisor;
mod terminal;
mod text;
mod trace;
mod until_signal;
mod work_options;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, CommandFactory, FromArgMatches, Parser};
use perfecta_jobs::ExitClass;

use crate::command::Command;
use crate::exit::Exit;
use crate::failure::Failure;
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
    let terminal = Terminal;
    let run = match parse() {
        Ok(cli) => guarded(|| cli.command.run(&terminal)),
        // Help and versions, which were asked for.
        Err(told) if !told.use_stderr() => terminal.tell(|| told.print()).map(|()| Exit::SUCCESS),
        Err(mut misread) => {
            // Of an option that is not known: after `--` it would be a file, and no option's value.
            misread.remove(ContextKind::Suggested);
            let failure = usage_failure(&misread);
            if let Some(remedy) = failure.remedy() {
                let remedies = vec![remedy.to_owned().into()];
                misread.insert(ContextKind::Suggested, ContextValue::StyledStrs(remedies));
            }
            // As its maker prints it, usage and colours included.
            let _ = misread.print();
            end_lines(&terminal, &failure);
            return Exit::USAGE.into();
        }
    };
    match run {
        Ok(exit) => exit.into(),
        Err(failure) => {
            terminal.complain(&failure);
            end_lines(&terminal, &failure);
            failure.exit().into()
        }
    }
}

/// The command line. What looks like a negative number is an option's value, and refused as that.
fn parse() -> Result<Cli, clap::Error> {
    let matches = with_negative_values(Cli::command()).try_get_matches()?;
    Cli::from_arg_matches(&matches)
}

fn with_negative_values(command: clap::Command) -> clap::Command {
    let takes_value =
        |argument: &Arg| !argument.is_positional() && argument.get_action().takes_values();
    command
        .mut_args(|argument| {
            let takes_value = takes_value(&argument);
            if takes_value { argument.allow_negative_numbers(true) } else { argument }
        })
        .mut_subcommands(with_negative_values)
}

/// Runs a command. A panic is a bug, which the exit code and the last of JSON lines say, too.
fn guarded(run: impl FnOnce() -> Result<Exit, Failure>) -> Result<Exit, Failure> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let failure = Failure::new(ExitClass::Internal, "the program ended by a bug");
        Err(failure.with_remedy("please report it, with what it printed before"))
    })
}

/// Tells a reader of JSON lines that there are no more, and why; who is gone needs no telling.
fn end_lines(terminal: &Terminal, failure: &Failure) {
    let mut arguments = std::env::args_os().skip(1).take_while(|argument| argument != "--");
    if failure.exit() != Exit::SUCCESS && arguments.any(|argument| argument == "--json") {
        let _ = terminal.say(&json::error_line(failure));
    }
}

/// What was wrong with the command line: the first of the lines that people are told.
fn usage_failure(misread: &clap::Error) -> Failure {
    let told = misread.render().to_string();
    let (first, _) = told.split_once("\n\n").unwrap_or((&told, ""));
    let words: Vec<&str> = first.trim_start_matches("error: ").split_whitespace().collect();
    let failure = Failure::usage(words.join(" "));
    if is_daemons(misread) && std::env::args_os().nth(1).is_some_and(|command| command == "client")
    {
        return failure.with_remedy("it is the daemon's: give it to `perfecta serve`");
    }
    failure
}

/// Whether an option is not known that `serve` knows.
fn is_daemons(misread: &clap::Error) -> bool {
    let Some(ContextValue::String(option)) = misread.get(ContextKind::InvalidArg) else {
        return false;
    };
    let program = Cli::command();
    let serve = program.find_subcommand("serve").into_iter().flat_map(clap::Command::get_arguments);
    let mut known = serve.filter_map(Arg::get_long);
    misread.kind() == ErrorKind::UnknownArgument
        && option.strip_prefix("--").is_some_and(|option| known.any(|name| name == option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_bug_with_its_exit_code() {
        let failure = guarded(|| panic!("something impossible")).unwrap_err();
        assert_eq!(failure.exit(), ExitClass::Internal.into());
        assert_eq!(guarded(|| Ok(Exit::SUCCESS)), Ok(Exit::SUCCESS));
    }
}
