//! States that brokers are brought into, and what comes of calls in them.

use std::pin::Pin;

use gridbroker::{
    config::{Config, ImageModels},
    rpc::admin::AddSharedKeyRequest,
};
use serde_json::{Value, json};
use tonic::Code;

use super::{Names, Prepare, Scene};
use crate::harness::{
    ADA, ALICE, ANONYMOUS, BOB, Broker, CAROL, MALLORY, MONA, OPEN_KEY, Row, Verb,
    Verdict::{self, Done, Fields, Once, Reason},
};

pub(super) const NOBODY: &str = "nobody-has-this-key";
pub(super) const UUID: &str = "77777777-7777-4777-8777-777777777777";
const AGENT: &str = "AI Horde Worker reGen:13.0.0:x";
const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

pub(super) const UNKNOWN: Verdict = Reason(401, "InvalidAPIKey", Code::Unauthenticated);

pub(super) fn bad(rc: &'static str) -> Verdict {
    Reason(400, rc, Code::InvalidArgument)
}

pub(super) fn denied(rc: &'static str) -> Verdict {
    Reason(403, rc, Code::PermissionDenied)
}

pub(super) fn missing(rc: &'static str) -> Verdict {
    Reason(404, rc, Code::NotFound)
}

pub(super) fn scene(
    name: &'static str,
    settings: fn(&mut Config),
    prepare: Prepare,
    rows: Vec<Row>,
) -> Scene {
    Scene { name, settings, prepare, rows, is_void: false }
}

/// Posts, and returns an ID of the answer.
pub(super) async fn posts(broker: &Broker, key: &str, path: &str, body: Value) -> String {
    let answer = broker.json(key).post(path, body).await.ok();
    answer["id"].as_str().or(answer["forms"][0]["id"].as_str()).unwrap_or_default().to_owned()
}

pub(super) async fn worker(broker: &Broker, key: &str, path: &str, offer: Value) -> String {
    let name = offer["name"].as_str().expect("a name").to_owned();
    broker.json(key).post(path, offer).await.ok();
    let shown = broker.json(key).get(&format!("/workers/name/{name}")).await.ok();
    shown["id"].as_str().expect("an ID").to_owned()
}

pub fn all() -> Vec<Scene> {
    vec![
        scene("everything is done", |_| {}, |broker| Box::pin(prepare_all(broker)), done()),
        scene("jobs", |_| {}, |broker| Box::pin(prepare_jobs(broker)), jobs()),
        scene("workers", |_| {}, |broker| Box::pin(prepare_workers(broker)), workers()),
        scene("full accounts", |_| {}, |broker| Box::pin(prepare_full(broker)), full()),
        scene("modes", |_| {}, nothing, modes()),
        scene("raids", hidden, |broker| Box::pin(raid(broker)), raids()),
        scene("unsafe addresses", hidden, nothing, unsafe_addresses()),
        scene("keys that are lent", |_| {}, |broker| Box::pin(prepare_keys(broker)), keys()),
        scene("filters", filters, nothing, filtered()),
        scene("an address in timeout", filters, |broker| Box::pin(shut_out(broker)), timeouts()),
        scene("alchemy", |_| {}, nothing, alchemy()),
        scene(
            "known models",
            |config| config.people.image_models = ImageModels::Known,
            nothing,
            rows! {
                "none of its models is known": PopImage CAROL, {"name": "artist", "models": ["home-made"]} =>
                    bad("BadRequest");
            },
        ),
    ]
}

fn nothing(_: &Broker) -> Pin<Box<dyn Future<Output = Names> + '_>> {
    Box::pin(async { Names::new() })
}

