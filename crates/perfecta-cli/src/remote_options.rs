//! How a client proves who it is to a daemon elsewhere.

use std::path::PathBuf;

use clap::Args;
use perfecta_server::client::{Remote, RemoteError, RemoteFiles};

use crate::access_options::{tcp_failure, token_exit};
use crate::exit::Exit;
use crate::failure::Failure;

/// How a client proves who it is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Daemon")]
pub(crate) struct RemoteOptions {
    /// Send the token in this file
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    /// Over https, trust daemons that have a certificate of this authority
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
    /// Over https, show this certificate
    #[arg(long, value_name = "FILE", global = true)]
    certificate: Option<PathBuf>,
    /// The key of the certificate
    #[arg(long, value_name = "FILE", global = true)]
    key: Option<PathBuf>,
}

impl RemoteOptions {
    /// The daemon at a URL.
    ///
    /// # Errors
    /// [`Failure`] if it is none, or a file cannot be used.
    pub(crate) fn checked(&self, url: &str) -> Result<Remote, Failure> {
        let files = RemoteFiles {
            token: self.token_file.clone(),
            ca: self.ca.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone(),
        };
        Remote::checked(url, &files).map_err(|error| failure(&error))
    }

    /// Refuses what a local socket has no use for.
    ///
    /// # Errors
    /// [`Failure`] if something is given.
    pub(crate) fn check_unused(&self) -> Result<(), Failure> {
        let given = [&self.token_file, &self.ca, &self.certificate, &self.key];
        if given.iter().all(|file| file.is_none()) {
            return Ok(());
        }
        let message = "a token and certificates are for a daemon at a URL";
        Err(Failure::usage(message)
            .with_remedy("give --endpoint http://HOST:PORT or https://HOST:PORT"))
    }
}

fn failure(error: &RemoteError) -> Failure {
    let exit = match error {
        RemoteError::Url(_) | RemoteError::NoAuthority | RemoteError::HalfOfTls => Exit::USAGE,
        RemoteError::Secret(error) => token_exit(error),
        RemoteError::Tls(error) => return tcp_failure(error),
        RemoteError::Certificate(_) => Exit::IO,
    };
    Failure::new(exit, error.to_string()).with_remedy(error.remedy())
}
