//! Requests for alchemy: forms as jobs, images in and out, failures form by form, cancellation.

use std::io::Cursor;

use base64::{Engine, prelude::BASE64_STANDARD};
use gridbroker::{
    rpc::pb::{self, watch_response::Event},
    worker::{
        self, WorkerOptions,
        mock::{self, Mock, Pace},
    },
};
use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker, CAROL, Json, eventually};

fn picture(width: u32, height: u32) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 7]));
    let mut bytes = Vec::new();
    DynamicImage::from(image)
        .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
        .expect("it is written");
    bytes
}

fn base64(width: u32, height: u32) -> String {
    BASE64_STANDARD.encode(picture(width, height))
}

/// Submits forms with a small image, and returns the request's ID.
async fn submits(alice: &Json, forms: &[&str]) -> String {
    let forms: Vec<_> = forms.iter().map(|name| json!({"name": name})).collect();
    let body = json!({"source_image": base64(64, 64), "forms": forms});
    let answer = alice.post("/interrogate/async", body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.body["id"].as_str().expect("it has an ID").to_owned()
}

/// Asks for forms, without waiting.
async fn pops(bob: &Json, name: &str, forms: &[&str], amount: i32) -> Value {
    let offer = json!({"name": name, "forms": forms, "amount": amount});
    let pop = bob.request(reqwest::Method::POST, "/interrogate/pop").header("prefer", "wait=0");
    bob.send(pop.json(&offer)).await.ok()
}

async fn status(json: &Json, id: &str) -> Value {
    json.get(&format!("/interrogate/status/{id}")).await.ok()
}

/// The state of a request, and those of its forms.
async fn states(json: &Json, id: &str) -> (String, Vec<String>) {
    let text = |value: &Value| value["state"].as_str().expect("it has a state").to_owned();
    let shown = status(json, id).await;
    (text(&shown), shown["forms"].as_array().expect("it lists forms").iter().map(text).collect())
}

fn is(state: &str, forms: &[&str]) -> (String, Vec<String>) {
    (state.to_owned(), forms.iter().map(|form| (*form).to_owned()).collect())
}

async fn kudos(json: &Json) -> f64 {
    json.get("/find_user").await.ok()["kudos"].as_f64().expect("an account has kudos")
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_are_done_one_by_one_and_images_go_through_signed_links() {
    let broker = Broker::start().await;
    let (alice, bob, carol) = (broker.json(ALICE), broker.json(BOB), broker.json(CAROL));
    let forms = json!([
        {"name": "caption", "payload": {"top": 3, "exact": true, "words": ["a", "b"], "style": "plain"}},
        {"name": "RealESRGAN_x4plus"}, {"name": "nsfw"}
    ]);
    // 600 × 300 pixels are two tiles.
    let body = json!({"source_image": base64(600, 300), "forms": forms, "slow_workers": false});
    let submitted = alice.post("/interrogate/async", body).await;
    assert_eq!(submitted.status, 202);
    let id = submitted.body["id"].as_str().unwrap().to_owned();
    assert_eq!(states(&carol, &id).await, is("waiting", &["waiting"; 3]));
    let pop = pops(&bob, "alchemist", &["caption", "RealESRGAN_x4plus"], 5).await;
    assert_eq!(pop["skipped"], json!({}));
    let (caption, larger) = (&pop["forms"][0], &pop["forms"][1]);
    assert_eq!((&caption["form"], &larger["form"]), (&json!("caption"), &json!("RealESRGAN_x4plus")));
    assert_eq!(pop["forms"].as_array().unwrap().len(), 2, "the third one it does not do");
    let texts = json!({"top": "3", "exact": "True", "words": "[\"a\",\"b\"]", "style": "plain"});
    assert_eq!(caption["payload"], texts, "all values are strings");
    assert!(larger.get("payload").is_none() && caption.get("r2_upload").is_none());
    let plain = reqwest::Client::new();
    let source = plain.get(caption["source_image"].as_str().unwrap()).send().await.expect("it answers");
    let source =
        image::load_from_memory(&source.bytes().await.expect("it is whole")).expect("it is an image");
    assert_eq!((source.width(), source.height()), (600, 300));
    assert_eq!(states(&alice, &id).await, is("processing", &["processing", "processing", "waiting"]));

    let submit = async |body: Value| bob.post("/interrogate/submit", body).await;
    let textual = submit(json!({"id": caption["id"], "result": "a cat"})).await;
    assert_eq!((textual.status, textual.paths()), (400, vec!["result"]), "an object is asked for");
    let absent = submit(json!({"id": caption["id"], "state": "faulted"})).await;
    assert_eq!((absent.status, absent.paths()), (400, vec!["result"]), "also of a failure");
    let foreign =
        carol.post("/interrogate/submit", json!({"id": caption["id"], "result": {"caption": "x"}})).await;
    assert_eq!(foreign.verdict(), (403, "WrongCredentials"));
    let unknown = submit(json!({"id": id, "result": {}})).await;
    assert_eq!(unknown.verdict(), (404, "InvalidJobID"));
    let before = (kudos(&alice).await, kudos(&bob).await);
    let result = json!({"caption": "a cat", "sure": 0.5, "more": [1, {"x": null}]});
    let done = submit(json!({"id": caption["id"], "result": result})).await;
    assert_eq!(done.ok(), json!({"reward": 1.0}));
    let again = submit(json!({"id": caption["id"], "result": result})).await;
    assert_eq!(again.verdict(), (400, "DuplicateGen"));

    let early = json!({"id": larger["id"], "result": {"RealESRGAN_x4plus": "R2"}});
    assert_eq!(submit(early.clone()).await.verdict(), (400, "BadRequest"), "nothing is there yet");
    let put = plain.put(larger["r2_upload"].as_str().unwrap()).body(picture(2400, 1200)).send().await;
    assert_eq!(put.expect("it answers").status(), 200);
    assert_eq!(submit(early).await.ok(), json!({"reward": 6.0}), "three for each tile");
    // What the forms are worth, and one more for each: slow workers would have been two.
    assert_eq!((before.0 - kudos(&alice).await, kudos(&bob).await - before.1), (9.0, 7.0));

    let shown = status(&alice, &id).await;
    assert_eq!((&shown["state"], &shown["forms"][0]["result"]), (&json!("waiting"), &result));
    assert_eq!(shown["forms"][2], json!({"form": "nsfw", "state": "waiting"}));
    let link = shown["forms"][1]["result"]["RealESRGAN_x4plus"].as_str().unwrap();
    let made = plain.get(link).send().await.expect("it answers").bytes().await.expect("it is whole");
    assert_eq!(made, picture(2400, 1200));
    let rest = pops(&bob, "alchemist", &["nsfw"], 1).await;
    submit(json!({"id": rest["forms"][0]["id"], "result": {"nsfw": false}, "state": "anything"})).await.ok();
    assert_eq!(states(&alice, &id).await, is("done", &["done"; 3]));
    assert_eq!(pops(&bob, "alchemist", &["nsfw"], 1).await, json!({"forms": null, "skipped": {}}));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pop_takes_forms_of_several_requests_and_one_that_waits_gets_the_next() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    for forms in [&["caption", "nsfw"][..], &["caption"], &["palette", "caption"]] {
        submits(&alice, forms).await;
    }
    let popped = |pop: &Value| -> Vec<String> {
        let forms = pop["forms"].as_array().into_iter().flatten();
        forms.map(|form| form["form"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(popped(&pops(&bob, "one", &["caption"], 1).await), ["caption"]);
    assert_eq!(popped(&pops(&bob, "many", &["caption", "nsfw"], 10).await), ["nsfw", "caption", "caption"]);
    let held = tokio::spawn({
        let bob = bob.clone();
        async move {
            let offer = json!({"name": "patient", "forms": ["describe"], "amount": 3});
            bob.post("/interrogate/pop", offer).await.ok()
        }
    });
    eventually(async || bob.get("/status/heartbeat").await.ok()["active_count"] == 1).await;
    submits(&alice, &["describe", "describe"]).await;
    assert_eq!(popped(&held.await.expect("it is answered")), ["describe", "describe"]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_fails_four_times_is_given_up_alone_also_over_a_restart() {
    let mut broker = Broker::start().await;
    let id = submits(&broker.json(ALICE), &["caption", "nsfw"]).await;
    for failed in 1..=4 {
        let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
        let pop = pops(&bob, "alchemist", &["caption"], 1).await;
        let fault = json!({"id": pop["forms"][0]["id"], "result": {}, "state": "faulted"});
        assert_eq!(bob.post("/interrogate/submit", fault.clone()).await.ok(), json!({"reward": 0.0}));
        assert_eq!(bob.post("/interrogate/submit", fault).await.verdict(), (400, "DuplicateGen"));
        let expected = if failed < 4 { "waiting" } else { "faulted" };
        assert_eq!(states(&alice, &id).await, is("waiting", &[expected, "waiting"]), "after {failed}");
        if failed >= 3 {
            broker = broker.restart().await;
        }
    }
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let pop = pops(&bob, "alchemist", &["caption", "nsfw"], 5).await;
    assert_eq!(pop["forms"].as_array().map(Vec::len), Some(1), "the other form alone: {pop}");
    let result = json!({"id": pop["forms"][0]["id"], "result": {"nsfw": true}});
    bob.post("/interrogate/submit", result).await.ok();
    assert_eq!(states(&alice, &id).await, is("partial", &["faulted", "done"]));
    let mut watch = broker.requester(ALICE).await.watches(&id, "").await;
    assert!(matches!(watch.rest().await.last(), Some(Event::Done(done)) if done.finished == 1));
    let broker = broker.restart().await;
    assert_eq!(states(&broker.json(ALICE), &id).await, is("partial", &["faulted", "done"]));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_tells_the_new_status_and_pays_for_what_is_under_way() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let id = submits(&alice, &["caption", "nsfw", "palette"]).await;
    let pop = pops(&bob, "alchemist", &["caption", "nsfw"], 2).await;
    let result = json!({"id": pop["forms"][0]["id"], "result": {"caption": "a cat"}});
    bob.post("/interrogate/submit", result).await.ok();
    let before = (kudos(&alice).await, kudos(&bob).await);
    let cancelled = alice.delete(&format!("/interrogate/status/{id}")).await.ok();
    let expected = json!({"state": "partial", "forms": [
        {"form": "caption", "state": "done", "result": {"caption": "a cat"}},
        {"form": "nsfw", "state": "cancelled"}, {"form": "palette", "state": "cancelled"}
    ]});
    assert_eq!(cancelled, expected);
    assert_eq!((before.0 - kudos(&alice).await, kudos(&bob).await - before.1), (3.0, 1.0));
    let late = json!({"id": pop["forms"][1]["id"], "result": {"nsfw": false}});
    assert_eq!(bob.post("/interrogate/submit", late.clone()).await.verdict(), (400, "DuplicateGen"));
    assert_eq!(alice.delete(&format!("/interrogate/status/{id}")).await.ok(), expected, "a second time");
    assert_eq!(pops(&bob, "alchemist", &["palette"], 1).await["forms"], json!(null));
    let events = broker.requester(ALICE).await.watches(&id, "").await.rest().await;
    assert!(events.iter().any(|event| matches!(event, Event::Cancelled(_))), "{events:?}");
    let unknown = alice.delete("/interrogate/status/00000000-0000-4000-8000-000000000000").await;
    assert_eq!(unknown.verdict(), (404, "RequestNotFound"));
    let broker = broker.restart().await;
    assert_eq!(status(&broker.json(ALICE), &id).await, expected);
    assert_eq!(broker.json(BOB).post("/interrogate/submit", late).await.verdict(), (400, "DuplicateGen"));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_forms_is_accepted_and_has_failed() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    for body in [json!({"source_image": base64(8, 8)}), json!({"source_image": base64(8, 8), "forms": []})] {
        let submitted = alice.post("/interrogate/async", body).await;
        assert_eq!(submitted.status, 202, "{}", submitted.body);
        let id = submitted.body["id"].as_str().unwrap();
        assert_eq!(status(&alice, id).await, json!({"state": "faulted", "forms": []}));
        assert!(broker.requester(ALICE).await.watches(id, "").await.rest().await.len() >= 2);
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_and_leaves_nothing() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    let caption = json!([{"name": "caption"}]);
    let image = base64(8, 8);
    let long = json!([{"name": "caption", "payload": {"x": "y".repeat(20_000)}}]);
    let many: Vec<_> = (0..1000).map(|_| json!({"name": "nsfw"})).collect();
    for (body, verdict, rule) in [
        (json!({"source_image": "no image", "forms": caption}), (400, "ImageValidationFailed"), "no image"),
        (json!({"source_image": image, "forms": long}), (400, "BadRequest"), "a payload without end"),
        (
            json!({"source_image": image, "forms": caption, "webhook": "http://example.org/x"}),
            (400, "BadRequest"),
            "a webhook in the clear",
        ),
        (
            json!({"source_image": image, "forms": [{"name": "caption", "payload": {"a": "b\u{0}"}}]}),
            (400, "NulByteInPayload"),
            "NUL",
        ),
    ] {
        let refused = alice.post("/interrogate/async", body).await;
        assert_eq!(refused.verdict(), verdict, "{rule}: {}", refused.body);
    }
    let paths = async |body: Value| {
        let answer = alice.post("/interrogate/async", body).await;
        assert_eq!(answer.status, 400);
        answer.paths().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        paths(json!({"forms": [{"name": "gold"}, {}]})).await,
        ["forms.0.name", "forms.1.name", "source_image"]
    );
    broker.holds_nothing().await;
    alice.post("/interrogate/async", json!({"source_image": image, "forms": many})).await.ok();
    let more = alice.post("/interrogate/async", json!({"source_image": image, "forms": caption})).await;
    assert_eq!(more.rc(), "TooManyPrompts", "ten times a hundred: {}", more.body);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alchemists_are_listed_counted_and_credited_under_their_own_names() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    submits(&alice, &["caption", "nsfw"]).await;
    let offer = json!({"name": "alchemist", "forms": ["caption"], "threads": 3, "max_tiles": 100,
        "bridge_agent": "AI Horde Worker reGen:13:x", "priority_usernames": ["alice#1"]});
    let pop = bob.post("/interrogate/pop", offer).await.ok();
    let figures = alice.get("/status/performance").await.ok();
    assert_eq!(figures["queued_forms"], 2.0);
    assert_eq!(
        (&figures["interrogator_count"], &figures["interrogator_thread_count"]),
        (&json!(1), &json!(3))
    );
    assert_eq!((&figures["worker_count"], &figures["queued_requests"]), (&json!(0), &json!(0)));
    let result = json!({"id": pop["forms"][0]["id"], "result": {"caption": "x"}});
    bob.post("/interrogate/submit", result).await.ok();
    let listed = alice.get("/workers?type=interrogation").await.ok();
    let worker = &listed[0];
    assert_eq!(
        (&worker["type"], &worker["forms"], &worker["models"], &worker["requests_fulfilled"]),
        (&json!("interrogation"), &json!(["caption"]), &json!([]), &json!(1))
    );
    assert!(worker["performance"].as_str().unwrap().ends_with(" seconds per form"), "{worker}");
    assert!(worker.get("nsfw").is_none() && worker.get("max_pixels").is_none());
    assert_eq!(alice.get("/workers?type=alchemy").await.ok(), json!([]), "that is no word of the wire");
    assert_eq!(alice.get("/workers?type=image").await.ok(), json!([]));
    assert_eq!(alice.get("/find_user").await.ok()["records"]["request"]["interrogation"], 1);
    assert_eq!(bob.get("/find_user").await.ok()["records"]["fulfillment"]["interrogation"], 1);
    let malformed = json!({"name": "alchemist", "forms": ["caption"], "priority_usernames": ["alice"]});
    assert_eq!(bob.post("/interrogate/pop", malformed).await.verdict(), (400, "BadRequest"));
    let other = json!({"name": "alchemist", "models": ["stable_diffusion"]});
    assert_eq!(bob.post("/generate/pop", other).await.verdict(), (400, "PolymorphicNameConflict"));
    let idle = bob.post("/interrogate/pop", json!({"name": "idle"}));
    submits(&alice, &["caption"]).await;
    let idle = tokio::time::timeout(std::time::Duration::from_secs(1), idle).await;
    assert!(idle.is_err(), "who names no forms is offered nothing: {idle:?}");
    assert_eq!(alice.get("/workers/name/idle").await.ok()["forms"], json!(["caption"]));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_pushed_forms_and_those_who_watch_are_told_what_came_of_them() {
    let broker = Broker::start().await;
    let mut worker = broker.worker(BOB, "alchemist").await;
    let offer = pb::PopAlchemyRequest {
        name: Some("alchemist".into()),
        forms: vec!["caption".into(), "GFPGAN".into()],
        amount: Some(5),
        ..Default::default()
    };
    let opening = pb::PopStreamRequest { alchemy: Some(offer), credits: Some(2), ..Default::default() };
    let mut stream = worker.opens(opening).await;
    let alice = broker.json(ALICE);
    let id = submits(&alice, &["caption", "nsfw", "GFPGAN"]).await;
    let assigned = stream.job().await;
    let forms = assigned.alchemy.expect("it is alchemy").forms;
    assert_eq!(forms.iter().map(|form| form.form.as_str()).collect::<Vec<_>>(), ["caption", "GFPGAN"]);
    assert_eq!(assigned.ids, forms.iter().map(|form| form.id.clone()).collect::<Vec<_>>());
    let result = serde_json::from_value(json!({"caption": "a cat", "sure": 1})).unwrap();
    let message = pb::SubmitAlchemyResultRequest {
        id: Some(forms[0].id.clone()),
        result: Some(result),
        ..Default::default()
    };
    let message = worker.keyed(message);
    assert_eq!(worker.client.submit_alchemy_result(message).await.unwrap().into_inner().reward, 1.0);
    let mut watch = broker.requester(ALICE).await.watches(&id, "").await;
    let told = watch.until(|event| matches!(event, Event::Result(_))).await;
    let Event::Result(told) = told else { unreachable!("it was asked for") };
    assert_eq!((told.job, told.form.as_deref(), told.img.as_deref()), (0, Some("caption"), None));
    assert_eq!(told.result.unwrap().0.get("caption"), Some(&json!("a cat")));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mock_alchemist_tells_of_the_real_image_and_makes_it_larger() {
    let broker = Broker::start().await;
    let forms: Vec<_> = mock::FORMS.iter().map(ToString::to_string).collect();
    let offers = vec![Mock::new(Pace::AT_ONCE).alchemy_offer("mock-alchemy", forms, 2)];
    let stop = tokio_util::sync::CancellationToken::new();
    let working = tokio::spawn(worker::run(WorkerOptions::new(broker.url(), BOB, offers), stop.clone()));
    let alice = broker.json(ALICE);
    let body = json!({"source_image": base64(96, 64),
        "forms": [{"name": "caption"}, {"name": "palette"}, {"name": "RealESRGAN_x2plus"}]});
    let id = alice.post("/interrogate/async", body).await.ok()["id"].as_str().unwrap().to_owned();
    eventually(async || status(&alice, &id).await["state"] == "done").await;
    let shown = status(&alice, &id).await;
    let caption = shown["forms"][0]["result"]["caption"].as_str().unwrap();
    assert!(caption.starts_with("[mock] a picture of 96×64 pixels"), "{caption}");
    assert_eq!(shown["forms"][1]["result"]["palette"].as_array().map(Vec::len), Some(2));
    let link = shown["forms"][2]["result"]["RealESRGAN_x2plus"].as_str().unwrap();
    let made = reqwest::get(link).await.expect("it answers").bytes().await.expect("it is whole");
    let made = image::load_from_memory(&made).expect("it is an image");
    assert_eq!((made.width(), made.height()), (192, 128));
    stop.cancel();
    working.await.expect("it does not panic").expect("it ends well");
    broker.stop().await;
}
