//! A daemon over TCP: who is served there, and with which proof.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what is skipped is worth knowing")]
#![allow(clippy::disallowed_methods, reason = "which tools have to be there is said from outside")]

mod daemon_harness;
mod support;

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use daemon_harness::{Daemon, command, free_port, run_below, without, write_secret};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};
use support::{Place, Run};

const TOKEN: &str = "correct-horse-battery-staple";

/// Authorities, and what they vouch for.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(parameters, key), pem }
    }

    /// Writes `NAME.pem` and `NAME.key` for some names of hosts.
    fn vouch(&self, place: &Place, name: &str, hosts: &[&str]) {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(hosts).unwrap().signed_by(&key, &self.issuer);
        place.write(&format!("{name}.pem"), certificate.unwrap().pem().as_bytes());
        write_secret(place, &format!("{name}.key"), &key.serialize_pem());
    }
}

/// A place with a token, certificates, and key files in a root.
fn place() -> Place {
    let place = Place::new();
    place.write_keys("root/a.keys", &[1, 2, 3]);
    write_secret(&place, "token", &format!("{TOKEN}\n"));
    write_secret(&place, "other-token", "not-the-token-of-this-daemon");
    for (authority, names) in [("ca", ["server", "client"]), ("other-ca", ["other", "stranger"])] {
        let vouching = Authority::new();
        place.write(&format!("{authority}.pem"), vouching.pem.as_bytes());
        vouching.vouch(&place, names[0], &["127.0.0.1", "localhost"]);
        vouching.vouch(&place, names[1], &["client"]);
    }
    place
}

const TLS: [&str; 4] = ["--tls-certificate", "server.pem", "--tls-key", "server.key"];
const CLIENT_CA: [&str; 2] = ["--tls-client-ca", "ca.pem"];
const TOKEN_FILE: [&str; 2] = ["--token-file", "token"];

fn start(arguments: &[&[&str]]) -> (Daemon, u16) {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let all = [&["--listen", &listen, "--allow-root", "root"], &arguments.concat()[..]].concat();
    (Daemon::start(place(), &all), port)
}

/// What a client over TCP comes to.
fn ask(daemon: &Daemon, url: &str, arguments: &[&str]) -> Run {
    daemon.run(&[&["--endpoint", url], arguments].concat())
}

fn is_refused(run: &Run, code: i32, reason: &str) {
    assert_eq!(run.code, code, "{}", run.err);
    assert!(run.err.contains(reason), "{reason}: {}", run.err);
    assert!(run.err.contains("help: "), "{}", run.err);
}

