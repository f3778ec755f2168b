//! What is asked for and handed in: the same words and sizes for every server.

use crate::rpc::pb::{PopTextRequest, SubmitTextRequest, TextParams};

/// The model that all requests want and all workers serve.
pub const MODEL: &str = "bench/echo-7b";
/// How the workers call their software.
pub const AGENT: &str = "gridbroker bench:1:https://example.org";
/// Tokens asked for, and served at most.
const LENGTH: i32 = 80;
/// Context asked for, and served at most.
const CONTEXT: i32 = 2048;

/// A prompt of some 300 bytes. It begins with the number of the client that sends it.
pub fn prompt(client: usize) -> String {
    format!(
        "#{client} You are the keeper of a lighthouse on an island that no chart shows. Each evening you write down \
         what the sea brought that day: timber, bottles, once a piano. Tonight it brought a letter with your name \
         on it, in your own hand, dated tomorrow. Write the entry of tonight, and what you do with the letter."
    )
}

/// The client that a prompt came from.
pub fn client_of(prompt: &str) -> Option<usize> {
    prompt.strip_prefix('#')?.split(' ').next()?.parse().ok()
}

/// A text of some 200 bytes.
pub fn text() -> String {
    "The letter is dry, though the sea has carried it. I know the hand, I know the ink, and I know that tomorrow I \
     shall want to have burnt it. I put it under the lamp instead, unopened, and trim the wick until morning."
        .into()
}

/// A text request of one client.
pub fn text_request(client: usize) -> SubmitTextRequest {
    let params = TextParams {
        n: Some(1),
        max_length: Some(LENGTH),
        max_context_length: Some(CONTEXT),
        temperature: Some(0.8),
        ..TextParams::default()
    };
    SubmitTextRequest {
        prompt: Some(prompt(client)),
        params: Some(params),
        models: vec![MODEL.into()],
        slow_workers: Some(true),
        ..SubmitTextRequest::default()
    }
}

/// The offer of one worker.
pub fn text_offer(name: String, threads: u32) -> PopTextRequest {
    PopTextRequest {
        name: Some(name),
        models: vec![MODEL.into()],
        bridge_agent: Some(AGENT.into()),
        max_length: Some(LENGTH),
        max_context_length: Some(CONTEXT),
        threads: i32::try_from(threads.min(50)).ok(),
        ..PopTextRequest::default()
    }
}

/// Body of a text request over JSON.
pub fn text_request_body(client: usize) -> String {
    serde_json::json!({
        "prompt": prompt(client),
        "params": {"n": 1, "max_length": LENGTH, "max_context_length": CONTEXT, "temperature": 0.8},
        "models": [MODEL],
        "slow_workers": true,
    })
    .to_string()
}

/// Body of a text pop over JSON.
pub fn text_pop_body(name: &str) -> String {
    serde_json::json!({
        "name": name,
        "models": [MODEL],
        "bridge_agent": AGENT,
        "max_length": LENGTH,
        "max_context_length": CONTEXT,
        "threads": 1,
    })
    .to_string()
}

/// Body of a text result over JSON.
pub fn text_result_body(id: &str) -> String {
    serde_json::json!({"id": id, "generation": text(), "seed": 7, "state": "ok"}).to_string()
}

/// Body of a full image request, of some 0.9 KB.
pub fn image_request_body(dry_run: bool) -> String {
    serde_json::json!({
        "prompt": format!("{} ### blurry, low quality, watermark", prompt(0)),
        "params": {
            "sampler_name": "k_euler_a", "cfg_scale": 7.5, "steps": 30, "width": 512, "height": 512, "n": 1,
            "seed": "1234567", "karras": true, "tiling": false, "hires_fix": false, "clip_skip": 1,
            "denoising_strength": 0.75, "post_processing": ["GFPGAN"],
            "loras": [{"name": "246747", "model": 0.8, "clip": 1.0, "is_version": true}],
            "tis": [{"name": "7808", "inject_ti": "prompt", "strength": 1.0}],
        },
        "nsfw": false, "censor_nsfw": true, "trusted_workers": false, "slow_workers": true,
        "models": ["stable_diffusion"], "r2": true, "shared": false, "replacement_filter": true,
        "dry_run": dry_run,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompt_tells_whose_it_is() {
        assert_eq!(client_of(&prompt(17)), Some(17));
        assert_eq!(client_of("no number"), None);
    }
}
