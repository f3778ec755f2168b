//! Fields out of their bounds, missing keys, unknown IDs.

use serde_json::json;
use tonic::Code;

use crate::harness::{
    ALICE, ANONYMOUS, BOB, DAVE, MALLORY, Row, Verb,
    Verdict::{Fields, Reason},
};

const NOBODY: &str = "nobody-has-this-key";
const UUID: &str = "77777777-7777-4777-8777-777777777777";

macro_rules! rows {
    ($($rule:literal: $verb:ident $key:expr, $message:tt => $verdict:expr;)*) => {
        vec![$(Row {
            rule: $rule,
            verb: Verb::$verb,
            key: $key,
            message: json!($message),
            verdict: $verdict,
        }),*]
    };
}

fn image_requests_out_of_bounds_are_told_every_path() -> Vec<Row> {
    let me = Some(ALICE);
    rows! {
        "a prompt is needed": SubmitImage me, {} => Fields(&["prompt"]);
        "and not an empty one": SubmitImage me, {"prompt": ""} => Fields(&["prompt"]);
        "all at once": SubmitImage me, {"params": {"width": 513, "height": 3136, "n": 0, "steps": 501, "cfg_scale": 100.5,
            "sampler_name": "k_none", "clip_skip": 13, "seed_variation": 1001, "denoising_strength": 0.0,
            "hires_fix_denoising_strength": 1.5, "facefixer_strength": -0.1, "workflow": "none",
            "control_type": "none"}, "source_processing": "none", "webhook": "https://", "style": "ab"} =>
            Fields(&["params.cfg_scale", "params.clip_skip", "params.control_type", "params.denoising_strength",
                "params.facefixer_strength", "params.height", "params.hires_fix_denoising_strength", "params.n",
                "params.sampler_name", "params.seed_variation", "params.steps", "params.width",
                "params.workflow", "prompt", "source_processing", "style", "webhook"]);
        "bounds from below": SubmitImage me, {"prompt": "x", "params": {"width": 0, "height": -64, "steps": 0, "n": -1}} =>
            Fields(&["params.height", "params.n", "params.steps", "params.width"]);
        "more than twenty": SubmitImage me, {"prompt": "x", "params": {"n": 21}} => Fields(&["params.n"]);
        "items by their index": SubmitImage me, {"prompt": "x", "params": {
            "loras": [{"name": "a"}, {}, {"name": "b", "model": 6.0}, {"name": "", "inject_trigger": ""}],
            "tis": [{"name": "a", "inject_ti": "none", "strength": -5.5}],
            "extra_texts": [{"text": "x", "reference": "ab"}]},
            "extra_source_images": [{"strength": 1.0}]} =>
            Fields(&["extra_source_images.0.image", "params.extra_texts.0.reference", "params.loras.1.name",
                "params.loras.2.model", "params.loras.3.inject_trigger", "params.loras.3.name",
                "params.tis.0.inject_ti", "params.tis.0.strength"]);
        "post-processors are known": SubmitImage me, {"prompt": "x", "params": {"post_processing": ["GFPGAN", "none"]}} =>
            Fields(&["params.post_processing.1"]);
        "and differ": SubmitImage me, {"prompt": "x", "params": {"post_processing": ["GFPGAN", "GFPGAN"]}} =>
            Fields(&["params.post_processing"]);
        "free-form objects are not too deep": SubmitImage me, {"prompt": "x", "params": {"special":
            {"1": {"2": {"3": {"4": {"5": {"6": {"7": {"8": {"9": {"10": {"11": {"12": {"13": {"14": {"15": {"16":
            [1]}}}}}}}}}}}}}}}}}} => Fields(&["params.special"]);
        "fields are told before a missing key": SubmitImage None, {"prompt": "x", "params": {"n": 21}} => Fields(&["params.n"]);
        "a missing key by the header's name": SubmitImage None, {"prompt": "x"} => Fields(&["apikey"]);
    }
}

