//! Video requests: both ways to ask, both ways to work, files in and out, previews.

use base64::{Engine, prelude::BASE64_STANDARD};
use gridbroker::rpc::pb::{self, watch_response::Event};
use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker, CAROL};

const BRIDGE: &str = "AI Horde Worker reGen:13:x";
const MODEL: &str = "wan2.2-t2v-5b";

/// What begins as an MP4 does; nobody here looks further.
fn film() -> Vec<u8> {
    [&b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41"[..], &[7; 500]].concat()
}

fn png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let image = image::DynamicImage::from(image::RgbImage::new(64, 64));
    image
        .write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Png)
        .expect("it can be written");
    bytes
}

fn offer(name: &str, models: &[&str]) -> Value {
    json!({"name": name, "models": models, "max_pixels": 4194304, "bridge_agent": BRIDGE})
}

async fn instantly() -> Broker {
    Broker::with(|config| config.api.long_poll_timeout = 0).await
}

fn id_of(body: &Value) -> String {
    body["id"].as_str().unwrap_or_else(|| panic!("no ID in {body}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_is_asked_for_and_worked_on_at_its_own_paths() {
    let broker = instantly().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let wallet = format!("0x{}", "1f".repeat(20));
    let body = json!({"prompt": "a wave", "models": [MODEL], "params": {"seed": "7", "n": 2},
                      "wallet_id": wallet, "tags": ["sea"]});
    let submitted = alice.post("/generate/video/async", body).await;
    assert_eq!(submitted.status, 202, "{}", submitted.body);
    let id = id_of(&submitted.body);
    let mut pop = offer("films", &[MODEL]);
    pop["amount"] = json!(2);
    pop["wallet_address"] = json!(wallet);
    let job = bob.post("/generate/video/pop", pop).await.ok();
    assert_eq!(job["media_type"], "video");
    assert_eq!((&job["ttl"], &job["model"]), (&json!(7200), &json!(MODEL)));
    assert_eq!(job["source_processing"], "txt2video");
    assert_eq!((&job["payload"]["batch_size"], &job["payload"]["seeds"]), (&json!(2), &json!([7, 8])));
    assert_eq!(job["payload"]["n_iter"], 2);
    let plain = reqwest::Client::new();
    for i in 0..2 {
        let result = json!({"id": job["ids"][i], "generation": "R2", "seed": 7, "media_type": "video",
                            "filename": "wave.mp4", "form": "video", "type": "video", "file_size": 528,
                            "tags": ["sea"], "r2_download_url": "https://example.org/x"});
        let early = bob.post("/generate/video/submit", result.clone()).await;
        assert_eq!(early.verdict(), (400, "BadRequest"), "nothing is there yet");
        let link = job["r2_uploads"][i].as_str().unwrap();
        let put = async |content: Vec<u8>| {
            let put = plain.put(link).header("content-type", "video/mp4").body(content);
            put.send().await.expect("it answers").status()
        };
        assert_eq!(put(png()).await, 200);
        let still = bob.post("/generate/video/submit", result.clone()).await;
        assert_eq!(still.verdict(), (400, "BadRequest"), "a still is no video");
        assert_eq!(put(film()).await, 200);
        let reward = bob.post("/generate/video/submit", result).await.ok();
        assert!(reward["reward"].as_f64().unwrap() > 0.0);
    }
    for path in ["/generate/video/check", "/generate/check"] {
        let check = alice.get(&format!("{path}/{id}")).await.ok();
        assert_eq!((&check["done"], &check["finished"]), (&json!(true), &json!(2)), "{path}");
    }
    for path in ["/generate/video/status", "/generate/status"] {
        let status = alice.get(&format!("{path}/{id}")).await.ok();
        let link = status["generations"][1]["img"].as_str().unwrap();
        let fetched = reqwest::get(link).await.expect("it answers");
        assert_eq!(fetched.headers()["content-type"], "video/mp4");
        assert_eq!(fetched.bytes().await.expect("it is whole"), film(), "{path}");
    }
    let worker = bob.get("/workers/name/films").await.ok();
    assert_eq!((&worker["type"], &worker["wallet_address"]), (&json!("image"), &json!(wallet)));
    assert_eq!(worker["models"], json!([MODEL]));
    let figures = alice.get("/status/performance").await.ok();
    assert_eq!(figures["worker_count"], 1, "one that films counts among those that draw");
    assert!(figures["past_minute_megapixelsteps"].as_f64().unwrap() > 0.0);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_model_or_a_word_makes_any_request_one_for_a_video() {
    let broker = instantly().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let film = BASE64_STANDARD.encode(film());
    for body in [
        json!({"prompt": "x", "models": [MODEL], "r2": false}),
        json!({"prompt": "x", "models": [MODEL.to_uppercase()], "r2": false, "source_processing": "txt2img"}),
        json!({"prompt": "x", "media_type": "video", "r2": false}),
        json!({"prompt": "x", "source_processing": "txt2video", "r2": false}),
    ] {
        let id = id_of(&alice.post("/generate/async", body.clone()).await.ok());
        let stills = bob.post("/generate/pop", offer("stills", &["stable_diffusion"])).await.ok();
        assert_eq!(stills["id"], json!(null), "who declares no video model gets none: {body}");
        // At the path of images, by a worker that draws and films.
        let job = bob.post("/generate/pop", offer("both", &["stable_diffusion", MODEL])).await.ok();
        assert_eq!((&job["media_type"], &job["model"]), (&json!("video"), &json!(MODEL)), "{body}");
        let result = json!({"id": job["id"], "generation": film, "seed": 1});
        bob.post("/generate/submit", result).await.ok();
        for path in ["/generate/video/status", "/generate/status"] {
            let status = alice.get(&format!("{path}/{id}")).await.ok();
            assert_eq!(status["generations"][0]["img"], json!(film), "as it was handed in: {path}");
        }
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_images_is_unknown_at_the_paths_of_videos() {
    let broker = instantly().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let image = id_of(&alice.post("/generate/async", json!({"prompt": "x"})).await.ok());
    for path in ["status", "check"] {
        let answer = alice.get(&format!("/generate/video/{path}/{image}")).await;
        assert_eq!(answer.verdict(), (404, "RequestNotFound"), "{path}");
    }
    assert_eq!(
        alice.delete(&format!("/generate/video/status/{image}")).await.verdict(),
        (404, "RequestNotFound")
    );
    // One name, both paths.
    let films = bob.post("/generate/video/pop", offer("w", &["stable_diffusion"])).await.ok();
    assert_eq!((&films["id"], films.get("media_type")), (&json!(null), None), "an image is not for it");
    let job = bob.post("/generate/pop", offer("w", &["stable_diffusion"])).await.ok();
    assert!(job["id"].is_string() && job.get("media_type").is_none(), "{job}");
    assert!(job["payload"].get("seeds").is_none() && job["payload"].get("batch_size").is_none(), "{job}");
    let result = json!({"id": job["id"], "generation": BASE64_STANDARD.encode(film()), "seed": 1});
    let wrong = bob.post("/generate/video/submit", result).await;
    assert_eq!(wrong.verdict(), (404, "InvalidJobID"), "nor its job");
    let video = id_of(&alice.post("/generate/video/async", json!({"prompt": "x"})).await.ok());
    let cancelled = alice.delete(&format!("/generate/video/status/{video}")).await.ok();
    assert_eq!((&cancelled["waiting"], &cancelled["done"]), (&json!(1), &json!(false)), "as it was before");
    assert_eq!(alice.get(&format!("/generate/video/status/{video}")).await.ok()["done"], true);
    let workers = alice.get("/workers?type=image").await.ok();
    assert_eq!(workers.as_array().map(Vec::len), Some(1), "{workers}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_contradict_the_model_and_values_out_of_bounds_are_refused() {
    let broker = instantly().await;
    let alice = broker.json(ALICE);
    for (path, body) in [
        ("/generate/async", json!({"prompt": "x", "media_type": "video", "models": ["SDXL 1.0"]})),
        (
            "/generate/async",
            json!({"prompt": "x", "source_processing": "img2video", "models": ["Deliberate"]}),
        ),
        ("/generate/video/async", json!({"prompt": "x", "models": ["stable_diffusion"]})),
    ] {
        let refused = alice.post(path, body.clone()).await;
        assert_eq!(refused.verdict(), (400, "VideoModeWithImageModel"), "{body}");
    }
    for (body, field) in [
        (json!({"prompt": "x", "media_type": "audio"}), "media_type"),
        (json!({"prompt": "x", "source_processing": "video2video"}), "source_processing"),
        (json!({"prompt": "x", "wallet_id": "0".repeat(43)}), "wallet_id"),
        (json!({"prompt": "x", "tags": vec!["a"; 33]}), "tags"),
    ] {
        let refused = alice.post("/generate/async", body).await;
        assert_eq!((refused.status, refused.paths().as_slice()), (400, &[field][..]), "{}", refused.body);
    }
    let text = json!({"prompt": "x", "wallet_id": "0".repeat(43)});
    assert_eq!(alice.post("/generate/text/async", text).await.paths(), ["wallet_id"]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn previews_are_told_to_those_who_watch_and_only_the_newest_is_kept() {
    let broker = instantly().await;
    let (alice, bob, carol) = (broker.json(ALICE), broker.json(BOB), broker.json(CAROL));
    let id = id_of(&alice.post("/generate/video/async", json!({"prompt": "x"})).await.ok());
    let job = id_of(&bob.post("/generate/video/pop", offer("films", &["own"])).await.ok());
    let mut watch = broker.requester(ALICE).await.watches(&id, "").await;
    let path = format!("/generate/preview/{job}");
    let post = |json: &crate::harness::Json, path: &str, body: Vec<u8>| {
        let request = json.request(reqwest::Method::POST, path);
        request.header("content-type", "image/jpeg").header("x-step", "3").body(body)
    };
    let sent = bob.send(post(&bob, &path, png())).await;
    assert_eq!(sent.status, 200, "{}", sent.body);
    let shown = watch.until(|event| matches!(event, Event::Preview(_))).await;
    let Event::Preview(preview) = shown else { unreachable!("it was waited for") };
    assert_eq!((preview.job, preview.attempt, preview.step), (0, 1, Some(3)));
    let fetched = reqwest::get(&preview.img).await.expect("it answers");
    assert_eq!(fetched.headers()["content-type"], "image/webp");
    // The same over gRPC, as part of a report; what is no picture spoils nothing.
    let mut worker = broker.worker(BOB, "films").await;
    let report = |preview: Vec<u8>, step| pb::ReportRequest {
        id: job.clone(),
        current_step: Some(step),
        total_steps: Some(9),
        preview,
        ..Default::default()
    };
    let reported = worker.reports(vec![report(b"nothing".to_vec(), 4), report(png(), 5)]).await.unwrap();
    assert_eq!((reported.accepted, reported.closed), (2, 0));
    let told = watch.until(|event| matches!(event, Event::Preview(_))).await;
    assert!(matches!(told, Event::Preview(preview) if preview.step == Some(5)));
    for (sender, path, body, status, rule) in [
        (&bob, path.as_str(), b"nothing".to_vec(), 400, "no picture"),
        (&bob, path.as_str(), vec![0; (1 << 20) + 1], 413, "a large one"),
        (&carol, path.as_str(), png(), 403, "of somebody else's job"),
        (&bob, "/generate/preview/11111111-1111-4111-8111-111111111111", png(), 404, "of no job"),
    ] {
        assert_eq!(sender.send(post(sender, path, body)).await.status, status, "{rule}");
    }
    let result = json!({"id": job, "generation": BASE64_STANDARD.encode(film()), "seed": 1});
    bob.post("/generate/video/submit", result).await.ok();
    assert_eq!(bob.send(post(&bob, &path, png())).await.status, 400, "it is over");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_in_whole_percent_until_the_job_is_over() {
    let broker = instantly().await;
    let (alice, bob, carol) = (broker.json(ALICE), broker.json(BOB), broker.json(CAROL));
    alice.post("/generate/video/async", json!({"prompt": "x"})).await.ok();
    let job = id_of(&bob.post("/generate/video/pop", offer("films", &["own"])).await.ok());
    let at = |current: i32, total: i32| json!({"id": job, "current_step": current, "total_steps": total});
    for (current, total, percent) in [(2, 3, 66), (0, 3, 0), (3, 3, 100), (1, 0, 0)] {
        let told = bob.post("/generate/progress", at(current, total)).await.ok();
        let expected = json!({"progress_percent": percent, "current_step": current, "total_steps": total});
        assert_eq!(told, expected);
    }
    let missing = bob.post("/generate/progress", json!({"id": job})).await;
    assert_eq!((missing.status, missing.paths()), (400, vec!["current_step", "total_steps"]));
    assert_eq!(carol.post("/generate/progress", at(1, 2)).await.verdict(), (403, "WrongCredentials"));
    let stranger = broker.json("nobody-has-this-key");
    assert_eq!(stranger.post("/generate/progress", at(1, 2)).await.verdict(), (401, "InvalidAPIKey"));
    let none = json!({"id": "11111111-1111-4111-8111-111111111111", "current_step": 1, "total_steps": 2});
    for key in [&bob, &stranger] {
        let answer = key.post("/generate/progress", none.clone()).await;
        assert_eq!(answer.verdict(), (404, "InvalidJobID"), "a job is missed before a key");
    }
    let fault = json!({"id": job, "generation": "faulted", "seed": 0, "state": "faulted"});
    bob.post("/generate/video/submit", fault).await.ok();
    let late = bob.post("/generate/progress", at(1, 2)).await;
    assert_eq!(late.status, 400);
    assert!(late.body["message"].is_string());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_of_videos_are_listed_as_such_and_the_scarcer_kind_is_told() {
    let broker = instantly().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    bob.post("/generate/pop", offer("both", &["stable_diffusion", MODEL])).await.ok();
    alice.post("/generate/video/async", json!({"prompt": "x", "models": ["ltx-video"]})).await.ok();
    let names = async |kind: &str| {
        let models = alice.get(&format!("/status/models?type={kind}")).await.ok();
        let item = |model: &Value| (model["name"].clone(), model["type"].clone(), model["count"].clone());
        models.as_array().expect("a list").iter().map(item).collect::<Vec<_>>()
    };
    assert_eq!(names("image").await, [(json!("stable_diffusion"), json!("image"), json!(1))]);
    assert_eq!(
        names("video").await,
        [(json!("ltx-video"), json!("video"), json!(0)), (json!(MODEL), json!("video"), json!(1))]
    );
    assert_eq!(alice.get(&format!("/status/models/{MODEL}")).await.ok()[0]["type"], "video");
    let scarcer = alice.get("/auto_worker_type").await.ok();
    assert_eq!(scarcer, json!({"recommended_worker_type": "image"}), "a video waits");
    for _ in 0..3 {
        alice.post("/generate/text/async", json!({"prompt": "x"})).await.ok();
    }
    assert_eq!(alice.get("/auto_worker_type").await.ok()["recommended_worker_type"], "text");
    let anyone = broker.json_without_key().get("/auto_worker_type").await;
    assert_eq!((anyone.status, anyone.paths()), (400, vec!["apikey"]));
    assert_eq!(broker.json("nobody-has-this-key").get("/auto_worker_type").await.status, 401);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_push_videos_to_those_who_draw_and_film_and_to_those_who_only_film() {
    let broker = Broker::start().await;
    let mut alice = broker.requester(ALICE).await;
    let mut both = broker.worker(BOB, "both").await;
    let mut image = both.image_offer();
    image.models.push(MODEL.into());
    let mut drawing = both.opens(pb::PopStreamRequest { image: Some(image), ..Default::default() }).await;
    let ask = |model: &str| pb::SubmitVideoRequest {
        prompt: Some("a wave".into()),
        models: Some(pb::ModelList { names: vec![model.into()] }),
        ..Default::default()
    };
    let message = alice.keyed(ask(MODEL));
    let id = alice.client.submit_video(message).await.expect("it is accepted").into_inner().id;
    let job = drawing.job().await;
    assert_eq!(job.image.expect("it is drawn").media_type(), "video");
    let mut films = broker.worker(BOB, "films").await;
    let video = pb::PopVideoRequest {
        name: Some("films".into()),
        models: vec!["of its own".into()],
        bridge_agent: Some(BRIDGE.into()),
        ..Default::default()
    };
    let mut filming = films.opens(pb::PopStreamRequest { video: Some(video), ..Default::default() }).await;
    let message = alice.keyed(ask("of its own"));
    alice.client.submit_video(message).await.expect("it is accepted");
    let other = filming.job().await;
    let result = |id: &str| pb::SubmitVideoResultRequest {
        id: Some(id.into()),
        generation: Some(BASE64_STANDARD.encode(film())),
        seed: Some(1),
        ..Default::default()
    };
    for id in [&job.ids[0], &other.ids[0]] {
        let message = films.keyed(result(id));
        films.client.submit_video_result(message).await.expect("it is a video");
    }
    let message = alice.keyed(pb::GetVideoRequest { id: id.expect("it has one") });
    let status = alice.client.get_video(message).await.expect("it is there").into_inner();
    assert!(status.done && status.generations.len() == 1);
    broker.stop().await;
}
