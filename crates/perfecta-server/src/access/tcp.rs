//! Clients elsewhere: on which address they are served, and how they prove who they are.
//!
//! A token alone is enough on this machine, where nobody listens in between; anywhere else all is
//! said over TLS, to a client that has a certificate of the authority that is named, or the token.
//! Whoever serves other machines has to say which directories they may have.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{
    self, CertificateError, InconsistentKeys, RootCertStore, ServerConfig, version,
};

use super::token::{Token, TokenError, check_private, open_at_once};

/// What is said of it on the command line.
#[derive(Debug, Clone)]
pub struct TcpFiles {
    /// Where it listens.
    pub address: SocketAddr,
    /// A file with a token.
    pub token: Option<PathBuf>,
    /// The daemon's certificate, and those that vouch for it.
    pub certificate: Option<PathBuf>,
    /// The key of it.
    pub key: Option<PathBuf>,
    /// Certificates of those who vouch for clients.
    pub client_ca: Option<PathBuf>,
}

/// A checked way to serve clients elsewhere.
#[derive(Debug, Clone)]
pub struct Tcp {
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<Token>,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    notice: Option<String>,
}

/// Why clients elsewhere cannot be served so.
#[derive(Debug, thiserror::Error)]
pub enum TcpError {
    /// Nobody would have to prove anything.
    #[error("--listen serves only clients that prove who they are")]
    NoProof,
    /// A certificate without a key, or an authority for clients without either.
    #[error("TLS takes a certificate and its key")]
    HalfOfTls,
    /// A token over a wire that others may read.
    #[error("{0} is reached from other machines, and a token is sent there only over TLS")]
    PlainToken(SocketAddr),
    /// Other machines would have all files of the daemon's user.
    #[error("{0} is reached from other machines, and no root says which files they may have")]
    NoRoots(SocketAddr),
    /// A secret is none.
    #[error(transparent)]
    Secret(#[from] TokenError),
    /// A file of TLS cannot be used.
    #[error("{}: {reason}", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
        /// What it has to be.
        remedy: &'static str,
    },
}

const CERTIFICATE: &str = "give a certificate in PEM form, and those that vouch for it behind it";
const CERTIFICATES: &str = "give certificates in PEM form";
const KEY: &str = "give a private key in PEM form that takes no passphrase";
const PAIR: &str = "give a certificate, and the private key that was made for it";

impl TcpError {
    /// What the user can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::NoProof => {
                "give --token-file, or --tls-certificate, --tls-key and --tls-client-ca"
            }
            Self::HalfOfTls => "give both --tls-certificate and --tls-key",
            Self::PlainToken(_) => "give --tls-certificate and --tls-key, or listen on 127.0.0.1",
            Self::NoRoots(_) => "give --allow-root, or listen on 127.0.0.1",
            Self::Secret(error) => error.remedy(),
            Self::Pem { remedy, .. } => remedy,
        }
    }
}

impl Tcp {
    /// Checks what is said of it, and reads the files.
    ///
    /// # Errors
    /// [`TcpError`].
    pub fn checked(files: &TcpFiles, has_roots: bool) -> Result<Self, TcpError> {
        let TcpFiles { address, token, certificate, key, client_ca } = files;
        let pair = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) if client_ca.is_none() => None,
            _ => return Err(TcpError::HalfOfTls),
        };
        if token.is_none() && client_ca.is_none() {
            return Err(TcpError::NoProof);
        }
        let is_elsewhere = !address.ip().is_loopback();
        if is_elsewhere && pair.is_none() {
            return Err(TcpError::PlainToken(*address));
        }
        if is_elsewhere && !has_roots {
            return Err(TcpError::NoRoots(*address));
        }
        let tls = pair.map(|(certificate, key)| server(certificate, key, client_ca.as_deref()));
        let tls = tls.transpose()?.map(Arc::new);
        let token = token.as_deref().map(Token::read).transpose()?;
        let notice = certificate.as_deref().map(authority_notice).transpose()?.flatten();
        Ok(Self { address: *address, token, tls, notice })
    }

    /// What whoever starts the daemon should know.
    #[must_use]
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }
}

