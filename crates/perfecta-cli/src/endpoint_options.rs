//! Where a daemon is: the same for those that serve and those that ask.

use std::env;
use std::ffi::OsString;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use perfecta_jobs::ExitClass;
use perfecta_server::client::{Client, Remote};
use perfecta_server::{Endpoint, EndpointError};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::remote_options::RemoteOptions;

/// Which daemon.
#[derive(Debug, Args)]
#[command(next_help_heading = "Daemon")]
pub(crate) struct EndpointOptions {
    /// Name of the daemon
    #[arg(long, value_name = "NAME", default_value = "default", global = true)]
    name: String,
    /// Socket of the daemon, or, for a client, http://HOST:PORT or https://HOST:PORT [default: $XDG_RUNTIME_DIR/perfecta/NAME.sock, or /tmp/perfecta-UID/NAME.sock]
    #[arg(long, value_name = "PATH", global = true, conflicts_with = "name")]
    endpoint: Option<PathBuf>,
}

impl EndpointOptions {
    /// A client of the daemon there.
    ///
    /// # Errors
    /// [`Failure`] if there cannot be one.
    pub(crate) fn client(&self, remote: &RemoteOptions) -> Result<Client, Failure> {
        match self.endpoint.as_ref().and_then(|endpoint| endpoint.to_str()) {
            Some(url) if Remote::is_url(url) => Ok(Client::remote(remote.checked(url)?)),
            _ => {
                remote.check_unused()?;
                self.checked().map(Client::new)
            }
        }
    }

    /// The socket.
    ///
    /// # Errors
    /// [`Failure`] if the name is none, or the path no socket's.
    pub(crate) fn checked(&self) -> Result<Endpoint, Failure> {
        let endpoint = match &self.endpoint {
            Some(path) => Endpoint::at(path),
            None => {
                let directory = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
                Endpoint::named(&self.name, directory).map_err(|error| endpoint_failure(&error))?
            }
        };
        check_path(endpoint.path())?;
        Ok(endpoint)
    }

    /// The options of a command that is to mean the same daemon.
    ///
    /// # Errors
    /// If a relative path has nothing to be resolved from.
    pub(crate) fn arguments(&self) -> std::io::Result<[OsString; 2]> {
        Ok(match &self.endpoint {
            Some(path) => ["--endpoint".into(), std::path::absolute(path)?.into_os_string()],
            None => ["--name".into(), self.name.clone().into()],
        })
    }
}

/// Refuses what can be no socket's path, such as one of more than some hundred bytes.
fn check_path(path: &Path) -> Result<(), Failure> {
    let Err(error) = SocketAddr::from_pathname(path) else { return Ok(()) };
    let bytes = path.as_os_str().len();
    let message = format!("{} ({bytes} bytes) is no path of a socket: {error}", path.display());
    Err(Failure::usage(message)
        .with_remedy("name a shorter one with --endpoint, such as a relative one"))
}

/// Why a daemon cannot be where it was to be.
pub(crate) fn endpoint_failure(error: &EndpointError) -> Failure {
    let exit = match error {
        EndpointError::Locked(_) => Exit::Work(ExitClass::Locked),
        EndpointError::Unsafe { .. } => Exit::Work(ExitClass::Denied),
        EndpointError::Occupied(_) | EndpointError::Foreign(_) => Exit::Work(ExitClass::Conflict),
        EndpointError::Name(_) => Exit::USAGE,
        EndpointError::System { error, .. }
            if error.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Exit::Work(ExitClass::Denied)
        }
        EndpointError::System { .. } => Exit::IO,
    };
    Failure::new(exit, error.to_string()).with_remedy(error.remedy())
}
