//! Results: each settles its attempt once, or is told why not.

use crate::{
    domain::{
        AttemptId, Error, Kudos, Result, UserId,
        lease::Closed,
        media::Media,
        price,
        request::Kind,
        result::{Delivery, Product, Verdict},
        user::KeyHash,
    },
    engine::{Adoption, Problem, Submission},
    rpc::{
        Api,
        check::Check,
        convert::{alchemy, result},
        gate::Call,
        pb,
    },
};

/// What stands for an image that was handed in through its signed link.
const UPLOADED: &str = "R2";
/// How long a result waits whose attempt is ended or taken over elsewhere at this moment, and how often.
const NOT_JUST_NOW: std::time::Duration = std::time::Duration::from_millis(200);
const MOST_TRIES: u32 = 15;
/// Longest text that is kept in place of an image that cannot be decoded, in bytes.
const MAX_RAW: usize = 65_536;

/// Settles a text.
pub async fn text(api: &Api, call: Call<pb::SubmitTextResultRequest>) -> Result<Kudos> {
    let Call { mut message, key, .. } = call;
    let id = attempt_id(message.id())?;
    if message.has_nul() {
        return Err(Error::NulByte);
    }
    let seed = message.seed;
    let remarks = std::mem::take(&mut message.gen_metadata);
    let went = result::text(message.state(), remarks)?;
    let submission = match went.verdict {
        None => Submission::Faulted,
        Some(verdict) => Submission::Delivered(Delivery {
            product: Product::Text(message.generation.unwrap_or_default()),
            seed,
            verdict,
            remarks: went.remarks,
            extras: Default::default(),
        }),
    };
    settle(api, key, id, TEXT, submission).await
}

/// Kinds of jobs that a path of the API takes results of.
pub const IMAGES: &[Kind] = &[Kind::Image, Kind::Video];
pub const VIDEO: &[Kind] = &[Kind::Video];
const TEXT: &[Kind] = &[Kind::Text];
const FORMS: &[Kind] = &[Kind::Alchemy];

/// Settles an image or a video of these kinds. It is stored before the attempt is settled.
pub async fn image(
    api: &Api,
    call: Call<pb::SubmitImageResultRequest>,
    kinds: &'static [Kind],
) -> Result<Kudos> {
    let Call { mut message, key, .. } = call;
    let id = attempt_id(message.id())?;
    if message.has_nul() {
        return Err(Error::NulByte);
    }
    let seed = message.seed();
    let extras = result::extras(&mut message);
    let remarks = std::mem::take(&mut message.gen_metadata);
    let went = result::image(message.state(), remarks)?;
    let submission = match went.verdict {
        None => Submission::Faulted,
        Some(verdict) => {
            // Nothing is stored for an attempt that is not the caller's, or not open.
            may_settle(api, key, id).await?;
            let kind = api.host.glance(|engine, _| engine.kind_of(id));
            if kind.is_some_and(|kind| !kinds.contains(&kind)) {
                return Err(Error::InvalidJobId(id.to_string()));
            }
            let generation = message.generation.unwrap_or_default();
            let made = match kind {
                Some(Kind::Video) => store_video(api, id, generation).await,
                _ => store(api, id, generation).await,
            };
            let product = match made {
                // Of what is withheld nothing need be there.
                Err(Error::BadRequest(_)) if verdict != Verdict::Ok => Product::Image,
                stored => stored?,
            };
            Submission::Delivered(Delivery { product, seed, verdict, remarks: went.remarks, extras })
        }
    };
    settle(api, key, id, kinds, submission).await
}

