//! Modes, news, models by their state, and addresses that are known good.

use serde_json::{Value, json};

use crate::harness::{ADA, ALICE, ANONYMOUS, BOB, Broker, CAROL, MONA};

#[tokio::test(flavor = "multi_thread")]
async fn modes_are_shown_and_switched_by_those_who_may() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (ada, mona, alice) = (broker.json(ADA), broker.json(MONA), broker.json(ALICE));
    let anyone = broker.json_without_key();
    let path = "/status/modes";
    let none = json!({"maintenance_mode": false, "invite_only_mode": false});
    assert_eq!(anyone.get(path).await.ok(), none);
    assert_eq!(broker.json(ANONYMOUS).get(path).await.ok(), none, "the anonymous key is as none");
    assert_eq!(alice.get(path).await.verdict(), (403, "NotModerator"));
    assert_eq!(broker.json("nobodys-key").get(path).await.verdict(), (401, "InvalidAPIKey"));
    let all = json!({"maintenance_mode": false, "invite_only_mode": false, "raid_mode": false});
    for json in [&mona, &ada] {
        assert_eq!(json.get(path).await.ok(), all);
    }
    for (json, body, verdict) in [
        (&alice, json!({"raid_mode": true}), (403, "NotModerator")),
        (&mona, json!({"maintenance_mode": true}), (403, "NotAdmin")),
        (&mona, json!({}), (400, "NoHordeModSelected")),
        (&broker.json("nobodys-key"), json!({"raid_mode": true}), (401, "InvalidAPIKey")),
    ] {
        assert_eq!(json.put(path, body.clone()).await.verdict(), verdict, "{body}");
    }
    assert_eq!(anyone.put(path, json!({"raid_mode": true})).await.paths(), ["apikey"]);
    assert_eq!(mona.put(path, json!({"raid_mode": 1})).await.status, 400, "one is not true");
    assert_eq!(mona.get(path).await.ok(), all, "nothing has changed");
    let both = json!({"invite_only_mode": true, "raid_mode": true});
    assert_eq!(mona.put(path, both.clone()).await.ok(), both);
    let offer = json!({"name": "newcomer", "models": ["any-model"]});
    let refused = broker.json(CAROL).post("/generate/text/pop", offer).await;
    assert_eq!(refused.verdict(), (403, "WorkerInviteOnly"), "{}", refused.body);
    let broker = broker.restart().await;
    assert_eq!(
        broker.json(MONA).get(path).await.ok(),
        json!({"maintenance_mode": false, "invite_only_mode": true, "raid_mode": true}),
        "modes outlive the broker"
    );
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_refuses_requests_and_cancels_what_waits_while_jobs_are_finished() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (ada, alice, bob) = (broker.json(ADA), broker.json(ALICE), broker.json(BOB));
    let text = json!({"prompt": "x", "params": {"n": 2}});
    let submitted = alice.post("/generate/text/async", text.clone()).await.ok()["id"].clone();
    let offer = json!({"name": "writer", "models": ["any-model"]});
    let job = bob.post("/generate/text/pop", offer).await.ok()["id"].clone();
    let image = alice.post("/generate/async", json!({"prompt": "x"})).await.ok()["id"].clone();
    let on = json!({"maintenance_mode": true});
    assert_eq!(ada.put("/status/modes", on.clone()).await.ok(), on);
    for (path, body) in [
        ("/generate/async", json!({"prompt": "x"})),
        ("/generate/text/async", text.clone()),
        ("/generate/text/async", json!({"prompt": "x", "dry_run": true})),
    ] {
        let refused = broker.json("nobodys-key").post(path, body).await;
        assert_eq!(refused.verdict(), (400, "MaintenanceMode"), "before the key: {}", refused.body);
    }
    let id = |id: &Value| id.as_str().unwrap().to_owned();
    let path = format!("/generate/check/{}", id(&image));
    let mut check = alice.get(&path).await.ok();
    // With several brokers it is a second later, so that jobs on their way to workers arrive.
    let patience = std::time::Instant::now() + crate::harness::PATIENCE;
    while crate::harness::is_distributed() && check["done"] != true && std::time::Instant::now() < patience {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        check = alice.get(&path).await.ok();
    }
    assert_eq!((&check["waiting"], &check["done"]), (&json!(0), &json!(true)), "{check}");
    let status = format!("/generate/text/status/{}", id(&submitted));
    let held = alice.get(&status).await.ok();
    assert_eq!((&held["processing"], &held["waiting"], &held["done"]), (&json!(1), &json!(0), &json!(false)));
    bob.post("/generate/text/submit", json!({"id": job, "generation": "once", "seed": 1})).await.ok();
    let done = alice.get(&status).await.ok();
    assert_eq!(
        (&done["finished"], &done["done"], &done["faulted"]),
        (&json!(1), &json!(true), &json!(false))
    );
    ada.put("/status/modes", json!({"maintenance_mode": false})).await.ok();
    alice.post("/generate/text/async", text).await.ok();
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn news_are_what_the_operators_file_says_now() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("news.md");
    let path = file.clone();
    let broker = Broker::with(move |config| config.people.news = Some(path)).await;
    let anyone = broker.json_without_key();
    assert_eq!(anyone.get("/status/news").await.ok(), json!([]), "there is no file yet");
    let text = "# 2026-01-02 Older\nImportance: Info\nTags: a, b\nMore: https://example.org\n\nThe *text*.\n\
                # 2026-11-24\n";
    std::fs::write(&file, text).unwrap();
    let nothing = Value::Null;
    let expected = json!([
        {"date_published": "2026-11-24", "newspiece": nothing, "importance": nothing, "tags": nothing,
            "title": nothing, "more_info_urls": nothing},
        {"date_published": "2026-01-02", "newspiece": "The *text*.", "importance": "Info", "tags": ["a", "b"],
            "title": "Older", "more_info_urls": ["https://example.org"]},
    ]);
    assert_eq!(anyone.get("/status/news").await.ok(), expected);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_told_apart_by_the_reference_and_special_ones_are_not_listed() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let bob = broker.json(BOB);
    let models = json!(["stable_diffusion", "home-made", "horde_special_one"]);
    bob.post("/generate/pop", json!({"name": "painter", "models": models})).await.ok();
    let names = async |query: &str| {
        let list = bob.get(&format!("/status/models{query}")).await.ok();
        let names = list.as_array().expect("a bare list").iter();
        names.map(|model| model["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["home-made", "stable_diffusion"]);
    assert_eq!(names("?model_state=all").await, ["home-made", "stable_diffusion"]);
    assert_eq!(names("?model_state=known").await, ["stable_diffusion"]);
    assert_eq!(names("?model_state=custom").await, ["home-made"]);
    assert_eq!(bob.get("/status/models?model_state=odd").await.verdict(), (400, "BadRequest"));
    assert_eq!(bob.get("/status/models/horde_special_one").await.ok()[0]["count"], 1);
    let wanted = json!({"prompt": "x", "models": ["wanted"], "params": {"n": 3, "steps": 10}});
    broker.json(ALICE).post("/generate/async", wanted).await.ok();
    let list = bob.get("/status/models?max_count=0").await.ok();
    let single = bob.get("/status/models/wanted").await.ok();
    let (one, all) = (list[0]["queued"].as_f64().unwrap(), single[0]["queued"].as_f64().unwrap());
    assert_eq!((all / one, &single[0]["jobs"]), (3.0, &json!(3.0)), "one job of each request, or all");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_those_beyond_doubt_are_limited_less() {
    let broker = Broker::with(|config| config.limits.rate_limits = true).await;
    let submit = async |key: &str, address: &str| {
        let json = broker.json(key);
        let request = json.request(reqwest::Method::POST, "/generate/text/async");
        json.send(request.header("x-forwarded-for", address).json(&json!({"prompt": "x"}))).await
    };
    let limit =
        |answer: &crate::harness::Answer| answer.headers["x-ratelimit-limit"].to_str().unwrap().to_owned();
    let (home, cafe) = ("192.0.2.1", "192.0.2.2");
    assert_eq!(limit(&submit(BOB, home).await), "2", "two a second, of anybody");
    for key in [BOB, ALICE, BOB, CAROL, BOB] {
        let answer = submit(key, home).await;
        assert_eq!((answer.status, limit(&answer).as_str()), (202, "10"), "ten a second, whoever asks");
    }
    assert_eq!(limit(&submit(ALICE, cafe).await), "2", "elsewhere nothing changes");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_verbs_of_the_modes_share_a_limit() {
    let broker = Broker::with(|config| config.limits.rate_limits = true).await;
    let mona = broker.json(MONA);
    let left = |answer: &crate::harness::Answer| {
        answer.headers["x-ratelimit-remaining"].to_str().unwrap().parse::<u32>().unwrap()
    };
    let first = left(&mona.get("/status/modes").await);
    let second = left(&mona.put("/status/modes", json!({"raid_mode": false})).await);
    assert_eq!((first, second), (29, 28));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_raid_mode_strangers_from_hidden_addresses_get_no_images_and_nobody_is_told_how_busy_it_is() {
    let broker = Broker::with(|config| {
        config.people.unsafe_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let (mona, alice, bob) = (broker.json(MONA), broker.json(ALICE), broker.json(BOB));
    let asked = json!({"prompt": "x"});
    let quiet = alice.post("/generate/async", asked.clone()).await.ok();
    assert_eq!(quiet["warnings"][0]["code"], "NoAvailableWorker", "{quiet}");
    mona.put("/status/modes", json!({"raid_mode": true})).await.ok();
    let picture =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let forms = json!({"source_image": picture, "forms": [{"name": "caption"}]});
    for (path, body) in
        [("/generate/async", &asked), ("/generate/video/async", &asked), ("/interrogate/async", &forms)]
    {
        let refused = alice.post(path, body.clone()).await;
        assert_eq!(refused.verdict(), (403, "UntrustedUnsafeIP"), "{path}: {}", refused.body);
        let taken = bob.post(path, body.clone()).await;
        assert_eq!(taken.status, 202, "{path}: of those who are trusted it is taken: {}", taken.body);
        assert!(taken.body.get("warnings").is_none() && taken.body["message"].is_null(), "{}", taken.body);
    }
    let text = alice.post("/generate/text/async", asked).await;
    assert_eq!(text.status, 202, "texts are taken of all: {}", text.body);
    mona.put("/status/modes", json!({"raid_mode": false})).await.ok();
    assert_eq!(alice.post("/interrogate/async", forms).await.status, 202);
    broker.stop().await;
}
