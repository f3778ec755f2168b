//! Styles and collections: as they are shown, and what they make of requests.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tonic::Status;

use super::{dates, image, text, warning};
use crate::{
    domain::{
        Error, Kudos, Result, SharedKeyId,
        request::Kind,
        shared_key::SharedKey,
        style::{self, Collection, Query, Sort, Style},
        warning::Warning,
    },
    engine::Asked,
    host::Authors,
    rpc::{
        check::{Check, FieldPath, Violations},
        json::{self, Shape},
        pb,
    },
};

/// Largest parameters of a style, in bytes of JSON.
const MAX_PARAMS: usize = 64 << 10;

/// Reads the parameters of a style, as those of a request of its kind.
///
/// # Errors
/// INVALID_ARGUMENT with every offending path.
pub fn check_params(kind: Kind, params: &Map<String, Value>) -> Result<(), Status> {
    match kind {
        Kind::Text => text_params(params).map(drop),
        _ => image_params(params).map(drop),
    }
}

fn image_params(params: &Map<String, Value>) -> Result<pb::ImageParams, Status> {
    let message: pb::SubmitImageRequest = read(params)?;
    let params = message.params.unwrap_or_default();
    checked(&params).map(|()| params)
}

fn text_params(params: &Map<String, Value>) -> Result<pb::TextParams, Status> {
    let message: pb::SubmitTextRequest = read(params)?;
    let params = message.params.unwrap_or_default();
    checked(&params).map(|()| params)
}

/// The message of a request with these parameters, and nothing else.
fn read<T: Shape + DeserializeOwned>(params: &Map<String, Value>) -> Result<T, Status> {
    let mut violations = Violations::for_headers();
    let size = json::to_vec(params).len();
    if size > MAX_PARAMS {
        let text = format!("{size} bytes are more than the maximum of {MAX_PARAMS}");
        return Err(crate::rpc::check::violation("params", text));
    }
    let message = Value::Object([("params".to_owned(), Value::Object(params.clone()))].into_iter().collect());
    let clean = json::without_type_errors(T::SHAPE, message, &mut violations);
    let message = serde_json::from_value(clean);
    if violations.is_empty() && message.is_err() {
        violations.add("params".into(), "is not an object of parameters");
    }
    violations.into_result()?;
    message.map_err(|error| crate::rpc::check::violation("params", error.to_string()))
}

fn checked(params: &impl Check) -> Result<(), Status> {
    let mut violations = Violations::for_headers();
    FieldPath::default().within("params", |at| params.check(at, &mut violations));
    violations.into_result()
}

/// What was stored as parameters and is none any more.
fn outdated<T>(params: Result<T, Status>) -> Result<T> {
    params.map_err(|_| {
        Error::BadRequest(
            "the parameters of this style are out of bounds: its author must change them".into(),
        )
    })
}

/// What a style asks for by itself, for the rules of parameters.
///
/// # Errors
/// [`Error::BadRequest`] for parameters that are none any more.
pub fn asked(style: &Style) -> Result<Asked> {
    let prompt = Some(style.prompt.clone());
    if style.kind == Kind::Text {
        let params = Some(outdated(text_params(&style.params))?);
        let mut message =
            pb::SubmitTextRequest { prompt, params, models: style.models.clone(), ..Default::default() };
        message.normalize();
        return Ok(text::asked(message));
    }
    let params = Some(outdated(image_params(&style.params))?);
    let models = Some(pb::ModelList { names: style.models.clone() });
    let mut message = pb::SubmitImageRequest { prompt, params, models, ..Default::default() };
    message.normalize();
    Ok(image::asked(message).0)
}

