//! Workers, as they are listed and shown.

use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker, CAROL, MONA};

async fn with_three_workers() -> Broker {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (bob, carol) = (broker.json(BOB), broker.json(CAROL));
    let image = json!({"name": "Dreamer", "models": ["stable_diffusion"], "max_pixels": 262_144, "threads": 2,
        "bridge_agent": "AI Horde Worker reGen:13.0.0:x", "allow_painting": false});
    bob.post("/generate/pop", image).await.ok();
    bob.post("/generate/text/pop", json!({"name": "scribe / one", "models": ["b-model", "a-model"]}))
        .await
        .ok();
    carol
        .post("/generate/text/pop", json!({"name": "copyist", "models": ["a-model"], "nsfw": false}))
        .await
        .ok();
    broker
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("a bare list").iter().map(|worker| worker["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_filtered_by_name_in_any_case_or_by_type() {
    let broker = with_three_workers().await;
    let anyone = broker.json_without_key();
    for (query, expected) in [
        ("", vec!["Dreamer", "scribe / one", "copyist"]),
        ("?type=", vec!["Dreamer", "scribe / one", "copyist"]),
        ("?type=image", vec!["Dreamer"]),
        ("?type=text", vec!["scribe / one", "copyist"]),
        ("?type=interrogation", vec![]),
        ("?type=Image", vec![]),
        ("?name=dReAmEr", vec!["Dreamer"]),
        ("?name=SCRIBE%20/+ONE", vec!["scribe / one"]),
        ("?name=copyist&type=image", vec!["copyist"]),
        ("?name=dream", vec![]),
        ("?name=", vec!["Dreamer", "scribe / one", "copyist"]),
        ("?later=1", vec!["Dreamer", "scribe / one", "copyist"]),
    ] {
        let list = anyone.get(&format!("/workers{query}")).await.ok();
        assert_eq!(names(&list), expected, "{query}");
    }
    let with_any_key = broker.json("nobody-has-this-key").get("/workers").await.ok();
    assert_eq!(names(&with_any_key).len(), 3, "an unknown key is as none");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_found_by_its_id_and_by_its_exact_name() {
    let broker = with_three_workers().await;
    let alice = broker.json(ALICE);
    let list = alice.get("/workers").await.ok();
    let scribe = &list[1];
    let by_id = alice.get(&format!("/workers/{}", scribe["id"].as_str().unwrap())).await.ok();
    let by_name = alice.get("/workers/name/scribe%20%2F%20one").await.ok();
    assert_eq!((&by_id["name"], &by_name["id"]), (&json!("scribe / one"), &scribe["id"]));
    for path in ["/workers/name/dreamer", "/workers/name/Dreamer%20", "/workers/Dreamer"] {
        assert_eq!(alice.get(path).await.verdict(), (404, "WorkerNotFound"), "{path}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_view_is_the_contracts_and_moderators_see_whose_it_is() {
    let broker = with_three_workers().await;
    let path = "/workers/name/Dreamer";
    let mut public = broker.json_without_key().get(path).await.ok();
    assert!(uuid::Uuid::parse_str(public["id"].as_str().unwrap()).is_ok());
    assert!(
        public["uptime"].is_i64()
            && public["performance"].as_str().unwrap().ends_with("megapixelsteps per second")
    );
    for name in ["id", "uptime", "performance"] {
        public.as_object_mut().unwrap().remove(name);
    }
    let expected = json!({"type": "image", "name": "Dreamer", "online": true, "requests_fulfilled": 0,
        "kudos_rewards": 0.0, "kudos_details": {"generated": 0.0, "uptime": 0}, "threads": 2, "uncompleted_jobs": 0,
        "maintenance_mode": false, "trusted": true, "flagged": false, "team": {"name": null, "id": null},
        "bridge_agent": "AI Horde Worker reGen:13.0.0:x", "nsfw": true, "models": ["stable_diffusion"],
        "max_pixels": 262_144, "megapixelsteps_generated": 0.0, "img2img": true, "painting": false,
        "post-processing": true, "controlnet": false, "sdxl_controlnet": false, "lora": false});
    assert_eq!(public.to_string(), expected.to_string(), "as text, since 0 and 0.0 differ");
    let owner = broker.json(BOB).get(path).await.ok();
    assert!(owner.get("owner").is_none() && owner.get("paused").is_none(), "owners see no more: {owner}");
    let moderator = broker.json(MONA).get(path).await.ok();
    let bob = broker.json(BOB).get("/find_user").await.ok()["username"].clone();
    assert_eq!((&moderator["owner"], &moderator["paused"]), (&bob, &json!(false)));
    let text = broker.json_without_key().get("/workers/name/copyist").await.ok();
    assert_eq!(
        (&text["max_length"], &text["max_context_length"], &text["nsfw"]),
        (&json!(512), &json!(2048), &json!(false))
    );
    assert!(text.get("max_pixels").is_none() && text.get("img2img").is_none(), "{text}");
    broker.stop().await;
}
