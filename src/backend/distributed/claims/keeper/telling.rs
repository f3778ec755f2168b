//! Telling Redis where jobs stand: which script, with which arguments, in which parts.

use std::collections::BTreeMap;

use fred::types::Value;
use futures_util::future::join_all;

use super::Keeper;
use crate::{
    backend::distributed::{
        claims::{
            GROUP, NOBODY, claim_head, entry, job_name,
            ledger::{Due, JobId, Stand},
            push_claim,
        },
        link::complain,
        scripts,
    },
    domain::{lease::Closed, request::Kind},
};

/// Jobs told in one script. Redis does nothing else meanwhile.
const CHUNK: usize = 64;
/// Scripts on their way at a time. The last must be answered within a command's time-out.
const SIDE_BY_SIDE: usize = 32;

/// Jobs of a kind that are told in one script, and in which.
pub(super) struct Chunk {
    kind: Kind,
    telling: Telling,
    jobs: Vec<(JobId, Due)>,
}

/// What Redis is told of a job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Telling {
    /// It is over.
    Over,
    /// A worker of this broker holds it.
    Held,
    /// A worker holds it, and nobody knows yet of which broker.
    HeldBySomebody,
    /// Who holds it does so for longer.
    Longer,
    /// It waits.
    Waiting,
}

impl Keeper {
    /// Takes what is due, in parts that can be told side by side: they are about different jobs.
    ///
    /// Of what other brokers look after nothing is told, but when the queue is built.
    pub(super) fn due_chunks(&mut self, is_building: bool) -> Vec<Chunk> {
        let mut sorted = BTreeMap::<_, Vec<_>>::new();
        for (job, (kind, due)) in self.ledger.take_due() {
            let telling = match (self.ledger.stand(job), due) {
                (Stand::Over, _) => Telling::Over,
                (Stand::Held(attempt), due) if self.ledger.is_own(attempt.id) => match due {
                    Due::Stand | Due::Withdrawal(_) => Telling::Held,
                    Due::Lease => Telling::Longer,
                },
                (Stand::Held(_), _) if is_building => Telling::HeldBySomebody,
                (Stand::Held(_) | Stand::Away(_), _) => continue,
                (Stand::Waiting { .. }, _) => Telling::Waiting,
            };
            sorted.entry((telling, kind)).or_default().push((job, due));
        }
        let mut chunks = Vec::new();
        for ((telling, kind), jobs) in sorted {
            chunks.extend(jobs.chunks(CHUNK).map(|jobs| Chunk { kind, telling, jobs: jobs.to_vec() }));
        }
        chunks
    }

    /// Tells what is due; false if not all of it could be. That is due again then.
    pub(super) async fn tell_chunks(&mut self, word: &str, chunks: Vec<Chunk>) -> bool {
        let mut is_whole = true;
        let mut chunks = chunks.into_iter().peekable();
        while chunks.peek().is_some() {
            let round: Vec<_> = chunks.by_ref().take(SIDE_BY_SIDE).collect();
            let answers = join_all(round.iter().map(|chunk| self.tell_chunk(word, chunk))).await;
            for (chunk, is_told) in round.into_iter().zip(answers) {
                if !is_told {
                    is_whole = false;
                    chunk.jobs.into_iter().for_each(|(job, due)| self.ledger.put_due(job, chunk.kind, due));
                }
            }
            if !is_whole {
                // Whatever it is, the rest would meet it too.
                for chunk in chunks.by_ref() {
                    chunk.jobs.into_iter().for_each(|(job, due)| self.ledger.put_due(job, chunk.kind, due));
                }
            }
        }
        is_whole
    }

    async fn tell_chunk(&self, word: &str, chunk: &Chunk) -> bool {
        let link = &self.shared.link;
        let arguments = self.arguments(word, chunk);
        let script = match chunk.telling {
            Telling::Over => &scripts::SETTLE,
            Telling::Held | Telling::HeldBySomebody => &scripts::CLAIM,
            Telling::Longer => &scripts::RENEW,
            Telling::Waiting => &scripts::ANNOUNCE,
        };
        let is_lost = match link.run(script, link.lane_keys(chunk.kind), arguments).await {
            Ok(answer) if answer.as_i64() != Some(-1) => return true,
            Ok(_) => true,
            Err(error) => {
                complain(&error, "Redis could not be told where jobs stand; later again");
                self.shared.note_loss(&error)
            }
        };
        if is_lost {
            self.shared.lose(word);
        }
        false
    }

    fn arguments(&self, word: &str, chunk: &Chunk) -> Vec<Value> {
        let (ledger, broker) = (&self.ledger, self.shared.link.broker());
        let now = self.shared.clock.now();
        let mut arguments: Vec<Value> = match chunk.telling {
            Telling::Held => claim_head(word, broker, "each"),
            Telling::HeldBySomebody => claim_head(word, NOBODY, "each"),
            Telling::Over | Telling::Waiting | Telling::Longer => {
                vec![word.into(), GROUP.into(), broker.into()]
            }
        };
        for ((request, job), due) in &chunk.jobs {
            let name = job_name(*request, *job);
            match ledger.stand((*request, *job)) {
                Stand::Over => {
                    let from = match due {
                        Due::Withdrawal(holder) => {
                            holder.map_or_else(|| "-".to_owned(), |attempt| attempt.to_string())
                        }
                        Due::Stand | Due::Lease => "*".to_owned(),
                    };
                    arguments.extend([name.into(), Value::from(from)]);
                }
                Stand::Away(_) => {}
                Stand::Held(attempt) if chunk.telling != Telling::Longer => {
                    let left = attempt.expires_at.since(now).as_millis();
                    push_claim(&mut arguments, *request, attempt, &ledger.name(attempt.worker), left);
                }
                Stand::Held(attempt) => {
                    let left = i64::try_from(attempt.expires_at.since(now).as_millis()).unwrap_or(i64::MAX);
                    let worker = ledger.name(attempt.worker);
                    arguments.extend([
                        name.into(),
                        attempt.id.to_string().into(),
                        left.into(),
                        Value::from(&*worker),
                    ]);
                }
                Stand::Waiting { number, taken_from, how } => {
                    let Some(request) = ledger.request(*request) else { continue };
                    arguments.extend([
                        name.into(),
                        i64::from(*number).into(),
                        taken_from.map_or_else(|| "-".to_owned(), |attempt| attempt.to_string()).into(),
                        match (taken_from, how) {
                            (Some(_), None) => "-",
                            (_, Some(Closed::Faulted)) => "1",
                            _ => "0",
                        }
                        .into(),
                        entry::order(request).into(),
                        request.created_at.0.into(),
                        request.owner.0.into(),
                        entry::needs(&request.spec).into(),
                    ]);
                }
            }
        }
        arguments
    }
}
