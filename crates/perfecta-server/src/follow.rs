//! The event stream of a request: what is new since the last look, and a sign of life in between.
//!
//! Events are `table`, `notice`, `progress`, and at the end `end`, each with JSON as its data. A
//! reader is given what it has room for, from the record: nothing is queued for it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::record::{Cursor, Record, TablesWanted};
use crate::report::line;

/// A reader hears something at least so often.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);

/// Between two parts of a stream, unless it is cut or over.
const PACE: Duration = Duration::from_millis(50);

/// Tables in one part of a stream.
const TABLES_AT_ONCE: usize = 512;

/// The stream as an answer.
pub(crate) fn answer(record: Arc<Record>, wanted: TablesWanted) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(parts(record, wanted))).into_response()
}

struct Reader {
    record: Arc<Record>,
    wanted: TablesWanted,
    cursor: Cursor,
    changes: watch::Receiver<()>,
    has_begun: bool,
    is_over: bool,
}

fn parts(
    record: Arc<Record>,
    wanted: TablesWanted,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let (cursor, changes) = (Cursor::default(), record.changes());
    let reader = Reader { record, wanted, cursor, changes, has_begun: false, is_over: false };
    stream::unfold(reader, |mut reader| async move {
        if reader.is_over {
            return None;
        }
        let part = reader.next_part().await;
        Some((Ok(part), reader))
    })
}

impl Reader {
    /// Something to tell, or a sign of life.
    async fn next_part(&mut self) -> Bytes {
        if self.has_begun {
            let something = async {
                sleep(PACE).await;
                // The sender is the record's, so there is no error.
                let _ = self.changes.changed().await;
            };
            tokio::select! {
                () = self.record.until_ended() => {}
                // Nothing new is a sign of life.
                _ = timeout(HEARTBEAT, something) => {}
            }
        }
        let (part, is_cut) = self.news();
        self.has_begun = !is_cut;
        part
    }

    fn news(&mut self) -> (Bytes, bool) {
        self.changes.mark_unchanged();
        let news = self.record.news(&mut self.cursor, self.wanted, TABLES_AT_ONCE);
        let mut part = String::new();
        // Most of them are of the key files before any of these is begun.
        for notice in &news.notices {
            push(&mut part, "notice", &json(notice));
        }
        for table in &news.tables {
            push(&mut part, "table", &line("table", table));
        }
        if let Some(progress) = &news.status.progress {
            push(&mut part, "progress", &json(progress));
        }
        if news.status.state.is_final() && !news.is_cut {
            push(&mut part, "end", &json(&news.status));
            self.is_over = true;
        }
        if part.is_empty() {
            part.push_str(": alive\n\n");
        }
        (part.into(), news.is_cut)
    }
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("answers hold strings and numbers only")
}

/// JSON has no line breaks, so an event's data is one line.
fn push(part: &mut String, event: &str, data: &str) {
    part.push_str("event: ");
    part.push_str(event);
    part.push_str("\ndata: ");
    part.push_str(data);
    part.push_str("\n\n");
}

#[cfg(test)]
mod tests {
    use perfecta_jobs::{Event, Summary};
    use tokio::time::Instant;

    use super::*;
    use crate::report::ProcessUse;

    fn reader(record: &Arc<Record>) -> Reader {
        Reader {
            record: Arc::clone(record),
            wanted: TablesWanted::All,
            cursor: Cursor::default(),
            changes: record.changes(),
            has_begun: false,
            is_over: false,
        }
    }

    /// Runs under a clock that goes on when everybody waits.
    fn check(scenario: impl AsyncFnOnce(Arc<Record>)) {
        let json = r#"{"inputs": {"files": ["/a"]}, "output": null}"#;
        let record = Arc::new(Record::new(
            "1".to_owned(),
            crate::access::Caller::Owner,
            serde_json::from_str(json).unwrap(),
            crate::clock::tests::any(),
        ));
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(scenario(record));
    }

    #[test]
    fn a_reader_hears_something_every_second_though_nothing_happens() {
        check(async |record| {
            let mut reader = reader(&record);
            for _ in 0..5 {
                let before = Instant::now();
                assert_eq!(reader.next_part().await, ": alive\n\n");
                assert!(before.elapsed() <= HEARTBEAT);
            }
        });
    }

    #[test]
    fn what_is_told_between_two_parts_is_in_the_next_and_the_end_is_told_at_once() {
        check(async |record| {
            let mut reader = reader(&record);
            reader.next_part().await;
            record.observe(&Event::Notice("n"));
            let before = Instant::now();
            assert_eq!(reader.next_part().await, "event: notice\ndata: \"n\"\n\n");
            assert!(before.elapsed() < 2 * PACE);
            let process = ProcessUse { threads_max: 1, memory_peak_bytes: None };
            record.end(Ok(Summary::default()), process, Duration::ZERO, drop);
            let before = Instant::now();
            let end = reader.next_part().await;
            assert!(end.starts_with(b"event: end\n"), "{end:?}");
            assert!(reader.is_over);
            assert!(before.elapsed() < PACE);
        });
    }
}