/// Makes of a request for images or a video what its style says: models, prompt and parameters. Of what was
/// asked for the number stays, the size that the style does not say, and what a workflow of the style reads.
///
/// # Errors
/// [`Error::BadRequest`].
pub fn apply_to_image(message: &mut pb::SubmitImageRequest, style: &Style) -> Result<()> {
    let own = message.params.take().unwrap_or_default();
    let mut params = outdated(image_params(&style.params))?;
    params.n = own.n;
    params.width = params.width.or(own.width);
    params.height = params.height.or(own.height);
    if params.workflow.is_some() && params.extra_texts.is_empty() {
        params.extra_texts = own.extra_texts;
    }
    params.normalize();
    message.params = Some(params);
    message.models = Some(pb::ModelList { names: style.models.clone() });
    message.prompt = Some(style::fill(style.kind, &style.prompt, message.prompt())?);
    Ok(())
}

/// The same, of a request for texts.
///
/// # Errors
/// [`Error::BadRequest`].
pub fn apply_to_text(message: &mut pb::SubmitTextRequest, style: &Style) -> Result<()> {
    let own = message.params.take().unwrap_or_default();
    let mut params = outdated(text_params(&style.params))?;
    params.n = own.n;
    params.normalize();
    message.params = Some(params);
    message.models.clone_from(&style.models);
    message.prompt = Some(style::fill(style.kind, &style.prompt, message.prompt())?);
    Ok(())
}

/// A page of a list.
pub fn query(sort: Option<String>, page: Option<i32>, kind: Option<Kind>) -> Query {
    let sort = if sort.as_deref() == Some("age") { Sort::Age } else { Sort::Popular };
    let page = u32::try_from(page.unwrap_or(1).max(1) - 1).unwrap_or(0);
    Query { kind, sort, page, tag: None, model: None }
}

/// A style of images, as it is shown.
pub fn image_style(style: &Style, authors: &Authors) -> pb::ImageStyle {
    let params = shown::<pb::ImageStyleParams>(&style.params);
    pb::ImageStyle {
        id: style.id.to_string(),
        name: style.name.clone(),
        info: style.info.clone(),
        prompt: style.prompt.clone(),
        params: Some(params).filter(|params| *params != pb::ImageStyleParams::default()),
        public: style.is_public,
        nsfw: style.nsfw,
        tags: style.tags.clone(),
        models: style.models.clone(),
        use_count: style.use_count,
        creator: creator(style, authors),
        examples: style.examples.iter().map(example).collect(),
        shared_key: key(style, authors),
    }
}

/// A style of texts, as it is shown.
pub fn text_style(style: &Style, authors: &Authors) -> pb::TextStyle {
    let mut params = shown::<pb::TextStyleParams>(&style.params);
    params.dynatemp_exponent.get_or_insert(1.0);
    pb::TextStyle {
        id: style.id.to_string(),
        name: style.name.clone(),
        info: style.info.clone(),
        prompt: style.prompt.clone(),
        params: Some(params),
        public: style.is_public,
        nsfw: style.nsfw,
        tags: style.tags.clone(),
        models: style.models.clone(),
        use_count: style.use_count,
        creator: creator(style, authors),
        shared_key: key(style, authors),
    }
}

/// The parameters that are shown: those that the message knows.
fn shown<T: DeserializeOwned + Default>(params: &Map<String, Value>) -> T {
    // They were checked before they were stored.
    serde_json::from_value(Value::Object(params.clone())).unwrap_or_default()
}

fn creator(style: &Style, authors: &Authors) -> String {
    authors.names.get(&style.owner).cloned().unwrap_or_else(|| format!("#{}", style.owner))
}

fn example(example: &style::Example) -> pb::StyleExample {
    pb::StyleExample { id: example.id.to_string(), url: example.url.clone(), primary: example.is_primary }
}

