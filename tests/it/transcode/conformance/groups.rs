//! Keys that are lent, teams, timeouts and messages: states, and what comes of calls in them.

use serde_json::json;
use tonic::Code;

use super::{
    Names, Scene,
    scenes::{NOBODY, UNKNOWN, UUID, bad, denied, missing, posts, scene, worker},
};
use crate::harness::{
    ALICE, ANONYMOUS, BOB, Broker, CAROL, MONA, Row, Verb,
    Verdict::{Done, Fields, Once, Reason},
};

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

pub fn all() -> Vec<Scene> {
    vec![
        scene("keys and those who lend them", |_| {}, |broker| Box::pin(lend(broker)), keys()),
        scene("teams", |_| {}, |broker| Box::pin(found(broker)), teams()),
        scene("operations", |_| {}, |broker| Box::pin(writer(broker)), operations()),
        scene("messages", |_| {}, |broker| Box::pin(write(broker)), messages()),
    ]
}

async fn lend(broker: &Broker) -> Names {
    let lent = broker.json(ALICE).put("/sharedkeys", json!({"name": "friends"})).await.ok();
    Names::from([("own", lent["id"].as_str().expect("it has an ID").to_owned())])
}

fn keys() -> Vec<Row> {
    let forbidden = denied("Forbidden");
    rows! {
        "without a key": CreateSharedKey None, {} => Fields(&["apikey"]);
        "nobody's": CreateSharedKey NOBODY, {} => UNKNOWN;
        "everybody's": CreateSharedKey ANONYMOUS, {} => denied("AnonForbidden");
        "bounds from below": CreateSharedKey ALICE, {"kudos": -2, "expiry": -2, "name": "ab", "max_image_pixels": -2,
            "max_image_steps": -2, "max_text_tokens": -2} => Fields(&["expiry", "kudos", "max_image_pixels",
                "max_image_steps", "max_text_tokens", "name"]);
        "and from above": CreateSharedKey ALICE, {"kudos": 50_000_001, "expiry": 36_501, "name": ("x".repeat(256)),
            "max_image_pixels": 4_194_305, "max_image_steps": 501, "max_text_tokens": 501} =>
            Fields(&["expiry", "kudos", "max_image_pixels", "max_image_steps", "max_text_tokens", "name"]);
        "NUL is not stored": CreateSharedKey ALICE, {"name": "a\0bc"} => bad("NulByteInPayload");
        "two more": CreateSharedKey ALICE, {} => Done(200);
        "a fourth": CreateSharedKey ALICE, {} => forbidden;
        "of who is trusted it is": CreateSharedKey BOB, {"kudos": 0, "expiry": 0, "max_image_pixels": 0} => Done(200);
        "anybody who knows it sees it": GetSharedKey None, {"id": "<own>"} => Done(200);
        "one that is none": GetSharedKey None, {"id": UUID} => UNKNOWN;
        "what can be none": GetSharedKey None, {"id": "no-uuid"} => UNKNOWN;
        "another's": UpdateSharedKey BOB, {"id": "<own>", "kudos": 1} => forbidden;
        "also for a moderator": UpdateSharedKey MONA, {"id": "<own>", "kudos": 1} => forbidden;
        "and for nobody in particular": UpdateSharedKey ANONYMOUS, {"id": "<own>", "kudos": 1} => forbidden;
        "nobody's": UpdateSharedKey NOBODY, {"id": "<own>", "kudos": 1} => UNKNOWN;
        "with itself": UpdateSharedKey "<own>", {"id": "<own>", "kudos": 1} => UNKNOWN;
        "without a key": UpdateSharedKey None, {"id": "<own>", "kudos": 1} => Fields(&["apikey"]);
        "one that is none": UpdateSharedKey ALICE, {"id": UUID, "kudos": 1} => UNKNOWN;
        "nothing": UpdateSharedKey ALICE, {"id": "<own>"} => bad("NoSharedKeyModSelected");
        "out of bounds": UpdateSharedKey ALICE, {"id": "<own>", "kudos": -2, "name": "ab", "max_text_tokens": 501} =>
            Fields(&["kudos", "max_text_tokens", "name"]);
        "NUL": UpdateSharedKey ALICE, {"id": "<own>", "name": "a\0bc"} => bad("NulByteInPayload");
        "by its owner": UpdateSharedKey ALICE, {"id": "<own>", "kudos": -1, "name": "others"} => Done(200);
        "it asks": SubmitText "<own>", {"prompt": "x"} => Done(202);
        "it ends now": UpdateSharedKey ALICE, {"id": "<own>", "expiry": 0} => Done(200);
        "its time is over": SubmitText "<own>", {"prompt": "x"} => denied("SharedKeyExpired");
        "others do not take it back": DeleteSharedKey BOB, {"id": "<own>"} => forbidden;
        "nor without a key": DeleteSharedKey None, {"id": "<own>"} => Fields(&["apikey"]);
        "its owner does": DeleteSharedKey ALICE, {"id": "<own>"} => Once(200);
        "once": DeleteSharedKey ALICE, {"id": "<own>"} => UNKNOWN;
        "it is nobody's then": SubmitText "<own>", {"prompt": "x"} => UNKNOWN;
    }
}

