//! One reader of a request's events, over whichever node and face: what it is told must be one story.

use std::collections::BTreeMap;

use gridbroker::{
    backend::Cursor,
    rpc::pb::{WatchResponse, watch_response::Event},
};
use serde_json::Value;

/// One event, as either face tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub cursor: String,
    /// As SSE calls it.
    pub kind: String,
    pub job: Option<i64>,
    /// Of a token, a result or a failure.
    pub text: String,
    /// Of `done`: jobs delivered.
    pub finished: Option<i64>,
}

impl From<WatchResponse> for Told {
    fn from(told: WatchResponse) -> Self {
        let (kind, job, text, finished) = match told.event.expect("an event says what it is") {
            Event::Queued(_) => ("queued", None, String::new(), None),
            Event::Assigned(assigned) => ("assigned", Some(assigned.job), String::new(), None),
            Event::Progress(progress) => ("progress", Some(progress.job), String::new(), None),
            Event::Preview(preview) => ("preview", Some(preview.job), String::new(), None),
            Event::Token(token) => ("token", Some(token.job), token.text, None),
            Event::Result(result) => ("result", Some(result.job), result.text.unwrap_or_default(), None),
            Event::Reset(reset) => ("reset", reset.job, String::new(), None),
            Event::Faulted(faulted) => ("faulted", None, faulted.message, None),
            Event::Cancelled(_) => ("cancelled", None, String::new(), None),
            Event::Done(done) => ("done", None, String::new(), Some(done.finished)),
            Event::KeepAlive(_) => ("keep_alive", None, String::new(), None),
        };
        let (job, finished) = (job.map(i64::from), finished.map(i64::from));
        Self { cursor: told.cursor, kind: kind.into(), job, text, finished }
    }
}

impl Told {
    /// Reads a block of SSE; `None`: it tells no event of a request.
    pub fn of_sse(block: &str) -> Option<Self> {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let (cursor, kind, data) = (field("id")?, field("event")?, field("data")?);
        let data: Value = serde_json::from_str(data).ok()?;
        let text = data["text"].as_str().or(data["message"].as_str()).unwrap_or_default();
        let (job, finished) = (data["job"].as_i64(), data["finished"].as_i64());
        Some(Self { cursor: cursor.into(), kind: kind.into(), job, text: text.into(), finished })
    }
}

/// What a reader has.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    pub cursor: Option<Cursor>,
    tokens: BTreeMap<i64, String>,
    pub results: BTreeMap<i64, String>,
    /// Why the request failed.
    pub faulted: Option<String>,
    pub is_done: bool,
}

impl Reader {
    /// Takes an event in.
    ///
    /// # Errors
    /// It breaks a promise: a gap, a repetition, an end before its time, tokens that are no result.
    pub fn hears(&mut self, told: Told) -> Result<(), String> {
        let wrong = |why: &str, reader: &Self| Err(format!("{why}: {told:?} came to {reader:?}"));
        if self.is_done {
            return wrong("something comes after the end", self);
        }
        let Some(cursor) = Cursor::parse(&told.cursor) else { return wrong("no cursor", self) };
        // What a request that waits has to expect is told again as it changes, and is no part of the log.
        if told.kind == "keep_alive" {
            return Ok(());
        }
        if told.kind == "queued" && self.cursor.is_none_or(|at| at == cursor) && cursor.seq != 1 {
            return Ok(());
        }
        let is_new_log = match self.cursor {
            None => cursor.seq != 1,
            Some(at) if cursor.epoch == at.epoch => cursor.seq != at.seq + 1,
            // Told anew from the beginning, by a reset that is of no log.
            Some(at) => {
                cursor.epoch < at.epoch || cursor.seq != 0 || told.kind != "reset" || told.job.is_some()
            }
        };
        if is_new_log {
            return wrong("a gap or a repetition", self);
        }
        self.cursor = Some(cursor);
        match (told.kind.as_str(), told.job) {
            ("token", Some(job)) => self.tokens.entry(job).or_default().push_str(&told.text),
            ("result", Some(job)) => {
                if self.results.contains_key(&job) {
                    return wrong("a second result of a job", self);
                }
                if self.tokens.get(&job).map_or("", String::as_str) != told.text {
                    return wrong("the tokens are not the result", self);
                }
                self.results.insert(job, told.text);
            }
            ("reset", Some(job)) => {
                if self.results.contains_key(&job) {
                    return wrong("a job starts over that has its result", self);
                }
                self.tokens.remove(&job);
            }
            ("reset", None) => {
                *self = Self { cursor: self.cursor, ..Self::default() };
            }
            ("faulted", None) if told.text.is_empty() => return wrong("a failure without a reason", self),
            ("faulted", None) => self.faulted = Some(told.text),
            ("done", None) => {
                if told.finished != Some(self.results.len() as i64) {
                    return wrong("the end counts other results", self);
                }
                self.is_done = true;
            }
            ("queued" | "cancelled", None) | ("assigned" | "progress", Some(_)) => {}
            _ => return wrong("an event of no kind", self),
        }
        Ok(())
    }

