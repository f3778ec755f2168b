//! Work streams: a pop stream, reports and results over one call.
//!
//! ```text
//!  worker ──► offer, then acknowledgements, reports, results, credits ──► ear ──► taken in, in order
//!         ◄── pushes of the pop stream ◄──────────────────────────────────────── its offer
//!         ◄── outcomes ◄── results being settled, several at a time ◄── ear
//! ```
//!
//! Whoever does not read what it is sent is not listened to either.

use std::{collections::BTreeSet, pin::pin, time::Duration};

use async_stream::try_stream;
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::{BoxFuture, ready},
    stream::{FuturesUnordered, ReadyChunks},
};
use tokio::time::Instant;
use tonic::Status;
use tonic_types::StatusExt;

use super::{deliver, report, stream};
use crate::{
    domain::{AttemptId, Error, Kudos, OfferId, UserId},
    engine::Report,
    rpc::{
        Api,
        check::{Check, Violations, checked, violation},
        convert,
        gate::Call,
        pb::{self, pop_stream_response::Push, work_request::Say, work_response::Tell},
        refuse, retell,
    },
};

/// Messages that are taken in one go when they come thick and fast.
const AT_ONCE: usize = 64;
/// Results of one worker that are settled at a time.
const MOST_RESULTS: usize = 16;
/// How long a worker may take to say what it offers.
const OFFERS_WITHIN: Duration = Duration::from_secs(10);
/// How long results are waited for at the end: as long as a worker is told that it has.
const LAST_RESULTS: Duration = Duration::from_secs(10);

/// A worker that is listened to.
#[derive(Clone)]
struct Ear {
    api: Api,
    /// How the worker came in.
    call: Call<()>,
    caller: UserId,
    offer: OfferId,
    /// Jobs that may be outstanding at most.
    credits: usize,
}

/// Opens a stream with the offer that comes first.
pub async fn open<S>(
    api: &Api,
    call: Call<S>,
) -> Result<impl Stream<Item = Result<pb::WorkResponse, Status>> + Send + use<S>, Status>
where
    S: Stream<Item = Result<pb::WorkRequest, Status>> + Send + Unpin + 'static,
{
    let (mut messages, call) = call.split();
    let caller = api.caller(call.key).await.map_err(refuse)?;
    let first = tokio::time::timeout(OFFERS_WITHIN, messages.next()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("send an offer first, within 10 s"))?;
    let Some(Say::Offer(offer)) = first.transpose().map_err(retell::status)?.and_then(|first| first.say)
    else {
        return Err(violation("offer", "say first what the worker offers"));
    };
    let message = checked(offer, Violations::for_headers())?;
    let opened = stream::open(api, call.map(|()| message)).await?;
    let ear = Ear { api: api.clone(), call, caller, offer: opened.offer, credits: opened.credits };
    Ok(try_stream! {
        let mut pushes = pin!(opened.pushes);
        let mut results = FuturesUnordered::<BoxFuture<'static, pb::ResultOutcome>>::new();
        let mut heard = pin!(ear.listens(messages.ready_chunks(AT_ONCE)));
        // Jobs that the worker has, by what it was told.
        let mut at_hand = BTreeSet::new();
        let (mut end, mut deadline) = (None, Instant::now());
        loop {
            // What the worker has when the broker goes down it may still hand in.
            let is_over = matches!(end, Some(Ok(()))) || (end.is_some() && at_hand.is_empty());
            if is_over && results.is_empty() {
                break;
            }
            tokio::select! {
                Some(outcome) = results.next() => {
                    if !outcome.refusal.as_ref().is_some_and(may_be_tried_again) {
                        at_hand.remove(&outcome.id);
                    }
                    yield told(Tell::Outcome(outcome));
                }
                push = pushes.next(), if end.is_none() => {
                    match &push {
                        Some(Ok(push)) => note(push, &mut at_hand),
                        _ => deadline = Instant::now() + LAST_RESULTS,
                    }
                    match push {
                        Some(Ok(push)) => yield told(Tell::Push(push)),
                        Some(Err(status)) => end = Some(Err(status)),
                        None => end = Some(Ok(())),
                    }
                }
                result = heard.next(), if !is_over && results.len() < MOST_RESULTS => match result {
                    Some(Ok(result)) => results.push(result),
                    Some(Err(status)) => {
                        (end, deadline) = (Some(Err(status)), Instant::now() + LAST_RESULTS);
                        at_hand.clear();
                    }
                    None => {
                        (end, deadline) = (Some(end.unwrap_or(Ok(()))), Instant::now() + LAST_RESULTS);
                        at_hand.clear();
                    }
                },
                () = tokio::time::sleep_until(deadline), if end.is_some() => break,
            }
        }
        end.unwrap_or(Ok(()))?;
    })
}

fn refused(id: String, status: &Status) -> pb::ResultOutcome {
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    let (code, message) = (status.code() as i32, status.message().to_owned());
    pb::ResultOutcome { id, refusal: Some(pb::ResultRefusal { code, reason, message }), ..Default::default() }
}

/// Whether the worker still has the job of what was refused.
fn may_be_tried_again(refusal: &pb::ResultRefusal) -> bool {
    matches!(refusal.reason.as_str(), "TokenGap" | "StoreUnavailable" | "Overtaken")
}

/// Keeps in mind which jobs a worker has.
fn note(push: &pb::PopStreamResponse, at_hand: &mut BTreeSet<String>) {
    match &push.push {
        Some(Push::Opened(opened)) => at_hand.extend(opened.kept.iter().cloned()),
        Some(Push::Assignment(job)) => at_hand.extend(job.ids.iter().cloned()),
        Some(Push::Cancel(cancel)) => at_hand.retain(|id| !cancel.ids.contains(id)),
        _ => {}
    }
}

