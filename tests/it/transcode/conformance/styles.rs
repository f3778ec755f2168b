//! Styles and collections: each endpoint, done and refused.

use gridbroker::rpc::admin::AddSharedKeyRequest;
use serde_json::json;
use tonic::Code;

use super::{Names, Scene};
use crate::harness::{
    ALICE, ANONYMOUS, BOB, Broker, CAROL, MONA, OPEN_KEY, Row, SAM, Verb,
    Verdict::{self, Done, Fields, Once, Reason},
};

const NOBODY: &str = "nobody-has-this-key";
const UUID: &str = "77777777-7777-4777-8777-777777777777";
const UNKNOWN: Verdict = Reason(401, "InvalidAPIKey", Code::Unauthenticated);

fn bad(rc: &'static str) -> Verdict {
    Reason(400, rc, Code::InvalidArgument)
}

fn denied(rc: &'static str) -> Verdict {
    Reason(403, rc, Code::PermissionDenied)
}

fn missing(rc: &'static str) -> Verdict {
    Reason(404, rc, Code::NotFound)
}

macro_rules! rows {
    ($($rule:literal: $verb:ident $key:expr, $message:tt => $verdict:expr;)*) => {
        vec![$(Row {
            rule: $rule,
            verb: Verb::$verb,
            key: Option::from($key),
            message: json!($message),
            verdict: $verdict,
        }),*]
    };
}

pub fn scenes() -> Vec<Scene> {
    let rows = [images(), texts(), examples(), collections(), requests()].into_iter().flatten().collect();
    let prepare: super::Prepare = |broker| Box::pin(prepare(broker));
    vec![Scene { name: "styles", settings: |_| {}, prepare, rows, is_void: false }]
}

async fn prepare(broker: &Broker) -> Names {
    let bob = broker.json(BOB);
    let key = broker.lends(AddSharedKeyRequest { owner: 1, ..OPEN_KEY }).await;
    let makes =
        async |path: &str, body| bob.post(path, body).await.ok()["id"].as_str().expect("an ID").to_owned();
    let models = json!(["stable_diffusion"]);
    let style = makes("/styles/image", json!({"name": "oil", "models": models})).await;
    let example = json!({"url": "https://example.org/1.webp", "primary": true});
    let parting = json!({"url": "https://example.org/2.webp", "primary": false});
    let path = format!("/styles/image/{style}/example");
    Names::from([
        ("example", makes(&path, example).await),
        ("parting example", makes(&path, parting).await),
        ("style", style),
        ("parting", makes("/styles/image", json!({"name": "parting", "models": models})).await),
        ("text", makes("/styles/text", json!({"name": "tale", "models": ["any"]})).await),
        ("parting text", makes("/styles/text", json!({"name": "parting text", "models": ["any"]})).await),
        ("lent", makes("/styles/image", json!({"name": "lent", "models": models, "sharedkey": key})).await),
        ("collection", makes("/collections", json!({"name": "all", "styles": ["oil", "lent"]})).await),
        ("parting collection", makes("/collections", json!({"name": "few", "styles": ["oil"]})).await),
        ("bound key", key),
    ])
}

