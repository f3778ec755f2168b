//! Forms of alchemy: requests, offers, what workers get and hand in, and how it all stands.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

use super::{
    grant::skipped,
    offer::{self, Offer},
    unsigned,
};
use crate::{
    domain::{
        AttemptId, Error, Result,
        bridge::Bridge,
        price,
        request::{AlchemyParams, Form, Params, Spec},
        result::{Outcome, Product},
        worker::{AlchemySkills, Profile, Skills},
    },
    engine::{Grant, Standing, View},
    host::{ObjectKey, Objects},
    rpc::{check::Check, json::Struct, pb},
};

/// What stands for an image that was handed in through its signed link.
pub const UPLOADED: &str = "R2";
/// Most bytes of a form's payload, and of what comes of a form, as JSON.
const MAX_PAYLOAD: usize = 16 << 10;
const MAX_RESULT: usize = 256 << 10;
/// Most forms that a worker takes in one pop.
const MAX_AMOUNT: i32 = 100;

/// Where a source image is.
pub enum Source {
    /// There; workers fetch it themselves.
    Url(String),
    /// In the request, as base64.
    Content(String),
}

/// What a checked request asks for; how large its image is, is not known yet.
///
/// # Errors
/// BadRequest for a payload that is too long.
pub fn spec(message: pb::SubmitAlchemyRequest) -> Result<(Spec, Source)> {
    let text = message.source_image.unwrap_or_default();
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    let source = if is_url { Source::Url(text) } else { Source::Content(text) };
    let forms = message.forms.into_iter().enumerate().map(form).collect::<Result<Vec<_>>>()?;
    let mut models: Vec<Arc<str>> = Vec::new();
    for form in &forms {
        if !models.contains(&form.name) {
            models.push(form.name.clone());
        }
    }
    let source_url = match &source {
        Source::Url(url) => Some(url.clone()),
        Source::Content(_) => None,
    };
    let spec = Spec {
        prompt: String::new(),
        jobs: forms.len(),
        models,
        nsfw: false,
        trusted_workers: message.trusted_workers,
        slow_workers: message.slow_workers.unwrap_or(true),
        validated_backends: false,
        workers: Vec::new(),
        worker_blacklist: false,
        origin: Default::default(),
        webhook: message.webhook,
        params: Params::Alchemy(Box::new(AlchemyParams { forms, tiles: 1, source_url })),
    };
    Ok((spec, source))
}

fn form((place, form): (usize, pb::AlchemyForm)) -> Result<Form> {
    let payload = form.payload.map(|Struct(payload)| payload);
    if let Some(bytes) = payload.as_ref().map(json_bytes).filter(|bytes| *bytes > MAX_PAYLOAD) {
        return Err(Error::BadRequest(format!(
            "the payload of form {place} has {bytes} bytes; {MAX_PAYLOAD} are allowed: shorten it"
        )));
    }
    Ok(Form { name: form.name.unwrap_or_default().into(), payload })
}

fn json_bytes(object: &Map<String, Value>) -> usize {
    // Plain data always has a JSON form.
    serde_json::to_string(object).map_or(usize::MAX, |text| text.len())
}

/// Sets how large the image is.
pub fn set_tiles(spec: &mut Spec, tiles: u32) {
    if let Params::Alchemy(alchemy) = &mut spec.params {
        alchemy.tiles = tiles;
    }
}

/// An offer to do forms. One that names none is shown as one for captions, and gets nothing.
///
/// # Errors
/// BadRequest for a name of which nothing is left, or a priority user without an ID; NulByte.
pub fn offer(mut message: pb::PopAlchemyRequest) -> Result<Offer> {
    let (name, name_length) = offer::name(&message.name.take().unwrap_or_default())?;
    if message.has_nul() {
        return Err(Error::NulByte);
    }
    let priority_users = offer::priority_users(&message.priority_usernames).map_err(|error| match error {
        Error::InvalidPriorityUsername(_) => Error::BadRequest(error.to_string()),
        other => other,
    })?;
    let is_idle = message.forms.is_empty();
    // No image is that small.
    let max_tiles = if is_idle { 0 } else { unsigned(message.max_tiles()) };
    let forms = if is_idle { vec!["caption".to_owned()] } else { std::mem::take(&mut message.forms) };
    let most = forms.len();
    let profile = Profile {
        bridge: Bridge::parse(message.bridge_agent()),
        threads: unsigned(message.threads()),
        amount: unsigned(message.amount().clamp(1, MAX_AMOUNT)),
        nsfw: true,
        models: offer::models(forms, most),
        blacklist: Vec::new(),
        priority_users,
        skills: Skills::Alchemy(AlchemySkills { max_tiles }),
        extras: Default::default(),
    };
    Ok(Offer { name, name_length, profile })
}

/// The answer to a pop without a form.
pub fn nothing(counts: BTreeMap<&'static str, usize>) -> pb::PopAlchemyResponse {
    pb::PopAlchemyResponse { forms: Vec::new(), skipped: skipped(counts) }
}

