//! The conformance table: what comes of each call of the contract's core, on both faces.
//!
//! A row is a call in a scene, which is a state that a broker was brought into; rows of a scene are made
//! one after the other, over JSON and then over gRPC. `<name>` in a message or a key stands for what the
//! scene knows by that name. What calls *do* is told elsewhere, by stories.

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

mod accounts;
mod fields;
mod groups;
mod kudos;
mod moderation;
pub mod params;
mod scenes;
mod styles;
mod submits;

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    pin::Pin,
};

use futures_util::FutureExt;
use gridbroker::{config::Config, rpc::pb::Reason};
use serde_json::Value;

use crate::harness::{Broker, Row, Verdict};

/// What a scene knows by name.
type Names = BTreeMap<&'static str, String>;

/// How a broker is brought into a state.
type Prepare = for<'b> fn(&'b Broker) -> Pin<Box<dyn Future<Output = Names> + 'b>>;

/// A state of a broker, and the calls that are made in it.
struct Scene {
    name: &'static str,
    settings: fn(&mut Config),
    prepare: Prepare,
    rows: Vec<Row>,
    /// All of its calls are refused and leave nothing.
    is_void: bool,
}

fn scenes() -> Vec<Scene> {
    let nothing: Prepare = |_| Box::pin(async { Names::new() });
    let plain = |name, rows| Scene { name, settings: |_| {}, prepare: nothing, rows, is_void: true };
    let mut scenes = vec![
        plain("fields", fields::rows()),
        plain("parameters", params::rows()),
        plain("submits", submits::rows()),
    ];
    scenes.extend(scenes::all());
    scenes.extend(styles::scenes());
    scenes.extend(groups::all());
    scenes.extend(moderation::all());
    scenes.extend(accounts::scenes());
    scenes.push(kudos::scene());
    scenes
}

