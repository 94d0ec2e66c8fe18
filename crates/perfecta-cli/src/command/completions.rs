//! `perfecta completions`: what a shell is to offer while a command is typed.

use std::io::Write as _;

use clap::builder::Resettable;
use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;

use crate::Cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Terminal;

/// Print the script by which a shell completes commands and options.
///
/// For bash: perfecta completions bash > ~/.local/share/bash-completion/completions/perfecta
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints it.
    ///
    /// # Errors
    /// [`Failure`] if standard output takes nothing.
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut offered(&Cli::command()), "perfecta", &mut script);
        terminal.tell(|| std::io::stdout().write_all(&script)).map(|()| Exit::SUCCESS)
    }
}

/// A command as shells are to know it: they would offer hidden options, too, which are there to be refused,
/// or for this program's own use.
fn offered(command: &Command) -> Command {
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
    Command::new(command.get_name().to_owned())
        .about(Resettable::from(command.get_about().cloned()))
        .long_about(Resettable::from(command.get_long_about().cloned()))
        .version(Resettable::from(command.get_version().map(|version| version.to_owned().into())))
        .propagate_version(command.is_propagate_version_set())
        .args(shown.cloned())
        .subcommands(command.get_subcommands().map(offered))
}
