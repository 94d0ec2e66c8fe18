//! A daemon on another machine, or on a port of this one, and how this client proves who it is.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::access::{self, TcpError, Token, TokenError};

/// What is said of it on the command line.
#[derive(Debug, Clone, Default)]
pub struct RemoteFiles {
    /// A file with the daemon's token.
    pub token: Option<PathBuf>,
    /// Certificates of those who vouch for the daemon.
    pub ca: Option<PathBuf>,
    /// The client's certificate, and those that vouch for it.
    pub certificate: Option<PathBuf>,
    /// The key of it.
    pub key: Option<PathBuf>,
}

/// A daemon elsewhere.
#[derive(Debug, Clone)]
pub struct Remote {
    /// As in a URL.
    pub(super) authority: String,
    pub(super) token: Option<Token>,
    pub(super) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// A daemon elsewhere that cannot be asked so.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// It is none of the forms that there are.
    #[error("{0:?} is no address of a daemon")]
    Url(String),
    /// Nobody vouches for the daemon.
    #[error("whom to trust is not said")]
    NoAuthority,
    /// A certificate and its key come together, and over TLS.
    #[error("--certificate and --key are given together, with an https address")]
    HalfOfTls,
    /// A secret is none.
    #[error(transparent)]
    Secret(#[from] TokenError),
    /// A file of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TcpError),
    /// The certificate is none for a client.
    #[error("the certificate cannot be used: {0}")]
    Certificate(String),
}

impl RemoteError {
    /// What the user can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Url(_) => "give a socket's path, http://HOST:PORT, or https://HOST:PORT",
            Self::NoAuthority => "give --ca, the certificate that vouches for the daemon",
            Self::HalfOfTls => "give both, or neither",
            Self::Secret(error) => error.remedy(),
            Self::Tls(error) => error.remedy(),
            Self::Certificate(_) => "give the certificate that belongs to the key",
        }
    }
}

impl Remote {
    /// Whether an endpoint is a URL rather than a socket's path.
    #[must_use]
    pub fn is_url(endpoint: &str) -> bool {
        endpoint.contains("://")
    }

    /// Checks an address, and reads the files.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn checked(url: &str, files: &RemoteFiles) -> Result<Self, RemoteError> {
        let wrong = || RemoteError::Url(url.to_owned());
        let uri: hyper::Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let is_bare = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
        if !is_bare || authority.port_u16().is_none() || authority.as_str().contains('@') {
            return Err(wrong());
        }
        let identity = match (&files.certificate, &files.key) {
            (Some(certificate), Some(key)) => Some(access::identity(certificate, key)?),
            (None, None) => None,
            _ => return Err(RemoteError::HalfOfTls),
        };
        let tls = match uri.scheme_str() {
            Some("http") if identity.is_none() => None,
            Some("http") => return Err(RemoteError::HalfOfTls),
            Some("https") => {
                let ca = files.ca.as_deref().ok_or(RemoteError::NoAuthority)?;
                let config = access::client(access::authorities(ca)?, identity)
                    .map_err(|error| RemoteError::Certificate(error.to_string()))?;
                let host = authority.host().trim_matches(['[', ']']).to_owned();
                Some((Arc::new(config), ServerName::try_from(host).map_err(|_| wrong())?))
            }
            _ => return Err(wrong()),
        };
        let token = files.token.as_deref().map(Token::read).transpose()?;
        Ok(Self { authority: authority.to_string(), token, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_a_host_and_a_port_and_nothing_else() {
        let files = RemoteFiles::default();
        for url in ["http://localhost:80", "http://127.0.0.1:1/", "http://[::1]:8080"] {
            assert!(Remote::is_url(url) && Remote::checked(url, &files).is_ok(), "{url}");
        }
        for url in [
            "http://localhost",
            "ftp://a:1",
            "http://a:1/v1",
            "http://u@a:1",
            "://",
            "http://a:1?b",
        ] {
            let refused = Remote::checked(url, &files).map(drop).unwrap_err();
            assert!(matches!(refused, RemoteError::Url(_)), "{url}: {refused}");
        }
        let refused = Remote::checked("https://a:1", &files).map(drop);
        assert!(matches!(refused, Err(RemoteError::NoAuthority)));
        assert!(!Remote::is_url("/run/a.sock"));
    }
}
