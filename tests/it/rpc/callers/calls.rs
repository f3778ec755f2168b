//! How each RPC is called, and which of them let in others than their rule names.

use gridbroker::rpc::admin::AddSharedKeyRequest;
use serde_json::json;

use super::OLGA;
use crate::harness::{BOB, Broker, MONA, OPEN_KEY};

/// An RPC, and a message of it that is valid. `<kind:name>` stands for something of the owner's that is made
/// when it is needed first, `<me>` for the worker of who calls.
pub const CALLS: &[(&str, &str)] = &[
    ("Generate/SubmitImage", r#"{"prompt": "x"}"#),
    ("Generate/SubmitText", r#"{"prompt": "x"}"#),
    ("Generate/SubmitVideo", r#"{"prompt": "x"}"#),
    (
        "Generate/SubmitAlchemy",
        r#"{"forms": [{"name": "caption"}], "source_image": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}"#,
    ),
    ("Generate/CheckImage", r#"{"id": "<image:one>"}"#),
    ("Generate/GetImage", r#"{"id": "<image:one>"}"#),
    ("Generate/CancelImage", r#"{"id": "<image:one>"}"#),
    ("Generate/RateImages", r#"{"id": "<image:one>"}"#),
    ("Generate/CheckText", r#"{"id": "<text:one>"}"#),
    ("Generate/GetText", r#"{"id": "<text:one>"}"#),
    ("Generate/CancelText", r#"{"id": "<text:one>"}"#),
    ("Generate/CheckVideo", r#"{"id": "<image:one>"}"#),
    ("Generate/GetVideo", r#"{"id": "<image:one>"}"#),
    ("Generate/CancelVideo", r#"{"id": "<image:one>"}"#),
    ("Generate/GetAlchemy", r#"{"id": "<image:one>"}"#),
    ("Generate/CancelAlchemy", r#"{"id": "<image:one>"}"#),
    ("Generate/Watch", r#"{"id": "<text:one>"}"#),
    ("Generate/Explain", r#"{"id": "<text:one>"}"#),
    ("Worker/ExplainWorker", r#"{"id": "<worker:shown>"}"#),
    ("Worker/PopStream", r#"{"text": {"name": "<me>", "models": ["mock/echo-7b"]}, "credits": 1}"#),
    ("Worker/Work", r#"{"offer": {"text": {"name": "<me>", "models": ["mock/echo-7b"]}, "credits": 1}}"#),
    ("Worker/PopImage", r#"{"name": "<my images>", "models": ["stable_diffusion"]}"#),
    ("Worker/PopVideo", r#"{"name": "<me>", "models": ["a video model"]}"#),
    ("Worker/PopText", r#"{"name": "<me>", "models": ["mock/echo-7b"]}"#),
    ("Worker/PopAlchemy", r#"{"name": "<me>", "forms": ["caption"]}"#),
    (
        "Worker/SubmitImageResult",
        r#"{"id": "00000000-0000-4000-8000-000000000000", "generation": "R2", "seed": 1}"#,
    ),
    (
        "Worker/SubmitVideoResult",
        r#"{"id": "00000000-0000-4000-8000-000000000000", "generation": "R2", "seed": 1}"#,
    ),
    ("Worker/SubmitTextResult", r#"{"id": "00000000-0000-4000-8000-000000000000", "generation": "y"}"#),
    ("Worker/SubmitAlchemyResult", r#"{"id": "00000000-0000-4000-8000-000000000000", "result": {}}"#),
    ("Worker/Report", r#"{"id": "00000000-0000-4000-8000-000000000000"}"#),
    (
        "Worker/ReportProgress",
        r#"{"id": "00000000-0000-4000-8000-000000000000", "current_step": 1, "total_steps": 2}"#,
    ),
    ("Worker/ReportPreview", r#"{"id": "00000000-0000-4000-8000-000000000000", "image": "x"}"#),
    ("Worker/AutoWorkerType", "{}"),
    ("Worker/ListWorkers", "{}"),
    ("Worker/GetWorker", r#"{"id": "<worker:shown>"}"#),
    ("Worker/GetWorkerByName", r#"{"name": "worker:shown"}"#),
    ("Worker/UpdateWorker", r#"{"id": "<worker:changed>", "info": "x"}"#),
    ("Worker/DeleteWorker", r#"{"id": "<worker:doomed>"}"#),
    ("Status/Heartbeat", "{}"),
    ("Status/Performance", "{}"),
    ("Status/ListModels", "{}"),
    ("Status/GetModel", r#"{"name": "x"}"#),
    ("Status/GetModes", "{}"),
    ("Status/UpdateModes", r#"{"raid_mode": false}"#),
    ("Status/GetNews", "{}"),
    ("Status/WatchStatus", "{}"),
    ("Users/FindUser", "{}"),
    ("Users/ListUsers", "{}"),
    ("Users/GetUser", r#"{"id": "<user:owner>"}"#),
    ("Users/UpdateUser", r#"{"id": "<user:owner>", "contact": "me@example.org"}"#),
    ("Users/DeleteUser", r#"{"id": "<user:owner>"}"#),
    ("Users/Register", r#"{"username": "x"}"#),
    ("Filters/ListFilters", "{}"),
    ("Filters/AddFilter", r#"{"regex": "kittens?", "filter_type": 10}"#),
    ("Filters/TestFilters", r#"{"prompt": "x"}"#),
    ("Filters/ListFilterRegexes", "{}"),
    ("Filters/GetFilter", r#"{"id": "<filter:shown>"}"#),
    ("Filters/UpdateFilter", r#"{"id": "<filter:changed>", "description": "x"}"#),
    ("Filters/DeleteFilter", r#"{"id": "<filter:doomed>"}"#),
    ("Stats/ImageTotals", "{}"),
    ("Stats/ImageModels", "{}"),
    ("Stats/TextTotals", "{}"),
    ("Stats/TextModels", "{}"),
    ("Documents/GetTerms", "{}"),
    ("Documents/GetPrivacy", "{}"),
    ("Documents/GetSponsors", "{}"),
    ("Kudos/TransferKudos", r#"{"username": "bob#2", "amount": 1}"#),
    ("Kudos/AwardKudos", r#"{"username": "bob#2", "amount": 1}"#),
    ("Kudos/VerifyLedger", "{}"),
    ("SharedKeys/CreateSharedKey", "{}"),
    ("SharedKeys/GetSharedKey", r#"{"id": "<key:one>"}"#),
    ("SharedKeys/UpdateSharedKey", r#"{"id": "<key:one>", "name": "others"}"#),
    ("Teams/ListTeams", "{}"),
    ("Teams/CreateTeam", r#"{"name": "Brushes"}"#),
    ("Teams/GetTeam", r#"{"id": "<team:shown>"}"#),
    ("Teams/UpdateTeam", r#"{"id": "<team:changed>", "info": "they paint"}"#),
    ("Teams/DeleteTeam", r#"{"id": "<team:doomed>"}"#),
    ("Worker/ListMessages", "{}"),
    ("Worker/PostMessage", r#"{"message": "x", "worker_id": "<worker:shown>"}"#),
    ("Worker/GetMessage", r#"{"id": "<message:shown>"}"#),
    ("Worker/DeleteMessage", r#"{"id": "<message:doomed>"}"#),
    ("Operations/ListTimeouts", "{}"),
    ("Operations/AddTimeout", r#"{"ipaddr": "203.0.113.9", "hours": 1}"#),
    ("Operations/DeleteTimeout", r#"{"ipaddr": "203.0.113.9"}"#),
    ("Operations/GetTimeouts", r#"{"ipaddr": "203.0.113.9"}"#),
    ("Operations/BlockWorker", r#"{"worker_id": "<worker:blocked>", "days": 1}"#),
    ("Operations/UnblockWorker", r#"{"worker_id": "<worker:blocked>"}"#),
    ("Styles/ListImageStyles", "{}"),
    ("Styles/CreateImageStyle", r#"{"name": "oil", "models": ["any"]}"#),
    ("Styles/GetImageStyle", r#"{"id": "<style:shown>"}"#),
    ("Styles/GetImageStyleByName", r#"{"name": "oil"}"#),
    ("Styles/UpdateImageStyle", r#"{"id": "<style:shown>", "info": "x"}"#),
    ("Styles/DeleteImageStyle", r#"{"id": "<style:doomed>"}"#),
    (
        "Styles/AddStyleExample",
        r#"{"id": "<style:shown>", "url": "https://example.org/1.webp", "primary": false}"#,
    ),
    (
        "Styles/UpdateStyleExample",
        r#"{"id": "<style:shown>", "example_id": "00000000-0000-4000-8000-000000000000", "primary": true}"#,
    ),
    (
        "Styles/DeleteStyleExample",
        r#"{"id": "<style:shown>", "example_id": "00000000-0000-4000-8000-000000000000"}"#,
    ),
    ("Styles/ListTextStyles", "{}"),
    ("Styles/CreateTextStyle", r#"{"name": "tale", "models": ["any"]}"#),
    ("Styles/GetTextStyle", r#"{"id": "<text style:shown>"}"#),
    ("Styles/GetTextStyleByName", r#"{"name": "tale"}"#),
    ("Styles/UpdateTextStyle", r#"{"id": "<text style:shown>", "info": "x"}"#),
    ("Styles/DeleteTextStyle", r#"{"id": "<text style:doomed>"}"#),
    ("Collections/ListCollections", "{}"),
    ("Collections/CreateCollection", r#"{"name": "mine", "styles": ["<style:shown>"]}"#),
    ("Collections/GetCollection", r#"{"id": "<collection:shown>"}"#),
    ("Collections/GetCollectionByName", r#"{"name": "mine"}"#),
    ("Collections/UpdateCollection", r#"{"id": "<collection:shown>", "info": "x"}"#),
    ("Collections/DeleteCollection", r#"{"id": "<collection:doomed>"}"#),
];

/// RPCs that are called when all others have been, in this order: they take away what others need.
pub const LAST: &[&str] = &["Operations/BlockWorker", "Operations/UnblockWorker", "Users/DeleteUser"];

/// RPCs that are not called here, and why, or where they are.
pub const NEVER: &[(&str, &str)] = &[
    ("Users/RotateKey", "whoever is let in has another key then: transcode/accounts.rs"),
    (
        "SharedKeys/DeleteSharedKey",
        "one that is gone is an unknown key, also to who took it back: transcode/conformance/groups.rs",
    ),
];

/// Everybody who may work.
const WORKERS: &str = "user owner awarder trusted service moderator admin";
/// Everybody who may ask for something that costs.
const PAYERS: &str = "anonymous user owner awarder shared trusted service moderator admin flagged";

/// Whoever sends a key, whosever it is.
const KEYS: &str =
    "anonymous user owner awarder shared trusted service moderator admin deleted flagged stranger";

/// RPCs that let in others than their rule names: whom, and why.
pub const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("Worker/SubmitImageResult", KEYS, "that there is no such job is said before the key is looked up"),
    ("Worker/SubmitVideoResult", KEYS, "the same"),
    ("Worker/SubmitTextResult", KEYS, "the same"),
    ("Worker/SubmitAlchemyResult", KEYS, "the same"),
    ("Worker/ReportProgress", KEYS, "the same"),
    ("Worker/ReportPreview", KEYS, "the same"),
    (
        "Status/GetModes",
        "nobody anonymous moderator admin",
        "a key of one's own asks for what moderators see",
    ),
    ("Generate/SubmitImage", PAYERS, "keys that are lent ask for things, accounts to be deleted do not"),
    ("Generate/SubmitText", PAYERS, "the same"),
    ("Generate/SubmitVideo", PAYERS, "the same"),
    (
        "Worker/PopStream",
        WORKERS,
        "workers belong to accounts of their own that are neither flagged nor to be deleted",
    ),
    ("Worker/Work", WORKERS, "the same"),
    ("Worker/PopImage", WORKERS, "the same"),
    ("Worker/PopVideo", WORKERS, "the same"),
    ("Worker/PopText", WORKERS, "the same"),
    ("Worker/PopAlchemy", WORKERS, "the same"),
    (
        "Worker/UpdateWorker",
        "owner moderator admin",
        "unknown workers come before missing keys, so its rule names nobody",
    ),
    ("Worker/DeleteWorker", "owner moderator admin", "the same"),
    ("Status/UpdateModes", "moderator admin", "each mode says what it takes"),
    (
        "Users/FindUser",
        "anonymous user owner awarder shared trusted service moderator admin deleted flagged",
        "it is about the key: without one there is nobody to find",
    ),
    (
        "Users/GetUser",
        "nobody anonymous user owner awarder trusted service moderator admin deleted flagged",
        "a key that is no account's is refused",
    ),
    ("Users/UpdateUser", "owner moderator admin", "what is changed here is for the account and moderators"),
    (
        "Kudos/TransferKudos",
        "user owner awarder trusted service moderator admin deleted",
        "who is flagged gives nothing; that who is to be deleted gives nothing is a state of theirs",
    ),
    ("Teams/GetTeam", "nobody moderator admin", "a key of one's own asks for what moderators see"),
    ("Teams/UpdateTeam", "trusted moderator admin", "teams are founded by trusted accounts: it is bob's"),
    ("Teams/DeleteTeam", "trusted moderator admin", "the same"),
    ("Worker/PostMessage", "owner moderator admin", "the worker is the owner's"),
    ("Styles/UpdateImageStyle", "trusted", "styles are made by trusted accounts: it is bob's"),
    ("Styles/DeleteImageStyle", "trusted moderator admin", "the same"),
    ("Styles/AddStyleExample", "trusted moderator admin", "the same"),
    ("Styles/UpdateStyleExample", "trusted moderator admin", "the same"),
    ("Styles/DeleteStyleExample", "trusted moderator admin", "the same"),
    ("Styles/UpdateTextStyle", "trusted", "the same"),
    ("Styles/DeleteTextStyle", "trusted moderator admin", "the same"),
    (
        "Collections/CreateCollection",
        "user owner awarder trusted service moderator admin flagged",
        "whoever is to be deleted makes nothing any more",
    ),
];

/// Makes something of the owner's, or of who may have such a thing, and returns what it is known by.
pub async fn make(broker: &Broker, what: &str) -> String {
    let olga = broker.json(OLGA);
    let (kind, name) = what.split_once(':').unwrap_or_else(|| panic!("<{what}> has no kind"));
    let made = match kind {
        "image" => olga.post("/generate/async", json!({"prompt": name})).await.ok()["id"].clone(),
        "text" => olga.post("/generate/text/async", json!({"prompt": name})).await.ok()["id"].clone(),
        "filter" => {
            let filter = json!({"regex": name, "filter_type": 11});
            broker.json(MONA).put("/filters", filter).await.ok()["id"].clone()
        }
        "user" => olga.get("/find_user").await.ok()["id"].clone(),
        "worker" => {
            let offer = json!({"name": what, "models": ["some/other-model"]});
            olga.post("/generate/text/pop", offer).await.ok();
            olga.get(&format!("/workers/name/{what}")).await.ok()["id"].clone()
        }
        "key" => {
            let owner = olga.get("/find_user").await.ok()["id"].as_i64().expect("an ID");
            broker.lends(AddSharedKeyRequest { owner, ..OPEN_KEY }).await.into()
        }
        "team" => broker.json(BOB).post("/teams", json!({"name": what})).await.ok()["id"].clone(),
        "message" => {
            let (noted, offer) =
                ("a noted worker", json!({"name": "a noted worker", "models": ["some/model"]}));
            olga.post("/generate/text/pop", offer).await.ok();
            let worker = olga.get(&format!("/workers/name/{noted}")).await.ok()["id"].clone();
            let message = json!({"message": name, "worker_id": worker});
            olga.post("/workers/messages", message).await.ok()["id"].clone()
        }
        "style" | "text style" => {
            let path = if kind == "style" { "/styles/image" } else { "/styles/text" };
            let style = json!({"name": format!("{kind} {name}"), "models": ["any"]});
            broker.json(BOB).post(path, style).await.ok()["id"].clone()
        }
        "collection" => {
            let style = json!({"name": format!("of {name}"), "models": ["any"]});
            let style = broker.json(BOB).post("/styles/image", style).await.ok()["id"].clone();
            let collection = json!({"name": name, "styles": [style]});
            olga.post("/collections", collection).await.ok()["id"].clone()
        }
        _ => panic!("say how to make <{what}>"),
    };
    made.as_str().map_or_else(|| made.to_string(), str::to_owned)
}