/// A row with names in the place of what they stand for.
fn named(row: Row, names: &Names) -> Row {
    fn fill(text: &str, names: &Names) -> String {
        let named = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
        named.and_then(|name| names.get(name)).cloned().unwrap_or_else(|| text.to_owned())
    }
    fn fill_all(value: &mut Value, names: &Names) {
        match value {
            Value::String(text) => *text = fill(text, names),
            Value::Array(values) => values.iter_mut().for_each(|value| fill_all(value, names)),
            Value::Object(values) => values.values_mut().for_each(|value| fill_all(value, names)),
            _ => {}
        }
    }
    let mut message = row.message.clone();
    fill_all(&mut message, names);
    // Keys of tests live as long as the test.
    let key = row.key.map(|key| &*fill(key, names).leak());
    Row { message, key, ..row }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_every_scene_holds() {
    let mut broken = Vec::new();
    for Scene { name, settings, prepare, rows, is_void } in scenes() {
        let broker = Broker::with(|config| {
            config.api.long_poll_timeout = 0;
            settings(config);
        })
        .await;
        let names = prepare(&broker).await;
        for row in rows {
            let row = named(row, &names);
            // All that do not hold are told, not only the first one.
            if AssertUnwindSafe(row.holds(&broker)).catch_unwind().await.is_err() {
                broken.push(format!("{name}: {:?}, {}", row.verb, row.rule));
            }
        }
        if is_void {
            broker.holds_nothing().await;
        }
        broker.stop().await;
    }
    assert!(broken.is_empty(), "what does not hold is said above, of {broken:#?}");
}

/// Return codes of the contract's table that are raised by these routes, and are not marked as dropped.
const CODES: &str = "MaintenanceMode BadRequest Forbidden InvalidAPIKey DeletedUser SharedKeyEmpty SharedKeyExpired \
    SharedKeyAssignedStyles SharedKeyInsufficientKudos KudosUpfront OnlyServiceAccountProxy TooManyExtraSourceImages \
    MoreThanMinExtraSourceImage InvalidExtraSourceImages MissingPrompt WorkerNotFound RequiresTrust TooManyPrompts \
    TimeoutIP CorruptPrompt StyleNotFound UntrustedUnsafeIP HiResMismatch TooManyLoras BadLoraVersion TooManyTIs \
    InvalidTransparencyModel InvalidTransparencyImg2Img InvalidTransparencyCN ControlNetMismatch \
    ControlNetUnsupported ControlNetSourceMissing ControlNetInpaintingMismatch ControlNetInvalidPayload \
    InvalidPromptSize UnexpectedModelName TooManyUpscalers BadCFGDecimals BadCFGNumber SpecialMissingUsername \
    SpecialMissingPayload SourceMaskUnnecessary InvalidRemix InvalidExtraTexts MissingExtraTexts \
    SourceImageRequiredForModel ImageValidationFailed SourceImageResolutionExceeded SourceImageSizeExceeded \
    SourceImageUrlInvalid SourceImageUnreadable InpaintingMissingMask TokenOverflow MissingFullSamplerOrder \
    TooManyStopSequences ExcessiveStopSequence RequestNotFound WorkerFlaggedMaintenance AnonForbiddenWorker \
    PolymorphicNameConflict ProfaneWorkerName ProfaneBridgeAgent WorkerInviteOnly TooManyWorkers \
    TooManyWorkersTrusted TooManySameIPs UnsafeIP TooManyNewIPs WrongCredentials InvalidPriorityUsername \
    WorkerMaintenance InvalidJobID DuplicateGen AbortedGen AestheticsNotCompleted AestheticsNotPublic NotOwner NotModerator NotAdmin \
    ProfaneWorkerInfo TooLongWorkerName WorkerNameAlreadyExists NoWorkerModSelected TeamNotFound Locked \
    NoHordeModSelected NulByteInPayload VideoModeWithImageModel KudosTransferFromAnon InvalidTargetUsername \
    KudosTransferToAnon KudosTransferToSelf TooFastKudosTransfers FaultWhenKudosSending SourceAccountFlagged \
    EducationCannotSendKudos FaultWhenKudosReceiving TargetAccountFlagged NegativeKudosTransfer \
    InvalidKudosTransferAmount IdempotencyKeyConflict KudosTransferNotEnough NotAllowedAwards \
    InvalidAwardUsername KudosAwardToAnon \
    AnonForbidden NoSharedKeyModSelected MessageNotFound UntrustedTeamCreation TeamNameAlreadyExists \
    ProfaneTeamName ProfaneTeamInfo NoTeamModSelected \
    UserNotFound NoUserModSelected AnonForbiddenUserMod AnonForbiddenUser CannotDeleteMod NotUserOrMod \
    CannotWipeActiveUser UserNotDeleted NonServiceForbidden ProfaneUserName TooLongUserName ProfaneUserContact \
    ProfaneAdminComment";

/// Reasons without a row, and why, or where they are shown.
const WITHOUT: &[(&str, &str)] = &[
    ("FaultWhenKudosSending", "an account is suspicious after five reasons: domain/transfer.rs"),
    ("FaultWhenKudosReceiving", "the same"),
    ("BadCFGNumber", "what is no JSON number is a matter of its field: engine/params"),
    ("SourceImageSizeExceeded", "it takes a server to fetch from: flow/sources.rs"),
    ("SourceImageUrlInvalid", "the same"),
    ("SourceImageUnreadable", "the same"),
    ("TooManyNewIPs", "it takes a service to ask: flow/addresses.rs"),
    ("TooManySameIPs", "invited ones alone come past TooManyWorkers: engine/peopled.rs"),
    ("TooLongWorkerName", "the field is longer than its bound before: engine/peopled.rs"),
    ("Overtaken", "several/: brokers at the same moment"),
    ("QueueFull", "states.rs: told with a wait"),
    ("RateLimited", "limits.rs"),
    ("PayloadTooLarge", "bodies.rs"),
    ("PayloadTooSlow", "the body's own tests"),
    ("StoreUnavailable", "the store's own tests"),
    ("Draining", "rpc/health.rs, flow/watch.rs"),
    ("KeyExists", "commands/user.rs; the operator's service alone"),
    ("LegacyUnreachable", "flow/legacy.rs: it takes an old server"),
    ("LegacyTooSlow", "outside/upstream.rs: the same"),
    ("StreamReplaced", "flow/lease.rs; streams alone"),
];

#[test]
fn every_return_code_has_a_row() {
    let scenes = scenes();
    let told = scenes.iter().flat_map(|scene| &scene.rows).filter_map(|row| match row.verdict {
        Verdict::Reason(_, rc, _) => Some(rc),
        _ => None,
    });
    let told: BTreeSet<_> = told.collect();
    // Their numbers have gaps.
    let known = (1..1000).filter_map(|number| Reason::try_from(number).ok()).map(Reason::rc);
    let codes: BTreeSet<_> = CODES.split_whitespace().chain(known).filter(|code| !code.is_empty()).collect();
    assert!(codes.len() > 90, "{codes:?}");
    for code in &codes {
        let is_without = WITHOUT.iter().any(|(without, _)| without == code);
        assert_ne!(told.contains(code), is_without, "{code}: a row, or a word on why there is none");
    }
    assert!(WITHOUT.iter().all(|(code, _)| codes.contains(code)), "nothing is excused that is not there");
}

/// Routes of the contract's core, and of the fork, that take JSON.
const ROUTES: &str = "POST /generate/async; GET /generate/check/{id}; GET /generate/status/{id}; \
    DELETE /generate/status/{id}; POST /generate/pop; POST /generate/submit; POST /generate/text/async; \
    GET /generate/text/status/{id}; DELETE /generate/text/status/{id}; POST /generate/text/pop; \
    POST /generate/text/submit; POST /interrogate/async; GET /interrogate/status/{id}; \
    DELETE /interrogate/status/{id}; POST /interrogate/pop; POST /interrogate/submit; GET /workers; \
    GET /workers/{id}; PUT /workers/{id}; DELETE /workers/{id}; GET /workers/name/{name}; GET /status/heartbeat; \
    GET /status/performance; GET /status/models; GET /status/models/{name}; GET /status/modes; PUT /status/modes; \
    GET /status/news; POST /generate/progress; GET /auto_worker_type; POST /generate/video/async; \
    GET /generate/video/check/{id}; GET /generate/video/status/{id}; DELETE /generate/video/status/{id}; \
    POST /generate/video/pop; POST /generate/video/submit; GET /generate/{id}/stream; GET /find_user; \
    GET /styles/image; POST /styles/image; GET /styles/image/{id}; GET /styles/image_by_name/{name}; \
    PATCH /styles/image/{id}; DELETE /styles/image/{id}; POST /styles/image/{id}/example; \
    PATCH /styles/image/{id}/example/{example_id}; DELETE /styles/image/{id}/example/{example_id}; \
    GET /styles/text; POST /styles/text; GET /styles/text/{id}; GET /styles/text_by_name/{name}; \
    PATCH /styles/text/{id}; DELETE /styles/text/{id}; GET /collections; POST /collections; \
    GET /collections/{id}; GET /collection_by_name/{name}; PATCH /collections/{id}; \
    DELETE /collections/{id}; \
    POST /kudos/transfer; POST /kudos/award; GET /kudos/ledger; \
    PUT /sharedkeys; GET /sharedkeys/{id}; PATCH /sharedkeys/{id}; DELETE /sharedkeys/{id}; GET /teams; \
    POST /teams; GET /teams/{id}; PATCH /teams/{id}; DELETE /teams/{id}; GET /operations/ipaddr; \
    POST /operations/ipaddr; DELETE /operations/ipaddr; GET /operations/ipaddr/{ipaddr}; PUT /operations/block_worker_ipaddr/{worker_id}; \
    DELETE /operations/block_worker_ipaddr/{worker_id}; GET /workers/messages; POST /workers/messages; GET /workers/messages/{id}; DELETE /workers/messages/{id}; \
    GET /filters; PUT /filters; POST /filters; GET /filters/regex; GET /filters/{id}; PATCH /filters/{id}; \
    DELETE /filters/{id}; GET /stats/img/totals; GET /stats/img/models; GET /stats/text/totals; \
    GET /stats/text/models; GET /documents/terms; GET /documents/privacy; GET /documents/sponsors; \
    GET /users; GET /users/{id}; PUT /users/{id}; DELETE /users/{id}; POST /register; \
    POST /rotate_key; GET /generate/{id}/explain; GET /workers/{id}/explain";

/// Routes on which nothing is refused.
const OPEN: &[&str] = &[
    "GET /teams",
    "GET /users",
    "GET /stats/img/totals",
    "GET /stats/text/totals",
    "GET /stats/text/models",
    "GET /workers",
    "GET /status/heartbeat",
    "GET /status/performance",
    "GET /status/models/{name}",
    "GET /status/news",
];

#[test]
fn every_route_has_rows_of_what_is_done_and_of_what_is_refused() {
    let (mut done, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for row in scenes().iter().flat_map(|scene| &scene.rows) {
        match row.verdict {
            Verdict::Done(_) | Verdict::Once(_) => done.insert(row.verb.shown()),
            Verdict::Reason(..) | Verdict::Fields(_) => refused.insert(row.verb.shown()),
        };
    }
    for route in ROUTES.split("; ") {
        assert!(done.contains(route), "{route}: no row in which it is done");
        assert_ne!(refused.contains(route), OPEN.contains(&route), "{route}: a row in which it is refused");
    }
}