async fn found(broker: &Broker) -> Names {
    let alpha = posts(broker, BOB, "/teams", json!({"name": "Alpha", "info": "first of all"})).await;
    posts(broker, BOB, "/teams", json!({"name": "Beta"})).await;
    let offer = json!({"name": "writer", "models": ["any-model"]});
    let writer = worker(broker, CAROL, "/generate/text/pop", offer).await;
    Names::from([("alpha", alpha), ("writer", writer)])
}

fn teams() -> Vec<Row> {
    let taken = Reason(400, "TeamNameAlreadyExists", Code::AlreadyExists);
    let unknown = missing("TeamNotFound");
    rows! {
        "all of them": ListTeams None, {} => Done(200);
        "one": GetTeam None, {"id": "<alpha>"} => Done(200);
        "to moderators": GetTeam MONA, {"id": "<alpha>"} => Done(200);
        "not with other keys": GetTeam BOB, {"id": "<alpha>"} => denied("NotModerator");
        "nor everybody's": GetTeam ANONYMOUS, {"id": "<alpha>"} => denied("NotModerator");
        "nor nobody's": GetTeam NOBODY, {"id": "<alpha>"} => UNKNOWN;
        "one that is none": GetTeam NOBODY, {"id": UUID} => unknown;
        "what can be none": GetTeam None, {"id": "Alpha"} => unknown;
        "without a key": CreateTeam None, {"name": "Gamma"} => Fields(&["apikey"]);
        "nobody's": CreateTeam NOBODY, {"name": "Gamma"} => UNKNOWN;
        "everybody's": CreateTeam ANONYMOUS, {"name": "Gamma"} => denied("AnonForbidden");
        "not trusted": CreateTeam ALICE, {"name": "Gamma"} => denied("UntrustedTeamCreation");
        "without a name": CreateTeam BOB, {} => Fields(&["name"]);
        "bounds": CreateTeam BOB, {"name": "ab", "info": "ab"} => Fields(&["info", "name"]);
        "and from above": CreateTeam BOB, {"name": ("x".repeat(101)), "info": ("x".repeat(1001))} =>
            Fields(&["info", "name"]);
        "names are unique in any case": CreateTeam BOB, {"name": "aLPHA"} => taken;
        "and decent": CreateTeam BOB, {"name": "holy shit"} => bad("ProfaneTeamName");
        "and so is info": CreateTeam BOB, {"name": "Gamma", "info": "Shit!"} => bad("ProfaneTeamInfo");
        "a name of blanks": CreateTeam BOB, {"name": "    "} => bad("BadRequest");
        "NUL": CreateTeam BOB, {"name": "Gamma", "info": "a\0bc"} => bad("NulByteInPayload");
        "who is trusted": CreateTeam BOB, {"name": "Gamma"} => Once(200);
        "one that is none, before the key": UpdateTeam None, {"id": UUID, "info": "more"} => unknown;
        "without a key": UpdateTeam None, {"id": "<alpha>", "info": "more"} => UNKNOWN;
        "another's info": UpdateTeam ALICE, {"id": "<alpha>", "info": "more", "name": "Mine"} => denied("NotOwner");
        "another's name": UpdateTeam ALICE, {"id": "<alpha>", "name": "Mine"} => denied("NotModerator");
        "nothing": UpdateTeam BOB, {"id": "<alpha>"} => bad("NoTeamModSelected");
        "another team's name": UpdateTeam BOB, {"id": "<alpha>", "name": "BETA"} => taken;
        "indecent": UpdateTeam BOB, {"id": "<alpha>", "name": "holy shit"} => bad("ProfaneTeamName");
        "indecent info": UpdateTeam BOB, {"id": "<alpha>", "info": "Shit!"} => bad("ProfaneTeamInfo");
        "out of bounds": UpdateTeam BOB, {"id": "<alpha>", "name": "ab"} => Fields(&["name"]);
        "NUL": UpdateTeam BOB, {"id": "<alpha>", "info": "a\0bc"} => bad("NulByteInPayload");
        "by its founder": UpdateTeam BOB, {"id": "<alpha>", "name": "ALPHA"} => Done(200);
        "or a moderator": UpdateTeam MONA, {"id": "<alpha>", "info": "the first"} => Done(200);
        "a worker joins": UpdateWorker CAROL, {"id": "<writer>", "team": "<alpha>"} => Done(200);
        "and leaves": UpdateWorker CAROL, {"id": "<writer>", "team": ""} => Done(200);
        "one that is none": DeleteTeam None, {"id": UUID} => unknown;
        "without a key": DeleteTeam None, {"id": "<alpha>"} => UNKNOWN;
        "another's": DeleteTeam ALICE, {"id": "<alpha>"} => denied("NotModerator");
        "by a moderator": DeleteTeam MONA, {"id": "<alpha>"} => Once(200);
        "once": DeleteTeam BOB, {"id": "<alpha>"} => unknown;
        "nobody joins it then": UpdateWorker CAROL, {"id": "<writer>", "team": "<alpha>"} => unknown;
    }
}