async fn prepare_all(broker: &Broker) -> Names {
    let image = json!({"prompt": "x", "params": {"n": 2}});
    let text = json!({"prompt": "x", "models": ["any-model"], "params": {"n": 2}});
    let video = json!({"prompt": "x", "models": ["Wan 2.2"], "media_type": "video"});
    let forms = json!({"source_image": PIXEL, "forms": [{"name": "caption"}, {"name": "nsfw"}]});
    let names = [
        ("image", posts(broker, ALICE, "/generate/async", image).await),
        ("text", posts(broker, ALICE, "/generate/text/async", text).await),
        ("video", posts(broker, ALICE, "/generate/video/async", video).await),
        ("forms", posts(broker, ALICE, "/interrogate/async", forms).await),
        (
            "painter",
            worker(broker, BOB, "/generate/pop", json!({"name": "painter", "models": ["other"]})).await,
        ),
        (
            "parting",
            worker(broker, BOB, "/generate/pop", json!({"name": "parting", "models": ["other"]})).await,
        ),
        (
            "image job",
            posts(
                broker,
                BOB,
                "/generate/pop",
                json!({"name": "drawer", "models": ["stable_diffusion"], "bridge_agent": AGENT}),
            )
            .await,
        ),
        (
            "text job",
            posts(broker, BOB, "/generate/text/pop", json!({"name": "writer", "models": ["any-model"]}))
                .await,
        ),
        (
            "video job",
            posts(
                broker,
                BOB,
                "/generate/video/pop",
                json!({"name": "filmer", "models": ["Wan 2.2"], "bridge_agent": AGENT}),
            )
            .await,
        ),
        (
            "form job",
            posts(broker, BOB, "/interrogate/pop", json!({"name": "seer", "forms": ["caption"]})).await,
        ),
    ];
    let over = posts(broker, ALICE, "/generate/text/async", json!({"prompt": "x"})).await;
    broker.json(ALICE).delete(&format!("/generate/text/status/{over}")).await.ok();
    let mut names = Names::from(names);
    names.insert("over", over);
    names
}

