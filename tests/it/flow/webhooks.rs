//! Webhooks: who is told, of what, how often, and who is never called.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use gridbroker::config::{Config, Secret};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{ALICE, BOB, Broker, Json, Outsider, PATIENCE, Reply, eventually, holds_within};

const SECRET: &str = "known to the operator and the receiver";

/// Settings under which a stranger may be called although it is on this machine.
fn knows(outsider: &Outsider) -> impl Fn(&mut Config) + use<> {
    let authority = outsider.authority();
    move |config| {
        config.api.fetch_allow = vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        config.api.fetch_ca = Some(authority.clone());
        config.api.webhook_secret = Some(Secret::new(SECRET));
    }
}

/// Has a text written, and returns the request's ID and the job's.
async fn text_is_made(broker: &Broker, webhook: &str) -> (Value, Value) {
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let submitted = alice.post("/generate/text/async", json!({"prompt": "x", "webhook": webhook})).await.ok();
    let job = bob.post("/generate/text/pop", json!({"name": "scribe", "models": ["any-model"]})).await.ok();
    let result = json!({"id": job["id"], "generation": "once upon a time", "seed": 5,
        "gen_metadata": [{"type": "censorship", "value": "nsfw", "ref": "x"}]});
    bob.post("/generate/text/submit", result).await.ok();
    (submitted["id"].clone(), job["id"].clone())
}

async fn painter_pops(bob: &Json) -> Value {
    let offer = json!({"name": "painter", "models": ["stable_diffusion"], "max_pixels": 4194304, "amount": 4,
        "bridge_agent": "AI Horde Worker reGen:13:x"});
    bob.post("/generate/pop", offer).await.ok()
}

fn picture() -> String {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = image::DynamicImage::from(image::RgbImage::new(64, 64));
    image.write_to(&mut bytes, image::ImageFormat::WebP).expect("it can be written");
    BASE64_STANDARD.encode(bytes.into_inner())
}