async fn writer(broker: &Broker) -> Names {
    let offer = json!({"name": "writer", "models": ["any-model"]});
    Names::from([("writer", worker(broker, BOB, "/generate/text/pop", offer).await)])
}

fn operations() -> Vec<Row> {
    let (keeps_order, bad) = (denied("NotModerator"), bad("BadRequest"));
    rows! {
        "a network": AddTimeout MONA, {"ipaddr": "203.0.113.0/24", "hours": 1} => Done(200);
        "an address": AddTimeout MONA, {"ipaddr": "2001:db8::7", "hours": 720} => Done(200);
        "bits beyond the prefix, before the key": AddTimeout NOBODY, {"ipaddr": "203.0.113.7/24", "hours": 1} => bad;
        "a prefix that cannot be": AddTimeout NOBODY, {"ipaddr": "203.0.113.0/33", "hours": 1} => bad;
        "no address": AddTimeout NOBODY, {"ipaddr": "example.org", "hours": 1} => bad;
        "bounds": AddTimeout MONA, {"ipaddr": "::1", "hours": 0} => Fields(&["hours", "ipaddr"]);
        "and from above": AddTimeout MONA, {"ipaddr": ("1".repeat(41)), "hours": 721} => Fields(&["hours", "ipaddr"]);
        "both are needed": AddTimeout MONA, {} => Fields(&["hours", "ipaddr"]);
        "without a key": AddTimeout None, {"ipaddr": "203.0.113.7", "hours": 1} => Fields(&["apikey"]);
        "nobody's": AddTimeout NOBODY, {"ipaddr": "203.0.113.7", "hours": 1} => UNKNOWN;
        "no moderator": AddTimeout BOB, {"ipaddr": "203.0.113.7", "hours": 1} => keeps_order;
        "they are listed": ListTimeouts MONA, {} => Done(200);
        "to moderators": ListTimeouts BOB, {} => keeps_order;
        "with a key": ListTimeouts None, {} => Fields(&["apikey"]);
        "what holds for an address": GetTimeouts MONA, {"ipaddr": "203.0.113.7"} => Done(200);
        "a network is none": GetTimeouts NOBODY, {"ipaddr": "203.0.113.0/24"} => bad;
        "to moderators": GetTimeouts BOB, {"ipaddr": "203.0.113.7"} => keeps_order;
        "it ends": DeleteTimeout MONA, {"ipaddr": "203.0.113.0/24"} => Done(200);
        "what is none, before the key": DeleteTimeout NOBODY, {"ipaddr": "203.0.113.0/99"} => bad;
        "by nobody": DeleteTimeout NOBODY, {"ipaddr": "203.0.113.0/24"} => UNKNOWN;
        "by no moderator": DeleteTimeout BOB, {"ipaddr": "203.0.113.0/24"} => keeps_order;
        "something": DeleteTimeout MONA, {} => Fields(&["ipaddr"]);
        "days have bounds": BlockWorker MONA, {"worker_id": "<writer>", "days": 31} => Fields(&["days"]);
        "and are needed": BlockWorker MONA, {"worker_id": "<writer>"} => Fields(&["days"]);
        "an unknown worker after the role": BlockWorker BOB, {"worker_id": UUID, "days": 1} => keeps_order;
        "is told to moderators": BlockWorker MONA, {"worker_id": UUID, "days": 1} => missing("WorkerNotFound");
        "what is no ID": UnblockWorker MONA, {"worker_id": "writer"} => missing("WorkerNotFound");
        "nobody's": UnblockWorker NOBODY, {"worker_id": "<writer>"} => UNKNOWN;
        "from where it pops": BlockWorker MONA, {"worker_id": "<writer>", "days": 1} => Done(200);
        "nothing is taken": SubmitText ALICE, {"prompt": "x"} => denied("TimeoutIP");
        "no worker is let in": PopText BOB, {"name": "writer", "models": ["any-model"]} => denied("TimeoutIP");
        "until it is unblocked": UnblockWorker MONA, {"worker_id": "<writer>"} => Done(200);
        "it is taken again": SubmitText ALICE, {"prompt": "x"} => Done(202);
    }
}