fn images() -> Vec<Row> {
    rows! {
        "lists are for everybody": ListImageStyles None, {} => Done(200);
        "in an order that there is": ListImageStyles None, {"sort": "new"} => Fields(&["sort"]);
        "a style": CreateImageStyle BOB, {"name": "new", "models": ["m"], "params": {"steps": 9}} => Once(200);
        "it takes a key": CreateImageStyle None, {"name": "x", "models": ["m"]} => Fields(&["apikey"]);
        "and a name": CreateImageStyle BOB, {"models": ["m"]} => Fields(&["name"]);
        "parameters as of requests":
            CreateImageStyle BOB, {"name": "x", "models": ["m"], "params": {"steps": 501}} =>
            Fields(&["params.steps"]);
        "some model, which comes before the key": CreateImageStyle NOBODY, {"name": "x"} => bad("BadRequest");
        "no more than five": CreateImageStyle BOB, {"name": "x", "models": ["a", "b", "c", "d", "e", "f"]} =>
            bad("BadRequest");
        "ten tags": CreateImageStyle BOB, {"name": "x", "models": ["m"],
            "tags": ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"]} => bad("BadRequest");
        "keys are known": CreateImageStyle NOBODY, {"name": "x", "models": ["m"]} => UNKNOWN;
        "not for all": CreateImageStyle ALICE, {"name": "x", "models": ["m"]} => denied("StylesRequiresCustomizer");
        "nor for nobody": CreateImageStyle ANONYMOUS, {"name": "x", "models": ["m"]} =>
            denied("StylesRequiresCustomizer");
        "no NUL": CreateImageStyle BOB, {"name": "a\0b", "models": ["m"]} => bad("NulByteInPayload");
        "words": CreateImageStyle BOB, {"name": "x", "models": ["m"], "tags": ["shit"]} => bad("BadRequest");
        "names that read as others": CreateImageStyle BOB, {"name": "style::x", "models": ["m"]} => bad("BadRequest");
        "keys that there are": CreateImageStyle BOB, {"name": "x", "models": ["m"], "sharedkey": UUID} =>
            bad("BadRequest");
        "a name is taken once": CreateImageStyle BOB, {"name": "oil", "models": ["m"]} => bad("BadRequest");
        "but not for others": CreateImageStyle MONA, {"name": "oil", "models": ["m"]} => Once(200);
        "a second pass": CreateImageStyle BOB, {"name": "x", "models": ["x [Flux]"], "params": {"hires_fix": true}} =>
            bad("HiResMismatch");
        "decimals": CreateImageStyle BOB, {"name": "x", "models": ["m"], "params": {"cfg_scale": 1.234}} =>
            bad("BadCFGDecimals");
        "versions": CreateImageStyle BOB, {"name": "x", "models": ["m"],
            "params": {"loras": [{"name": "v", "is_version": true}]}} => bad("BadLoraVersion");
        "post-processors": CreateImageStyle BOB, {"name": "x", "models": ["GFPGAN"]} => bad("UnexpectedModelName");
        "special models": CreateImageStyle BOB, {"name": "x", "models": ["horde_special::sam#7"]} => denied("Forbidden");
        "where the prompt goes": CreateImageStyle BOB, {"name": "x", "models": ["m"], "prompt": "only {p}"} =>
            bad("BadRequest");
        "a style by its ID": GetImageStyle None, {"id": "<style>"} => Done(200);
        "or none": GetImageStyle None, {"id": UUID} => missing("Image styleNotFound");
        "what is no ID is none": GetImageStyle None, {"id": "oil"} => missing("Image styleNotFound");
        "of its kind": GetImageStyle None, {"id": "<text>"} => bad("BadRequest");
        "a style by its name": GetImageStyleByName None, {"name": "oil"} => Done(200);
        "with whose it is": GetImageStyleByName None, {"name": "bob#2::style::oil"} => Done(200);
        "and not another's": GetImageStyleByName None, {"name": "style::alice#1::oil"} => missing("StyleNotFound");
        "nor a collection": GetImageStyleByName None, {"name": "collection::all"} => missing("StyleNotFound");
        "of its kind by name": GetImageStyleByName None, {"name": "tale"} => bad("BadRequest");
        "its author changes it": UpdateImageStyle BOB, {"id": "<style>", "info": "as old masters"} => Done(200);
        "also nothing of it": UpdateImageStyle BOB, {"id": "<style>"} => Done(200);
        "a change needs a key": UpdateImageStyle None, {"id": "<style>"} => Fields(&["apikey"]);
        "one that is known": UpdateImageStyle NOBODY, {"id": "<style>"} => UNKNOWN;
        "within bounds": UpdateImageStyle BOB, {"id": "<style>", "name": ""} => Fields(&["name"]);
        "what there is": UpdateImageStyle BOB, {"id": UUID, "nsfw": true} => missing("StyleNotFound");
        "moderators may not": UpdateImageStyle MONA, {"id": "<style>", "nsfw": true} => denied("Forbidden");
        "nor to what is wrong": UpdateImageStyle BOB, {"id": "<style>", "params": {"cfg_scale": 1.234}} =>
            bad("BadCFGDecimals");
        "nor to nothing": UpdateImageStyle BOB, {"id": "<style>", "models": []} => bad("BadRequest");
        "nor to another's name": UpdateImageStyle BOB, {"id": "<style>", "name": "lent"} => bad("BadRequest");
        "nobody deletes": DeleteImageStyle ANONYMOUS, {"id": "<style>"} => denied("StylesAnonForbidden");
        "others neither": DeleteImageStyle ALICE, {"id": "<style>"} => denied("Forbidden");
        "what there is not": DeleteImageStyle BOB, {"id": UUID} => missing("StyleNotFound");
        "without a key": DeleteImageStyle None, {"id": "<style>"} => Fields(&["apikey"]);
        "moderators do": DeleteImageStyle MONA, {"id": "<parting>"} => Once(200);
    }
}

fn texts() -> Vec<Row> {
    rows! {
        "texts are listed": ListTextStyles None, {"sort": "age", "page": 2, "tag": "x", "model": "y"} => Done(200);
        "in a page that is a number": ListTextStyles None, {"sort": "x"} => Fields(&["sort"]);
        "a style of texts": CreateTextStyle BOB, {"name": "new text", "models": ["m"], "prompt": "{p}"} => Once(200);
        "not by all": CreateTextStyle CAROL, {"name": "x", "models": ["m"]} => denied("StylesRequiresCustomizer");
        "parameters of texts": CreateTextStyle BOB, {"name": "x", "models": ["m"], "params": {"temperature": 9}} =>
            Fields(&["params.temperature"]);
        "all samplers": CreateTextStyle BOB, {"name": "x", "models": ["m"], "params": {"sampler_order": [1]}} =>
            bad("MissingFullSamplerOrder");
        "stops": CreateTextStyle BOB, {"name": "x", "models": ["m"], "params": {"stop_sequence": ["x".repeat(2001)]}} =>
            bad("ExcessiveStopSequence");
        "room for the output": CreateTextStyle BOB, {"name": "x", "models": ["m"],
            "params": {"max_length": 200, "max_context_length": 100}} => bad("TokenOverflow");
        "where it goes": CreateTextStyle BOB, {"name": "x", "models": ["m"], "prompt": "{np}"} => bad("BadRequest");
        "one of texts": GetTextStyle None, {"id": "<text>"} => Done(200);
        "none of texts": GetTextStyle None, {"id": UUID} => missing("Text styleNotFound");
        "one of images": GetTextStyle None, {"id": "<style>"} => bad("BadRequest");
        "by name": GetTextStyleByName None, {"name": "style::tale"} => Done(200);
        "by no name": GetTextStyleByName None, {"name": "nothing"} => missing("StyleNotFound");
        "it changes": UpdateTextStyle BOB, {"id": "<text>", "prompt": "Say {p}", "tags": ["a"]} => Done(200);
        "not by others": UpdateTextStyle ALICE, {"id": "<text>", "prompt": "Say {p}"} => denied("Forbidden");
        "it goes": DeleteTextStyle BOB, {"id": "<parting text>"} => Once(200);
        "under its kind": DeleteTextStyle BOB, {"id": "<style>"} => bad("BadRequest");
    }
}

fn examples() -> Vec<Row> {
    rows! {
        "an example": AddStyleExample BOB,
            {"id": "<style>", "url": "https://example.org/3.webp", "primary": true} => Once(200);
        "of moderators": AddStyleExample MONA,
            {"id": "<style>", "url": "https://example.org/4.webp", "primary": false} => Once(200);
        "four are enough": AddStyleExample BOB,
            {"id": "<style>", "url": "https://example.org/5.webp", "primary": false} => denied("Forbidden");
        "where it is": AddStyleExample BOB, {"id": "<style>"} => Fields(&["primary", "url"]);
        "over https": AddStyleExample BOB, {"id": "<lent>", "url": "http://example.org", "primary": true} =>
            bad("BadRequest");
        "not of others": AddStyleExample ALICE, {"id": "<lent>", "url": "https://example.org/a", "primary": true} =>
            denied("Forbidden");
        "of a style": AddStyleExample BOB, {"id": UUID, "url": "https://example.org/a", "primary": true} =>
            missing("StyleNotFound");
        "of images": AddStyleExample BOB, {"id": "<text>", "url": "https://example.org/a", "primary": true} =>
            bad("BadRequest");
        "an example changes": UpdateStyleExample BOB,
            {"id": "<style>", "example_id": "<example>", "url": "https://example.org/6.webp"} => Done(200);
        "not to another's": UpdateStyleExample BOB,
            {"id": "<style>", "example_id": "<example>", "url": "https://example.org/2.webp"} => bad("BadRequest");
        "one stays the primary one": UpdateStyleExample BOB,
            {"id": "<style>", "example_id": "<example>", "primary": false} => bad("BadRequest");
        "one that there is": UpdateStyleExample BOB, {"id": "<style>", "example_id": UUID} =>
            missing("Style exampleNotFound");
        "an example goes": DeleteStyleExample BOB, {"id": "<style>", "example_id": "<parting example>"} => Once(200);
        "and is gone": DeleteStyleExample BOB, {"id": "<style>", "example_id": "<parting example>"} =>
            missing("Style exampleNotFound");
    }
}

fn collections() -> Vec<Row> {
    rows! {
        "collections are listed": ListCollections None, {"type": "image", "page": 0} => Done(200);
        "of a kind": ListCollections None, {"type": "video"} => Fields(&["type"]);
        "anybody makes one": CreateCollection ALICE, {"name": "mine", "styles": ["oil", "<style>"]} => Once(200);
        "of styles": CreateCollection ALICE, {"name": "x"} => Fields(&["styles"]);
        "of some": CreateCollection ALICE, {"name": "x", "styles": []} => bad("BadRequest");
        "that there are": CreateCollection ALICE, {"name": "x", "styles": ["nothing"]} => bad("BadRequest");
        "of one kind": CreateCollection ALICE, {"name": "x", "styles": ["<style>", "<text>"]} => bad("BadRequest");
        "names once": CreateCollection BOB, {"name": "all", "styles": ["oil"]} => bad("BadRequest");
        "keys of somebody": CreateCollection NOBODY, {"name": "x", "styles": ["oil"]} => UNKNOWN;
        "who is somebody": CreateCollection ANONYMOUS, {"name": "x", "styles": ["oil"]} =>
            denied("StylesAnonForbidden");
        "and stays": CreateCollection crate::harness::DAVE, {"name": "x", "styles": ["oil"]} => denied("DeletedUser");
        "a collection": GetCollection None, {"id": "<collection>"} => Done(200);
        "that there is": GetCollection None, {"id": UUID} => missing("CollectionNotFound");
        "by its name": GetCollectionByName None, {"name": "collection::bob#2::all"} => Done(200);
        "and no style": GetCollectionByName None, {"name": "oil"} => missing("CollectionNotFound");
        "it is changed": UpdateCollection BOB, {"id": "<collection>", "info": "all there is", "styles": ["<style>"]} =>
            Done(200);
        "not to another kind": UpdateCollection BOB, {"id": "<collection>", "styles": ["<text>"]} => bad("BadRequest");
        "by its owner": UpdateCollection MONA, {"id": "<collection>", "public": false} => denied("Forbidden");
        "if it is there": UpdateCollection BOB, {"id": UUID, "public": false} => missing("CollectionNotFound");
        "and deleted": DeleteCollection MONA, {"id": "<parting collection>"} => Once(200);
        "not by others": DeleteCollection SAM, {"id": "<collection>"} => denied("Forbidden");
        "nor by nobody": DeleteCollection ANONYMOUS, {"id": "<collection>"} => denied("StylesAnonForbidden");
    }
}

fn requests() -> Vec<Row> {
    rows! {
        "a style is asked for": SubmitImage ALICE, {"prompt": "a cat", "style": "<style>"} => Done(202);
        "or a collection": SubmitImage ALICE, {"prompt": "a cat", "style": "collection::all"} => Done(202);
        "of texts": SubmitText ALICE, {"prompt": "once", "style": "tale"} => Done(202);
        "for videos": SubmitVideo ALICE, {"prompt": "a cat", "style": "bob#2::nothing"} => missing("StyleNotFound");
        "of its kind only": SubmitText ALICE, {"prompt": "once", "style": "<style>"} => bad("BadRequest");
        "before the key": SubmitText NOBODY, {"prompt": "once", "style": "nothing"} => missing("StyleNotFound");
        "and with one": SubmitText NOBODY, {"prompt": "once", "style": "tale"} => UNKNOWN;
        "a key of styles pays for nothing else": SubmitText "<bound key>", {"prompt": "once"} =>
            denied("SharedKeyAssignedStyles");
        "nor for other styles": SubmitImage "<bound key>", {"prompt": "x", "style": "<style>"} =>
            denied("SharedKeyAssignedStyles");
        "but for its own": SubmitImage "<bound key>", {"prompt": "x", "style": "lent"} => Done(202);
    }
}
