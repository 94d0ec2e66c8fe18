//! The commands, one file each.

mod bench;
mod bulk_create;
mod client;
mod completions;
mod create;
mod hashes;
mod inspect;
mod keygen;
mod serve;
mod verify;

use clap::Subcommand;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::until_signal::until_signal;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(create::Create),
    BulkCreate(bulk_create::BulkCreate),
    Verify(verify::Verify),
    Inspect(inspect::Inspect),
    Bench(bench::Bench),
    Keygen(keygen::Keygen),
    Hashes(hashes::Hashes),
    Serve(serve::Serve),
    Client(Box<client::Client>),
    Completions(completions::Completions),
}

impl Command {
    /// Carries the command out.
    ///
    /// # Errors
    /// [`Failure`] if it could not be begun; what went wrong with single tables is in [`Exit`].
    pub(crate) fn run(self, terminal: &Terminal) -> Result<Exit, Failure> {
        match self {
            Self::Create(create) => create.run(terminal),
            Self::BulkCreate(bulk_create) => bulk_create.run(terminal),
            Self::Verify(verify) => verify.run(terminal),
            Self::Inspect(inspect) => until_signal(move |_| inspect.run(&Terminal)),
            Self::Bench(bench) => until_signal(move |_| bench.run(&Terminal)),
            Self::Keygen(keygen) => until_signal(move |acts| keygen.run(&Terminal, acts)),
            Self::Hashes(hashes) => hashes.run(terminal),
            Self::Serve(serve) => serve.run(terminal),
            Self::Client(client) => client.run(terminal),
            Self::Completions(completions) => completions.run(terminal),
        }
    }
}
