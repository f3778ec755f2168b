//! What was made, in all and by model.

use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker, Json};

const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

async fn draws(bob: &Json, model: &str) -> String {
    let offer = json!({"name": "painter", "models": [model], "max_pixels": 1_048_576,
        "bridge_agent": "AI Horde Worker reGen:13.0.0:x"});
    bob.post("/generate/pop", offer).await.ok()["id"].as_str().expect("a job").to_owned()
}

async fn writes(bob: &Json) -> String {
    let offer = json!({"name": "writer", "models": ["any-model"]});
    bob.post("/generate/text/pop", offer).await.ok()["id"].as_str().expect("a job").to_owned()
}

/// The same in each period.
fn always(figures: Value) -> Value {
    json!({"minute": figures, "hour": figures, "day": figures, "month": figures, "total": figures})
}

fn by_model(models: Value) -> Value {
    json!({"day": models, "month": models, "total": models})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_delivered_is_told_at_once_and_outlives_the_broker() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob, anyone) = (broker.json(ALICE), broker.json(BOB), broker.json_without_key());
    assert_eq!(anyone.get("/stats/img/totals").await.ok(), always(json!({"images": 0, "ps": 0})));
    assert_eq!(anyone.get("/stats/text/totals").await.ok(), always(json!({"requests": 0, "tokens": 0})));
    for path in ["/stats/img/models", "/stats/text/models"] {
        assert_eq!(anyone.get(path).await.ok(), by_model(json!({})), "{path}");
    }
    // Heun does each step twice, and they are counted as they were asked for.
    let params = json!({"width": 512, "height": 640, "steps": 7, "n": 2, "sampler_name": "k_heun"});
    for (model, jobs) in [("stable_diffusion", 2), ("home-made", 1)] {
        let mut params = params.clone();
        params["n"] = jobs.into();
        let image = json!({"prompt": "x", "models": [model], "params": params});
        alice.post("/generate/async", image).await.ok();
        for seed in 0..jobs {
            let job = draws(&bob, model).await;
            let result = json!({"id": job, "generation": PIXEL, "seed": seed});
            bob.post("/generate/submit", result).await.ok();
        }
    }
    let text = json!({"prompt": "x", "models": ["any-model"], "params": {"max_length": 40}});
    let asks = async || alice.post("/generate/text/async", text.clone()).await.ok()["id"].clone();
    let cancels = async |request: Value| {
        alice.delete(&format!("/generate/text/status/{}", request.as_str().unwrap())).await.ok();
    };
    asks().await;
    bob.post("/generate/text/submit", json!({"id": writes(&bob).await, "generation": "short"})).await.ok();
    let (request, job) = (asks().await, writes(&bob).await);
    bob.post("/generate/text/submit", json!({"id": job, "generation": "", "state": "faulted"})).await.ok();
    cancels(request).await;
    // What was made and paid counts, though its request was cancelled meanwhile.
    let (request, job) = (asks().await, writes(&bob).await);
    cancels(request).await;
    bob.post("/generate/text/submit", json!({"id": job, "generation": "late"})).await.ok();
    let images = always(json!({"images": 3, "ps": 3 * 512 * 640 * 7}));
    assert_eq!(anyone.get("/stats/img/totals").await.ok(), images);
    let texts = anyone.get("/stats/text/totals").await.ok();
    assert_eq!(texts, always(json!({"requests": 2, "tokens": 80})), "asked for, not delivered");
    for (query, models) in [
        ("", json!({"stable_diffusion": 2})),
        ("?model_state=known", json!({"stable_diffusion": 2})),
        ("?model_state=custom", json!({"home-made": 1})),
        ("?model_state=all", json!({"home-made": 1, "stable_diffusion": 2})),
    ] {
        assert_eq!(anyone.get(&format!("/stats/img/models{query}")).await.ok(), by_model(models), "{query}");
    }
    assert_eq!(anyone.get("/stats/text/models").await.ok(), by_model(json!({"any-model": 2})));
    let broker = broker.restart().await;
    assert_eq!(broker.json_without_key().get("/stats/img/totals").await.ok(), images);
    broker.stop().await;
}
