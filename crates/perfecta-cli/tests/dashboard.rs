//! The dashboard, as the real daemon serves it, looked at by a real browser.
//!
//! Pictures of it are left in `target/tmp/dashboard`.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod browser;
mod daemon_harness;
#[path = "browser/forward.rs"]
mod forward;
mod support;

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use browser::Browser;
use daemon_harness::{Daemon, ENDLESS, command, endless, free_port, write_secret};
use forward::{forward, socket};
use support::Place;

/// Searches that take minutes in all, but each of them a moment.
#[rustfmt::skip]
const STEADY: [&str; 10] = [
    "bulk-create", "keys", "out", "--detach", "--key-size", "auto",
    "--fixed-attempts", "100000", "--rng-seed", "18446744073709551615",
];

/// Some hundred key files.
fn many_keys(place: &Place) {
    for seed in 1..=20 {
        let (directory, seed) = (format!("keys/{seed}"), seed.to_string());
        place.ok(&["keygen", &directory, "--keys", "186", "--seed", &seed]);
    }
}

fn open(daemon: &Daemon) -> Option<(Browser, String)> {
    let browser = Browser::open()?;
    Some((browser, forward(socket(&daemon.place.path("")))))
}

/// Text of the first node that a selector finds, as it is read.
fn text(selector: &str) -> String {
    format!("document.querySelector({}).textContent", json!(selector))
}

fn click(browser: &mut Browser, selector: &str) {
    browser.until(&format!("document.querySelector({}) !== null", json!(selector)));
    browser.script(&format!("document.querySelector({}).click()", json!(selector)));
}

/// What has the focus, when the browser has drawn what it was last asked for.
fn focus(browser: &mut Browser) -> String {
    browser.script(
        "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))",
    );
    let focused = browser.script(
        "document.activeElement.matches('body') ? 'nothing' : document.activeElement.textContent",
    );
    focused.as_str().unwrap().to_owned()
}

/// Asks for a search that goes on until it is told to stop; its id.
fn submit_endless(daemon: &Daemon) -> String {
    let request = [&["bulk-create", "--detach"], &ENDLESS[..]].concat();
    daemon.ok(&request).out.trim().to_owned()
}

/// Looks at the page narrow and wide, light and dark: nothing is wider than it, and all of it can be
/// read. Leaves pictures.
fn look_all_ways(browser: &mut Browser, name: &str) {
    for (width, scheme) in [(360, "dark"), (360, "light"), (1280, "dark"), (1280, "light")] {
        browser.look(width, scheme);
        let ground = browser.script("getComputedStyle(document.body).backgroundColor");
        let is_dark = ground.as_str().unwrap().starts_with("rgb(14,");
        assert_eq!(is_dark, scheme == "dark", "{ground}");
        let page = browser.script("document.documentElement.scrollWidth");
        assert!(page.as_u64().unwrap() <= u64::from(width), "{name}: {page} of {width}");
        let faint = browser.script(include_str!("browser/contrast.js"));
        assert_eq!(faint, json!([]), "{name}, {width} {scheme}");
        browser.picture(&format!("{name}-{width}-{scheme}"));
    }
}

