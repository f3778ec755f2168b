//! Accounts: who looks, who changes what, who goes.

use serde_json::json;
use tonic::Code;

use super::{
    Names, Scene,
    scenes::{filters, raid, shut_out},
};
use crate::harness::{
    ADA, ALICE, ANONYMOUS, BOB, CAROL, DAVE, MALLORY, MONA, Row, SAM, Verb,
    Verdict::{self, Done, Fields, Once, Reason},
};

const NOBODY: &str = "nobody-has-this-key";
const UNKNOWN: Verdict = Reason(401, "InvalidAPIKey", Code::Unauthenticated);
const MISSING: Verdict = Reason(404, "UserNotFound", Code::NotFound);

fn bad(rc: &'static str) -> Verdict {
    Reason(400, rc, Code::InvalidArgument)
}

fn denied(rc: &'static str) -> Verdict {
    Reason(403, rc, Code::PermissionDenied)
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
    vec![
        Scene {
            name: "accounts",
            settings: |_| {},
            prepare: |_| Box::pin(async { Names::new() }),
            rows: [looks(), changes(), refusals(), ends()].into_iter().flatten().collect(),
            is_void: false,
        },
        Scene {
            name: "no accounts while many attack",
            settings: |_| {},
            prepare: |broker| Box::pin(raid(broker)),
            rows: rows! {
                "nobody registers": Register None, {"username": "late"} => denied("RegistrationClosed");
                "who has an account gets another key": RotateKey CAROL, {} => Once(200);
            },
            is_void: false,
        },
        Scene {
            name: "no accounts for an address in timeout",
            settings: filters,
            prepare: |broker| Box::pin(shut_out(broker)),
            rows: rows! {
                "nobody registers from there": Register None, {"username": "late"} => denied("TimeoutIP");
            },
            is_void: false,
        },
    ]
}

fn looks() -> Vec<Row> {
    rows! {
        "everybody sees who is there": ListUsers None, {} => Done(200);
        "in an order": ListUsers None, {"sort": "age", "page": 2} => Done(200);
        "or none that is known": ListUsers None, {"sort": "beauty", "page": -3} => Done(200);
        "one of them": GetUser None, {"id": "1"} => Done(200);
        "by name and ID": GetUser MONA, {"id": "whoever#1"} => Done(200);
        "everybody's": GetUser None, {"id": "0"} => Done(200);
        "nobody": GetUser None, {"id": "99"} => MISSING;
        "what is no ID": GetUser None, {"id": "alice"} => MISSING;
        "an ID beyond all": GetUser None, {"id": "2147483648"} => MISSING;
        "or before": GetUser None, {"id": "-1"} => MISSING;
        "with nobody's key": GetUser NOBODY, {"id": "1"} => UNKNOWN;
        "that there is nobody is said first": GetUser NOBODY, {"id": "99"} => MISSING;
    }
}

fn changes() -> Vec<Row> {
    rows! {
        "kudos": UpdateUser ADA, {"id": "1", "kudos": 1.5} => Done(200);
        "usage_multiplier": UpdateUser ADA, {"id": "1", "usage_multiplier": 2.5} => Done(200);
        "moderator": UpdateUser ADA, {"id": "1", "moderator": false} => Done(200);
        "limits": UpdateUser MONA, {"id": "1", "concurrency": 500, "worker_invited": 3} => Done(200);
        "roles": UpdateUser MONA, {"id": "1", "trusted": true, "flagged": false, "customizer": true,
            "vpn": true, "service": false, "education": false, "special": true} => Done(200);
        "and back": UpdateUser MONA, {"id": "1", "trusted": false, "reset_suspicion": true} => Done(200);
        "a comment": UpdateUser MONA, {"id": "1", "admin_comment": "looked into it"} => Done(200);
        "one's own": UpdateUser ALICE, {"id": "alice#1", "username": "alice", "contact": "alice@here",
            "public_workers": true} => Done(200);
        "a passkey": UpdateUser SAM, {"id": "7", "generate_proxy_passkey": true} => Done(200);
        "an account": Register None, {"username": "somebody"} => Done(201);
        "with a long name": Register None, {"username": "somebody-with-a-name-of-more-than-30-characters"} => Done(201);
    }
}

