//! A client's connection, by whichever door, and who is behind it.

use std::error::Error;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::Pin;

use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, UnixStream, lookup_host};
use tokio_rustls::{TlsConnector, rustls};

use super::pulse::{Heard, Pulse};
use super::remote::Remote;
use super::{ClientError, Target};
use crate::access::{Token, is_of_an_authority};

/// What the system takes of a request before the line does. What waits there is not heard to go, so it is
/// to be little, for a line that is slow.
const SEND_BUFFER_BYTES: u32 = 128 << 10;

/// Bytes to and from a daemon.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

impl Target {
    /// How messages call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Socket(endpoint) => endpoint.path().display().to_string(),
            Self::Remote(remote) => remote.authority.clone(),
        }
    }

    /// What requests call it.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Socket(_) => "localhost",
            Self::Remote(remote) => &remote.authority,
        }
    }

    /// What requests prove with that they may ask.
    pub(super) fn token(&self) -> Option<String> {
        match self {
            Self::Socket(_) => None,
            Self::Remote(remote) => remote.token.as_ref().map(Token::header),
        }
    }

    pub(super) async fn connect(&self, pulse: &Pulse) -> Result<Pin<Box<dyn Stream>>, ClientError> {
        match self {
            Self::Socket(endpoint) => {
                let stream = UnixStream::connect(endpoint.path()).await;
                let stream = stream.map_err(|error| self.unreachable(&error))?;
                self.check_peer(&stream, endpoint.path())?;
                Ok(Box::pin(Heard { stream, pulse: pulse.clone() }))
            }
            Self::Remote(remote) => self.connect_to(remote, pulse.clone()).await,
        }
    }

    async fn connect_to(
        &self,
        remote: &Remote,
        pulse: Pulse,
    ) -> Result<Pin<Box<dyn Stream>>, ClientError> {
        let stream = connect_tcp(&remote.authority).await;
        let stream = stream.map_err(|error| self.unreachable(&error))?;
        let stream = Heard { stream, pulse };
        let Some((config, name)) = &remote.tls else { return Ok(Box::pin(stream)) };
        let connector = TlsConnector::from(std::sync::Arc::clone(config));
        match connector.connect(name.clone(), stream).await {
            Ok(stream) => Ok(Box::pin(stream)),
            Err(error) => {
                Err(ClientError::Untrusted { endpoint: self.name(), reason: distrust(&error) })
            }
        }
    }

    /// Tells nothing to a socket that somebody put into the place of another's daemon: it has to be of
    /// whom its directory belongs to, of this user, or of root.
    fn check_peer(&self, stream: &UnixStream, socket: &Path) -> Result<(), ClientError> {
        let peer = stream.peer_cred().map_err(|error| self.unreachable(&error))?.uid();
        let own = rustix::process::geteuid().as_raw();
        let directory = socket.parent().filter(|parent| !parent.as_os_str().is_empty());
        let owner = fs::metadata(directory.unwrap_or(Path::new("."))).map(|found| found.uid());
        if [own, 0].contains(&peer) || owner.is_ok_and(|owner| owner == peer) {
            return Ok(());
        }
        let reason = format!("it is of user {peer}, and not in a directory of theirs");
        Err(ClientError::Untrusted { endpoint: self.name(), reason })
    }

    pub(super) fn unreachable(&self, error: &io::Error) -> ClientError {
        let endpoint = self.name();
        if matches!(
            Errno::from_io_error(error),
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
        ) {
            return ClientError::NoMeans { endpoint, reason: error.to_string() };
        }
        match error.kind() {
            io::ErrorKind::PermissionDenied => ClientError::Denied(endpoint),
            // Its queue of connections is full: it does not take them.
            io::ErrorKind::WouldBlock => ClientError::Silent(endpoint),
            _ => {
                let is_remote = matches!(self, Self::Remote(_));
                ClientError::NoServer { endpoint, is_remote, reason: error.to_string() }
            }
        }
    }
}

/// Why a daemon's certificate is not taken, in words for who made it.
fn distrust(error: &io::Error) -> String {
    use rustls::CertificateError::{BadSignature, UnknownIssuer};
    let told = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match told {
        // One of the same name may have another key.
        Some(rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature)) => {
            "no certificate of --ca vouches for its own".to_owned()
        }
        Some(told) if is_of_an_authority(told) => {
            "its certificate is an authority's (CA:TRUE): it has to be one made with \
             basicConstraints=critical,CA:FALSE"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

/// What a daemon said when it broke the agreement off, if that is why a connection ended.
pub(super) fn alert(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let told = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::AlertReceived(_)) = told {
            return told.map(ToString::to_string);
        }
        cause = error.source();
    }
    None
}

/// A connection to the first address of a name that takes one.
async fn connect_tcp(authority: &str) -> io::Result<TcpStream> {
    let mut refused = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in lookup_host(authority).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;

    #[test]
    fn what_this_process_lacks_is_not_taken_for_an_absent_daemon() {
        let target = Target::Socket(Endpoint::at(Path::new("/daemon.sock")));
        let check = |errno: Errno, expected: &str| {
            let told = target.unreachable(&io::Error::from(errno)).to_string();
            assert!(told.starts_with(expected), "{told}");
        };
        check(Errno::MFILE, "cannot connect to /daemon.sock: ");
        check(Errno::NFILE, "cannot connect to /daemon.sock: ");
        check(Errno::CONNREFUSED, "no daemon at /daemon.sock: ");
        check(Errno::NOENT, "no daemon at /daemon.sock: ");
        check(Errno::ACCESS, "permission denied: ");
        check(Errno::AGAIN, "the daemon at /daemon.sock is silent");
    }
}
