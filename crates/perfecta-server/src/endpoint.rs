//! The socket's place: one daemon at each, and nobody else's hands in it.
//!
//! The directory is ours alone (mode 0700), so nobody can put another socket in our place. A lock
//! file beside the socket is locked as long as the daemon lives: a socket whose lock is free and where
//! nobody listens is a dead daemon's, and is replaced.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// The place of a daemon's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    path: PathBuf,
    /// Under which it keeps its state.
    state_name: String,
}

/// Why a daemon cannot listen at its endpoint.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Another daemon does.
    #[error("a daemon runs at {} already", .0.display())]
    Locked(PathBuf),
    /// The directory is not ours alone.
    #[error("{}: {reason}", .directory.display())]
    Unsafe {
        /// The directory.
        directory: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else is in the socket's place.
    #[error("{}: is no socket, and stays as it is", .0.display())]
    Occupied(PathBuf),
    /// A program that is no daemon of ours, or has lost its lock file, listens there.
    #[error("{}: a program listens there that holds no lock", .0.display())]
    Foreign(PathBuf),
    /// The name has a slash, or is no name.
    #[error("{0:?} is no name of a daemon")]
    Name(String),
    /// The system refused.
    #[error("{}: cannot {action}: {error}", .path.display())]
    System {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

impl EndpointError {
    /// What the user can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Locked(_) => "use it, or name another endpoint",
            Self::Unsafe { .. } => {
                "choose a directory of your own with mode 0700, or 0711 with --allow-user"
            }
            Self::Occupied(_) => "name another endpoint, or move the file away",
            Self::Foreign(_) => "name another endpoint, or end that program",
            Self::Name(_) => "use letters, digits, - and _",
            Self::System { .. } => "choose another endpoint with --endpoint",
        }
    }
}

impl Endpoint {
    /// The socket of a path.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        // A name has no percent sign, so no two endpoints share a state.
        let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        Self { state_name: escaped(absolute.as_os_str().as_bytes()), path }
    }

    /// The socket of a name, below the user's directory for such things where there is one.
    ///
    /// # Errors
    /// [`EndpointError::Name`].
    pub fn named(name: &str, runtime_directory: Option<PathBuf>) -> Result<Self, EndpointError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || !name.bytes().all(is_plain) {
            return Err(EndpointError::Name(name.to_owned()));
        }
        let directory = match runtime_directory.filter(|directory| directory.is_absolute()) {
            Some(directory) => directory.join("perfecta"),
            None => format!("/tmp/perfecta-{}", rustix::process::geteuid().as_raw()).into(),
        };
        Ok(Self { path: directory.join(format!("{name}.sock")), state_name: name.to_owned() })
    }

    /// The socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What its state is kept under.
    pub(crate) fn state_name(&self) -> &str {
        &self.state_name
    }

    /// Takes the place, and leaves what is in it as it is: another daemon's state may yet stand against
    /// this one.
    ///
    /// # Errors
    /// [`EndpointError`] if it is another's, or not safe.
    pub(crate) fn take(&self, users: &[u32]) -> Result<Place, EndpointError> {
        let reach = if users.is_empty() { Reach::Own } else { Reach::Others };
        prepare_directory(self.directory(), reach)?;
        let lock = lock_file(&self.beside("lock"))?
            .ok_or_else(|| EndpointError::Locked(self.path.clone()))?;
        Ok(Place { path: self.path.clone(), lock, reach })
    }

    /// The lock of whoever starts a daemon here; `None` while somebody else does.
    ///
    /// # Errors
    /// [`EndpointError`] if the place is not safe.
    pub fn lock_start(&self) -> Result<Option<File>, EndpointError> {
        own_directory(self.directory())?;
        lock_file(&self.beside("starting"))
    }

    /// A file of the socket's whole name and more, which no other endpoint's is.
    #[must_use]
    pub fn beside(&self, kind: &str) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or(OsStr::new("")).to_owned();
        name.push(".");
        name.push(kind);
        self.path.with_file_name(name)
    }

    fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }
}

/// A place that nobody else has, and in which a dead daemon's socket may be.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    lock: File,
    reach: Reach,
}

impl Place {
    /// A directory on the way that users who are allowed may not get through, if the place is for them; with
    /// its mode, beside which there may be other rules.
    pub(crate) fn barrier(&self) -> Option<(PathBuf, u32)> {
        match self.reach {
            Reach::Own => None,
            Reach::Others => {
                let path = std::path::absolute(&self.path).ok()?;
                // The socket's own directory was looked at.
                let above = path.ancestors().skip(2);
                let mut modes = above.filter_map(|directory| {
                    let mode = fs::metadata(directory).ok()?.mode() & 0o777;
                    Some((directory.to_owned(), mode))
                });
                modes.find(|(_, mode)| mode & 0o001 == 0)
            }
        }
    }