fn done() -> Vec<Row> {
    rows! {
        "an image": SubmitImage ALICE, {"prompt": "x"} => Done(202);
        "its price": SubmitImage ALICE, {"prompt": "x", "dry_run": true} => Done(200);
        "a text": SubmitText ALICE, {"prompt": "x"} => Done(202);
        "its price": SubmitText ALICE, {"prompt": "x", "dry_run": true} => Done(200);
        "a video": SubmitVideo ALICE, {"prompt": "x"} => Done(202);
        "forms": SubmitAlchemy ALICE, {"source_image": PIXEL, "forms": [{"name": "caption"}]} => Done(202);
        "anybody may ask": SubmitImage ANONYMOUS, {"prompt": "x"} => Done(202);
        "a flagged account as well": SubmitText MALLORY, {"prompt": "x"} => Done(202);
        "how far an image is": CheckImage None, {"id": "<image>"} => Done(200);
        "rated before it is there": RateImages None, {"id": "<image>", "best": UUID} =>
            Reason(400, "AestheticsNotCompleted", Code::FailedPrecondition);
        "what there is of it": GetImage None, {"id": "<image>"} => Done(200);
        "a video is an image there": CheckImage None, {"id": "<video>"} => Done(200);
        "how far a video is": CheckVideo None, {"id": "<video>"} => Done(200);
        "what there is of it": GetVideo None, {"id": "<video>"} => Done(200);
        "what there is of a text": GetText None, {"id": "<text>"} => Done(200);
        "what there is of forms": GetAlchemy None, {"id": "<forms>"} => Done(200);
        "all of it, as it comes": Watch None, {"id": "<over>"} => Done(200);
        "progress": ReportProgress BOB, {"id": "<image job>", "current_step": 1, "total_steps": 2} => Done(200);
        "an image is handed in": SubmitImageResult BOB, {"id": "<image job>", "generation": PIXEL, "seed": 1} => Once(200);
        "a text": SubmitTextResult BOB, {"id": "<text job>", "generation": "once"} => Once(200);
        "a video may fail": SubmitVideoResult BOB, {"id": "<video job>", "generation": "", "seed": 0, "state": "faulted"} =>
            Done(200);
        "a form": SubmitAlchemyResult BOB, {"id": "<form job>", "result": {"caption": "a cat"}} => Once(200);
        "a pop without a job": PopImage BOB, {"name": "painter", "models": ["other"]} => Done(200);
        "for texts": PopText BOB, {"name": "writer", "models": ["another"]} => Done(200);
        "for videos": PopVideo BOB, {"name": "filmer", "models": ["another"]} => Done(200);
        "for forms": PopAlchemy BOB, {"name": "seer", "forms": ["palette"]} => Done(200);
        "an image is cancelled": CancelImage None, {"id": "<image>"} => Done(200);
        "nobody rates what is not shared": RateImages None, {"id": "<image>", "best": UUID} =>
            Reason(400, "AestheticsNotPublic", Code::FailedPrecondition);
        "a text": CancelText None, {"id": "<text>"} => Done(200);
        "a video": CancelVideo None, {"id": "<video>"} => Done(200);
        "forms": CancelAlchemy None, {"id": "<forms>"} => Done(200);
        "all workers": ListWorkers None, {} => Done(200);
        "those of a kind": ListWorkers MONA, {"type": "text"} => Done(200);
        "one": GetWorker None, {"id": "<painter>"} => Done(200);
        "by its name": GetWorkerByName MONA, {"name": "painter"} => Done(200);
        "its owner changes it": UpdateWorker BOB, {"id": "<painter>", "info": "mine"} => Done(200);
        "a moderator as well": UpdateWorker MONA, {"id": "<painter>", "paused": false} => Done(200);
        "and an administrator": UpdateWorker ADA, {"id": "<painter>", "paused": false} => Done(200);
        "it goes": DeleteWorker BOB, {"id": "<parting>"} => Once(200);
        "how the node is": Heartbeat None, {} => Done(200);
        "how busy all are": Performance None, {} => Done(200);
        "models": ListModels None, {"type": "text"} => Done(200);
        "one of them": GetModel None, {"name": "stable_diffusion"} => Done(200);
        "modes": GetModes None, {} => Done(200);
        "a moderator sees all": GetModes MONA, {} => Done(200);
        "and switches them": UpdateModes MONA, {"raid_mode": false} => Done(200);
        "an administrator the first": UpdateModes ADA, {"maintenance_mode": false} => Done(200);
        "news": GetNews None, {} => Done(200);
        "what is needed": AutoWorkerType BOB, {} => Done(200);
        "who one is": FindUser ALICE, {} => Done(200);
        "why an image waits": Explain None, {"id": "<image>"} => Done(200);
        "of one that is over that it is": Explain None, {"id": "<over>"} => Done(200);
        "why its worker gets nothing": ExplainWorker BOB, {"id": "<painter>"} => Done(200);
        "and a moderator": ExplainWorker MONA, {"id": "<painter>"} => Done(200);
    }
}

async fn prepare_jobs(broker: &Broker) -> Names {
    let text = json!({"prompt": "mine", "models": ["any-model"]});
    let request = posts(broker, ALICE, "/generate/text/async", text.clone()).await;
    let offer = json!({"name": "scribe", "models": ["any-model"]});
    let job = posts(broker, BOB, "/generate/text/pop", offer.clone()).await;
    posts(broker, ALICE, "/generate/text/async", text.clone()).await;
    let settled = posts(broker, BOB, "/generate/text/pop", offer.clone()).await;
    let result = json!({"id": settled, "generation": "x"});
    broker.json(BOB).post("/generate/text/submit", result).await.ok();
    posts(broker, ALICE, "/generate/text/async", text).await;
    let failed = posts(broker, BOB, "/generate/text/pop", offer).await;
    let fault = json!({"id": failed, "generation": "", "state": "faulted"});
    broker.json(BOB).post("/generate/text/submit", fault).await.ok();
    posts(broker, ALICE, "/generate/async", json!({"prompt": "x"})).await;
    let offer = json!({"name": "painter", "models": ["stable_diffusion"], "bridge_agent": AGENT});
    let drawn = posts(broker, BOB, "/generate/pop", offer).await;
    Names::from([("text", request), ("job", job), ("settled", settled), ("failed", failed), ("drawn", drawn)])
}

