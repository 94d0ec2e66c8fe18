//! The daemon against its own OpenAPI document, by a tool of others that draws requests from it.
//!
//! ```sh
//! PERFECTA_EXAMPLES=1000 cargo test -p perfecta-cli --test openapi
//! ```

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon_harness;
mod support;
mod tools;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use daemon_harness::Daemon;
use support::{Place, Run, generated_keys};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};

/// Requests that are drawn for each page, where the environment says nothing.
const EXAMPLES: u32 = 10;

/// The tool speaks TCP: what comes there goes to the daemon's socket, until the test ends.
fn forward(socket: PathBuf) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let socket = socket.clone();
                tokio::spawn(async move {
                    let mut far = UnixStream::connect(socket).await.unwrap();
                    // Whoever hangs up first ends both ways.
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
    });
    address
}

#[test]
fn a_tool_that_draws_requests_from_the_document_meets_no_answer_that_it_does_not_describe() {
    let Some(schemathesis) = tools::tool("schemathesis") else { return };
    let place = Place::new();
    generated_keys(&place);
    place.write_keys("keys/twice.keys", &[1, 1]);
    let daemon = Daemon::start(place, &[]);
    // A request that there is something to tell of, on every page.
    let id = daemon.ok(&["bulk-create", "keys", "out", "--key-size", "auto", "--detach"]).out;
    assert_eq!(daemon.run(&["wait", id.trim()]).code, 3);
    let address = forward(daemon.place.path("run/perfecta/default.sock"));
    let examples = tools::number("PERFECTA_EXAMPLES", EXAMPLES).to_string();
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi");
    let mut command = Command::new(schemathesis);
    command.arg("--no-color").arg("--config-file").arg(beside.join("schemathesis.toml"));
    command.args(["run", &format!("http://{address}/v1/openapi.json")]);
    command.args(["--checks", "all", "--seed", "1", "--max-examples", &examples]);
    command.args(["--generation-database", "none", "--continue-on-failure"]);
    // They end the daemon.
    command.args(["--exclude-operation-id", "drain", "--exclude-operation-id", "shutdown"]);
    command.current_dir(daemon.place.path("")).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("SCHEMATHESIS_HOOKS", beside.join("hooks.py"));
    command.env("PERFECTA_REQUEST", id.trim());
    command.env("PERFECTA_PLACE", daemon.place.path(""));
    let run = Run::of(&command.output().unwrap());
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let stats = daemon.ok(&["stats"]).out;
    let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
    assert_eq!(stats["ledger_difference"], 0);
}
