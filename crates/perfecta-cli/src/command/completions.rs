//! `perfecta completions`: what a shell is to offer while a command is typed.

use std::io::Write as _;

use clap::{Args, CommandFactory as _};
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
        clap_complete::generate(self.shell, &mut Cli::command(), "perfecta", &mut script);
        terminal.tell(|| std::io::stdout().write_all(&script)).map(|()| Exit::SUCCESS)
    }
}