/// Says that a daemon's certificate is an authority's, which other clients than this program's may take.
fn authority_notice(path: &Path) -> Result<Option<String>, TcpError> {
    let certificate = &certificates(path, CERTIFICATE)?[0];
    // One that cannot be asked about itself is not known to be an authority's.
    let is_of_an_authority = verified_by_itself(certificate)
        .is_some_and(|verified| verified.is_err_and(|error| is_of_an_authority(&error)));
    Ok(is_of_an_authority.then(|| {
        let path = path.display();
        format!(
            "{path}: this certificate is an authority's (CA:TRUE), which `perfecta client` takes for \
             no daemon's: make one with basicConstraints=critical,CA:FALSE"
        )
    }))
}

/// What a client says of a certificate that trusts it, whatever its name.
fn verified_by_itself(certificate: &CertificateDer<'_>) -> Option<Result<(), rustls::Error>> {
    let mut itself = RootCertStore::empty();
    itself.add(certificate.clone().into_owned()).ok()?;
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(itself), provider).build();
    let name = ServerName::try_from("localhost").expect("it is a name");
    let now = UnixTime::now();
    Some(verifier.ok()?.verify_server_cert(certificate, &[], &name, &[], now).map(drop))
}

/// Whether a certificate was refused because it is an authority's. Only the library beneath has a name
/// for that.
pub(crate) fn is_of_an_authority(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        return false;
    };
    other.to_string() == "CaUsedAsEndEntity"
}

fn server(
    certificate: &Path,
    key: &Path,
    client_ca: Option<&Path>,
) -> Result<ServerConfig, TcpError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| failed(certificate, PAIR)(&error))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            let verifier = verifier.map_err(|error| failed(path, CERTIFICATES)(&error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let (chain, private_key) = identity(certificate, key)?;
    builder.with_single_cert(chain, private_key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            failed(certificate, PAIR)(&format_args!("is not the certificate of {}", key.display()))
        }
        error => failed(certificate, PAIR)(&error),
    })
}

/// Who vouches for the other side.
pub(crate) fn authorities(path: &Path) -> Result<RootCertStore, TcpError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, CERTIFICATES)? {
        roots.add(certificate).map_err(|error| failed(path, CERTIFICATES)(&error))?;
    }
    Ok(roots)
}

/// What proves who this side is.
pub(crate) fn identity(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TcpError> {
    let chain = certificates(certificate, CERTIFICATE)?;
    let file = open_at_once(key).map_err(|error| failed(key, KEY)(&error))?;
    check_private(&file, key)?;
    let read = PrivateKeyDer::from_pem_reader(io::BufReader::new(file));
    let read = read.map_err(|error| match error {
        pem::Error::NoItemsFound => {
            failed(key, KEY)(&"there is no private key in it, or one with a passphrase")
        }
        pem::Error::Base64Decode(_) => {
            failed(key, KEY)(&"the private key in it is damaged, or has a passphrase")
        }
        error => failed(key, KEY)(&reason(&error)),
    });
    Ok((chain, read?))
}

fn certificates(
    path: &Path,
    remedy: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TcpError> {
    let failed = failed(path, remedy);
    let file = File::open(path).map_err(|error| failed(&error))?;
    let read = CertificateDer::pem_reader_iter(io::BufReader::new(file));
    let read: Result<Vec<_>, pem::Error> = read.collect();
    let read = read.map_err(|error| failed(&reason(&error)))?;
    if read.is_empty() { Err(failed(&"there is no certificate in it")) } else { Ok(read) }
}

/// What is wrong with a file, in words: those of the crate that reads it list single bytes.
fn reason(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::MissingSectionEnd { .. } => "is cut off: a line END is missing".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "has a line BEGIN that is none".to_owned(),
        error => error.to_string(),
    }
}

fn failed(path: &Path, remedy: &'static str) -> impl Fn(&dyn std::fmt::Display) -> TcpError {
    move |error| TcpError::Pem { path: path.to_owned(), reason: error.to_string(), remedy }
}

/// The settings of a client.
pub(crate) fn client(
    authorities: RootCertStore,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .with_root_certificates(authorities);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key),
    }
}