fn jobs() -> Vec<Row> {
    let foreign = denied("WrongCredentials");
    let remarks = vec![json!({"type": "information", "value": "see_ref"}); 51];
    rows! {
        "a foreign job": SubmitTextResult CAROL, {"id": "<job>", "generation": "x"} => foreign;
        "not even its fault": SubmitTextResult CAROL, {"id": "<job>", "generation": "", "state": "faulted"} => foreign;
        "a foreign report": ReportProgress CAROL, {"id": "<job>", "current_step": 1, "total_steps": 2} => foreign;
        "a foreign name": PopText CAROL, {"name": "scribe", "models": ["any-model"]} => foreign;
        "a name of another kind": PopImage BOB, {"name": "scribe", "models": ["stable_diffusion"]} =>
            Reason(400, "PolymorphicNameConflict", Code::AlreadyExists);
        "text is missing": ReportProgress BOB, {"id": "<job>", "current_step": 1, "total_steps": 2, "text": "x", "offset": 5} =>
            Reason(409, "TokenGap", Code::OutOfRange);
        "a known job, an unknown key": SubmitTextResult NOBODY, {"id": "<job>", "generation": "x"} => UNKNOWN;
        "51 remarks": SubmitTextResult BOB, {"id": "<job>", "generation": "x", "gen_metadata": remarks} => bad("BadRequest");
        "NUL": SubmitTextResult BOB, {"id": "<job>", "generation": "a\0b"} => bad("NulByteInPayload");
        "a text is no image": GetImage ALICE, {"id": "<text>"} => missing("RequestNotFound");
        "nor can it be cancelled as one": CancelImage ALICE, {"id": "<text>"} => missing("RequestNotFound");
        "nor rated as one": RateImages None, {"id": "<text>"} => missing("RequestNotFound");
        "nor is it a video": CheckVideo None, {"id": "<text>"} => missing("RequestNotFound");
        "nor shown as one": GetVideo None, {"id": "<text>"} => missing("RequestNotFound");
        "nor cancelled as one": CancelVideo None, {"id": "<text>"} => missing("RequestNotFound");
        "nor is it forms": GetAlchemy None, {"id": "<text>"} => missing("RequestNotFound");
        "nor cancelled as such": CancelAlchemy None, {"id": "<text>"} => missing("RequestNotFound");
        "a second result": SubmitTextResult BOB, {"id": "<settled>", "generation": "x"} =>
            Reason(400, "DuplicateGen", Code::AlreadyExists);
        "a late report": ReportProgress BOB, {"id": "<settled>", "current_step": 1, "total_steps": 2} =>
            Reason(400, "AbortedGen", Code::Aborted);
        "a late result": SubmitTextResult BOB, {"id": "<failed>", "generation": "x"} =>
            Reason(400, "AbortedGen", Code::Aborted);
        "nothing was uploaded": SubmitImageResult BOB, {"id": "<drawn>", "generation": "R2", "seed": 1} => bad("BadRequest");
        "neither an image nor short": SubmitImageResult BOB, {"id": "<drawn>", "generation": ("?".repeat(70_000)), "seed": 1} =>
            bad("BadRequest");
        "an image is no video": SubmitVideoResult BOB, {"id": "<drawn>", "generation": "R2", "seed": 1} =>
            missing("InvalidJobID");
        "nor is it a form": SubmitAlchemyResult BOB, {"id": "<drawn>", "result": {}} => missing("InvalidJobID");
    }
}

