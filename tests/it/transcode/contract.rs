//! The contract's routes, all of them, beside those that the protos declare: paths, verbs, limits, statuses.

use std::collections::{BTreeMap, BTreeSet};

use gridbroker::rpc::rules::{Limit, LimitKey, METHODS};

/// Every operation of the contract under `/api/v2`: verb, path, limits, status of success. Limits are
/// `<count>/<unit>:<by>`; a star says that known addresses have more, and that everybody's key has.
const OPERATIONS: &str = "\
POST /generate/async — 90/min*:path + 2/s*:path + 2/s*:key — 202
GET /generate/status/{} — 10/min:path — 200
DELETE /generate/status/{} — 10/min:path — 200
GET /generate/check/{} — 10/s:path — 200
POST /generate/rate/{} — 5/min:path — 200
POST /generate/pop — 60/s:ip — 200
POST /generate/submit — 60/s:ip — 200
POST /generate/text/async — 90/min*:path + 2/s*:path + 2/s*:key — 202
GET /generate/text/status/{} — 60/min:path — 200
DELETE /generate/text/status/{} — 60/min:path — 200
POST /generate/text/pop — 60/s:ip — 200
POST /generate/text/submit — 60/s:ip — 200
POST /interrogate/async — 90/min:ip — 202
GET /interrogate/status/{} — 10/s:path — 200
DELETE /interrogate/status/{} — 10/s:path — 200
POST /interrogate/pop — 60/s:ip — 200
POST /interrogate/submit — 60/s:ip — 200
GET /workers — 90/min:ip — 200
GET /workers/{} — 30/min:path — 200
PUT /workers/{} — 30/min:path — 200
DELETE /workers/{} — 30/min:path — 200
GET /workers/name/{} — 90/min:ip — 200
GET /workers/messages — 90/min:ip — 200
POST /workers/messages — 90/min:ip — 200
GET /workers/messages/{} — 90/min:ip — 200
DELETE /workers/messages/{} — 90/min:ip — 200
GET /status/modes — 30/min:ip — 200
PUT /status/modes — 30/min:ip — 200
GET /status/performance — 90/min:ip — 200
GET /status/models — 90/min:ip — 200
GET /status/models/{} — 90/min:ip — 200
GET /status/news — 90/min:ip — 200
GET /status/heartbeat — exempt — 200
GET /users — 90/min:ip — 200
GET /users/{} — 60/min:path — 200
PUT /users/{} — 60/min:path — 200
DELETE /users/{} — 60/min:path — 200
GET /find_user — 90/min:ip — 200
POST /kudos/transfer — 1/s:key + 90/h*:key — 200
POST /kudos/award — 90/min:ip — 200
PUT /sharedkeys — 5/min:path — 200
GET /sharedkeys/{} — 90/min:ip — 200
PATCH /sharedkeys/{} — 90/min:ip — 200
DELETE /sharedkeys/{} — 90/min:ip — 200
GET /teams — 30/min:path — 200
POST /teams — 30/min:path — 200
GET /teams/{} — 30/min:path — 200
PATCH /teams/{} — 30/min:path — 200
DELETE /teams/{} — 30/min:path — 200
GET /styles/image — 90/min*:path + 2/s*:path — 200
POST /styles/image — 90/min*:path + 2/s*:path — 200
GET /styles/image/{} — 20/h:path + 2/s*:path — 200
PATCH /styles/image/{} — 20/h:path + 2/s*:path — 200
DELETE /styles/image/{} — 20/h:path + 2/s*:path — 200
GET /styles/image_by_name/{} — 90/min:ip — 200
POST /styles/image/{}/example — 90/min*:path + 2/s*:path — 200
PATCH /styles/image/{}/example/{} — 90/min:ip — 200
DELETE /styles/image/{}/example/{} — 90/min:ip — 200
GET /styles/text — 20/h:path + 2/s*:path — 200
POST /styles/text — 20/h:path + 2/s*:path — 200
GET /styles/text/{} — 90/min*:path + 2/s*:path — 200
PATCH /styles/text/{} — 90/min*:path + 2/s*:path — 200
DELETE /styles/text/{} — 90/min*:path + 2/s*:path — 200
GET /styles/text_by_name/{} — 90/min:ip — 200
GET /collections — 90/min*:path + 2/s*:path — 200
POST /collections — 90/min*:path + 2/s*:path — 200
GET /collections/{} — 90/min*:path + 2/s*:path — 200
PATCH /collections/{} — 90/min*:path + 2/s*:path — 200
DELETE /collections/{} — 90/min*:path + 2/s*:path — 200
GET /collection_by_name/{} — 90/min:ip — 200
GET /operations/ipaddr — 90/min:ip — 200
POST /operations/ipaddr — 90/min:ip — 200
DELETE /operations/ipaddr — 90/min:ip — 200
GET /operations/ipaddr/{} — 90/min:ip — 200
PUT /operations/block_worker_ipaddr/{} — 90/min:ip — 200
DELETE /operations/block_worker_ipaddr/{} — 90/min:ip — 200
GET /filters — 90/min:ip — 200
PUT /filters — 90/min:ip — 200
POST /filters — 90/min:ip — 200
GET /filters/regex — 90/min:ip — 200
GET /filters/{} — 90/min:ip — 200
PATCH /filters/{} — 90/min:ip — 200
DELETE /filters/{} — 90/min:ip — 200
GET /stats/img/totals — 90/min:ip — 200
GET /stats/img/models — 90/min:ip — 200
GET /stats/text/totals — 90/min:ip — 200
GET /stats/text/models — 90/min:ip — 200
GET /documents/terms — 90/min:ip — 200
GET /documents/privacy — 90/min:ip — 200
GET /documents/sponsors — 90/min:ip — 200";