async fn write(broker: &Broker) -> Names {
    let mut names = writer(broker).await;
    let to_all = posts(broker, MONA, "/workers/messages", json!({"message": "update, please"})).await;
    let own = json!({"message": "back at noon", "worker_id": names["writer"]});
    names.insert("own", posts(broker, BOB, "/workers/messages", own).await);
    names.insert("to all", to_all);
    names
}

fn messages() -> Vec<Row> {
    let keeps_order = denied("NotModerator");
    rows! {
        "all": ListMessages MONA, {"validity": "all", "page": 0} => Done(200);
        "those to all": ListMessages ANONYMOUS, {"page": 2} => Done(200);
        "without a key": ListMessages None, {} => Fields(&["apikey"]);
        "nobody's": ListMessages NOBODY, {} => UNKNOWN;
        "what they may be": ListMessages MONA, {"validity": "lost"} => Fields(&["validity"]);
        "to all": PostMessage MONA, {"message": "more", "origin": "the crew", "expiry": 1} => Done(200);
        "to one's own": PostMessage BOB, {"message": "more", "worker_id": "<writer>"} => Done(200);
        "not to all": PostMessage BOB, {"message": "more"} => keeps_order;
        "nor to another's": PostMessage ALICE, {"message": "more", "worker_id": "<writer>"} => keeps_order;
        "nor as everybody": PostMessage ANONYMOUS, {"message": "more"} => denied("AnonForbidden");
        "nor as nobody": PostMessage NOBODY, {"message": "more"} => UNKNOWN;
        "nor without a key": PostMessage None, {"message": "more"} => Fields(&["apikey"]);
        "to an unknown worker": PostMessage MONA, {"message": "more", "worker_id": UUID} => missing("WorkerNotFound");
        "to what is none": PostMessage MONA, {"message": "more", "worker_id": "writer"} => missing("WorkerNotFound");
        "bounds": PostMessage MONA, {"message": "", "origin": "", "expiry": 0} => Fields(&["expiry", "message", "origin"]);
        "and from above": PostMessage MONA, {"message": ("x".repeat(10_241)), "origin": ("x".repeat(256)), "expiry": 721} =>
            Fields(&["expiry", "message", "origin"]);
        "something": PostMessage MONA, {} => Fields(&["message"]);
        "NUL": PostMessage MONA, {"message": "a\0b"} => bad("NulByteInPayload");
        "one": GetMessage None, {"id": "<own>"} => Done(200);
        "one that is none": GetMessage None, {"id": UUID} => missing("MessageNotFound");
        "what can be none": GetMessage None, {"id": "no-uuid"} => missing("MessageNotFound");
        "another's": DeleteMessage BOB, {"id": "<to all>"} => keeps_order;
        "without a key": DeleteMessage None, {"id": "<own>"} => Fields(&["apikey"]);
        "nobody's": DeleteMessage NOBODY, {"id": "<own>"} => UNKNOWN;
        "by who wrote it": DeleteMessage BOB, {"id": "<own>"} => Once(200);
        "once": DeleteMessage BOB, {"id": "<own>"} => missing("MessageNotFound");
        "by a moderator": DeleteMessage MONA, {"id": "<to all>"} => Once(200);
    }
}