async fn prepare_workers(broker: &Broker) -> Names {
    let offer = |name: &str| json!({"name": name, "models": ["any-model"]});
    let own = worker(broker, BOB, "/generate/text/pop", offer("writer")).await;
    worker(broker, CAROL, "/generate/text/pop", offer("copyist")).await;
    let resting = worker(broker, BOB, "/generate/text/pop", offer("resting")).await;
    let path = format!("/workers/{resting}");
    broker.json(BOB).put(&path, json!({"maintenance": true})).await.ok();
    posts(broker, ALICE, "/generate/text/async", json!({"prompt": "x"})).await;
    let busy = worker(broker, BOB, "/generate/text/pop", offer("busy")).await;
    Names::from([("own", own), ("resting", resting), ("busy", busy)])
}

fn workers() -> Vec<Row> {
    let on = true;
    rows! {
        "an unknown one, before the key": UpdateWorker None, {"id": UUID, "maintenance": on} => missing("WorkerNotFound");
        "a name is no ID": UpdateWorker BOB, {"id": "writer", "maintenance": on} => missing("WorkerNotFound");
        "nobody's key": UpdateWorker NOBODY, {"id": "<own>", "maintenance": on} => UNKNOWN;
        "another's worker": UpdateWorker ALICE, {"id": "<own>", "maintenance": on} => denied("NotOwner");
        "the anonymous one owns none": UpdateWorker ANONYMOUS, {"id": "<own>", "maintenance": on} => denied("NotOwner");
        "owners pause nobody": UpdateWorker BOB, {"id": "<own>", "paused": on} => denied("NotModerator");
        "nor rename others'": UpdateWorker ALICE, {"id": "<own>", "name": "mine now"} => denied("NotModerator");
        "names are unique": UpdateWorker BOB, {"id": "<own>", "name": "copyist"} =>
            Reason(400, "WorkerNameAlreadyExists", Code::AlreadyExists);
        "and decent": UpdateWorker BOB, {"id": "<own>", "name": "holy shit"} => bad("ProfaneWorkerName");
        "and so is info": UpdateWorker BOB, {"id": "<own>", "info": "Shit!"} => bad("ProfaneWorkerInfo");
        "NUL is not stored": UpdateWorker BOB, {"id": "<own>", "info": "a\0b"} => bad("NulByteInPayload");
        "there are no teams": UpdateWorker BOB, {"id": "<own>", "team": "no-team"} => missing("TeamNotFound");
        "something is to change": UpdateWorker BOB, {"id": "<own>"} => bad("NoWorkerModSelected");
        "a text is nothing": UpdateWorker BOB, {"id": "<own>", "maintenance_msg": "x"} => bad("NoWorkerModSelected");
        "fields have bounds": UpdateWorker BOB, {"id": "<own>", "name": "four", "info": ("x".repeat(1001))} =>
            Fields(&["info", "name"]);
        "a worker that rests has nothing of others": PopText BOB, {"name": "resting", "models": ["other"]} =>
            Reason(403, "WorkerMaintenance", Code::FailedPrecondition);
        "without a key": DeleteWorker None, {"id": "<busy>"} => UNKNOWN;
        "nobody in particular": DeleteWorker ANONYMOUS, {"id": "<busy>"} => denied("AnonForbiddenWorker");
        "another's": DeleteWorker ALICE, {"id": "<busy>"} => denied("NotModerator");
        "while it holds a job": DeleteWorker BOB, {"id": "<busy>"} => Reason(423, "Locked", Code::FailedPrecondition);
        "an unknown one": DeleteWorker BOB, {"id": UUID} => missing("WorkerNotFound");
        "nor is one explained": ExplainWorker BOB, {"id": UUID} => missing("WorkerNotFound");
        "that takes a key": ExplainWorker None, {"id": "<own>"} => Fields(&["apikey"]);
        "of somebody": ExplainWorker NOBODY, {"id": "<own>"} => UNKNOWN;
        "of its owner": ExplainWorker CAROL, {"id": "<own>"} => denied("NotModerator");
        "and not of everybody": ExplainWorker ANONYMOUS, {"id": "<own>"} => denied("NotModerator");
        "indecent": PopText CAROL, {"name": "shitty", "models": ["any-model"]} => bad("ProfaneWorkerName");
        "so is its software": PopText CAROL, {"name": "fine", "models": ["any-model"], "bridge_agent": "shit:1:x"} =>
            bad("ProfaneBridgeAgent");
        "a machine that is not wanted": PopText CAROL, {"name": "Google 1", "models": ["any-model"]} => bad("BadRequest");
        "another's model": PopText CAROL, {"name": "fine", "models": ["model::bob#2"]} => bad("BadRequest");
        "what is needed is told to who has a key": AutoWorkerType NOBODY, {} => UNKNOWN;
        "for videos too": PopVideo NOBODY, {"name": "x", "models": ["any-model"]} => UNKNOWN;
        "and forms": PopAlchemy NOBODY, {"name": "x", "forms": ["caption"]} => UNKNOWN;
        "a form that is none": PopAlchemy BOB, {"name": "x", "forms": ["none"]} => Fields(&["forms.0"]);
        "a priority name of alchemists": PopAlchemy BOB, {"name": "x", "forms": ["caption"], "priority_usernames": ["bob"]} =>
            bad("BadRequest");
        "models of a state": ListModels None, {"model_state": "none"} => bad("BadRequest");
    }
}