#[test]
fn a_daemon_does_not_start_where_somebody_would_have_to_prove_nothing() {
    let place = place();
    fs::create_dir(place.path("run")).unwrap();
    let check = |arguments: &[&[&str]], code: i32, reason: &str| {
        let all = [&["serve"][..], &arguments.concat()].concat();
        is_refused(&Run::of(&command(&place, &all).output().unwrap()), code, reason);
    };
    let here = &["--listen", "127.0.0.1:1"][..];
    let anywhere = &["--listen", "0.0.0.0:1"][..];
    let root = &["--allow-root", "root"][..];
    let no_proof = "serves only clients that prove who they are";
    check(&[here], 2, no_proof);
    check(&[here, root, &TLS], 2, no_proof);
    check(&[here, &CLIENT_CA], 2, "TLS takes a certificate and its key");
    check(&[here, &TLS[..2], &CLIENT_CA], 2, "TLS takes a certificate and its key");
    check(&[anywhere, root, &TOKEN_FILE], 2, "a token is sent there only over TLS");
    check(&[anywhere, &TLS, &CLIENT_CA], 2, "no root says which files they may have");
    check(&[here, &TLS, &["--tls-client-ca", "absent.pem"]], 8, "absent.pem: No such file");
    check(&[here, &TLS, &["--tls-client-ca", "token"]], 8, "token: there is no certificate in it");
    check(&[here, &["--token-file", "absent"]], 8, "absent: cannot read the token");
    write_secret(&place, "short", "short");
    check(&[here, &["--token-file", "short"]], 2, "short: the token is too short");
    for mode in [0o640, 0o604, 0o700] {
        fs::set_permissions(place.path("token"), Permissions::from_mode(mode)).unwrap();
        let reason = format!("token: is a secret, and its mode is {mode:04o}");
        check(&[here, &TOKEN_FILE], 12, &reason);
    }
    fs::set_permissions(place.path("server.key"), Permissions::from_mode(0o644)).unwrap();
    check(&[here, &TLS, &CLIENT_CA], 12, "server.key: is a secret, and its mode is 0644");
    fs::set_permissions(place.path("server.key"), Permissions::from_mode(0o600)).unwrap();
    // They are told in words that help.
    let with = |certificate: &str, key: &str, reason: &str, remedy: &str| {
        let tls = ["--tls-certificate", certificate, "--tls-key", key];
        let all = [&["serve"], here, &tls[..], &CLIENT_CA].concat();
        let run = Run::of(&command(&place, &all).output().unwrap());
        is_refused(&run, 8, reason);
        assert!(run.err.contains(remedy), "{}", run.err);
    };
    with(
        "server.pem",
        "other.key",
        "server.pem: is not the certificate of other.key",
        "made for it",
    );
    let pem = fs::read_to_string(place.path("server.pem")).unwrap();
    place.write("cut.pem", &pem.as_bytes()[..pem.len() / 2]);
    with("cut.pem", "server.key", "cut.pem: is cut off", "give a certificate in PEM form");
    write_secret(
        &place,
        "sealed.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    with("server.pem", "sealed.key", "sealed.key: there is no private key in it", "no passphrase");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let listen = ["--listen", &address, "--token-file", "other-token"];
    check(&[&listen], 8, "cannot listen");
}

#[test]
fn a_token_opens_the_port_of_this_machine() {
    let (daemon, port) = start(&[&TOKEN_FILE]);
    fs::set_permissions(daemon.place.path("token"), Permissions::from_mode(0o400)).unwrap();
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{port}");
        let made = ask(
            &daemon,
            &url,
            &["create", "a.keys", &format!("out-{host}"), "--token-file", "token"],
        );
        assert_eq!(made.code, 0, "{}", made.err);
        assert!(daemon.place.path(&format!("root/out-{host}/a/a.pht")).exists());
    }
    let url = format!("http://127.0.0.1:{port}");
    is_refused(&ask(&daemon, &url, &["ping"]), 12, "carries no token");
    let other = ask(&daemon, &url, &["ping", "--token-file", "other-token"]);
    is_refused(&other, 12, "carries another token than the daemon's");
    let other = ask(&daemon, &url, &["create", "../a.keys", "out", "--token-file", "token"]);
    is_refused(&other, 12, "has a `..`, which a daemon with roots does not follow");
    is_refused(&daemon.run(&["ping", "--token-file", "token"]), 2, "for a daemon at a URL");
    daemon.ok(&["ping"]);
}

#[test]
fn a_port_that_the_system_chooses_is_told() {
    let place = place();
    fs::create_dir(place.path("run")).unwrap();
    let options = ["--no-journal", "--listen", "127.0.0.1:0", "--token-file", "token"];
    let mut serve = command(&place, &[&["serve"], &options[..]].concat());
    let child = serve.stderr(File::create(place.path("told")).unwrap()).spawn().unwrap();
    let daemon = Daemon { place, child };
    daemon.ok(&["ping", "--wait-for-server", "60"]);
    // It was told before anybody was served.
    let told = fs::read_to_string(daemon.place.path("told")).unwrap();
    let address = told.trim().strip_prefix("clients over TCP are served at ").unwrap();
    let ping = ask(&daemon, &format!("http://{address}"), &["ping", "--token-file", "token"]);
    assert_eq!(ping.code, 0, "{}", ping.err);
    let name = Run::of(&command(&daemon.place, &["serve", "--listen", "x:1"]).output().unwrap());
    assert_eq!(name.code, 2);
    assert!(name.err.contains("such as 127.0.0.1:7000"), "{}", name.err);
}

