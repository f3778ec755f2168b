//! Follows a kind's stream and log, so that this broker knows what others took, gave back and ended.

use std::{sync::Arc, time::Duration};

use fred::{
    interfaces::{HashesInterface, StreamsInterface},
    types::Value,
};
use tokio::sync::watch;

use super::Shared;
use crate::{
    backend::{
        Failure,
        distributed::{
            claims::{NOBODY, parse_job_name},
            link::Reader,
        },
    },
    domain::{
        AttemptId, RequestId,
        news::{Hold, News},
        request::Kind,
    },
};

/// How long a read waits for news, in ms.
const BLOCK_MS: u64 = 1000;
/// Entries of each stream that are read in one go.
const AT_ONCE: u64 = 1000;
/// How long Redis is left alone after a failure.
const PAUSE: Duration = Duration::from_millis(200);

/// Reads news of one kind.
pub(super) struct Tail {
    shared: Arc<Shared>,
    keys: Vec<String>,
    reader: Reader,
    /// IDs of the last entries read: of the stream, and of the log.
    last: [String; 2],
    generation: Option<Arc<str>>,
    begin_again: watch::Receiver<u64>,
}

impl Tail {
    /// Notes where the stream and the log end.
    pub async fn begin(shared: Arc<Shared>, kind: Kind) -> Result<Self, Failure> {
        let reader = shared.link.reader().await?;
        let begin_again = shared.begin_again.subscribe();
        let keys = shared.link.lane_keys(kind);
        let mut tail = Self { shared, keys, reader, last: Default::default(), generation: None, begin_again };
        tail.note().await?;
        Ok(tail)
    }