async fn prepare_full(broker: &Broker) -> Names {
    for (key, most) in [(CAROL, 4), (BOB, 21)] {
        for i in 0..most {
            let offer = json!({"name": format!("{key} {i}"), "models": ["other-model"]});
            broker.json(key).post("/generate/text/pop", offer).await.ok();
        }
    }
    for _ in 0..5 {
        posts(broker, ALICE, "/generate/text/async", json!({"prompt": "x", "params": {"n": 20}})).await;
        posts(broker, ALICE, "/generate/async", json!({"prompt": "x", "params": {"n": 20, "steps": 1}}))
            .await;
    }
    let forms = json!({"source_image": PIXEL, "forms": [{"name": "caption"}]});
    posts(broker, ALICE, "/interrogate/async", forms).await;
    Names::new()
}

fn full() -> Vec<Row> {
    let busy = Reason(429, "TooManyPrompts", Code::ResourceExhausted);
    let forms = vec![json!({"name": "caption"}); 1000];
    rows! {
        "a fifth worker": PopText CAROL, {"name": "one more", "models": ["other-model"]} => denied("TooManyWorkers");
        "a twenty-second": PopText BOB, {"name": "one more", "models": ["other-model"]} => denied("TooManyWorkersTrusted");
        "the hundred and first text": SubmitText ALICE, {"prompt": "x"} => busy;
        "and image": SubmitImage ALICE, {"prompt": "x"} => busy;
        "ten times as many forms": SubmitAlchemy ALICE, {"source_image": PIXEL, "forms": forms} => busy;
    }
}

fn modes() -> Vec<Row> {
    let closed = Reason(400, "MaintenanceMode", Code::FailedPrecondition);
    rows! {
        "others do not see them": GetModes ALICE, {} => denied("NotModerator");
        "nor does nobody": GetModes NOBODY, {} => UNKNOWN;
        "nor switch them": UpdateModes ALICE, {"raid_mode": true} => denied("NotModerator");
        "the first takes an administrator": UpdateModes MONA, {"maintenance_mode": true} => denied("NotAdmin");
        "something is switched": UpdateModes MONA, {} => bad("NoHordeModSelected");
        "by somebody": UpdateModes NOBODY, {"raid_mode": true} => UNKNOWN;
        "with a key": UpdateModes None, {"raid_mode": true} => Fields(&["apikey"]);
        "invitations only": UpdateModes MONA, {"invite_only_mode": true} => Done(200);
        "who was not invited": PopText CAROL, {"name": "newcomer", "models": ["any-model"]} => denied("WorkerInviteOnly");
        "all is closed": UpdateModes ADA, {"maintenance_mode": true} => Done(200);
        "to images, before the key": SubmitImage NOBODY, {"prompt": "x"} => closed;
        "to texts": SubmitText NOBODY, {"prompt": "x"} => closed;
        "to videos": SubmitVideo NOBODY, {"prompt": "x"} => closed;
        "to forms": SubmitAlchemy NOBODY, {"source_image": PIXEL, "forms": []} => closed;
    }
}