fn text_requests_out_of_bounds_are_told_every_path() -> Vec<Row> {
    let me = Some(ALICE);
    rows! {
        "a prompt is needed": SubmitText me, {} => Fields(&["prompt"]);
        "from below": SubmitText me, {"prompt": "x", "softprompt": "", "params": {"n": 0, "max_length": 15,
            "max_context_length": 79, "rep_pen": 0.5, "rep_pen_range": -1, "temperature": -0.1, "top_p": 0.0}} =>
            Fields(&["params.max_context_length", "params.max_length", "params.n", "params.rep_pen",
                "params.rep_pen_range", "params.temperature", "params.top_p", "softprompt"]);
        "from above": SubmitText me, {"prompt": "x", "params": {"n": 21, "rep_pen": 3.5, "rep_pen_range": 4097,
            "rep_pen_slope": 10.5, "temperature": 5.5, "tfs": 1.5, "top_a": 1.5, "top_k": 201, "top_p": 1.5,
            "typical": 1.5, "min_p": 1.5, "smoothing_factor": 10.5, "dynatemp_range": 5.5, "dynatemp_exponent": 5.5}} =>
            Fields(&["params.dynatemp_exponent", "params.dynatemp_range", "params.min_p", "params.n",
                "params.rep_pen", "params.rep_pen_range", "params.rep_pen_slope", "params.smoothing_factor",
                "params.temperature", "params.tfs", "params.top_a", "params.top_k", "params.top_p",
                "params.typical"]);
        "a missing key": SubmitText None, {"prompt": "x"} => Fields(&["apikey"]);
    }
}

fn offers_and_results_out_of_bounds_are_told_every_path() -> Vec<Row> {
    let bob = Some(BOB);
    rows! {
        "a name is needed": PopImage bob, {"models": ["stable_diffusion"]} => Fields(&["name"]);
        "and not an empty one": PopText bob, {"name": "", "models": ["any-model"]} => Fields(&["name"]);
        "bounds of an offer": PopImage bob, {"name": "x", "models": ["stable_diffusion", "ab"], "threads": 51,
            "amount": 21, "max_pixels": -1} => Fields(&["amount", "max_pixels", "models.1", "threads"]);
        "and of one for texts": PopText bob, {"name": "x", "models": ["any-model"], "threads": 0, "amount": 0,
            "max_length": -1, "max_context_length": -1} =>
            Fields(&["amount", "max_context_length", "max_length", "threads"]);
        "a missing key": PopText None, {"name": "x", "models": ["any-model"]} => Fields(&["apikey"]);
        "an image result": SubmitImageResult bob, {"state": "none"} => Fields(&["generation", "id", "seed", "state"]);
        "a text result": SubmitTextResult bob, {"gen_metadata": [{"type": "none", "value": "nsfw"}, {}]} =>
            Fields(&["gen_metadata.0.type", "gen_metadata.1.type", "gen_metadata.1.value", "generation", "id"]);
        "a missing key with a result": SubmitTextResult None, {"id": UUID, "generation": ""} => Fields(&["apikey"]);
        "a report": ReportProgress bob, {"id": UUID, "current_step": -1} => Fields(&["current_step", "total_steps"]);
        "a missing key with a report": ReportProgress None, {"id": UUID, "current_step": 1, "total_steps": 2} =>
            Fields(&["apikey"]);
        "a cursor that is none": Watch None, {"id": UUID, "after": "yesterday"} => Fields(&["after"]);
    }
}

