//! Work streams: a pop stream, reports and results over one call.
//!
//! ```text
//!  worker ──► offer, then acknowledgements, reports, results, credits ──► ear ──► taken in, in order
//!         ◄── pushes of the pop stream ◄──────────────────────────────────────── its offer
//!         ◄── outcomes ◄── results being settled, several at a time ◄── ear
//! ```
//!
//! Whoever does not read what it is sent is not listened to either.

use std::{pin::pin, time::Duration};

use async_stream::try_stream;
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::BoxFuture,
    stream::{FuturesUnordered, ReadyChunks},
};
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
        pb::{self, work_request::Say, work_response::Tell},
        refuse, retell,
    },
};

/// Messages that are taken in one go when they come thick and fast.
const AT_ONCE: usize = 64;
/// Results of one worker that are settled at a time.
const MOST_RESULTS: usize = 16;
/// How long a worker may take to say what it offers.
const OFFERS_WITHIN: Duration = Duration::from_secs(10);
/// How long results on their way are waited for at the end.
const LAST_RESULTS: Duration = Duration::from_secs(5);

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
        let mut results = FuturesUnordered::new();
        let mut heard = pin!(ear.listens(messages.ready_chunks(AT_ONCE)));
        let end = loop {
            tokio::select! {
                Some(outcome) = results.next() => yield told(Tell::Outcome(outcome)),
                push = pushes.next() => match push {
                    Some(Ok(push)) => yield told(Tell::Push(push)),
                    Some(Err(status)) => break Err(status),
                    None => break Ok(()),
                },
                result = heard.next(), if results.len() < MOST_RESULTS => match result {
                    Some(Ok(result)) => results.push(result),
                    Some(Err(status)) => break Err(status),
                    None => break Ok(()),
                },
            }
        };
        let deadline = tokio::time::Instant::now() + LAST_RESULTS;
        while let Ok(Some(outcome)) = tokio::time::timeout_at(deadline, results.next()).await {
            yield told(Tell::Outcome(outcome));
        }
        end?;
    })
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
                            reports.push(report::read(&self.api, self.caller, message).await?);
                        }
                        Some(Say::Acknowledgement(message)) => {
                            let message = checked(message, Violations::for_headers())?;
                            for id in message.ids {
                                let id = AttemptId::parse(&id).ok_or_else(|| refuse(Error::InvalidJobId(id)))?;
                                reports.push((id, Report::default()));
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
                            report::count(&self.api, self.caller, std::mem::take(&mut reports)).await?;
                            yield self.clone().settles(result).boxed();
                        }
                        None => Err(violation("say", "say something that this broker knows"))?,
                    }
                }
                report::count(&self.api, self.caller, reports).await?;
            }
        }
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
            Err(status) => {
                let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
                let (code, message) = (status.code() as i32, status.message().to_owned());
                pb::ResultOutcome { refusal: Some(pb::ResultRefusal { code, reason, message }), ..outcome }
            }
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