/// This machine's addresses hide who is behind them.
fn hidden(config: &mut Config) {
    config.people.unsafe_networks = vec!["127.0.0.0/8".parse().expect("a network")];
}

pub async fn raid(broker: &Broker) -> Names {
    broker.json(MONA).put("/status/modes", json!({"raid_mode": true})).await.ok();
    Names::new()
}

fn raids() -> Vec<Row> {
    let refused = denied("UntrustedUnsafeIP");
    rows! {
        "images": SubmitImage ALICE, {"prompt": "x"} => refused;
        "videos": SubmitVideo ALICE, {"prompt": "x"} => refused;
        "forms": SubmitAlchemy ALICE, {"source_image": PIXEL, "forms": [{"name": "caption"}]} => refused;
        "of who is not trusted": SubmitImage BOB, {"prompt": "x"} => Done(202);
        "and not texts": SubmitText ALICE, {"prompt": "x"} => Done(202);
    }
}

fn unsafe_addresses() -> Vec<Row> {
    rows! {
        "workers are not let in": PopText CAROL, {"name": "hidden", "models": ["any-model"]} => denied("UnsafeIP");
        "unless they are trusted": PopText BOB, {"name": "beyond doubt", "models": ["any-model"]} => Done(200);
    }
}

async fn prepare_keys(broker: &Broker) -> Names {
    let lends = async |key: AddSharedKeyRequest| broker.lends(AddSharedKeyRequest { owner: 1, ..key }).await;
    Names::from([
        ("empty", lends(AddSharedKeyRequest { kudos: 0, ..OPEN_KEY }).await),
        ("poor", lends(AddSharedKeyRequest { kudos: 1, ..OPEN_KEY }).await),
        ("small", lends(AddSharedKeyRequest { max_image_pixels: 4096, ..OPEN_KEY }).await),
        ("hasty", lends(AddSharedKeyRequest { max_image_steps: 5, ..OPEN_KEY }).await),
        ("short", lends(AddSharedKeyRequest { max_text_tokens: 16, ..OPEN_KEY }).await),
        ("open", lends(OPEN_KEY).await),
    ])
}

fn keys() -> Vec<Row> {
    let dear = denied("SharedKeyInsufficientKudos");
    rows! {
        "an empty one": SubmitText "<empty>", {"prompt": "x"} => denied("SharedKeyEmpty");
        "before the account is looked at": SubmitText "<empty>", {"prompt": "x", "proxied_account": "x"} =>
            denied("SharedKeyEmpty");
        "one with too little": SubmitImage "<poor>", {"prompt": "x"} => dear;
        "also for a dry run": SubmitImage "<poor>", {"prompt": "x", "dry_run": true} => dear;
        "one for small images": SubmitImage "<small>", {"prompt": "x"} => bad("BadRequest");
        "one for few steps": SubmitVideo "<hasty>", {"prompt": "x"} => bad("BadRequest");
        "one for short texts": SubmitText "<short>", {"prompt": "x"} => bad("BadRequest");
        "no worker has one": PopText "<open>", {"name": "x", "models": ["any-model"]} => UNKNOWN;
        "alchemy takes none": SubmitAlchemy "<open>", {"source_image": PIXEL, "forms": [{"name": "caption"}]} => UNKNOWN;
        "it finds its owner, as everybody sees them": FindUser "<open>", {} => Done(200);
        "it asks": SubmitText "<open>", {"prompt": "x"} => Done(202);
        "an empty one may be nobody's": SubmitText "<empty>", {"prompt": "x", "allow_downgrade": true} => Done(202);
        "a poor one may be late": SubmitImage "<poor>", {"prompt": "x", "allow_downgrade": true} => Done(202);
    }
}

