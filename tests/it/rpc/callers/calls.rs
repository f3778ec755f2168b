//! How each RPC is called, and which of them let in others than their rule names.

use serde_json::json;

use super::OLGA;
use crate::harness::{Broker, MONA};

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
    ("Kudos/TransferKudos", r#"{"username": "<user:owner>", "amount": 1}"#),
    ("Kudos/AwardKudos", r#"{"username": "<user:owner>", "amount": 1}"#),
    ("Kudos/VerifyLedger", "{}"),
    ("SharedKeys/CreateSharedKey", r#"{"name": "lent"}"#),
    ("SharedKeys/GetSharedKey", r#"{"id": "<sharedkey:shown>"}"#),
    ("SharedKeys/UpdateSharedKey", r#"{"id": "<sharedkey:changed>", "kudos": 5}"#),
    ("SharedKeys/DeleteSharedKey", r#"{"id": "<sharedkey:doomed>"}"#),
    ("Teams/ListTeams", "{}"),
    ("Teams/CreateTeam", r#"{"name": "a team"}"#),
    ("Teams/GetTeam", r#"{"id": "<team:shown>"}"#),
    ("Teams/UpdateTeam", r#"{"id": "<team:changed>", "info": "what it is about"}"#),
    ("Teams/DeleteTeam", r#"{"id": "<team:doomed>"}"#),
    ("Worker/ListMessages", "{}"),
    ("Worker/PostMessage", r#"{"worker_id": "<worker:shown>", "message": "x"}"#),
    ("Worker/GetMessage", r#"{"id": "<message:shown>"}"#),
    ("Worker/DeleteMessage", r#"{"id": "<message:doomed>"}"#),
    ("Operations/ListTimeouts", "{}"),
    ("Operations/AddTimeout", r#"{"ipaddr": "192.0.2.77", "hours": 1}"#),
    ("Operations/DeleteTimeout", r#"{"ipaddr": "192.0.2.77"}"#),
    ("Operations/GetTimeouts", r#"{"ipaddr": "192.0.2.77"}"#),
    ("Operations/BlockWorker", r#"{"worker_id": "<worker:far away>", "days": 1}"#),
    ("Operations/UnblockWorker", r#"{"worker_id": "<worker:far away>"}"#),
    ("Styles/ListImageStyles", "{}"),
    (
        "Styles/CreateImageStyle",
        r#"{"name": "<me>", "info": "what it is about", "models": ["stable_diffusion"]}"#,
    ),
    ("Styles/GetImageStyle", r#"{"id": "<style:shown>"}"#),
    ("Styles/GetImageStyleByName", r#"{"name": "nobody's"}"#),
    ("Styles/UpdateImageStyle", r#"{"id": "<style:changed>", "info": "what it is all about"}"#),
    ("Styles/DeleteImageStyle", r#"{"id": "<style:doomed>"}"#),
    (
        "Styles/AddStyleExample",
        r#"{"id": "<style:with examples>", "url": "https://example.org/a.png", "primary": false}"#,
    ),
    (
        "Styles/UpdateStyleExample",
        r#"{"id": "<style:with examples>", "example_id": "<example:changed>", "primary": true}"#,
    ),
    (
        "Styles/DeleteStyleExample",
        r#"{"id": "<style:with examples>", "example_id": "<example:doomed>"}"#,
    ),
    ("Styles/ListTextStyles", "{}"),
    ("Styles/CreateTextStyle", r#"{"name": "<me>", "info": "what it is about", "models": ["mock/echo-7b"]}"#),
    ("Styles/GetTextStyle", r#"{"id": "<text style:shown>"}"#),
    ("Styles/GetTextStyleByName", r#"{"name": "nobody's"}"#),
    ("Styles/UpdateTextStyle", r#"{"id": "<text style:changed>", "info": "what it is all about"}"#),
    ("Styles/DeleteTextStyle", r#"{"id": "<text style:doomed>"}"#),
    ("Collections/ListCollections", "{}"),
    ("Collections/CreateCollection", r#"{"name": "<me>", "styles": ["<style:collected>"]}"#),
    ("Collections/GetCollection", r#"{"id": "<collection:shown>"}"#),
    ("Collections/GetCollectionByName", r#"{"name": "nobody's"}"#),
    ("Collections/UpdateCollection", r#"{"id": "<collection:changed>", "info": "what it is about"}"#),
    ("Collections/DeleteCollection", r#"{"id": "<collection:doomed>"}"#),
    ("Documents/GetTerms", "{}"),
    ("Documents/GetPrivacy", "{}"),
    ("Documents/GetSponsors", "{}"),
];

/// RPCs that are called when all others have been: they take away what others need.
pub const LAST: &[&str] = &["Users/DeleteUser"];

/// RPCs that are not called here, and why, or where they are.
pub const NEVER: &[(&str, &str)] =
    &[("Users/RotateKey", "whoever is let in has another key then: transcode/accounts.rs")];

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
        "owner moderator",
        "unknown workers come before missing keys, so its rule names nobody",
    ),
    ("Worker/DeleteWorker", "owner moderator", "the same"),
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
];

/// Makes something of the owner's, and returns what it is known by.
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
            let pop = olga.request(reqwest::Method::POST, "/generate/text/pop");
            // Not where all of this comes from, as that may be shut out.
            let pop = pop.header("x-forwarded-for", "192.0.2.66");
            olga.send(pop.json(&json!({"name": what, "models": ["some/other-model"]}))).await.ok();
            olga.get(&format!("/workers/name/{what}")).await.ok()["id"].clone()
        }
        "sharedkey" => olga.put("/sharedkeys", json!({"name": name})).await.ok()["id"].clone(),
        "team" => olga.post("/teams", json!({"name": what})).await.ok()["id"].clone(),
        "style" => {
            let style = json!({"name": name, "info": "what it is about", "models": ["stable_diffusion"]});
            olga.post("/styles/image", style).await.ok()["id"].clone()
        }
        "text style" => {
            let style = json!({"name": name, "info": "what it is about", "models": ["mock/echo-7b"]});
            olga.post("/styles/text", style).await.ok()["id"].clone()
        }
        "example" => {
            let style = broker.json(OLGA).get("/find_user").await.ok()["username"].clone();
            let style = format!("/styles/image_by_name/{}::style::with examples", style.as_str().unwrap());
            let style = olga.get(&style.replace('#', "%23").replace(' ', "%20")).await.ok();
            let path = format!("/styles/image/{}/example", style["id"].as_str().unwrap());
            let example = json!({"url": format!("https://example.org/{name}.png"), "primary": false});
            olga.post(&path, example).await.ok()["id"].clone()
        }
        "collection" => {
            let style = Box::pin(make(broker, &format!("style:in {name}"))).await;
            let collection = json!({"name": name, "styles": [style]});
            olga.post("/collections", collection).await.ok()["id"].clone()
        }
        "message" => {
            let message =
                json!({"worker_id": Box::pin(make(broker, "worker:addressed")).await, "message": name});
            olga.post("/workers/messages", message).await.ok()["id"].clone()
        }
        _ => panic!("say how to make <{what}>"),
    };
    made.as_str().map_or_else(|| made.to_string(), str::to_owned)
}