#[test]
fn a_certificate_opens_the_port_over_tls() {
    let (daemon, port) = start(&[&TLS, &CLIENT_CA]);
    let url = format!("https://127.0.0.1:{port}");
    let own = ["--ca", "ca.pem", "--certificate", "client.pem", "--key", "client.key"];
    let made = ask(&daemon, &url, &[&["create", "a.keys", "out"], &own[..]].concat());
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(daemon.place.path("root/out/a/a.pht").exists());
    let without = ask(&daemon, &url, &["ping", "--ca", "ca.pem"]);
    is_refused(&without, 12, "does not trust this client");
    let stranger = ["--ca", "ca.pem", "--certificate", "stranger.pem", "--key", "stranger.key"];
    let stranger = ask(&daemon, &url, &[&["ping"], &stranger[..]].concat());
    is_refused(&stranger, 12, "does not trust this client");
    is_refused(&ask(&daemon, &url, &["ping"]), 2, "whom to trust is not said");
    let distrusted = ask(&daemon, &url, &[&["ping", "--ca", "other-ca.pem"], &own[2..]].concat());
    is_refused(&distrusted, 12, "not to be trusted: no certificate of --ca vouches for its own");
    // Whoever waits for it waits for another than this one.
    let plain = ["ping", "--wait-for-server", "600"];
    let plain = ask(&daemon, &format!("http://127.0.0.1:{port}"), &plain);
    is_refused(&plain, 2, "the daemon speaks TLS at this port");
    assert!(plain.err.contains("help: ask by https://"), "{}", plain.err);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
}

#[test]
fn a_token_over_tls_needs_no_certificate_of_the_client() {
    let (daemon, port) = start(&[&TLS, &TOKEN_FILE]);
    let url = format!("https://localhost:{port}");
    let own = ["--ca", "ca.pem", "--token-file", "token"];
    assert_eq!(ask(&daemon, &url, &[&["ping"], &own[..]].concat()).code, 0);
    let no_token = ask(&daemon, &url, &["ping", "--ca", "ca.pem"]);
    is_refused(&no_token, 12, "carries no token");
}

/// What `openssl req -x509` makes, unless it is told not to.
#[test]
fn a_certificate_of_an_authority_is_named_where_it_is_served_and_where_it_is_refused() {
    let place = place();
    fs::create_dir(place.path("run")).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    place.write("server.pem", parameters.self_signed(&key).unwrap().pem().as_bytes());
    write_secret(&place, "server.key", &key.serialize_pem());
    let listen = format!("127.0.0.1:{}", free_port());
    let arguments = [&["serve", "--listen", &listen][..], &TOKEN_FILE, &TLS].concat();
    let log = File::create(place.path("log")).unwrap();
    let child = command(&place, &arguments).stderr(log).spawn().unwrap();
    let daemon = Daemon { place, child };
    daemon.ok(&["ping", "--wait-for-server", "60"]);
    let log = fs::read_to_string(daemon.place.path("log")).unwrap();
    assert!(log.contains("server.pem: this certificate is an authority's"), "{log}");
    let url = format!("https://{listen}");
    let refused = ask(&daemon, &url, &["ping", "--ca", "server.pem", "--token-file", "token"]);
    is_refused(&refused, 12, "its certificate is an authority's");
    assert!(refused.err.contains("basicConstraints=critical,CA:FALSE"), "{}", refused.err);
}