pub fn filters(config: &mut Config) {
    let file = config.store.data.join("filters.json");
    let text =
        r#"[{"regex": "\\bcubs?\\b", "filter_type": 10}, {"regex": "\\bbites?\\b", "filter_type": 20}]"#;
    std::fs::write(&file, text).expect("the directory is there");
    config.people.filters = Some(file);
}

fn filtered() -> Vec<Row> {
    let corrupt = bad("CorruptPrompt");
    rows! {
        "a moderator's prompt": SubmitImage MONA, {"prompt": "a cub bites", "replacement_filter": false} => corrupt;
        "a video's": SubmitVideo MONA, {"prompt": "a cub bites", "replacement_filter": false} => corrupt;
        "too long for words to be replaced": SubmitImage ALICE, {"prompt": (format!("cub bites {}", "x".repeat(7000)))} =>
            bad("BadRequest");
        "nothing would be left": SubmitImage MONA, {"prompt": "cub ### bites"} => Done(202);
        "words are replaced": SubmitImage ALICE, {"prompt": "a cub bites"} => Done(202);
        "texts are not looked at": SubmitText ALICE, {"prompt": "a cub bites"} => Done(202);
    }
}

pub async fn shut_out(broker: &Broker) -> Names {
    let image = posts(broker, ALICE, "/generate/async", json!({"prompt": "x"})).await;
    let blocked = json!({"prompt": "a cub bites", "replacement_filter": false});
    let told = broker.json(CAROL).post("/generate/async", blocked).await;
    assert_eq!(told.verdict(), (400, "CorruptPrompt"), "{}", told.body);
    let json = broker.json(ALICE);
    let check = json.request(reqwest::Method::GET, &format!("/generate/check/{image}"));
    json.send(check.header("client-agent", "a client:1:x")).await.ok();
    Names::from([("image", image)])
}

fn timeouts() -> Vec<Row> {
    let refused = denied("TimeoutIP");
    rows! {
        "a client that does not say which it is": CheckImage None, {"id": "<image>"} => denied("Forbidden");
        "nor of a video": CheckVideo None, {"id": "<image>"} => denied("Forbidden");
        "what there is is shown": GetImage None, {"id": "<image>"} => Done(200);
        "images, whoever asks": SubmitImage ALICE, {"prompt": "a cat"} => refused;
        "texts": SubmitText BOB, {"prompt": "a cat"} => refused;
        "workers of images": PopImage BOB, {"name": "painter", "models": ["stable_diffusion"]} => refused;
        "of texts": PopText BOB, {"name": "writer", "models": ["any-model"]} => refused;
        "of forms": PopAlchemy BOB, {"name": "seer", "forms": ["caption"]} => refused;
    }
}

fn alchemy() -> Vec<Row> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let wide = {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::DynamicImage::new_luma8(3073, 3072)
            .write_to(&mut bytes, image::ImageFormat::Png)
            .expect("it can be written");
        BASE64_STANDARD.encode(bytes.into_inner())
    };
    rows! {
        "without a key": SubmitAlchemy None, {"source_image": PIXEL, "forms": [{"name": "caption"}]} => Fields(&["apikey"]);
        "without an image": SubmitAlchemy ALICE, {"forms": [{"name": "none"}]} => Fields(&["forms.0.name", "source_image"]);
        "nobody's key": SubmitAlchemy NOBODY, {"source_image": PIXEL, "forms": [{"name": "caption"}]} => UNKNOWN;
        "no image": SubmitAlchemy ALICE, {"source_image": "AAAA", "forms": [{"name": "caption"}]} =>
            bad("ImageValidationFailed");
        "too many pixels": SubmitImage ALICE, {"prompt": "x", "source_image": wide} => bad("SourceImageResolutionExceeded");
        "a video of an image model": SubmitVideo ALICE, {"prompt": "x", "models": ["stable_diffusion"]} =>
            bad("VideoModeWithImageModel");
    }
}