fn key(style: &Style, authors: &Authors) -> Option<pb::StyleSharedKey> {
    let id: SharedKeyId = style.shared_key?;
    let (
        lender,
        SharedKey {
            name,
            budget,
            utilized,
            expires_at,
            max_image_pixels,
            max_image_steps,
            max_text_tokens,
            ..
        },
    ) = authors.keys.get(&id)?;
    Some(pb::StyleSharedKey {
        id: id.to_string(),
        username: lender.clone(),
        name: name.clone(),
        kudos: budget.map_or(-1, Kudos::floor),
        expiry: expires_at.map(dates::rfc822),
        utilized: utilized.floor(),
        max_image_pixels: max_image_pixels.unwrap_or(-1),
        max_image_steps: max_image_steps.unwrap_or(-1),
        max_text_tokens: max_text_tokens.unwrap_or(-1),
    })
}

/// A collection, as it is shown, with what its styles are called.
pub fn collection(collection: &Collection, members: &[(String, String)]) -> pb::StyleCollection {
    let member = |(name, id): &(String, String)| pb::CollectionMember { name: name.clone(), id: id.clone() };
    pb::StyleCollection {
        id: collection.id.to_string(),
        name: collection.name.clone(),
        r#type: collection.kind.word().to_owned(),
        info: collection.info.clone(),
        public: collection.is_public,
        styles: members.iter().map(member).collect(),
        use_count: collection.use_count,
    }
}

/// What is answered when something was made or changed.
pub fn changed(id: impl ToString, warnings: &[Warning]) -> pb::StyleChangedResponse {
    let warnings = warnings.iter().map(warning).collect();
    pb::StyleChangedResponse { id: id.to_string(), message: "OK".into(), warnings }
}

