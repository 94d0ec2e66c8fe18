//! Who may ask a daemon, for which files, and from where.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use perfecta_io::{RootError, Roots};
use perfecta_jobs::ExitClass;
use perfecta_server::{Access, ClientLimits, Tcp, TcpError, TcpFiles, TokenError};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::options;

/// Who may ask a daemon.
#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct AccessOptions {
    /// Read key files and write tables below this directory alone, and follow no link there; may be repeated
    #[arg(long, value_name = "DIR")]
    allow_root: Vec<PathBuf>,
    /// Put outputs with relative paths below this directory, and those without one into one of their own there
    #[arg(long, value_name = "DIR")]
    output_root: Option<PathBuf>,
    /// Serve this user, too; may be repeated
    #[arg(long, value_name = "NAME|UID", requires = "allow_root")]
    allow_user: Vec<String>,
    /// Serve clients over TCP as well; at port 0 the system chooses one, which is told
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_address)]
    listen: Option<SocketAddr>,
    /// Over TCP, serve those who have the token in this file
    #[arg(long, value_name = "FILE", requires = "listen")]
    token_file: Option<PathBuf>,
    /// Over TCP, speak TLS, with this certificate
    #[arg(long, value_name = "FILE", requires = "listen")]
    tls_certificate: Option<PathBuf>,
    /// The key of the certificate
    #[arg(long, value_name = "FILE", requires = "listen")]
    tls_key: Option<PathBuf>,
    /// Over TLS, serve those who have a certificate of this authority
    #[arg(long, value_name = "FILE", requires = "listen")]
    tls_client_ca: Option<PathBuf>,
    /// Connections at once; further ones wait
    #[arg(long, value_name = "N", default_value = "1024", value_parser = parse_connections)]
    max_connections: NonZeroUsize,
    /// Close connections that ask nothing for so many seconds
    #[arg(long, value_name = "S", default_value = "600", value_parser = options::parse_seconds)]
    idle_timeout: Duration,
    /// Take no request while so many tables wait
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = options::parse_number)]
    max_queued: u64,
}

/// Fewer than a handful would have doors wait for each other.
const CONNECTIONS: std::ops::RangeInclusive<u64> = 4..=1_000_000;

fn parse_connections(value: &str) -> Result<NonZeroUsize, String> {
    let number = options::parse_number(value)?;
    let number = usize::try_from(number).ok().filter(|_| CONNECTIONS.contains(&number));
    let number = number.and_then(NonZeroUsize::new);
    number.ok_or_else(|| format!("{} to {} connections", CONNECTIONS.start(), CONNECTIONS.end()))
}

fn parse_address(value: &str) -> Result<SocketAddr, String> {
    value.parse().map_err(|_| {
        "an address in numbers and a port, such as 127.0.0.1:7000 or [::1]:7000".to_owned()
    })
}

impl AccessOptions {
    /// Checks them, and opens what they name.
    ///
    /// # Errors
    /// [`Failure`] if something is missing, is not private, or cannot be opened.
    pub(crate) fn checked(&self) -> Result<Access, Failure> {
        let output_root = self.output_root.as_deref().map(absolute).transpose()?;
        Ok(Access {
            roots: self.roots()?.map(Arc::new),
            output_root,
            users: self
                .allow_user
                .iter()
                .map(|user| user_number(user))
                .collect::<Result<_, _>>()?,
            tcp: self.tcp()?,
            limits: ClientLimits {
                connections_max: self.max_connections,
                idle_max: self.idle_timeout,
                items_queued_max: self.max_queued,
            },
        })
    }

    /// Outputs are written below their root whether or not keys are read there.
    fn roots(&self) -> Result<Option<Roots>, Failure> {
        if self.allow_root.is_empty() {
            return Ok(None);
        }
        let all: Vec<PathBuf> = self.allow_root.iter().chain(&self.output_root).cloned().collect();
        Roots::open(&all).map(Some).map_err(|error| root_failure(&error))
    }

    fn tcp(&self) -> Result<Option<Tcp>, Failure> {
        let Some(address) = self.listen else { return Ok(None) };
        let files = TcpFiles {
            address,
            token: self.token_file.clone(),
            certificate: self.tls_certificate.clone(),
            key: self.tls_key.clone(),
            client_ca: self.tls_client_ca.clone(),
        };
        let has_roots = !self.allow_root.is_empty();
        Tcp::checked(&files, has_roots).map(Some).map_err(|error| tcp_failure(&error))
    }

    /// What whoever starts the daemon should know.
    pub(crate) fn notice(&self) -> Option<&'static str> {
        let is_root = rustix::process::geteuid().is_root();
        (is_root && self.allow_root.is_empty()).then_some(
            "the daemon runs as root without --allow-root: it reads and writes what root may",
        )
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let found = std::path::absolute(path).and_then(|found| found.metadata().map(|_| found));
    found.map_err(|error| Failure::io("find", path, &error))
}

fn user_number(user: &str) -> Result<u32, Failure> {
    let failed = |reason: String| {
        let remedy = "name a user of this machine, or give the number";
        Failure::usage(format!("--allow-user {user}: {reason}")).with_remedy(remedy)
    };
    match user.parse() {
        // It stands for no user.
        Ok(u32::MAX) => return Err(failed("there is no such user".to_owned())),
        Ok(number) => return Ok(number),
        Err(_) => {}
    }
    match nix::unistd::User::from_name(user) {
        Ok(Some(found)) => Ok(found.uid.as_raw()),
        Ok(None) => Err(failed("there is no such user".to_owned())),
        Err(errno) => Err(failed(errno.to_string())),
    }
}

fn root_failure(error: &RootError) -> Failure {
    let exit = match error {
        RootError::Open { error, .. } if error.kind() == std::io::ErrorKind::PermissionDenied => {
            ExitClass::Denied
        }
        RootError::Open { .. } | RootError::Unconfined(_) => ExitClass::Io,
    };
    Failure::new(exit, error.to_string()).with_remedy(error.remedy())
}

pub(crate) fn tcp_failure(error: &TcpError) -> Failure {
    let exit = match error {
        TcpError::NoProof
        | TcpError::HalfOfTls
        | TcpError::PlainToken(_)
        | TcpError::NoRoots(_) => Exit::USAGE,
        TcpError::Secret(error) => token_exit(error),
        TcpError::Pem { .. } => Exit::IO,
    };
    Failure::new(exit, error.to_string()).with_remedy(error.remedy())
}

pub(crate) const fn token_exit(error: &TokenError) -> Exit {
    match error {
        TokenError::Open { .. } => Exit::Work(ExitClass::Denied),
        TokenError::Word { .. } => Exit::USAGE,
        TokenError::Read { .. } => Exit::IO,
    }
}