/// Settles a form. One that is the caller's no more, for whatever reason, is told as a duplicate: on the
/// legacy wire a form has one ID for all its attempts.
pub async fn alchemy(api: &Api, call: Call<pb::SubmitAlchemyResultRequest>) -> Result<Kudos> {
    let Call { message, key, .. } = call;
    let id = attempt_id(message.id())?;
    if message.has_nul() {
        return Err(Error::NulByte);
    }
    let has_failed = message.state() == "faulted";
    let result = alchemy::result(message.result)?;
    let settling = async {
        may_settle(api, key, id).await?;
        let form = api.host.glance(|engine, _| engine.model_of(id));
        let is_made = form.is_some_and(|form| price::form_makes_image(&form));
        let submission = match has_failed {
            true => Submission::Faulted,
            false
                if is_made
                    && alchemy::has_upload(&result)
                    && api.objects.handed_in(id).await? != Some(Media::Image) =>
            {
                return Err(Error::BadRequest(
                    "no image was uploaded for this form: PUT it to its r2_upload link before submitting R2"
                        .into(),
                ));
            }
            false => Submission::Delivered(Delivery {
                product: Product::Form(result),
                seed: 0,
                verdict: Verdict::Ok,
                remarks: Vec::new(),
                extras: Default::default(),
            }),
        };
        settle(api, key, id, FORMS, submission).await
    };
    settling.await.map_err(|error| match error {
        Error::AbortedGen(attempt) => Error::DuplicateGen { attempt, reward: Kudos::ZERO },
        other => other,
    })
}

fn attempt_id(text: &str) -> Result<AttemptId> {
    AttemptId::parse(text).ok_or_else(|| Error::InvalidJobId(text.to_owned()))
}

async fn store(api: &Api, id: AttemptId, generation: String) -> Result<Product> {
    if generation == UPLOADED {
        return match api.objects.handed_in(id).await? {
            Some(Media::Image | Media::Animation) => Ok(Product::Image),
            Some(Media::Video | Media::Unknown) => Err(Error::BadRequest(
                "what was uploaded for this job is no image: PUT a WebP, PNG or JPEG to its r2_upload link"
                    .into(),
            )),
            None => Err(Error::BadRequest(
                "no image was uploaded for this job: PUT it to its r2_upload link before submitting R2"
                    .into(),
            )),
        };
    }
    if api.objects.put_result(id, &generation).await? {
        return Ok(Product::Image);
    }
    if generation.len() > MAX_RAW {
        return Err(Error::BadRequest(
            "generation is neither R2 nor an image in base64 (PNG, JPEG or WebP)".into(),
        ));
    }
    Ok(Product::Text(generation))
}

/// A video is kept as it is: nothing here can decode one, so there is no other form to keep it in.
async fn store_video(api: &Api, id: AttemptId, generation: String) -> Result<Product> {
    let is_video = match generation == UPLOADED {
        true => api.objects.handed_in(id).await?.map(Media::moves),
        false => Some(api.objects.put_video(id, &generation).await?),
    };
    let refusal = match is_video {
        Some(true) => return Ok(Product::Image),
        Some(false) => {
            "what was handed in for this job is no video: PUT an MP4, WebM or AVI, or an animated WebP, PNG or \
             GIF, to its r2_upload link and submit R2, or submit it in base64"
        }
        None => "no video was uploaded for this job: PUT it to its r2_upload link before submitting R2",
    };
    Err(Error::BadRequest(refusal.into()))
}

/// Whether the caller may settle an attempt now.
async fn may_settle(api: &Api, key: Option<KeyHash>, id: AttemptId) -> Result<()> {
    let caller = known(api, key).await?;
    if caller.is_some() {
        api.host.bring(id, Adoption::HandIn, caller).await?;
    }
    match api.host.glance(|engine, _| engine.may_settle(caller, id)) {
        Err(Error::InvalidJobId(_)) => past(api, caller, id).await.map(|_| ()),
        Err(Error::AbortedGen(_)) if api.host.is_shared() => past(api, caller, id).await.map(|_| ()),
        other => other,
    }
}

pub(super) async fn known(api: &Api, key: Option<KeyHash>) -> Result<Option<UserId>> {
    match key {
        Some(key) => api.host.user_of_key(key).await,
        None => Ok(None),
    }
}

async fn settle(
    api: &Api,
    key: Option<KeyHash>,
    id: AttemptId,
    kinds: &'static [Kind],
    submission: Submission,
) -> Result<Kudos> {
    let mut tries = 1;
    loop {
        match try_to_settle(api, key, id, kinds, submission.clone()).await {
            // It is being ended, or taken over, at this very moment: a little later that is written down.
            Err(Error::Overtaken) if tries < MOST_TRIES => {
                tries += 1;
                tokio::time::sleep(NOT_JUST_NOW).await;
            }
            outcome => return outcome,
        }
    }
}