    /// Listens there, on a socket in the place of a dead daemon's.
    ///
    /// # Errors
    /// [`EndpointError`] if something else is there.
    pub(crate) fn listen(self) -> Result<Listening, EndpointError> {
        let failed =
            |action, error| EndpointError::System { action, path: self.path.clone(), error };
        if is_listened_at(&self.path) {
            return Err(EndpointError::Foreign(self.path));
        }
        remove_socket(&self.path)?;
        let listener = UnixListener::bind(&self.path).map_err(|error| failed("listen", error))?;
        // Whom the directory lets in is looked at when it connects, too.
        fs::set_permissions(&self.path, Permissions::from_mode(self.reach.socket_mode()))
            .and_then(|()| listener.set_nonblocking(true))
            .map_err(|error| failed("restrict the socket", error))?;
        Ok(Listening { listener: Some(listener), own: Some((self.path, self.lock)) })
    }
}

/// Takes a dead daemon's socket away, if there is one.
///
/// # Errors
/// [`EndpointError`] if something else is there, or the system refuses.
fn remove_socket(path: &Path) -> Result<(), EndpointError> {
    // Nobody else puts anything there meanwhile: the directory is ours.
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(EndpointError::Occupied(path.to_owned()));
        }
        found => found.and_then(|_| fs::remove_file(path)),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let action = "remove a dead daemon's socket";
            Err(EndpointError::System { action, path: path.to_owned(), error })
        }
        _ => Ok(()),
    }
}

/// Whether somebody takes connections at a socket, or has more of them than there is room for.
fn is_listened_at(path: &Path) -> bool {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let asked = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .and_then(|socket| connect(&socket, &SocketAddrUnix::new(path)?));
    matches!(asked, Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS))
}

/// Makes a directory that is nobody else's, or finds that it is one.
///
/// # Errors
/// [`EndpointError`] if it is not.
pub(crate) fn own_directory(directory: &Path) -> Result<(), EndpointError> {
    prepare_directory(directory, Reach::Own)
}

fn prepare_directory(directory: &Path, reach: Reach) -> Result<(), EndpointError> {
    let failed =
        |action, error| Err(EndpointError::System { action, path: directory.to_owned(), error });
    let mode = reach.directory_mode();
    let made = DirBuilder::new().mode(mode).create(directory);
    // What the process's mask takes from others is given back.
    match made.and_then(|()| fs::set_permissions(directory, Permissions::from_mode(mode))) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return failed("make the directory", error),
    }
    let found = match fs::symlink_metadata(directory) {
        Ok(found) => found,
        Err(error) => return failed("inspect", error),
    };
    let user = rustix::process::geteuid().as_raw();
    let mode = found.mode() & 0o777;
    let reason = if !found.is_dir() {
        "is no directory".to_owned()
    } else if found.uid() != user {
        format!("belongs to user {}, not to {user}", found.uid())
    } else if mode & reach.forbidden_mode() != 0 {
        format!("others may use it (mode {mode:04o})")
    } else if mode & reach.needed_mode() != reach.needed_mode() {
        format!("users who are allowed cannot enter it (mode {mode:04o})")
    } else {
        return Ok(());
    };
    Err(EndpointError::Unsafe { directory: directory.to_owned(), reason })
}

