//! A port for a browser in front of the daemon's socket.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;

/// Forwards connections as they come; the address to visit. It goes with the process.
pub(crate) fn forward(socket: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let socket = socket.clone();
            thread::spawn(move || {
                if let Ok(daemon) = UnixStream::connect(&socket) {
                    join(client, daemon);
                }
            });
        }
    });
    address
}

/// Both ways, until either ends.
fn join(client: TcpStream, daemon: UnixStream) {
    let (mut from_client, mut to_daemon) =
        (client.try_clone().unwrap(), daemon.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_daemon);
        let _ = to_daemon.shutdown(Shutdown::Write);
    });
    let (mut from_daemon, mut to_client) = (daemon, client);
    let _ = std::io::copy(&mut from_daemon, &mut to_client);
    let _ = to_client.shutdown(Shutdown::Both);
}

/// The daemon's socket in a place.
pub(crate) fn socket(place: &Path) -> PathBuf {
    place.join("run/perfecta/default.sock")
}