/// What is answered when something was deleted.
pub fn deleted() -> pb::StyleDeletedResponse {
    pb::StyleDeletedResponse { message: "OK".into() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tonic_types::StatusExt;

    use super::*;
    use crate::domain::{StyleId, Timestamp, UserId};

    fn style(kind: Kind, prompt: &str, params: Value) -> Style {
        let Value::Object(params) = params else { panic!("parameters are an object") };
        Style {
            id: StyleId(uuid::Uuid::from_u128(1)),
            kind,
            owner: UserId(1),
            name: "a".into(),
            info: None,
            prompt: prompt.into(),
            params,
            is_public: true,
            nsfw: true,
            tags: vec![],
            models: vec!["m".into()],
            examples: vec![],
            shared_key: None,
            use_count: 0,
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
            revision: 1,
        }
    }

    fn sent(params: Value) -> pb::SubmitImageRequest {
        let mut message: pb::SubmitImageRequest = serde_json::from_value(
            json!({"prompt": "cat###dog", "params": params, "models": ["x", "y"], "nsfw": false}),
        )
        .unwrap();
        message.normalize();
        message
    }

    #[test]
    fn a_style_of_images_replaces_all_but_number_and_size() {
        let own = json!({"n": 3, "width": 640, "height": 768, "steps": 7, "seed": "5", "control_type": "canny",
            "cfg_scale": 9, "karras": false, "extra_texts": [{"text": "x", "reference": "qr_code"}]});
        for (params, changed, rule) in [
            (json!({}), json!({}), "size and number stay, all else is as usual"),
            (json!({"width": 1024, "n": 9}), json!({"width": 1024}), "a side that the style says"),
            (json!({"steps": 12, "cfg_scale": 2.5}), json!({"steps": 12, "cfg_scale": 2.5}), "what it says"),
            (
                json!({"workflow": "qr_code"}),
                json!({"workflow": "qr_code", "extra_texts": [{"text": "x", "reference": "qr_code"}]}),
                "what its workflow reads",
            ),
            (json!({"unheard_of": [1]}), json!({}), "what nobody knows is nothing"),
        ] {
            let mut message = sent(own.clone());
            apply_to_image(&mut message, &style(Kind::Image, "{p} in oil{np}", params)).unwrap();
            assert_eq!(message.prompt(), "cat in oil###dog", "{rule}");
            assert_eq!(message.models.as_ref().unwrap().names, ["m"], "{rule}");
            assert_eq!(message.nsfw, Some(false), "{rule}: the request's own");
            let mut expected = json!({"n": 3, "width": 640, "height": 768});
            for (name, value) in changed.as_object().unwrap() {
                expected[name] = value.clone();
            }
            assert_eq!(message.params, sent(expected).params, "{rule}");
        }
    }

    #[test]
    fn a_style_of_texts_replaces_all_but_the_number() {
        let mut message: pb::SubmitTextRequest = serde_json::from_value(
            json!({"prompt": "a###b", "params": {"n": 2, "temperature": 1.0, "top_k": 5}, "models": ["x"]}),
        )
        .unwrap();
        let params = json!({"temperature": 0.5, "max_length": 200});
        apply_to_text(&mut message, &style(Kind::Text, "Say {p}!", params)).unwrap();
        assert_eq!((message.prompt(), &message.models[..]), ("Say a###b!", &["m".to_owned()][..]));
        let params = message.params.unwrap();
        assert_eq!((params.n, params.temperature, params.top_k), (Some(2), Some(0.5), None));
        assert_eq!((params.max_length, params.max_context_length), (Some(200), Some(2048)));
    }

    #[test]
    fn parameters_are_checked_as_those_of_requests() {
        let paths = |kind, params: Value| -> Vec<String> {
            let Value::Object(params) = params else { panic!("parameters are an object") };
            match check_params(kind, &params) {
                Ok(()) => Vec::new(),
                Err(status) => {
                    let fields = status.get_error_details().bad_request().unwrap().field_violations.clone();
                    fields.into_iter().map(|violation| violation.field).collect()
                }
            }
        };
        for (kind, params, offending, rule) in [
            (Kind::Image, json!({}), &[][..], "none"),
            (Kind::Image, json!({"steps": 500, "later": {"a": 1}}), &[], "unknown ones are kept"),
            (Kind::Image, json!({"steps": 501}), &["params.steps"], "bounds"),
            (Kind::Image, json!({"steps": "5", "width": 65}), &["params.steps"], "types come first"),
            (Kind::Image, json!({"width": 65}), &["params.width"], "sizes"),
            (Kind::Image, json!({"loras": [{"model": 1}]}), &["params.loras.0.name"], "within lists"),
            (Kind::Image, json!({"karras": null}), &["params.karras"], "null is nothing"),
            (Kind::Text, json!({"temperature": 6}), &["params.temperature"], "texts"),
            (Kind::Text, json!({"steps": 501}), &[], "what is an image's is unknown to texts"),
            (Kind::Text, json!({"later": "x".repeat(MAX_PARAMS)}), &["params"], "size"),
        ] {
            assert_eq!(paths(kind, params), offending, "{rule}");
        }
    }

    #[test]
    fn what_is_shown_are_the_parameters_that_are_known() {
        let params = json!({"cfg_scale": 7, "steps": 20, "later": 1, "loras": [{"name": "x"}], "seed": "5"});
        let shown = image_style(&style(Kind::Image, "{p}{np}", params), &Authors::default());
        let shown = serde_json::to_value(shown).unwrap();
        let lora = json!({"name": "x", "is_version": false});
        assert_eq!(shown["params"], json!({"cfg_scale": 7.0, "steps": 20, "loras": [lora]}), "no defaults");
        let bare = serde_json::to_value(image_style(&style(Kind::Image, "", json!({})), &Authors::default()));
        assert!(bare.unwrap().get("params").is_none(), "an empty object is left out");
        let text = text_style(&style(Kind::Text, "{p}", json!({"top_k": 3})), &Authors::default());
        assert_eq!(
            serde_json::to_value(text).unwrap()["params"],
            json!({"top_k": 3, "min_p": 0.0, "smoothing_factor": 0.0, "dynatemp_range": 0.0,
                   "dynatemp_exponent": 1.0}),
            "some are always shown"
        );
    }
}