    /// Reads until it is aborted.
    pub async fn run(mut self) {
        // Those who hold jobs by now are not in Records.
        let mut is_new = true;
        let mut has_failed = false;
        loop {
            if self.shared.claims.generation() != self.generation
                || self.begin_again.has_changed().unwrap_or(false)
            {
                // The first queue that this broker sees is the one it begins with.
                let is_first = self.generation.is_none() && !self.begin_again.has_changed().unwrap_or(false);
                self.begin_again.mark_unchanged();
                self.generation = self.shared.claims.generation();
                has_failed |= !is_first;
                is_new = true;
            }
            if has_failed || is_new {
                if let Err(error) = self.catch_up(has_failed).await {
                    tracing::debug!(%error, "news of other brokers cannot be read yet");
                    has_failed = true;
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                (has_failed, is_new) = (false, false);
            }
            match self.read().await {
                Ok(news) => self.pass_on(news).await,
                Err(error) => {
                    tracing::debug!(%error, "news of other brokers cannot be read");
                    has_failed = true;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn pass_on(&self, news: Vec<News>) {
        self.shared.claims.heard(&news);
        self.shared.pass_on(news).await;
    }

    /// Says who holds what, and before that, if need be, that news may have been missed.
    async fn catch_up(&mut self, has_missed: bool) -> Result<(), Failure> {
        if has_missed {
            self.note().await?;
        }
        let mut news = if has_missed { vec![News::Missed] } else { Vec::new() };
        let open: Vec<(String, String)> = {
            let all: std::collections::HashMap<String, String> =
                self.reader.client.hgetall(self.keys[1].clone()).await?;
            all.into_iter().collect()
        };
        news.extend(open.iter().filter_map(|(job, stand)| self.held(job, stand)));
        self.pass_on(news).await;
        Ok(())
    }

    async fn note(&mut self) -> Result<(), Failure> {
        for (place, key) in [(0, &self.keys[0]), (1, &self.keys[3])] {
            let newest: Value = self.reader.client.xrevrange(key.clone(), "+", "-", Some(1)).await?;
            let newest = newest.into_array();
            let id = newest.first().and_then(|entry| entry.clone().into_array().first()?.as_string());
            self.last[place] = id.unwrap_or_else(|| "0-0".into());
        }
        Ok(())
    }

    /// Waits for entries and reads them: those of the log first, as a job that is taken need not be offered.
    async fn read(&mut self) -> Result<Vec<News>, Failure> {
        let keys = vec![self.keys[0].clone(), self.keys[3].clone()];
        let ids = self.last.to_vec();
        let answer: Value = self.reader.client.xread(Some(AT_ONCE), Some(BLOCK_MS), keys, ids).await?;
        let mut parts: [Vec<News>; 2] = Default::default();
        for (key, entries) in streams(answer) {
            let place = usize::from(key == self.keys[3]);
            if entries.len() as u64 == AT_ONCE {
                self.check_for_a_gap(place).await?;
            }
            for (id, fields) in entries {
                parts[place].extend(match place {
                    0 => self.announced(&fields),
                    _ => self.logged(&fields),
                });
                self.last[place] = id;
            }
        }
        let [announced, mut news] = parts;
        news.extend(announced);
        Ok(news)
    }

    /// Fails if entries were cut off before they were read.
    async fn check_for_a_gap(&self, place: usize) -> Result<(), Failure> {
        if place == 0 {
            // Entries of jobs that are over are deleted one by one.
            return Ok(());
        }
        let oldest: Value = self.reader.client.xrange(self.keys[3].clone(), "-", "+", Some(1)).await?;
        let oldest = oldest.into_array();
        let oldest = oldest.first().and_then(|entry| entry.clone().into_array().first()?.as_string());
        match oldest {
            Some(oldest) if self.last[1] != "0-0" && parts(&oldest) > parts(&self.last[1]) => {
                Err("fell behind the log of claims".into())
            }
            _ => Ok(()),
        }
    }

    fn is_own(&self, broker: Option<&str>) -> bool {
        broker == Some(self.shared.link.broker())
    }

    /// A job's entry in the stream: it waits.
    fn announced(&self, fields: &[(String, String)]) -> Option<News> {
        if self.is_own(field(fields, "broker")) {
            return None;
        }
        let (request, job) = parse_job_name(field(fields, "job")?)?;
        Some(News::Waits { request, job, number: field(fields, "number")?.parse().ok()? })
    }

    /// An entry of the log.
    fn logged(&self, fields: &[(String, String)]) -> Option<News> {
        if self.is_own(field(fields, "broker")) {
            return None;
        }
        if field(fields, "what")? == "ended" {
            return RequestId::parse(field(fields, "request")?).map(News::Ended);
        }
        let (request, job) = parse_job_name(field(fields, "job")?)?;
        let attempt = || AttemptId::parse(field(fields, "attempt")?);
        match field(fields, "what")? {
            "claimed" => Some(News::Held(Hold {
                request,
                job,
                number: field(fields, "number")?.parse().ok()?,
                attempt: attempt()?,
                broker: named(field(fields, "broker")?),
                is_stream: field(fields, "held")? == "stream",
                is_taken_from_us: self.is_own(field(fields, "from")),
            })),
            "returned" => Some(News::Returned {
                request,
                job,
                attempt: attempt()?,
                is_fault: field(fields, "fault") == Some("1"),
            }),
            "settled" => Some(News::Over { request, job }),
            _ => None,
        }
    }

    /// A value of `open`: who has a job, if somebody has and it is another broker's.
    fn held(&self, job: &str, stand: &str) -> Option<News> {
        let (request, job) = parse_job_name(job)?;
        let mut words = stand.split(' ');
        let (_, number, attempt) = (words.next()?, words.next()?, words.next()?);
        let (held, broker) = (words.next()?, words.next()?);
        if self.is_own(Some(broker)) {
            return None;
        }
        Some(News::Held(Hold {
            request,
            job,
            number: number.parse().ok()?,
            attempt: AttemptId::parse(attempt)?,
            broker: named(broker),
            is_stream: held == "stream",
            is_taken_from_us: false,
        }))
    }
}

/// A broker's name; empty if nobody knows it: the queue was built again, and nobody has said so yet.
fn named(broker: &str) -> Arc<str> {
    if broker == NOBODY { "".into() } else { broker.into() }
}

fn parts(id: &str) -> (u64, u64) {
    let (ms, seq) = id.split_once('-').unwrap_or((id, "0"));
    (ms.parse().unwrap_or(0), seq.parse().unwrap_or(0))
}

fn field<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
}

type Fields = Vec<(String, String)>;

/// The answer of XREAD: by key, entries with their ID and fields. It has one form in RESP2, another in RESP3.
fn streams(answer: Value) -> Vec<(String, Vec<(String, Fields)>)> {
    let by_key: Vec<(Option<String>, Value)> = match answer {
        Value::Map(map) => {
            map.inner().into_iter().map(|(key, value)| (key.as_str().map(str::to_owned), value)).collect()
        }
        other => other
            .into_array()
            .into_iter()
            .filter_map(|pair| {
                let mut pair = pair.into_array().into_iter();
                Some((pair.next()?.as_string(), pair.next()?))
            })
            .collect(),
    };
    let entry = |entry: Value| {
        let mut parts = entry.into_array().into_iter();
        let id = parts.next()?.as_string()?;
        let words: Vec<_> = flat(parts.next()?);
        let fields = words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        Some((id, fields))
    };
    by_key
        .into_iter()
        .filter_map(|(key, entries)| {
            Some((key?, entries.into_array().into_iter().filter_map(entry).collect()))
        })
        .collect()
}

fn flat(fields: Value) -> Vec<String> {
    match fields {
        Value::Map(map) => map
            .inner()
            .into_iter()
            .flat_map(|(key, value)| [key.as_str().map(str::to_owned), value.as_string()])
            .map(Option::unwrap_or_default)
            .collect(),
        other => other.into_array().iter().map(|word| word.as_string().unwrap_or_default()).collect(),
    }
}