fn refusals() -> Vec<Row> {
    rows! {
        "nothing": UpdateUser ALICE, {"id": "1"} => bad("NoUserModSelected");
        "what is off is nothing": UpdateUser MONA, {"id": "1", "undelete": false, "reset_suspicion": false,
            "generate_proxy_passkey": false, "filtered": true} => bad("NoUserModSelected");
        "bounds": UpdateUser ADA, {"id": "1", "usage_multiplier": 0.05, "concurrency": 501, "worker_invited": -1,
            "admin_comment": "abcd", "username": "ab", "contact": "abcd"} => Fields(&["admin_comment", "concurrency",
            "contact", "usage_multiplier", "username", "worker_invited"]);
        "without a key": UpdateUser None, {"id": "1", "vpn": true} => Fields(&["apikey"]);
        "with nobody's": UpdateUser NOBODY, {"id": "1", "vpn": true} => UNKNOWN;
        "nobody, said first": UpdateUser NOBODY, {"id": "99", "vpn": true} => MISSING;
        "kudos by a moderator": UpdateUser MONA, {"id": "1", "kudos": 5} => denied("NotAdmin");
        "monthly ones": UpdateUser ADA, {"id": "1", "monthly_kudos": 5} => Done(200);
        "a role by its owner": UpdateUser BOB, {"id": "2", "vpn": true} => denied("NotModerator");
        "somebody else's name": UpdateUser BOB, {"id": "1", "username": "bobby"} => denied("NotModerator");
        "everybody's name": UpdateUser ANONYMOUS, {"id": "0", "username": "everybody"} =>
            denied("AnonForbiddenUserMod");
        "a name nobody wants": UpdateUser ALICE, {"id": "1", "username": "sh1t happens"} => bad("ProfaneUserName");
        "a long name": UpdateUser ALICE, {"id": "1", "username": "a-name-of-more-than-30-characters"} =>
            bad("TooLongUserName");
        "a name with a hash": UpdateUser ALICE, {"id": "1", "username": "al#ice"} => bad("BadRequest");
        "a name with NUL": UpdateUser ALICE, {"id": "1", "username": "al\u{0}ice"} => bad("NulByteInPayload");
        "a contact": UpdateUser ALICE, {"id": "1", "contact": "sh1t@happens"} => bad("ProfaneUserContact");
        "a comment": UpdateUser MONA, {"id": "1", "admin_comment": "sh1t happens"} => bad("ProfaneAdminComment");
        "a passkey for no service": UpdateUser ALICE, {"id": "1", "generate_proxy_passkey": true} =>
            denied("NonServiceForbidden");
        "back to where it is": UpdateUser ALICE, {"id": "1", "undelete": true} =>
            Reason(400, "UserNotDeleted", Code::FailedPrecondition);
        "no name": Register None, {} => Fields(&["username"]);
        "an empty one": Register None, {"username": ""} => Fields(&["username"]);
        "blanks": Register None, {"username": "  "} => bad("BadRequest");
        "one that nobody wants": Register None, {"username": "sh1t"} => bad("ProfaneUserName");
        "one with NUL": Register None, {"username": "al\u{0}ice"} => bad("NulByteInPayload");
        "everybody's key stays": RotateKey ANONYMOUS, {} => denied("AnonForbidden");
        "nobody's is none": RotateKey NOBODY, {} => UNKNOWN;
        "nor is no key": RotateKey None, {} => Fields(&["apikey"]);
    }
}

fn ends() -> Vec<Row> {
    rows! {
        "nobody goes": DeleteUser MONA, {"id": "99"} => MISSING;
        "nor what is no ID": DeleteUser MONA, {"id": "everybody"} => MISSING;
        "by nobody": DeleteUser NOBODY, {"id": "1"} => UNKNOWN;
        "without a key it is the same": DeleteUser None, {"id": "1"} => UNKNOWN;
        "by everybody": DeleteUser ANONYMOUS, {"id": "1"} => denied("AnonForbiddenUser");
        "a moderator": DeleteUser ADA, {"id": "4"} => denied("CannotDeleteMod");
        "by somebody": DeleteUser BOB, {"id": "1"} => denied("NotUserOrMod");
        "by itself": DeleteUser MALLORY, {"id": "mallory#6"} => Once(200);
        "not at once": DeleteUser MONA, {"id": "6"} =>
            Reason(403, "CannotWipeActiveUser", Code::FailedPrecondition);
        "it may stay": UpdateUser MALLORY, {"id": "6", "undelete": true} => Once(200);
        "another one that may": UpdateUser MONA, {"id": "5", "undelete": true} => Once(200);
        "its key is good": FindUser DAVE, {} => Done(200);
        "another key": RotateKey CAROL, {} => Once(200);
        "the old one is none": GetUser CAROL, {"id": "1"} => UNKNOWN;
        "nor does it find anybody": FindUser CAROL, {} => MISSING;
    }
}
