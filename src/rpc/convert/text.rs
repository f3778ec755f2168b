//! Text requests → [`Spec`], and back to what a worker is told to write.

use super::{first_workers, origin, unsigned, worker_list};
use crate::{
    domain::request::{Params, Spec, TextParams},
    engine::Asked,
    rpc::{check::Check, pb},
};

/// What a checked request asks for.
pub fn asked(message: pb::SubmitTextRequest) -> Asked {
    let (workers, unknown_worker) = worker_list(&message.workers);
    let (has_nul, allow_downgrade) = (message.has_nul(), message.allow_downgrade);
    let (extra_images, single_jobs) = (message.extra_source_images.len(), message.disable_batching);
    let params = message.params.unwrap_or_default();
    let jobs = unsigned(params.n()) as usize;
    let spec = Spec {
        prompt: message.prompt.unwrap_or_default(),
        jobs,
        models: message.models.into_iter().map(Into::into).collect(),
        // The legacy API stores every text request as harmless.
        nsfw: false,
        trusted_workers: message.trusted_workers,
        slow_workers: message.slow_workers.unwrap_or(true),
        validated_backends: message.validated_backends,
        workers: first_workers(&workers),
        worker_blacklist: message.worker_blacklist,
        webhook: message.webhook,
        origin: origin(message.client_agent, message.proxied_account, message.wallet_id),
        params: Params::Text(Box::new(TextParams { softprompt: message.softprompt, ..text_params(params) })),
    };
    Asked { allow_downgrade, workers, unknown_worker, has_nul, extra_images, single_jobs, ..spec.into() }
}

fn text_params(params: pb::TextParams) -> TextParams {
    TextParams {
        max_length: unsigned(params.max_length()),
        max_context_length: unsigned(params.max_context_length()),
        min_p: params.min_p(),
        smoothing_factor: params.smoothing_factor(),
        dynatemp_range: params.dynatemp_range(),
        dynatemp_exponent: params.dynatemp_exponent(),
        frmtadsnsp: params.frmtadsnsp,
        frmtrmblln: params.frmtrmblln,
        frmtrmspch: params.frmtrmspch,
        frmttriminc: params.frmttriminc,
        singleline: params.singleline,
        use_default_badwordsids: params.use_default_badwordsids,
        rep_pen: params.rep_pen,
        rep_pen_range: params.rep_pen_range.map(unsigned),
        rep_pen_slope: params.rep_pen_slope,
        temperature: params.temperature,
        tfs: params.tfs,
        top_a: params.top_a,
        top_k: params.top_k.map(unsigned),
        top_p: params.top_p,
        typical: params.typical,
        sampler_order: params.sampler_order,
        stop_sequence: params.stop_sequence,
        softprompt: None,
    }
}

/// What a worker is told when there is no job: the schema's defaults.
pub fn empty_payload() -> pb::TextPayload {
    pb::TextPayload { max_length: 80, max_context_length: 2048, dynatemp_exponent: 1.0, ..Default::default() }
}

/// What a worker is told to write.
pub fn payload(prompt: &str, params: &TextParams) -> pb::TextPayload {
    let signed = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    pb::TextPayload {
        prompt: Some(prompt.to_owned()),
        n: Some(1),
        max_length: signed(params.max_length),
        max_context_length: signed(params.max_context_length),
        frmtadsnsp: params.frmtadsnsp,
        frmtrmblln: params.frmtrmblln,
        frmtrmspch: params.frmtrmspch,
        frmttriminc: params.frmttriminc,
        singleline: params.singleline,
        use_default_badwordsids: params.use_default_badwordsids,
        rep_pen: params.rep_pen,
        rep_pen_range: params.rep_pen_range.map(signed),
        rep_pen_slope: params.rep_pen_slope,
        temperature: params.temperature,
        tfs: params.tfs,
        top_a: params.top_a,
        top_k: params.top_k.map(signed),
        top_p: params.top_p,
        typical: params.typical,
        min_p: params.min_p,
        smoothing_factor: params.smoothing_factor,
        dynatemp_range: params.dynatemp_range,
        dynatemp_exponent: params.dynatemp_exponent,
        sampler_order: params.sampler_order.clone(),
        stop_sequence: params.stop_sequence.clone(),
    }
}
