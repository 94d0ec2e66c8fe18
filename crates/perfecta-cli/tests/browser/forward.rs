//! A port for a browser in front of the daemon's socket.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;

/// Forwards connections as they come; the address to visit. It goes with the process.
pub(crate) fn forward(socket: PathBuf) -> String {
    serve(move |client| {
        if let Ok(daemon) = UnixStream::connect(&socket) {
            join(client, daemon);
        }
    })
}

/// Forwards only what carries a token, but for the page itself: as a daemon with one does.
pub(crate) fn forward_with_token(socket: PathBuf, token: &'static str) -> String {
    serve(move |mut client| {
        let Some(head) = head_of(&mut client) else { return };
        let is_page = head.starts_with("GET / ") || head.starts_with("GET /dashboard");
        let bearer = format!("authorization: bearer {token}\r\n").to_lowercase();
        if !is_page && !head.to_lowercase().contains(&bearer) {
            let refused =
                "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = client.write_all(refused.as_bytes());
            return;
        }
        let Ok(mut daemon) = UnixStream::connect(&socket) else { return };
        // One request a connection, so that each is looked at.
        let head = head.replace("Connection: keep-alive", "Connection: close");
        if daemon.write_all(head.as_bytes()).is_ok() {
            join(client, daemon);
        }
    })
}

fn serve(each: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let each = each.clone();
            thread::spawn(move || each(client));
        }
    });
    address
}

/// A request's head; the page sends no bodies.
fn head_of(client: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
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