/// The forms of one or more requests.
pub fn popped<'a>(grants: impl IntoIterator<Item = &'a Grant>, objects: &Objects) -> pb::PopAlchemyResponse {
    let forms = grants.into_iter().flat_map(|grant| {
        let Params::Alchemy(alchemy) = &grant.spec.params else { return Vec::new() };
        let source = match &alchemy.source_url {
            Some(url) => url.clone(),
            None => objects.get_link(ObjectKey::Source(grant.request)),
        };
        let one = |attempt: &crate::domain::lease::Attempt| {
            let form = alchemy.forms.get(attempt.job)?;
            Some(pb::PoppedForm {
                id: attempt.id.to_string(),
                form: form.name.to_string(),
                payload: form.payload.as_ref().map(in_texts),
                source_image: source.clone(),
                r2_upload: price::form_makes_image(&form.name)
                    .then(|| objects.put_link(ObjectKey::Result(attempt.id))),
            })
        };
        grant.attempts.iter().filter_map(one).collect()
    });
    pb::PopAlchemyResponse { forms: forms.collect(), skipped: BTreeMap::new() }
}

/// A payload with every value as a string, as legacy workers get it.
fn in_texts(payload: &Map<String, Value>) -> Struct {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        // As the legacy API's language writes them.
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Null => "None".into(),
        other => other.to_string(),
    };
    Struct(payload.iter().map(|(name, value)| (name.clone(), text(value).into())).collect())
}

/// What came of a form.
///
/// # Errors
/// BadRequest for one that is too long.
pub fn result(result: Option<Struct>) -> Result<Map<String, Value>> {
    let Struct(result) = result.unwrap_or_default();
    match json_bytes(&result) {
        bytes if bytes > MAX_RESULT => Err(Error::BadRequest(format!(
            "the result has {bytes} bytes; {MAX_RESULT} are accepted: images go to r2_upload, and R2 stands for them"
        ))),
        _ => Ok(result),
    }
}

/// Whether a result says that an image was handed in.
pub fn has_upload(result: &Map<String, Value>) -> bool {
    result.values().any(|value| value == UPLOADED)
}

/// What came of a form, as it is shown.
pub fn shown(outcome: &Outcome, objects: &Objects) -> Option<Struct> {
    let Product::Form(result) = &outcome.product else { return None };
    Some(Struct(linked(result, outcome.attempt, objects))).filter(|shown| !shown.0.is_empty())
}

fn linked(result: &Map<String, Value>, attempt: AttemptId, objects: &Objects) -> Map<String, Value> {
    let link = |value: &Value| match value == UPLOADED {
        true => objects.get_link(ObjectKey::Result(attempt)).into(),
        false => value.clone(),
    };
    result.iter().map(|(name, value)| (name.clone(), link(value))).collect()
}

/// Where a request stands.
pub fn status(view: &View, objects: &Objects) -> pb::AlchemyStatus {
    let names = match &view.accepted.spec.params {
        Params::Alchemy(alchemy) => alchemy.forms.as_slice(),
        Params::Image(_) | Params::Text(_) | Params::Video(_) => &[],
    };
    let forms = names.iter().zip(&view.standings).enumerate().map(|(job, (form, standing))| {
        let outcome = view.outcomes.iter().find(|outcome| outcome.job == job);
        pb::AlchemyFormStatus {
            form: form.name.to_string(),
            state: word(*standing).into(),
            result: outcome.and_then(|outcome| shown(outcome, objects)),
        }
    });
    pb::AlchemyStatus { state: state(&view.standings).into(), forms: forms.collect() }
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Waiting => "waiting",
        Standing::Processing => "processing",
        Standing::Done => "done",
        Standing::Cancelled => "cancelled",
        Standing::Faulted => "faulted",
    }
}

/// What the legacy API says of a request with forms that stand so; the first rule that holds.
fn state(standings: &[Standing]) -> &'static str {
    let all = |one: Standing| standings.iter().all(|standing| *standing == one);
    let any = |one: Standing| standings.contains(&one);
    match () {
        () if all(Standing::Faulted) => "faulted",
        () if all(Standing::Done) => "done",
        () if any(Standing::Processing) => "processing",
        () if any(Standing::Waiting) => "waiting",
        () => "partial",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_state_of_a_request_follows_from_its_forms() {
        use Standing::*;
        for (standings, word, rule) in [
            (vec![], "faulted", "no forms"),
            (vec![Faulted, Faulted], "faulted", "all failed"),
            (vec![Done, Done], "done", "all done"),
            (vec![Done, Processing, Waiting, Faulted], "processing", "any that a worker has"),
            (vec![Done, Waiting, Faulted], "waiting", "any that waits"),
            (vec![Done, Faulted], "partial", "over, and not all of it came"),
            (vec![Cancelled, Cancelled], "partial", "the legacy API has no word for it"),
        ] {
            assert_eq!(state(&standings), word, "{rule}");
        }
    }

    #[test]
    fn workers_get_every_value_of_a_payload_as_a_string() {
        let payload = json!({"a": "x", "b": 1, "c": true, "d": null, "e": [1, "y"]});
        let texts = in_texts(payload.as_object().unwrap());
        assert_eq!(
            Value::Object(texts.0),
            json!({"a": "x", "b": "1", "c": "True", "d": "None", "e": "[1,\"y\"]"})
        );
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let long = |bytes: usize| json!({"caption": "x".repeat(bytes)}).as_object().cloned().map(Struct);
        assert!(result(long(MAX_RESULT - 100)).is_ok() && result(long(MAX_RESULT)).is_err());
        let asked =
            |bytes| form((0, pb::AlchemyForm { name: Some("caption".into()), payload: long(bytes) })).is_ok();
        assert!(asked(MAX_PAYLOAD - 100) && !asked(MAX_PAYLOAD));
    }
}