/// Routes beyond the contract, and what they are for.
const EXTRA: &[(&str, &str)] = &[
    ("POST /workers/pop", "the fork's path of /generate/pop"),
    ("POST /generate/progress", "the fork's reports"),
    ("GET /auto_worker_type", "the fork's"),
    ("POST /generate/video/async", "videos"),
    ("GET /generate/video/check/{}", "videos"),
    ("GET /generate/video/status/{}", "videos"),
    ("DELETE /generate/video/status/{}", "videos"),
    ("POST /generate/video/pop", "videos"),
    ("POST /generate/video/submit", "videos"),
    ("GET /generate/{}/stream", "events of a request"),
    ("GET /generate/{}/explain", "why a request waits"),
    ("GET /workers/{}/explain", "why a worker has nothing to do"),
    ("POST /register", "accounts without the page"),
    ("POST /rotate_key", "another key for an account"),
    ("GET /kudos/ledger", "a check of the books"),
    ("GET /status/stream", "figures as they change"),
];

/// A route without the names in its path.
fn nameless(path: &str) -> String {
    let path = path.strip_prefix("/api/v2").expect("routes of the API lie there");
    let segments = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    segments.collect::<Vec<_>>().join("/")
}

/// What the protos declare: route → limits and status.
fn declared() -> BTreeMap<String, (&'static [Limit], u16)> {
    let bound =
        METHODS.iter().flat_map(|method| method.bindings.iter().map(move |binding| (method, binding)));
    let row = |(method, binding): (
        &&'static gridbroker::rpc::rules::MethodRule,
        &gridbroker::rpc::rules::Binding,
    )| {
        (format!("{} {}", binding.verb, nameless(binding.path)), (method.limits, method.success_status))
    };
    bound.map(row).collect()
}

/// What the contract says: route → limits and status.
fn contract() -> BTreeMap<&'static str, (&'static str, u16)> {
    let row = |line: &'static str| {
        let parts: Vec<&str> = line.split(" — ").collect();
        (parts[0], (parts[1], parts[2].parse().expect("a status")))
    };
    OPERATIONS.lines().map(row).collect()
}

/// One limit, as it is compared: calls, seconds, what they are counted by.
type Window = (u32, u32, &'static str);

/// Limits of the contract as the protos write them.
fn expected(text: &'static str) -> BTreeSet<Window> {
    let mut windows = BTreeSet::new();
    for limit in text.split(" + ").filter(|limit| *limit != "exempt") {
        let (count, rest) = limit.split_once('/').expect("a count");
        let (unit, by) = rest.split_once(':').expect("a key");
        let (bare, has_more) = (unit.trim_end_matches('*'), unit.ends_with('*'));
        let count: u32 = count.parse().expect("a number");
        let seconds = match bare {
            "s" => 1,
            "min" => 60,
            _ => 3600,
        };
        windows.insert((count, seconds, by));
        // For known addresses their own limits take the place of those by path: what holds for all is said again.
        if !has_more && by == "path" && text.contains("*:path") {
            windows.insert((count, seconds, "known"));
        }
        if has_more {
            windows.insert(match (count, bare, by) {
                (2, "s", "key") => (60, 1, "anonymous"),
                (2, "s", _) => (10, 1, "known"),
                (90, "min", _) => (300, 60, "known"),
                (90, "h", _) => (600, 3600, "anonymous"),
                other => panic!("{other:?}: what do known addresses have?"),
            });
        }
    }
    windows
}

fn windows(limits: &[Limit]) -> BTreeSet<Window> {
    let by = |key| match key {
        LimitKey::Path => "path",
        LimitKey::Known => "known",
        LimitKey::Address | LimitKey::Group(_) => "ip",
        LimitKey::Key => "key",
        LimitKey::Anonymous => "anonymous",
    };
    limits.iter().map(|limit| (limit.count, limit.seconds, by(limit.key))).collect()
}

#[test]
fn the_contract_has_90_operations_on_58_paths() {
    let contract = contract();
    let paths: BTreeSet<&str> = contract.keys().filter_map(|route| route.split(' ').nth(1)).collect();
    assert_eq!((contract.len(), paths.len()), (90, 58));
}

#[test]
fn every_operation_of_the_contract_is_there() {
    let (contract, declared) = (contract(), declared());
    let missing: Vec<&str> =
        contract.keys().copied().filter(|route| !declared.contains_key(*route)).collect();
    assert!(missing.is_empty(), "no RPC is bound to {missing:#?}");
}

#[test]
fn limits_and_statuses_are_the_contracts() {
    let declared = declared();
    for (route, (limits, status)) in contract() {
        let Some((found, answered)) = declared.get(route) else { continue };
        assert_eq!((windows(found), *answered), (expected(limits), status), "{route}");
    }
}

#[test]
fn routes_beyond_the_contract_are_listed() {
    let contract = contract();
    let beyond: BTreeSet<String> =
        declared().into_keys().filter(|route| !contract.contains_key(route.as_str())).collect();
    let listed: BTreeSet<String> = EXTRA.iter().map(|(route, _)| (*route).to_owned()).collect();
    assert_eq!(beyond, listed, "what is bound and not the contract's; say in EXTRA what it is for");
}