fn keys(body: &Value) -> Vec<&str> {
    body.as_object().expect("it is an object").keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_told_once_with_the_keys_of_the_contract_and_a_signature() {
    let outsider = Outsider::secure(|_| Reply::Status(200)).await;
    let broker = Broker::with(knows(&outsider)).await;
    let (request, job) = text_is_made(&broker, &outsider.named_url("/hook?a=b")).await;
    eventually(async || !outsider.calls().is_empty()).await;
    let called = outsider.calls().remove(0);
    assert_eq!(called.line, "POST /hook?a=b");
    assert_eq!(called.header("content-type"), Some("application/json"));
    let body = called.json();
    let worker = broker.json(BOB).get("/workers/name/scribe").await.ok();
    assert_eq!(
        body,
        json!({"text": "once upon a time", "seed": 5, "worker_id": worker["id"], "worker_name": "scribe",
            "model": "any-model", "id": job, "state": "censored", "request": request, "kudos": body["kudos"],
            "gen_metadata": [{"type": "censorship", "value": "nsfw", "ref": "x"}]})
    );
    assert!(body["kudos"].as_f64().unwrap() > 0.0, "{body}");
    // As a receiver would check it.
    let signature = called.header("x-gridbroker-signature").expect("it is signed");
    let (time, digest) = signature.split_once(",v1=").expect("both parts are there");
    let time = time.strip_prefix("t=").expect("it begins with the time");
    assert!(time.parse::<i64>().expect("seconds") > 1_700_000_000, "{signature}");
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(&[time.as_bytes(), b".", &called.body].concat());
    let right: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, right);
    let home = broker.stop().await;
    assert_eq!(outsider.calls().len(), 1, "once");
    assert_eq!(home.webhooks().await, 0, "nothing is left to be told");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_image_of_a_request_is_told_as_a_link_or_in_base64_and_a_fault_is_not() {
    let outsider = Outsider::secure(|_| Reply::Status(204)).await;
    let broker = Broker::with(knows(&outsider)).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let url = outsider.url("/hook");
    let ask = async |links: bool| {
        let body = json!({"prompt": "x", "webhook": url, "params": {"n": 2}, "r2": links});
        alice.post("/generate/async", body).await.ok()["id"].clone()
    };
    let request = ask(true).await;
    let jobs = painter_pops(&bob).await["ids"].clone();
    let faulted = json!({"id": jobs[0], "generation": "", "state": "faulted", "seed": 1});
    bob.post("/generate/submit", faulted).await.ok();
    bob.post("/generate/submit", json!({"id": jobs[1], "generation": picture(), "seed": 7})).await.ok();
    eventually(async || !outsider.calls().is_empty()).await;
    let body = outsider.told().remove(0);
    let right = [
        "censored",
        "gen_metadata",
        "id",
        "img",
        "kudos",
        "model",
        "request",
        "seed",
        "worker_id",
        "worker_name",
    ];
    assert_eq!(keys(&body), right);
    assert_eq!((&body["id"], &body["request"], &body["seed"]), (&jobs[1], &request, &json!(7)));
    assert_eq!((&body["censored"], &body["model"]), (&json!(false), &json!("stable_diffusion")));
    let link = body["img"].as_str().expect("a link");
    assert!(link.starts_with(broker.url()), "{link}");
    let fetched = reqwest::get(link).await.expect("it answers");
    assert_eq!(fetched.bytes().await.expect("it is whole"), BASE64_STANDARD.decode(picture()).unwrap());
    // The job that failed is tried again, and told once it is delivered.
    let again = painter_pops(&bob).await["id"].clone();
    let extras = json!({"id": again, "generation": picture(), "seed": 8, "tags": ["a", "b"], "file_size": 70,
        "r2_download_url": "https://store.example/1.webp", "filename": "1.webp"});
    bob.post("/generate/submit", extras.clone()).await.ok();
    eventually(async || outsider.calls().len() == 2).await;
    let told = &outsider.told()[1];
    assert_eq!(told["id"], again);
    for key in ["tags", "file_size", "r2_download_url"] {
        assert_eq!(told[key], extras[key], "what its worker says of the file is told on");
    }

    ask(false).await;
    let jobs = painter_pops(&bob).await["ids"].clone();
    bob.post("/generate/submit", json!({"id": jobs[0], "generation": picture(), "seed": 9})).await.ok();
    eventually(async || outsider.calls().len() == 3).await;
    assert_eq!(outsider.told()[2]["img"], json!(picture()));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fails_is_told_again_and_a_dry_run_tells_nobody() {
    let count = Arc::new(AtomicUsize::new(0));
    let fails_twice = count.clone();
    let outsider = Outsider::secure(move |_| match fails_twice.fetch_add(1, SeqCst) {
        0 => Reply::Status(500),
        1 => Reply::Status(404),
        _ => Reply::Status(200),
    })
    .await;
    let broker = Broker::with(knows(&outsider)).await;
    let dry = json!({"prompt": "x", "webhook": outsider.url("/dry"), "dry_run": true});
    broker.json(ALICE).post("/generate/async", dry).await.ok();
    let (_, job) = text_is_made(&broker, &outsider.url("/hook")).await;
    assert!(holds_within(PATIENCE, async || outsider.calls().len() == 3).await, "1 s and 5 s later");
    for called in outsider.calls() {
        assert_eq!((called.line.as_str(), &called.json()["id"]), ("POST /hook", &job));
    }
    let home = broker.stop().await;
    assert_eq!((outsider.calls().len(), home.webhooks().await), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_taken_is_told_after_a_restart() {
    let is_up = Arc::new(AtomicBool::new(false));
    let answers = is_up.clone();
    let outsider =
        Outsider::secure(move |_| Reply::Status(if answers.load(SeqCst) { 200 } else { 503 })).await;
    let set = knows(&outsider);
    let broker = Broker::with(&set).await;
    let (_, job) = text_is_made(&broker, &outsider.url("/hook")).await;
    eventually(async || !outsider.calls().is_empty()).await;
    let home = broker.stop().await;
    assert_eq!(home.webhooks().await, 1, "it is still to be told");
    is_up.store(true, SeqCst);
    let before = outsider.calls().len();
    let broker = Broker::over(home, &set).await;
    eventually(async || outsider.calls().len() > before).await;
    assert_eq!(outsider.told().pop().unwrap()["id"], job);
    let home = broker.stop().await;
    assert_eq!((outsider.calls().len(), home.webhooks().await), (before + 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_called_who_is_private_by_the_settings_of_now() {
    let outsider = Outsider::secure(|_| Reply::Status(200)).await;
    // At submit it may be called, and no more once the job is delivered.
    let broker = Broker::with(knows(&outsider)).await;
    let alice = broker.json(ALICE);
    for url in [outsider.url("/hook"), outsider.named_url("/hook")] {
        alice.post("/generate/text/async", json!({"prompt": "x", "webhook": url})).await.ok();
    }
    let home = broker.stop().await;
    let broker = Broker::over(home, |config| config.api.fetch_ca = Some(outsider.authority())).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    for _ in 0..2 {
        let job =
            bob.post("/generate/text/pop", json!({"name": "scribe", "models": ["any-model"]})).await.ok();
        bob.post("/generate/text/submit", json!({"id": job["id"], "generation": "x"})).await.ok();
    }
    for url in [outsider.url("/hook"), outsider.named_url("/hook")] {
        let refused = alice.post("/generate/text/async", json!({"prompt": "x", "webhook": url})).await;
        assert_eq!(refused.verdict(), (400, "BadRequest"), "{}", refused.body);
    }
    eventually(async || broker.webhooks().await == 0).await;
    assert!(outsider.calls().is_empty(), "nor is it tried again");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirection_is_not_followed_but_tried_again() {
    let private = Outsider::plain(|_| Reply::Status(200)).await;
    let to = private.url("/admin");
    let outsider = Outsider::secure(move |_| Reply::Redirect(to.clone())).await;
    let broker = Broker::with(knows(&outsider)).await;
    text_is_made(&broker, &outsider.url("/hook")).await;
    eventually(async || outsider.calls().len() == 2).await;
    let home = broker.stop().await;
    assert!(private.calls().is_empty(), "{:?}", private.calls());
    assert_eq!(home.webhooks().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_known_or_does_not_answer_keeps_nobody_else_waiting() {
    let silent = Outsider::secure(|_| Reply::Silence).await;
    let unknown = Outsider::secure(|_| Reply::Status(200)).await;
    let broker = Broker::with(knows(&silent)).await;
    let began = Instant::now();
    for _ in 0..8 {
        text_is_made(&broker, &silent.url("/never")).await;
    }
    text_is_made(&broker, &unknown.url("/hook")).await;
    // By its name it is another host.
    text_is_made(&broker, &silent.named_url("/other")).await;
    let reached = async || silent.calls().iter().any(|called| called.line == "POST /other");
    assert!(holds_within(Duration::from_secs(2), reached).await, "while the others are waited for");
    let to_silent = silent.calls().iter().filter(|called| called.line == "POST /never").count();
    // Calls end after 3 s, and others take their turn.
    let most = if began.elapsed() < Duration::from_secs(3) { 4 } else { 8 };
    assert!(to_silent <= most, "{to_silent} calls to one host");
    assert!(unknown.calls().is_empty(), "nobody vouches for it");
    let home = broker.stop().await;
    assert_eq!(home.webhooks().await, 10, "all are still to be told");
}