/// A file that is locked until it is closed; `None` if somebody else has it.
///
/// # Errors
/// [`EndpointError::System`].
pub(crate) fn lock_file(path: &Path) -> Result<Option<File>, EndpointError> {
    let failed = |error: Errno| EndpointError::System {
        action: "lock",
        path: path.to_owned(),
        error: error.into(),
    };
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file.into())),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// A path as one name.
fn escaped(path: &[u8]) -> String {
    let escape = |byte: &u8| match byte {
        b'-' | b'_' | b'.' => char::from(*byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    path.iter().map(escape).collect()
}

/// Whom the socket is for.
#[derive(Debug, Clone, Copy)]
enum Reach {
    /// The daemon's own user.
    Own,
    /// Other users, too.
    Others,
}

impl Reach {
    const fn directory_mode(self) -> u32 {
        match self {
            Self::Own => 0o700,
            Self::Others => 0o711,
        }
    }

    /// Whoever may write there could put another socket in our place.
    const fn forbidden_mode(self) -> u32 {
        match self {
            Self::Own => 0o077,
            Self::Others => 0o022,
        }
    }

    const fn needed_mode(self) -> u32 {
        match self {
            Self::Own => 0o700,
            Self::Others => 0o711,
        }
    }

    const fn socket_mode(self) -> u32 {
        match self {
            Self::Own => 0o600,
            Self::Others => 0o666,
        }
    }
}

/// A place that is taken; leaving it takes the socket away, unless it is somebody else's.
pub(crate) struct Listening {
    listener: Option<UnixListener>,
    own: Option<(PathBuf, File)>,
}

impl Listening {
    /// Listens on a socket of whoever started this daemon. Its place is that one's business, and so is
    /// it that there is one daemon; who connects is looked at all the same.
    pub(crate) fn adopt(listener: UnixListener) -> Result<Self, EndpointError> {
        listener.set_nonblocking(true).map_err(|error| EndpointError::System {
            action: "listen",
            path: "the socket that was passed".into(),
            error,
        })?;
        Ok(Self { listener: Some(listener), own: None })
    }

    /// The socket that listens.
    ///
    /// # Panics
    /// If it was taken before.
    pub(crate) fn take_listener(&mut self) -> UnixListener {
        self.listener.take().expect("it is taken once")
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some((path, _lock)) = &self.own {
            // The lock says who is there; a socket that stays is replaced by the next.
            let _ = remove_socket(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(endpoint: &Endpoint) -> Result<Listening, EndpointError> {
        endpoint.take(&[])?.listen()
    }

    #[test]
    fn a_place_that_is_taken_and_left_is_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::at(directory.path().join("own/a.sock"));
        drop(listen(&endpoint).unwrap());
        drop(UnixListener::bind(endpoint.path()).unwrap());
        let dead = fs::metadata(endpoint.path()).unwrap().ino();
        let place = endpoint.take(&[]).unwrap();
        assert!(matches!(endpoint.take(&[]), Err(EndpointError::Locked(_))));
        drop(place);
        assert_eq!(fs::metadata(endpoint.path()).unwrap().ino(), dead);
    }

    #[test]
    fn a_place_is_taken_once_and_a_dead_daemons_socket_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::at(directory.path().join("own/a.sock"));
        let first = listen(&endpoint).unwrap();
        assert!(matches!(listen(&endpoint), Err(EndpointError::Locked(_))));
        drop(first);
        assert!(!endpoint.path().exists());
        drop(UnixListener::bind(endpoint.path()).unwrap());
        let second = listen(&endpoint).unwrap();
        let mode = fs::metadata(endpoint.path()).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600);
        drop(second);
    }

    #[test]
    fn what_is_no_socket_stays_in_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("own/notes");
        let endpoint = Endpoint::at(&path);
        drop(listen(&endpoint).unwrap());
        let check = || {
            let refused = listen(&endpoint).map(drop).unwrap_err();
            assert!(matches!(refused, EndpointError::Occupied(_)), "{refused}");
            assert!(refused.to_string().contains("own/notes"), "{refused}");
        };
        fs::write(&path, "mine").unwrap();
        check();
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        check();
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        fs::remove_file(&path).unwrap();
        // Also what takes the socket's place while the daemon lives.
        let listening = listen(&endpoint).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        drop(listening);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn a_socket_where_somebody_listens_stays_though_its_lock_is_free() {
        let directory = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::at(directory.path().join("own/a.sock"));
        drop(listen(&endpoint).unwrap());
        let other = UnixListener::bind(endpoint.path()).unwrap();
        let refused = listen(&endpoint).map(drop).unwrap_err();
        assert!(matches!(refused, EndpointError::Foreign(_)), "{refused}");
        assert!(endpoint.path().exists());
        drop(other);
        listen(&endpoint).unwrap();
    }

    #[test]
    fn endpoints_of_one_directory_have_locks_of_their_own() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| Endpoint::at(directory.path().join("own").join(name));
        let names = ["perfecta.v1", "perfecta.v2", "perfecta", "b.lock", "b.starting"];
        let all = names.map(|name| (listen(&at(name)).unwrap(), at(name).lock_start().unwrap()));
        assert!(all.iter().all(|(_, starting)| starting.is_some()));
        for name in names {
            assert!(matches!(listen(&at(name)), Err(EndpointError::Locked(_))), "{name}");
            assert!(at(name).path().exists(), "{name}");
        }
    }

    #[test]
    fn a_directory_that_others_may_use_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let open = directory.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        let refused = listen(&Endpoint::at(open.join("a.sock"))).map(drop).unwrap_err();
        assert!(refused.to_string().contains("0755"), "{refused}");
        let own = directory.path().join("own");
        DirBuilder::new().mode(0o700).create(&own).unwrap();
        std::os::unix::fs::symlink(&own, directory.path().join("link")).unwrap();
        let linked = Endpoint::at(directory.path().join("link/a.sock"));
        assert!(matches!(listen(&linked), Err(EndpointError::Unsafe { .. })));
    }

    #[test]
    fn a_name_is_no_path() {
        for name in ["", "../a", "a/b", "a b", "."] {
            assert!(matches!(Endpoint::named(name, None), Err(EndpointError::Name(_))), "{name}");
        }
        let named = Endpoint::named("default", Some("/run/user/7".into())).unwrap();
        assert_eq!(named.path(), Path::new("/run/user/7/perfecta/default.sock"));
    }
}