    /// Where to go on from.
    pub fn after(&self) -> String {
        self.cursor.map(|cursor| cursor.to_string()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(cursor: &str, kind: &str, job: Option<i64>, text: &str) -> Told {
        let finished = (kind == "done").then_some(1);
        Told { cursor: cursor.into(), kind: kind.into(), job, text: text.into(), finished }
    }

    fn story() -> Vec<Told> {
        vec![
            told("7-1", "queued", None, ""),
            told("7-2", "assigned", Some(0), ""),
            told("7-3", "token", Some(0), "lost "),
            told("7-4", "reset", Some(0), ""),
            told("7-5", "token", Some(0), "once "),
            told("9-0", "reset", None, ""),
            told("9-1", "token", Some(0), "once upon"),
            told("9-2", "result", Some(0), "once upon"),
            told("9-3", "done", None, ""),
        ]
    }

    type Doctor = fn(&mut Vec<Told>);

    #[test]
    fn a_story_is_believed_and_doctored_ones_are_called_what_they_are() {
        let hear = |story: Vec<Told>| {
            let mut reader = Reader::default();
            story.into_iter().try_for_each(|told| reader.hears(told)).map(|()| reader)
        };
        let reader = hear(story()).expect("it is a good one");
        assert!(reader.is_done && reader.results[&0] == "once upon");
        let doctored: &[(&str, Doctor)] = &[
            ("a gap", |story| drop(story.remove(2))),
            ("a repetition", |story| story.insert(3, story[2].clone())),
            ("a gap", |story| drop(story.remove(0))),
            ("a gap", |story| drop(story.remove(5))),
            ("a gap", |story| story[6].cursor = "8-1".into()),
            ("the tokens are not", |story| story[6].text = "once".into()),
            ("the tokens are not", |story| {
                story.truncate(5);
                story.push(told("7-6", "result", Some(0), "once upon"));
            }),
            ("a second result", |story| story[8] = told("9-3", "result", Some(0), "once upon")),
            ("that has its result", |story| story[8] = told("9-3", "reset", Some(0), "")),
            ("counts other", |story| story[8].finished = Some(2)),
            ("after the end", |story| story.push(told("9-4", "done", None, ""))),
            ("without a reason", |story| story[8] = told("9-3", "faulted", None, "")),
            ("of no kind", |story| story[8] = told("9-3", "error", None, "")),
            ("no cursor", |story| story[8].cursor = "nine".into()),
        ];
        for (words, doctor) in doctored {
            let mut story = story();
            doctor(&mut story);
            let wrong = hear(story).expect_err(words);
            assert!(wrong.contains(words), "{words}: {wrong}");
        }
    }

    #[test]
    fn sse_and_grpc_tell_the_same() {
        let block = "id: 7-3\nevent: token\ndata: {\"job\":0,\"attempt\":1,\"text\":\"lost \"}";
        assert_eq!(Told::of_sse(block), Some(told("7-3", "token", Some(0), "lost ")));
        assert_eq!(Told::of_sse("data: [DONE]"), None);
        let token = gridbroker::rpc::pb::Token { job: 0, attempt: 1, text: "lost ".into() };
        let response = WatchResponse { cursor: "7-3".into(), event: Some(Event::Token(token)) };
        assert_eq!(Told::from(response), told("7-3", "token", Some(0), "lost "));
    }
}
