//! An event stream, as its bytes come: what is not known of it is passed over.

use super::{ClientError, Told};

/// The longest line of an event stream.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Lines of an event stream. A later daemon of this protocol may send events, fields of them (`id`,
/// `retry`) and comments that are not known here.
#[derive(Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
    event: String,
    /// Without the end of its last line.
    data: Option<String>,
}

impl Lines {
    /// The events that are complete with these bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Told>, ClientError> {
        let mut events = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(part);
            if self.rest.len() > LINE_BYTES_MAX {
                return Err(ClientError::Nonsense("a line without an end".to_owned()));
            }
            if self.rest.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                let line = str::from_utf8(&line)
                    .map_err(|error| ClientError::Nonsense(error.to_string()))?;
                events.extend(self.line(line.trim_end_matches(['\r', '\n']))?);
            }
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Result<Option<Told>, ClientError> {
        if line.is_empty() {
            let (event, data) = (std::mem::take(&mut self.event), self.data.take());
            return data.map_or(Ok(None), |data| told(&event, data));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => match &mut self.data {
                None => self.data = Some(value.to_owned()),
                Some(data) if data.len() + value.len() < LINE_BYTES_MAX => {
                    data.push('\n');
                    data.push_str(value);
                }
                Some(_) => return Err(ClientError::Nonsense("an event without an end".to_owned())),
            },
            _ => {}
        }
        Ok(None)
    }
}

/// What an event tells, if it is one that is known here.
fn told(event: &str, data: String) -> Result<Option<Told>, ClientError> {
    let told = match event {
        "table" => Ok(Told::Table(data)),
        "notice" => serde_json::from_str(&data).map(Told::Notice),
        "progress" => serde_json::from_str(&data).map(Told::Progress),
        "end" => serde_json::from_str(&data).map(|status| Told::End(Box::new(status))),
        _ => return Ok(None),
    };
    told.map(Some).map_err(|error| ClientError::Nonsense(error.to_string()))
}

/// What must hold for any bytes as a stream: however they are cut, the same comes out of them.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn check_events(bytes: &[u8]) {
    let told = |parts: &mut dyn Iterator<Item = &[u8]>| {
        let mut lines = Lines::default();
        let mut told = Vec::new();
        for part in parts {
            match lines.take(part) {
                Ok(more) => told.extend(more),
                // What else was in that part is told no more.
                Err(_) => return None,
            }
        }
        Some(format!("{told:?}"))
    };
    let whole = told(&mut std::iter::once(bytes));
    assert_eq!(whole, told(&mut bytes.chunks(1)));
    assert_eq!(whole, told(&mut bytes.chunks(7)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_however_their_bytes_are_cut() {
        let stream = b": alive\n\nevent: notice\ndata: \"a\"\n\nevent: later\ndata: {}\n\nevent: table\ndata: {\"b\":1}\n\n";
        for cut in 0..stream.len() {
            let mut lines = Lines::default();
            let (head, tail) = stream.split_at(cut);
            let mut told = lines.take(head).unwrap();
            told.extend(lines.take(tail).unwrap());
            let [Told::Notice(notice), Told::Table(table)] = told.as_slice() else {
                panic!("{told:?}");
            };
            assert_eq!((notice.as_str(), table.as_str()), ("a", "{\"b\":1}"));
        }
    }

    #[test]
    fn what_a_later_daemon_sends_besides_is_passed_over() {
        let stream = concat!(
            "retry: 9\n\nid: 7\nevent: notice\nmood: good\ndata: \"a\"\n\n",
            "event: later\ndata: [\ndata: ]\n\n",
            "data: \"of no event\"\n\n",
            "event: table\n\n",
            "event:notice\r\ndata:\"b\"\r\n\r\nrubbish\n",
        );
        let told = Lines::default().take(stream.as_bytes()).unwrap();
        let [Told::Notice(first), Told::Notice(second)] = told.as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!((first.as_str(), second.as_str()), ("a", "b"));
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let mut lines = Lines::default();
        let mut take = || lines.take(&[b'x'; 1 << 16]);
        assert!((0..16).all(|_| take().is_ok()));
        assert!(matches!(take(), Err(ClientError::Nonsense(_))));
        let line = [&b"data: "[..], &[b'x'; 1 << 16], b"\n"].concat();
        let mut lines = Lines::default();
        assert!((0..15).all(|_| lines.take(&line).is_ok()));
        assert!(matches!(lines.take(&line), Err(ClientError::Nonsense(_))));
    }
}
