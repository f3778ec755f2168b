//! Reads server-sent events.
//!
//! Grammar: <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>;
//! lines end in LF or CRLF here, as nobody sends a lone CR.

use std::collections::VecDeque;

/// One event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Frame {
    /// Its kind; empty: none was named.
    pub event: String,
    /// Its data, lines joined.
    pub data: String,
}

/// Bytes in, events out.
#[derive(Default)]
pub(super) struct Parser {
    bytes: Vec<u8>,
    open: Frame,
    has_data: bool,
    ready: VecDeque<Frame>,
}

impl Parser {
    /// Takes the next bytes, wherever they were cut.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]);
            self.line(line.strip_suffix('\r').unwrap_or(&line));
        }
    }

    /// The next whole event.
    pub fn next(&mut self) -> Option<Frame> {
        self.ready.pop_front()
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            let frame = std::mem::take(&mut self.open);
            if std::mem::take(&mut self.has_data) {
                self.ready.push_back(frame);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.open.event = value.to_owned(),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.open.data.push('\n');
                }
                self.open.data.push_str(value);
            }
            // Comments, and fields that are of no use here.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "id: 1-1\nevent: token\ndata: {\"text\": \"é: x\"}\n\n: keep-alive\n\n\
                          data: a\r\ndata:b\r\n\r\nevent: bare\n\ndata: [DONE]\n\n";

    fn frame(event: &str, data: &str) -> Frame {
        Frame { event: event.into(), data: data.into() }
    }

    #[test]
    fn events_are_the_same_wherever_the_bytes_are_cut() {
        let expected = [frame("token", "{\"text\": \"é: x\"}"), frame("", "a\nb"), frame("", "[DONE]")];
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            STREAM.as_bytes().chunks(size).for_each(|chunk| parser.push(chunk));
            let frames: Vec<_> = std::iter::from_fn(|| parser.next()).collect();
            assert_eq!(frames, expected, "in pieces of {size}");
        }
    }
}