async fn try_to_settle(
    api: &Api,
    key: Option<KeyHash>,
    id: AttemptId,
    kinds: &'static [Kind],
    submission: Submission,
) -> Result<Kudos> {
    let caller = known(api, key).await?;
    if caller.is_some() {
        api.host.bring(id, Adoption::HandIn, caller).await?;
    }
    let is_fault = submission == Submission::Faulted;
    let is_worst =
        matches!(&submission, Submission::Delivered(delivery) if delivery.verdict == Verdict::Csam);
    let outcome = api
        .host
        .act(move |engine, step, _| {
            // A result of another kind comes in by another way: here its job is unknown.
            if engine.kind_of(id).is_some_and(|kind| !kinds.contains(&kind)) {
                return Ok(None);
            }
            // An unknown job is told before an unknown key.
            engine.may_settle(caller, id).or_else(|error| match error {
                Error::DuplicateGen { .. } | Error::AbortedGen(_) => Ok(()),
                other => Err(other),
            })?;
            let caller = caller.ok_or(Error::InvalidApiKey)?;
            let reward = engine.settle(step, caller, id, submission)?;
            let problem = is_worst.then(|| engine.note_problem(step.now, id)).flatten();
            Ok(Some((reward, problem)))
        })
        .await;
    match outcome {
        // The engine does not know it any more.
        Err(Error::InvalidJobId(_)) => past_or_fault(api, caller, id, is_fault).await,
        // Another broker was faster.
        Err(Error::Overtaken | Error::AbortedGen(_)) if api.host.is_shared() => {
            past_or_fault(api, caller, id, is_fault).await
        }
        Ok(None) => Err(Error::InvalidJobId(id.to_string())),
        Ok(Some((reward, problem))) => {
            if let Some(problem) = problem {
                tell_problem(id, &problem);
            }
            Ok(reward)
        }
        Err(error) => Err(error),
    }
}

/// Tells people of a result of the worst kind.
fn tell_problem(id: AttemptId, problem: &Problem) {
    let Problem { owner, in_hour, in_day } = problem;
    metrics::counter!("gridbroker_problem_jobs_total").increment(1);
    match problem.is_alarming() {
        true => tracing::warn!(
            job.id = %id, user.id = %owner, in_hour, in_day,
            "user {owner} asked for {in_hour} results of the worst kind within an hour, {in_day} within a day"
        ),
        false => {
            tracing::info!(job.id = %id, user.id = %owner, "job {id} of user {owner} was of the worst kind")
        }
    }
}

/// As [`past`]; a fault of an attempt that has ended is no news.
async fn past_or_fault(api: &Api, caller: Option<UserId>, id: AttemptId, is_fault: bool) -> Result<Kudos> {
    match past(api, caller, id).await {
        Err(Error::AbortedGen(_)) if is_fault => Ok(Kudos::ZERO),
        other => other,
    }
}

/// What is said of an attempt that is no longer in memory.
pub(super) async fn past(api: &Api, caller: Option<UserId>, id: AttemptId) -> Result<Kudos> {
    let past = api.host.past_attempt(id).await?.ok_or_else(|| Error::InvalidJobId(id.to_string()))?;
    let caller = caller.ok_or(Error::InvalidApiKey)?;
    let worker = past.worker;
    let owner = api.host.glance(|engine, _| engine.worker(worker).map(|worker| worker.owner));
    if owner.is_some_and(|owner| owner != caller) {
        return Err(Error::WrongCredentials);
    }
    match past.how {
        Some(Closed::Settled) => Err(Error::DuplicateGen { attempt: id, reward: past.reward }),
        // Open, and yet not to be had just now: a moment later it is.
        None if api.host.is_shared() => Err(Error::Overtaken),
        _ => Err(Error::AbortedGen(id)),
    }
}