fn unknown_keys_and_ids_have_their_reasons() -> Vec<Row> {
    let not_found = |rc| Reason(404, rc, Code::NotFound);
    let (who, bob) = (Reason(401, "InvalidAPIKey", Code::Unauthenticated), Some(BOB));
    let (request, job, worker) =
        (not_found("RequestNotFound"), not_found("InvalidJobID"), not_found("WorkerNotFound"));
    rows! {
        "nobody's key asks for an image": SubmitImage Some(NOBODY), {"prompt": "x"} => who;
        "an empty key is nobody's": SubmitText Some(""), {"prompt": "x"} => who;
        "nobody's key offers": PopImage Some(NOBODY), {"name": "x", "models": ["stable_diffusion"]} => who;
        "nobody's key offers to write": PopText Some(NOBODY), {"name": "x", "models": ["any-model"]} => who;
        "without a key nobody is found": FindUser None, {} => who;
        "nobody's key finds nobody": FindUser Some(NOBODY), {} => not_found("UserNotFound");
        "a deleted account asks for nothing": SubmitText Some(DAVE), {"prompt": "x"} =>
            Reason(403, "DeletedUser", Code::PermissionDenied);
        "nor does it offer": PopText Some(DAVE), {"name": "x", "models": ["any-model"]} =>
            Reason(403, "DeletedUser", Code::PermissionDenied);
        "a flagged account does not offer": PopText Some(MALLORY), {"name": "x", "models": ["any-model"]} =>
            Reason(403, "WorkerFlaggedMaintenance", Code::PermissionDenied);
        "nobody in particular owns no worker": PopImage Some(ANONYMOUS), {"name": "x", "models": ["stable_diffusion"]} =>
            Reason(403, "AnonForbiddenWorker", Code::PermissionDenied);
        "a priority name has an ID": PopImage bob, {"name": "x", "models": ["stable_diffusion"],
            "priority_usernames": ["alice#1", "bob"]} => Reason(400, "InvalidPriorityUsername", Code::InvalidArgument);
        "a worker serves something": PopText bob, {"name": "x"} => Reason(400, "BadRequest", Code::InvalidArgument);
        "a name is more than blanks": PopText bob, {"name": "  ", "models": ["any-model"]} =>
            Reason(400, "BadRequest", Code::InvalidArgument);
        "an unknown request is checked": CheckImage None, {"id": UUID} => request;
        "what is no ID is unknown": CheckImage None, {"id": "no-uuid"} => request;
        "an unknown request is shown": GetImage None, {"id": UUID} => request;
        "or cancelled": CancelImage None, {"id": "%"} => request;
        "or rated": RateImages None, {"id": UUID} => request;
        "or what is no rating": RateImages None, {"id": UUID, "best": "x", "ratings": [{"rating": 11, "artifacts": -1}]} =>
            Fields(&["best", "ratings.0.artifacts", "ratings.0.id", "ratings.0.rating"]);
        "an unknown text is shown": GetText None, {"id": UUID} => request;
        "or cancelled, in any script": CancelText None, {"id": "né"} => request;
        "or watched": Watch None, {"id": UUID} => request;
        "or explained": Explain None, {"id": UUID} => request;
        "what is no ID is not explained": Explain None, {"id": "no-uuid"} => request;
        "an unknown worker": GetWorker None, {"id": UUID} => worker;
        "what is no worker's ID": GetWorker None, {"id": "no-uuid"} => worker;
        "an unknown name": GetWorkerByName None, {"name": "no / body"} => worker;
        "a worker that is asked for": SubmitImage Some(ALICE), {"prompt": "x", "workers": [UUID]} => worker;
        "or excluded, and is none": SubmitText Some(ALICE), {"prompt": "x", "workers": ["me"], "worker_blacklist": true} =>
            worker;
        "an image for no job": SubmitImageResult bob, {"id": UUID, "generation": "R2", "seed": 1} => job;
        "a text for what is no job": SubmitTextResult bob, {"id": "no-uuid", "generation": "x"} => job;
        "a fault of no job": SubmitTextResult bob, {"id": UUID, "generation": "", "state": "faulted"} => job;
        "an unknown job goes before an unknown key": SubmitTextResult Some(NOBODY), {"id": UUID, "generation": "x"} => job;
        "progress of no job": ReportProgress bob, {"id": UUID, "current_step": 1, "total_steps": 2} => job;
    }
}

pub fn rows() -> Vec<Row> {
    [
        image_requests_out_of_bounds_are_told_every_path(),
        text_requests_out_of_bounds_are_told_every_path(),
        offers_and_results_out_of_bounds_are_told_every_path(),
        unknown_keys_and_ids_have_their_reasons(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