#[test]
fn a_running_request_is_seen_to_go_on_and_is_cancelled_after_one_question() {
    let place = Place::new();
    many_keys(&place);
    let daemon = Daemon::start(place, &[]);
    let Some((mut browser, address)) = open(&daemon) else { return };
    browser.visit(&address);
    browser.until(&format!("{} === 'serving'", text("#phase")));
    browser.until("!document.querySelector('#outstanding-empty').hidden");
    look_all_ways(&mut browser, "empty");

    let id = daemon.ok(&STEADY).out.trim().to_owned();
    let settled = "Number(document.querySelector('#outstanding [role=progressbar]').ariaValueNow)";
    let first = browser.until(&format!("{settled} > 0 && {settled}"));
    browser.until(&format!("{settled} > {first}"));
    browser.until(&format!("{}.includes('tables/s')", text("#outstanding .about")));
    for (graph, nothing) in [("blue", "0"), ("teal", "0"), ("amber", "0"), ("violet", "0 bytes")] {
        browser.until(&format!("{} !== '{nothing}'", text(&format!("#graphs .{graph} b"))));
        let drawn = format!("document.querySelector('#graphs .{graph} .line').getAttribute('d')");
        assert!(browser.script(&drawn).as_str().unwrap().contains('L'), "{graph}");
    }
    look_all_ways(&mut browser, "running");

    browser.script("document.querySelector('#outstanding a').focus()");
    browser.press("Enter");
    browser.until(&format!("location.hash === '#/requests/{id}'"));
    let settled = "Number(document.querySelector('#request [role=progressbar]').ariaValueNow)";
    let first = browser.until(&format!("{settled} > 0 && {settled}"));
    browser.until(&format!("{settled} > {first}"));
    browser.until("document.querySelectorAll('#slowest-rows tr').length === 10");
    // A number of 64 bits is more than a script's numbers hold.
    browser.until(&format!("{}.includes('search.rng_seed18446744073709551615')", text("#options")));
    browser.until(&format!("{}.includes('Left')", text("#request-progress")));
    look_all_ways(&mut browser, "request-running");

    click(&mut browser, "#request-cancel");
    browser.until("document.querySelector('#sure').open");
    browser.press("Enter");
    browser.until("!document.querySelector('#sure').open");
    assert_eq!(daemon.json(&["status", &id])["state"], "running", "its first answer is no");
    click(&mut browser, "#request-cancel");
    browser.picture("cancel");
    click(&mut browser, "#sure-yes");
    browser.until(&format!("{} === 'cancelled'", text("#request-state")));
    assert_eq!(daemon.json(&["status", &id])["state"], "cancelled");
    let figures = text("#request-progress dl");
    browser.until(&format!(
        "/Tables[0-9,]+ ok, .*[0-9,]+ cancelledKeys[0-9,]+ in tables/.test({figures})"
    ));
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn what_the_page_asks_for_is_answered_to_any_client() {
    let place = Place::new();
    place.write_keys("k/good.keys", &[1, 2, 3]);
    place.write_keys("k/bad.keys", &[2, 1]);
    let daemon = Daemon::start(place, &[]);
    let id = daemon.ok(&["bulk-create", "k", "--no-output", "--detach"]).out.trim().to_owned();
    assert_eq!(daemon.run(&["wait", &id]).code, 3);
    let get = |path: &str| {
        let (status, body) = daemon.http(&format!("GET {path}"), "");
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let (_, overview) = get("/v1/overview");
    assert_eq!(overview["requests"]["done"], 1);
    assert_eq!(overview["ended"][0]["id"], id.as_str());
    assert_eq!(
        (&overview["ended"][0]["input"], &overview["ended"][0]["output"]),
        (&json!("k"), &json!(null))
    );
    let (_, slowest) = get(&format!("/v1/requests/{id}/slowest"));
    assert_eq!((slowest.as_array().unwrap().len(), &slowest[0]["table"]), (1, &json!("good")));
    let (_, failed) = get(&format!("/v1/requests/{id}/items?tables=failed"));
    assert_eq!((&failed["settled"], &failed["items"][0]["table"]), (&json!(1), &json!("bad")));
    let (_, spec) = get(&format!("/v1/requests/{id}/spec"));
    assert_eq!(spec["inputs"]["tree"], json!({"root": "k", "include": ["*.keys"], "exclude": []}));
    let again = daemon.http("POST /v1/requests", &spec.to_string());
    assert_eq!(again.0, 202, "what was sent can be sent again: {}", again.1);
    assert!(!get("/v1/history").1["samples"].as_array().unwrap().is_empty());
    for (path, refused) in [
        ("/v1/overview?limits=1", 400),
        ("/v1/history?after=never", 400),
        ("/v1/requests/none/spec", 404),
        ("/v1/requests/none/slowest", 404),
    ] {
        assert_eq!(get(path).0, refused, "{path}");
    }
    for path in ["/", "/dashboard", "/dashboard/dashboard.js"] {
        assert_eq!(daemon.http(&format!("GET {path}"), "").0, 200, "{path}");
    }
}

/// A name that is markup, one that is text turned around, and one with a line break.
const HOSTILE: [&str; 3] = [
    "<img src=x onerror='window.isHit=1'><script>window.isHit=1<\u{2044}script>.keys",
    "\u{202e}syek.exe.keys",
    "two\nlines\t\"'&amp;.keys",
];

#[test]
fn failures_have_their_reasons_and_no_name_is_more_than_text() {
    let place = Place::new();
    place.write_keys("k<b id=hit>/good.keys", &[1, 2, 3]);
    for name in HOSTILE {
        place.write_keys(&format!("k<b id=hit>/{name}"), &[1, 2, 2]);
    }
    for number in 0..60 {
        place.write_keys(&format!("k<b id=hit>/bad{number:02}.keys"), &[2, 1]);
    }
    let daemon = Daemon::start(place, &[]);
    let Some((mut browser, address)) = open(&daemon) else { return };
    assert_eq!(daemon.run(&["bulk-create", "k<b id=hit>", "o<i>"]).code, 3);
    assert_eq!(daemon.run(&["bulk-create", "absent<u>", "o<i>"]).code, 8);
    browser.visit(&address);
    browser.until(&format!("{}.includes('could not run')", text("#ended")));
    browser.until(&format!("{}.includes('63 failed')", text("#ended")));
    browser.until(&format!("{}.includes('absent<u>')", text("#ended .reason")));
    look_all_ways(&mut browser, "ended");

    click(&mut browser, "#ended li:nth-child(2) a");
    browser.until("document.querySelectorAll('#failures-rows li').length === 25");
    let first = browser.script(&text("#failures-rows li")).as_str().unwrap().to_owned();
    assert!(first.contains("--sort") || first.contains("--dedupe"), "{first}");
    look_all_ways(&mut browser, "failures");
    let mut shown = String::new();
    for page in 0..3 {
        browser.until(&format!(
            "{}.startsWith('{} to ')",
            text("#failures-pager span"),
            page * 25 + 1
        ));
        browser.until(&format!(
            "document.querySelectorAll('#failures-rows li').length === {}",
            [25, 25, 13][page]
        ));
        shown += browser.script(&text("#failures-rows")).as_str().unwrap();
        browser.script("document.querySelector('#failures-pager button:last-child').click()");
    }
    for name in HOSTILE {
        let seen =
            name.replace('\u{202e}', "\\u202e").replace('\n', "\\u000a").replace('\t', "\\u0009");
        assert!(shown.contains(&seen), "{seen} in {shown}");
    }
    assert!(browser.script("window.isHit").is_null());
    let markup = "document.querySelectorAll('b#hit, main img, main script, main i:not(.legend i), u').length";
    assert_eq!(browser.script(markup), 0);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn thousands_of_requests_and_of_failures_are_shown_a_page_at_a_time() {
    let place = Place::new();
    endless(&place);
    place.write_keys("a.keys", &[1, 2, 3]);
    for number in 0..13_637 {
        place.write_keys(&format!("bad/{number:05}.keys"), &[2, 1]);
    }
    let daemon = Daemon::start(place, &[]);
    let Some((mut browser, address)) = open(&daemon) else { return };
    assert_eq!(daemon.run(&["bulk-create", "bad", "--no-output"]).code, 3);
    let file = |name: &str| daemon.place.path(name).to_str().unwrap().to_owned();
    let search = json!({"hash": "Multiply", "max_attempts": 1_u64 << 40});
    let endless = json!({"inputs": {"files": [file("endless/hopeless.keys")]}, "output": null, "search": search});
    let short = json!({"inputs": {"files": [file("a.keys")]}, "output": null});
    for _ in 0..60 {
        assert_eq!(daemon.http("POST /v1/requests", &short.to_string()).0, 202);
    }
    for _ in 0..2_000 {
        assert_eq!(daemon.http("POST /v1/requests", &endless.to_string()).0, 202);
    }
    browser.visit(&address);
    browser.until(&format!("{} === '2,000'", text("#outstanding-count")));
    browser.until(&format!("{} === '61'", text("#ended-count")));
    let rows = "document.querySelectorAll('#outstanding > li, #ended > li').length";
    assert_eq!(browser.until(rows), 30);
    look_all_ways(&mut browser, "many");
    click(&mut browser, "#outstanding-pager button:last-child");
    browser.until(&format!("{} === '16 to 30 of 2,000'", text("#outstanding-pager span")));
    let second = browser.until("document.querySelectorAll('#outstanding a')[14].hash");
    click(&mut browser, "#outstanding-pager button:first-child");
    browser.until(&format!("{} === '1 to 15 of 2,000'", text("#outstanding-pager span")));
    browser.until(&format!("document.querySelectorAll('#outstanding a')[14].hash !== {second}"));
    assert_eq!(browser.until(rows), 30);

    // The first that ended is on the last page, where there is no further one.
    browser.script("document.querySelector('#ended-pager button:last-child').focus()");
    for page in ["16 to 30", "31 to 45", "46 to 60", "61 to 61"] {
        browser.press("Enter");
        browser.until(&format!("{} === '{page} of 61'", text("#ended-pager span")));
    }
    browser.until(&format!("{}.includes('13,637 failed')", text("#ended")));
    assert_eq!(focus(&mut browser), "Earlier");
    click(&mut browser, "#ended li:last-child a");
    browser.until(&format!("{} === '1 to 25 of 13,637'", text("#failures-pager span")));
    browser.until("document.querySelectorAll('#failures-rows li').length === 25");
    let nodes = browser.script("document.querySelectorAll('*').length");
    assert!(nodes.as_u64().unwrap() < 1_000, "{nodes} nodes");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn a_hidden_page_asks_for_nothing_and_a_seen_one_goes_on() {
    let daemon = Daemon::start(Place::new(), &[]);
    let Some((mut browser, address)) = open(&daemon) else { return };
    let hide = |is_hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ value: {is_hidden}, configurable: true }});
            document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    browser.visit(&address);
    browser.until(&format!("{} === 'serving'", text("#phase")));
    browser.script(
        "window.asked = 0; window.ask = fetch; window.fetch = (...all) => (asked++, ask(...all)); 0",
    );
    browser.until("asked > 6");
    browser.script(&hide(true));
    // A look that had begun asks for three pages at most.
    let asked = browser.script("asked").as_u64().unwrap();
    // Two samples of the daemon later, a page that looks would have done so four times.
    let samples =
        "ask('v1/history').then((told) => told.json()).then((told) => told.samples.length)";
    let before = browser.until(samples);
    browser.until(&format!("{samples}.then((number) => number >= {before} + 2)"));
    assert!(browser.script("asked").as_u64().unwrap() <= asked + 3);
    browser.script(&hide(false));
    browser.until(&format!("asked > {asked} + 6"));
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn accounts_that_do_not_add_up_are_an_alarm() {
    let daemon = Daemon::start(Place::new(), &[]);
    let Some((mut browser, address)) = open(&daemon) else { return };
    browser.visit(&address);
    browser.until(&format!("{}.includes('add up')", text("#facts")));
    assert_eq!(browser.script(&text("#alarms")), "");
    // Real accounts add up, so another number is put into what the daemon answers.
    browser.script(
        "const ask = fetch; window.fetch = async (path, options) => {
            const answer = await ask(path, options);
            const text = (await answer.text()).replace('\"ledger_difference\":0', '\"ledger_difference\":3');
            return new Response(text, answer);
        }; 0",
    );
    browser.until(&format!("{}.includes('3 tables in no state, or in two')", text("#alarms")));
    browser.until(&format!("{}.includes('wrong by 3')", text("#facts")));
    look_all_ways(&mut browser, "alarm");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn a_lost_daemon_is_told_and_its_successor_is_found() {
    let mut daemon = Daemon::start(Place::new(), &[]);
    let Some((mut browser, address)) = open(&daemon) else { return };
    browser.visit(&address);
    browser.until(&format!("{} === 'serving'", text("#phase")));
    assert_eq!(browser.complaints(), [""; 0]);
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    browser.until(&format!("{} === 'connection lost'", text("#phase")));
    browser.until(&format!("{}.includes('does not answer')", text("#alarms")));
    look_all_ways(&mut browser, "lost");
    daemon.child = command(&daemon.place, &["serve"]).spawn().unwrap();
    browser.until(&format!("{} === 'serving' && {} === ''", text("#phase"), text("#alarms")));
    let failed_loads = |told: &String| told.contains("ERR_") && told.contains("/v1/");
    let others: Vec<String> =
        browser.complaints().into_iter().filter(|told| !failed_loads(told)).collect();
    assert_eq!(others, [""; 0]);
}

/// Keeps what the page says of the daemon, and when, in `window.said`.
const LISTEN: &str = "
    window.said = [];
    new MutationObserver(() => said.push([performance.now(), document.querySelector('#phase').textContent]))
        .observe(document.querySelector('#phase'), { childList: true });
    0";

#[test]
fn a_daemon_that_hangs_is_told_as_soon_as_it_is_known_by_its_silence() {
    let daemon = Daemon::start(Place::new(), &[]);
    let Some((mut browser, address)) = open(&daemon) else { return };
    browser.visit(&address);
    browser.until(&format!("{} === 'serving'", text("#phase")));
    browser.script(LISTEN);
    // A second between two questions, and two for an answer: twice as much is the machine's.
    browser.script(
        "window.heard = 0; window.ask = fetch;
        window.fetch = async (...all) => { const answer = await ask(...all); heard = performance.now(); return answer; }; 0",
    );
    browser.until("heard > 0");
    daemon.signal(Signal::STOP);
    let silence = browser.until("said.length > 0 && said[0][0] - heard");
    let said = browser.script("said[0][1]");
    daemon.signal(Signal::CONT);
    assert_eq!(said, "connection lost");
    assert!(silence.as_f64().unwrap() < 6_000.0, "{silence} ms");
    browser.until(&format!("{} === 'serving'", text("#phase")));
}

/// As one that is hidden, or whose machine sleeps.
#[test]
fn a_page_that_was_held_up_takes_no_daemon_for_lost() {
    let daemon = Daemon::start(Place::new(), &[]);
    let Some((mut browser, address)) = open(&daemon) else { return };
    browser.visit(&address);
    browser.until(&format!("{} === 'serving'", text("#phase")));
    browser.script(LISTEN);
    browser.script(
        "window.asked = 0; window.ask = fetch;
        window.fetch = async (...all) => {
            asked += 1;
            const answer = await ask(...all);
            if (asked > 1) return answer;
            const until = performance.now() + 4_000;
            while (performance.now() < until);
            // Timers that are due by now come before the answer.
            await new Promise((done) => setTimeout(done, 100));
            all[1].signal.throwIfAborted();
            return answer;
        }; 0",
    );
    browser.until("asked > 6");
    assert_eq!(browser.script("said"), json!([]));
}

const SECRET: &str = "not-to-be-guessed-by-anybody";

/// A daemon that wants a token, and a browser that is asked for it.
fn open_with_token() -> Option<(Daemon, Browser)> {
    let mut browser = Browser::open()?;
    let place = Place::new();
    write_secret(&place, "token", &format!("{SECRET}\n"));
    fs::create_dir(place.path("root")).unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let serve = ["--listen", &listen, "--token-file", "token", "--allow-root", "root"];
    let daemon = Daemon::start(place, &serve);
    browser.visit(&format!("http://{listen}/"));
    browser.until("document.querySelector('#token').open");
    Some((daemon, browser))
}

fn enter(browser: &mut Browser, token: &str) {
    browser.until("document.querySelector('#token').open");
    browser.script(&format!("document.querySelector('#token-input').value = {}", json!(token)));
    browser.script("document.querySelector('#token-input').focus()");
    browser.press("Enter");
}

#[test]
fn a_token_is_asked_for_once_and_kept_for_the_tab() {
    let Some((_daemon, mut browser)) = open_with_token() else { return };
    assert_eq!(browser.script("document.querySelector('#token-refused').checkVisibility()"), false);
    look_all_ways(&mut browser, "token");
    enter(&mut browser, "a-guess");
    browser.until("document.querySelector('#token-refused').checkVisibility()");
    let reason = browser.script(&text("#token"));
    assert!(reason.as_str().unwrap().contains("--token-file"), "{reason}");
    look_all_ways(&mut browser, "token-refused");
    enter(&mut browser, SECRET);
    browser.until(&format!("{} === 'serving'", text("#phase")));
    browser.reload();
    browser.until(&format!("{} === 'serving'", text("#phase")));
    assert_eq!(browser.script("document.querySelector('#token').open"), Value::Bool(false));
    let address = browser.script("location.href");
    assert!(!address.as_str().unwrap().contains("guessed"));
}

/// No header can carry them, and a page that keeps one asks for nothing any more.
#[test]
fn a_token_of_signs_that_none_has_is_a_wrong_one() {
    let Some((_daemon, mut browser)) = open_with_token() else { return };
    for wrong in ["tökén€-of-sixteen-or-more", "of two words", "\u{fc}ber-Latin-1"] {
        enter(&mut browser, wrong);
        assert_eq!(browser.script("document.querySelector('#token').open"), true, "{wrong}");
        browser.until("document.querySelector('#token-refused').checkVisibility()");
    }
    enter(&mut browser, SECRET);
    browser.until(&format!("{} === 'serving'", text("#phase")));
}

/// Browsers let a page prevent that sometimes.
#[test]
fn a_question_for_the_token_that_is_closed_is_put_again() {
    let Some((_daemon, mut browser)) = open_with_token() else { return };
    enter(&mut browser, "a-guess");
    browser.until("document.querySelector('#token').open");
    for _ in 0..5 {
        browser.press("Escape");
        focus(&mut browser);
    }
    enter(&mut browser, SECRET);
    browser.until(&format!("{} === 'serving'", text("#phase")));
    assert_eq!(browser.script("document.querySelector('#token').open"), false);
}

/// Another client may be quicker.
#[test]
fn an_order_that_is_refused_is_told_until_somebody_has_read_it() {
    let place = Place::new();
    endless(&place);
    let daemon = Daemon::start(place, &[]);
    let Some((mut browser, address)) = open(&daemon) else { return };
    let id = submit_endless(&daemon);
    browser.visit(&address);
    click(&mut browser, "#outstanding button");
    browser.until("document.querySelector('#sure').open");
    daemon.ok(&["cancel", &id]);
    daemon.run(&["wait", &id]);
    assert_eq!(daemon.http(&format!("DELETE /v1/requests/{id}"), "").0, 204);
    browser.script(
        "window.looks = 0; window.ask = fetch;
        window.fetch = (path, ...all) => { looks += path.includes('stats'); return ask(path, ...all); }; 0",
    );
    click(&mut browser, "#sure-yes");
    browser.until("looks > 2");
    let page = browser.script("document.body.innerText");
    assert!(page.as_str().unwrap().contains("there is no request"), "{page}");
    look_all_ways(&mut browser, "refused");
    browser.script("document.querySelector('#refused button').focus()");
    browser.press("Enter");
    browser.until(&format!("{} === ''", text("#refused")));
    assert_eq!(focus(&mut browser), "Overview of the daemon");
}

#[test]
fn what_goes_gives_the_focus_to_what_is_next() {
    let place = Place::new();
    endless(&place);
    let daemon = Daemon::start(place, &[]);
    let Some((mut browser, address)) = open(&daemon) else { return };
    let cancel = |browser: &mut Browser, button: &str| {
        browser.until(&format!("document.querySelector('{button}').checkVisibility()"));
        browser.script(&format!("document.querySelector('{button}').focus()"));
        browser.press("Enter");
        browser.until("document.querySelector('#sure').open");
        browser.script("document.querySelector('#sure-yes').focus()");
        browser.press("Enter");
    };
    for _ in 0..3 {
        submit_endless(&daemon);
    }
    browser.visit(&address);
    let row = "document.activeElement.closest('#outstanding > li')";
    for left in ["2", "1", ""] {
        cancel(&mut browser, "#outstanding button");
        browser.until(&format!("{} === '{left}'", text("#outstanding-count")));
        let focused = focus(&mut browser);
        if left.is_empty() {
            assert_eq!(focused.trim(), "Running and waiting");
        } else {
            assert_eq!(focused, "endless → memory only");
            assert_eq!(browser.script(&format!("{row} !== null")), true);
        }
    }
    let id = submit_endless(&daemon);
    browser.visit(&format!("{address}#/requests/{id}"));
    cancel(&mut browser, "#request-cancel");
    browser.until(&format!("{} === 'cancelled'", text("#request-state")));
    assert_eq!(focus(&mut browser), "endless → memory only");
}

#[test]
fn a_question_about_a_request_goes_with_its_page() {
    let place = Place::new();
    endless(&place);
    let daemon = Daemon::start(place, &[]);
    let Some((mut browser, address)) = open(&daemon) else { return };
    let id = submit_endless(&daemon);
    browser.visit(&address);
    click(&mut browser, "#outstanding a");
    browser.until("document.querySelector('#request-cancel').checkVisibility()");
    click(&mut browser, "#request-cancel");
    browser.until("document.querySelector('#sure').open");
    browser.script("history.back()");
    browser.until("document.querySelector('#overview').checkVisibility()");
    assert_eq!(browser.script("document.querySelector('#sure').open"), false);
    assert_eq!(focus(&mut browser), "Overview of the daemon");
    assert_eq!(daemon.json(&["status", &id])["state"], "running");
}

#[test]
fn a_daemon_that_drains_says_so() {
    let place = Place::new();
    endless(&place);
    let daemon = Daemon::start(place, &[]);
    let Some((mut browser, address)) = open(&daemon) else { return };
    let (mut client, id) = daemon_harness::endless_client(&daemon);
    daemon.ok(&["drain"]);
    browser.visit(&format!("{address}#/requests/{id}"));
    browser.until(&format!("{} === 'draining'", text("#phase")));
    browser.until(&format!("{}.includes('hopeless.keys')", text("#request-progress")));
    click(&mut browser, "#request-cancel");
    click(&mut browser, "#sure-yes");
    client.wait().unwrap();
    browser.until(&format!("{} === 'connection lost'", text("#phase")));
    let alarms = browser.script(&text("#alarms"));
    let alarms = alarms.as_str().unwrap();
    assert!(alarms.contains("does not answer") && !alarms.contains("finishes"), "{alarms}");
    assert_eq!(browser.script("document.title"), "lost · perfecta");
}