#[test]
fn what_the_document_has_openssl_make_opens_the_port() {
    if Command::new("openssl").arg("version").output().is_err() {
        let required = std::env::var("PERFECTA_TOOLS");
        assert_ne!(required.as_deref(), Ok("required"), "no openssl");
        return println!("skipped: openssl is not there to make a certificate");
    }
    let place = place();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/access.md");
    let document = fs::read_to_string(document).unwrap();
    let (_, after) = document.split_once("```console\n$ ").unwrap();
    let (commands, _) = after.split_once("```").unwrap();
    let commands = format!("set -e; {}", commands.replace("\n$ ", "\n"));
    let mut shell = Command::new("bash");
    let made =
        Run::of(&shell.args(["-c", &commands]).current_dir(place.path("")).output().unwrap());
    assert_eq!(made.code, 0, "{}", made.err);
    let listen = format!("127.0.0.1:{}", free_port());
    let tls = ["--tls-certificate", "daemon.pem", "--tls-key", "daemon.key"];
    let arguments = [&["--listen", &listen][..], &TOKEN_FILE, &tls].concat();
    let daemon = Daemon::start(place, &arguments);
    let ping = |ca: &str| {
        let own = ["ping", "--ca", ca, "--token-file", "token"];
        ask(&daemon, &format!("https://{listen}"), &own)
    };
    assert_eq!(ping("daemon.pem").code, 0, "{}", ping("daemon.pem").err);
    is_refused(&ping("ca.pem"), 12, "no certificate of --ca vouches for its own");
}

#[test]
fn a_family_of_addresses_that_is_withheld_is_told_with_the_units_setting() {
    let place = place();
    fs::create_dir(place.path("run")).unwrap();
    let is_internet =
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, libc::AF_INET as u64);
    let rule = SeccompRule::new(vec![is_internet.unwrap()]).unwrap();
    let filter = without(libc::SYS_socket, vec![rule], libc::EAFNOSUPPORT);
    let arguments = [&["serve", "--listen", "127.0.0.1:1"][..], &TOKEN_FILE].concat();
    let run = run_below(&filter, &mut command(&place, &arguments));
    is_refused(&run, 8, "127.0.0.1:1: cannot listen");
    assert!(run.err.contains("RestrictAddressFamilies="), "{}", run.err);
}

#[test]
fn both_proofs_are_wanted_where_both_are_named() {
    let (daemon, port) = start(&[&TLS, &CLIENT_CA, &TOKEN_FILE]);
    let url = format!("https://127.0.0.1:{port}");
    let certified =
        ["ping", "--ca", "ca.pem", "--certificate", "client.pem", "--key", "client.key"];
    let both = [&certified[..], &["--token-file", "token"]].concat();
    assert_eq!(ask(&daemon, &url, &both).code, 0);
    is_refused(&ask(&daemon, &url, &certified), 12, "carries no token");
    let token_alone = ask(&daemon, &url, &["ping", "--ca", "ca.pem", "--token-file", "token"]);
    is_refused(&token_alone, 12, "does not trust this client");
}

#[test]
fn a_page_of_another_name_or_origin_gets_nothing() {
    let (daemon, port) = start(&[&TOKEN_FILE]);
    let ask = |head: &str, headers: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let message = format!(
            "{head} HTTP/1.1\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n{headers}\r\n\r\n"
        );
        stream.write_all(message.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(!answer.to_lowercase().contains("access-control"), "{answer}");
        answer[9..12].to_owned()
    };
    let here = format!("host: 127.0.0.1:{port}");
    assert_eq!(ask("GET /v1/ping", &here), "200");
    assert_eq!(ask("GET /v1/ping", "host: rebound.example"), "403");
    let own = format!("{here}\r\norigin: http://127.0.0.1:{port}");
    let other = format!("{here}\r\norigin: http://evil.example");
    assert_eq!(ask("POST /v1/requests/none/cancel", &own), "404");
    assert_eq!(ask("POST /v1/requests/none/cancel", &other), "403");
    assert_eq!(ask("DELETE /v1/requests/none", &other), "403");
    assert_eq!(ask("POST /v1/shutdown", &other), "403");
    daemon.ok(&["ping"]);
}