fn told(tell: Tell) -> pb::WorkResponse {
    pb::WorkResponse { tell: Some(tell) }
}

impl Ear {
    /// Takes in what the worker says, in order; gives out results to be settled.
    fn listens<S>(
        self,
        mut bursts: ReadyChunks<S>,
    ) -> impl Stream<Item = Result<BoxFuture<'static, pb::ResultOutcome>, Status>> + Send
    where
        S: Stream<Item = Result<pb::WorkRequest, Status>> + Send + Unpin,
    {
        try_stream! {
            while let Some(burst) = bursts.next().await {
                let mut reports = Vec::new();
                for message in burst {
                    match message.map_err(retell::status)?.say {
                        Some(Say::Report(message)) => {
                            let message = checked(message, Violations::for_headers())?;
                            let id = message.id.clone();
                            match report::read(&self.api, self.caller, message).await {
                                Ok(report) => reports.push(report),
                                Err(status) => yield ready(refused(id, &status)).boxed(),
                            }
                        }
                        Some(Say::Acknowledgement(message)) => {
                            let message = checked(message, Violations::for_headers())?;
                            for id in message.ids {
                                match AttemptId::parse(&id) {
                                    Some(id) => reports.push((id, Report::default())),
                                    None => {
                                        let unknown = refuse(Error::InvalidJobId(id.clone()));
                                        yield ready(refused(id, &unknown)).boxed();
                                    }
                                }
                            }
                        }
                        Some(Say::Credits(message)) => {
                            let credits = checked(message, Violations::for_headers())?.credits;
                            self.set_credits(convert::unsigned(credits) as usize).await?;
                        }
                        Some(Say::Offer(_)) => {
                            Err(violation("offer", "a stream has one offer: open another stream"))?;
                        }
                        Some(result) => {
                            // What was reported of the job belongs before its result.
                            for outcome in self.takes(std::mem::take(&mut reports)).await {
                                yield ready(outcome).boxed();
                            }
                            yield self.clone().settles(result).boxed();
                        }
                        None => Err(violation("say", "say something that this broker knows"))?,
                    }
                }
                for outcome in self.takes(reports).await {
                    yield ready(outcome).boxed();
                }
            }
        }
    }

    /// Takes reports, and says which were not taken, and why.
    async fn takes(&self, reports: Vec<(AttemptId, Report)>) -> Vec<pb::ResultOutcome> {
        if reports.is_empty() {
            return Vec::new();
        }
        let ids: Vec<_> = reports.iter().map(|(id, _)| *id).collect();
        let outcomes = match report::take(&self.api, self.caller, reports).await {
            Ok(outcomes) => outcomes,
            Err(error) => ids.iter().map(|_| Err(error.clone())).collect(),
        };
        let refusal = |(id, outcome): (AttemptId, crate::domain::Result<bool>)| match outcome {
            Ok(_) | Err(Error::AbortedGen(_) | Error::InvalidJobId(_)) => None,
            Err(error) => Some(refused(id.to_string(), &refuse(error))),
        };
        ids.into_iter().zip(outcomes).filter_map(refusal).collect()
    }

    async fn set_credits(&self, credits: usize) -> Result<(), Status> {
        if credits > self.credits {
            let most =
                format!("the offer was made with {} credits: open another stream for more", self.credits);
            return Err(violation("credits.credits", &most));
        }
        let offer = self.offer;
        let set = self.api.host.act(move |engine, step, _| {
            engine.set_credits(step, offer, credits);
            Ok(())
        });
        set.await.map_err(refuse)
    }

    /// Settles a result, and says what became of it.
    async fn settles(self, result: Say) -> pb::ResultOutcome {
        let id = match &result {
            Say::ImageResult(result) => result.id.clone(),
            Say::VideoResult(result) => result.id.clone(),
            Say::TextResult(result) => result.id.clone(),
            Say::AlchemyResult(result) => result.id.clone(),
            Say::Offer(_) | Say::Acknowledgement(_) | Say::Report(_) | Say::Credits(_) => None,
        };
        let outcome = pb::ResultOutcome { id: id.unwrap_or_default(), ..Default::default() };
        match self.settle(result).await {
            Ok((reward, duplicate)) => pb::ResultOutcome { reward: reward.as_f64(), duplicate, ..outcome },
            Err(status) => refused(outcome.id, &status),
        }
    }

    /// The reward, and whether it was earned before.
    async fn settle(&self, result: Say) -> Result<(Kudos, bool), Status> {
        let api = &self.api;
        let settled = match result {
            Say::ImageResult(result) => deliver::image(api, self.call(result)?, deliver::IMAGES).await,
            Say::VideoResult(result) => {
                deliver::image(api, self.call(result)?.map(convert::video::result), deliver::VIDEO).await
            }
            Say::TextResult(result) => deliver::text(api, self.call(result)?).await,
            Say::AlchemyResult(result) => deliver::alchemy(api, self.call(result)?).await,
            Say::Offer(_) | Say::Acknowledgement(_) | Say::Report(_) | Say::Credits(_) => {
                Err(Error::BadRequest("this is no result".into()))
            }
        };
        match settled {
            Ok(reward) => Ok((reward, false)),
            Err(Error::DuplicateGen { reward, .. }) => Ok((reward, true)),
            Err(error) => Err(refuse(error)),
        }
    }

    fn call<T: Check>(&self, message: T) -> Result<Call<T>, Status> {
        let message = checked(message, Violations::for_headers())?;
        Ok(self.call.map(|()| message))
    }
}
