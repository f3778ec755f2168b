//! Styles and collections: what workers get when one is asked for, who is paid, and who pays.

use gridbroker::rpc::{
    admin::AddSharedKeyRequest,
    pb::{self, collections_client::CollectionsClient, styles_client::StylesClient},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker, CAROL, Json, MONA, OPEN_KEY};

const AGENT: &str = "AI Horde Worker reGen:13:x";

/// Somebody who draws with whatever there is.
async fn draws(worker: &Json, models: &[&str]) -> Value {
    let offer = json!({"name": "drawer", "models": models, "bridge_agent": AGENT, "max_pixels": 4_194_304});
    worker.post("/generate/pop", offer).await.ok()
}

async fn kudos(broker: &Broker, key: &str) -> f64 {
    broker.json(key).get("/find_user").await.ok()["kudos"].as_f64().expect("a balance")
}

async fn instant() -> Broker {
    Broker::with(|config| config.api.long_poll_timeout = 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_gets_what_the_style_makes_of_a_request_and_its_author_is_thanked() {
    let broker = instant().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let style = json!({
        "name": "oil & water", "info": "as <script>old</script> masters", "models": ["SDXL 1.0"],
        "prompt": "{p}, oil {on} canvas###photo, {np}", "tags": ["paint", "old"], "nsfw": true,
        "params": {"steps": 22, "cfg_scale": 6.5, "sampler_name": "k_dpmpp_2m", "width": 1024, "mystery": [1]},
    });
    let made = bob.post("/styles/image", style).await.ok();
    assert_eq!((&made["message"], &made["warnings"]), (&json!("OK"), &json!([])), "{made}");
    let path = format!("/styles/image/{}", made["id"].as_str().unwrap());
    let shown = broker.json_without_key().get(&path).await.ok();
    let expected = json!({
        "id": made["id"], "name": "oil &amp; water", "info": "as &lt;script&gt;old&lt;/script&gt; masters",
        "prompt": "{p}, oil {on} canvas###photo, {np}", "public": true, "nsfw": true, "tags": ["paint", "old"],
        "models": ["SDXL 1.0"], "use_count": 0, "creator": "bob#2", "examples": [],
        "params": {"steps": 22, "cfg_scale": 6.5, "sampler_name": "k_dpmpp_2m", "width": 1024},
    });
    assert_eq!(shown, expected, "made safe, and without what nobody knows");
    let asked = |change: Value| {
        let mut body = json!({"prompt": "a cat###dogs", "style": "oil & water", "models": ["other"],
            "params": {"n": 2, "width": 640, "height": 768, "steps": 50, "seed": "7", "tiling": true}});
        for (name, value) in change.as_object().expect("changes are an object") {
            body[name] = value.clone();
        }
        body
    };
    // What is not accepted is not paid.
    assert_eq!(alice.post("/generate/async", asked(json!({"dry_run": true}))).await.status, 200);
    let nobody = json!({"workers": ["77777777-7777-4777-8777-777777777777"]});
    assert_eq!(alice.post("/generate/async", asked(nobody)).await.rc(), "WorkerNotFound");
    assert_eq!(alice.get(&path).await.ok()["use_count"], 0);
    assert_eq!((kudos(&broker, ALICE).await, kudos(&broker, BOB).await), (1000.0, 1000.0));
    let submitted = alice.post("/generate/async", asked(json!({}))).await;
    assert_eq!(submitted.status, 202, "{}", submitted.body);
    assert_eq!((kudos(&broker, ALICE).await, kudos(&broker, BOB).await), (997.0, 1002.0), "1 and 2 of tax");
    let job = draws(&bob, &["SDXL 1.0", "other"]).await;
    assert_eq!(job["model"], "SDXL 1.0", "{job}");
    let payload = &job["payload"];
    for (name, value) in [
        ("prompt", json!("a cat, oil {on} canvas###photo, dogs")),
        ("ddim_steps", json!(22)),
        ("cfg_scale", json!(6.5)),
        ("sampler_name", json!("k_dpmpp_2m")),
        ("width", json!(1024)),
        ("height", json!(768)),
        ("tiling", json!(false)),
    ] {
        assert_eq!(payload[name], value, "{name} of {payload}");
    }
    assert_ne!(payload["seed"], "7", "its own seed is dropped");
    let author = bob.get("/find_user").await.ok();
    assert_eq!(author["kudos_details"]["styled"], 2.0, "{author}");
    assert_eq!(author["records"]["style"]["image"], 1, "{author}");
    assert_eq!(alice.get(&path).await.ok()["use_count"], 1);
    // One's own.
    bob.post("/generate/async", asked(json!({}))).await.ok();
    assert_eq!(kudos(&broker, BOB).await, 1001.0, "what it costs without a style, and no thanks");
    assert_eq!(alice.get(&path).await.ok()["use_count"], 2);
    // Videos are drawn with styles of images.
    bob.post("/styles/image", json!({"name": "film", "models": ["Wan 2.2"]})).await.ok();
    alice.post("/generate/video/async", json!({"prompt": "a wave", "style": "film"})).await.ok();
    // What anybody sees of an account, and what the account sees.
    bob.post("/styles/text", json!({"name": "secret", "models": ["m"], "public": false})).await.ok();
    let styles = async |json: &Json, path: &str| json.get(path).await.ok()["styles"].as_array().cloned();
    let public = styles(&alice, "/users/2").await.unwrap();
    let shown = json!({"name": "bob#2::style::oil &amp; water", "id": made["id"], "type": "image"});
    assert_eq!((public.len(), &public[0]), (2, &shown));
    for (json, path) in [(&bob, "/users/2"), (&bob, "/find_user"), (&broker.json(MONA), "/users/2")] {
        let all = styles(json, path).await.unwrap();
        assert_eq!(all.last().map(|style| &style["type"]), Some(&json!("text")), "{path}: {all:?}");
    }
    let listed = alice.get("/users?sort=age").await.ok();
    assert_eq!(listed[2]["styles"].as_array(), Some(&public), "{listed}");
    // All of it is on disk.
    let broker = broker.restart().await;
    let shown = broker.json(ALICE).get("/styles/image_by_name/bob%232::style::oil%20&%20water").await.ok();
    assert_eq!(shown["use_count"], 2, "{shown}");
    let author = broker.json(BOB).get("/find_user").await.ok();
    assert_eq!((&author["kudos"], &author["records"]["style"]["image"]), (&json!(1003.0), &json!(2)));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_gives_one_of_its_styles_to_a_text_over_grpc() {
    let broker = Broker::start().await;
    let mut styles = StylesClient::new(broker.channel().await);
    let mut collections = CollectionsClient::new(broker.channel().await);
    let (mut alice, mut bob) = (broker.requester(ALICE).await, broker.worker(BOB, "writer").await);
    for (name, temperature) in [("calm", 0.25), ("wild", 1.75)] {
        let params = json!({"temperature": temperature, "max_length": 120});
        let message = pb::CreateTextStyleRequest {
            name: Some(name.into()),
            prompt: Some(format!("{name}: {{p}}{{!}}")),
            params: Some(serde_json::from_value(params).unwrap()),
            models: vec!["mock/echo-7b".into()],
            ..Default::default()
        };
        let made = styles.create_text_style(bob.keyed(message)).await.expect("it is made").into_inner();
        assert_eq!((made.message.as_str(), made.warnings.len()), ("OK", 0));
    }
    let message = pb::CreateCollectionRequest {
        name: Some("moods".into()),
        styles: Some(pb::StyleNames { names: vec!["calm".into(), "style::bob#2::wild".into()] }),
        ..Default::default()
    };
    let made = collections.create_collection(alice.keyed(message)).await.expect("it is made").into_inner();
    let mut stream = bob.opens_text_stream(1, &[]).await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let message = pb::SubmitTextRequest {
            prompt: Some("once###upon".into()),
            style: Some("moods".into()),
            params: Some(pb::TextParams { temperature: Some(5.0), top_k: Some(3), ..Default::default() }),
            ..Default::default()
        };
        alice.client.submit_text(alice.keyed(message)).await.expect("it is accepted");
        let job = stream.job().await;
        let payload = job.text.and_then(|text| text.payload).expect("a payload");
        let prompt = payload.prompt.unwrap_or_default();
        let (mood, temperature) =
            if payload.temperature == Some(0.25) { ("calm", 0.25) } else { ("wild", 1.75) };
        assert_eq!(prompt, format!("{mood}: once###upon{{!}}"), "texts are not parted");
        assert_eq!((payload.temperature, payload.top_k, payload.max_length), (Some(temperature), None, 120));
        bob.delivers_text(&job.ids[0], "the end").await.expect("it is taken");
        if seen.insert(mood) && seen.len() == 2 {
            break;
        }
    }
    assert_eq!(seen.len(), 2, "each has its turn");
    let message = pb::GetCollectionRequest { id: made.id };
    let shown = collections.get_collection(alice.keyed(message)).await.expect("it is there").into_inner();
    assert!(shown.use_count >= 2 && shown.r#type == "text", "{shown:?}");
    let names: Vec<_> = shown.styles.iter().map(|style| style.name.as_str()).collect();
    assert_eq!(names, ["calm", "wild"]);
    // A style that goes leaves it.
    let message = pb::DeleteTextStyleRequest { id: shown.styles[0].id.clone() };
    styles.delete_text_style(bob.keyed(message)).await.expect("it is deleted");
    let message = pb::GetCollectionByNameRequest { name: "collection::moods".into() };
    let shown = collections.get_collection_by_name(alice.keyed(message)).await.expect("it is there");
    assert_eq!(shown.into_inner().styles.len(), 1);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_style_has_pays_for_it_and_for_nothing_else() {
    let broker = instant().await;
    let (alice, bob, carol) = (broker.json(ALICE), broker.json(BOB), broker.json(CAROL));
    // Carol's, and bounded to what the style is larger than.
    let lent = AddSharedKeyRequest { owner: 3, kudos: 100, max_image_pixels: 64, ..OPEN_KEY };
    let key = broker.lends(lent).await;
    let style = json!({"name": "free", "models": ["m"], "sharedkey": key});
    let path = bob.post("/styles/image", style).await.ok();
    let path = format!("/styles/image/{}", path["id"].as_str().unwrap());
    let shown = alice.get(&path).await.ok()["shared_key"].clone();
    assert_eq!(
        (&shown["id"], &shown["username"], &shown["kudos"]),
        (&json!(key), &json!("carol#3"), &json!(100)),
        "{shown}"
    );
    let asked = json!({"prompt": "a cat", "style": "free"});
    let id = alice.post("/generate/async", asked.clone()).await.ok()["id"].clone();
    assert_eq!(
        carol.get("/find_user").await.ok()["active_generations"]["image"],
        json!([id]),
        "it is carol's"
    );
    let balances = [kudos(&broker, ALICE).await, kudos(&broker, BOB).await, kudos(&broker, CAROL).await];
    assert_eq!(balances, [1000.0, 1002.0, 997.0]);
    assert_eq!(alice.get(&path).await.ok()["shared_key"]["utilized"], 3);
    let direct = broker.json(&key).post("/generate/async", json!({"prompt": "a cat"})).await;
    assert_eq!(direct.verdict(), (403, "SharedKeyAssignedStyles"), "{}", direct.body);
    // Without the key everybody pays for themselves again.
    bob.patch(&path, json!({"sharedkey": ""})).await.ok();
    assert!(alice.get(&path).await.ok().get("shared_key").is_none());
    alice.post("/generate/async", asked).await.ok();
    assert_eq!((kudos(&broker, ALICE).await, kudos(&broker, CAROL).await), (997.0, 997.0));
    let direct = broker.json(&key).post("/generate/text/async", json!({"prompt": "once"})).await;
    assert_eq!(direct.status, 202, "and the key is one like others: {}", direct.body);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_of_a_style_changes_and_everything_else_stays() {
    let broker = instant().await;
    let (bob, mona) = (broker.json(BOB), broker.json(MONA));
    let style = json!({"name": "first", "info": "ten letters", "models": ["a", "b"], "tags": ["x"],
        "prompt": "so {p}{np}", "params": {"steps": 9, "kept": true}, "public": false, "nsfw": true});
    let id = bob.post("/styles/image", style).await.ok()["id"].as_str().unwrap().to_owned();
    let path = format!("/styles/image/{id}");
    let before = bob.get(&path).await.ok();
    for (change, expected) in [
        (json!({"name": "second"}), json!({"name": "second"})),
        (json!({"public": true}), json!({"public": true})),
        (json!({"tags": []}), json!({"tags": []})),
        (json!({"models": ["c", "c"]}), json!({"models": ["c"]})),
        (json!({"params": {"cfg_scale": 3}}), json!({"params": {"cfg_scale": 3.0}})),
        (json!({"info": "<b>new</b>", "nsfw": false}), json!({"info": "<b>new</b>", "nsfw": false})),
    ] {
        let mut expected_whole = bob.get(&path).await.ok();
        for (name, value) in expected.as_object().unwrap() {
            expected_whole[name] = value.clone();
        }
        bob.patch(&path, change.clone()).await.ok();
        assert_eq!(bob.get(&path).await.ok(), expected_whole, "{change}");
    }
    assert_eq!(before["name"], "first");
    let listed = broker.json_without_key().get("/styles/image?model=c&sort=age").await.ok();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    // Examples: one of them is shown first.
    let examples = format!("{path}/example");
    let primary = async || -> Vec<String> {
        let shown = bob.get(&path).await.ok()["examples"].clone();
        let shown = shown.as_array().unwrap().iter().filter(|example| example["primary"] == true);
        shown.map(|example| example["url"].as_str().unwrap().to_owned()).collect()
    };
    let add = async |who: &Json, n: u8, primary: bool| {
        let example = json!({"url": format!("https://example.org/{n}"), "primary": primary});
        who.post(&examples, example).await
    };
    let first = add(&bob, 1, true).await.ok()["id"].as_str().unwrap().to_owned();
    add(&mona, 2, false).await.ok();
    assert_eq!(primary().await, ["https://example.org/1"]);
    add(&bob, 3, true).await.ok();
    assert_eq!(primary().await, ["https://example.org/3"]);
    assert_eq!(add(&bob, 3, true).await.verdict(), (400, "BadRequest"), "an URL once");
    bob.patch(&format!("{examples}/{first}"), json!({"url": "https://example.org/9"})).await.ok();
    assert_eq!(primary().await, ["https://example.org/9"]);
    bob.delete(&format!("{examples}/{first}")).await.ok();
    assert_eq!(primary().await, ["https://example.org/2"]);
    bob.delete(&path).await.ok();
    assert_eq!(bob.get(&path).await.verdict(), (404, "Image styleNotFound"));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_refused_clearly() {
    let broker = instant().await;
    let bob = broker.json(BOB);
    let deep = (0..20).fold(json!(1), |inner, _| json!({"a": inner}));
    let with = |change: Value| {
        let mut body = json!({"name": "x", "models": ["m"]});
        for (name, value) in change.as_object().expect("changes are an object") {
            body[name] = value.clone();
        }
        body
    };
    for (change, path, rule) in [
        (json!({"params": {"later": "x".repeat(70_000)}}), "params", "large parameters"),
        (json!({"params": {"later": deep}}), "params", "deep ones"),
        (json!({"params": [1]}), "params", "what is no object"),
        (json!({"prompt": format!("{{p}}{{np}}{}", "x".repeat(10 << 20))}), "prompt", "a prompt of 10 MB"),
        (json!({"name": "x".repeat(101)}), "name", "a name"),
        (json!({"info": "short"}), "info", "too little said"),
        (json!({"tags": ["x".repeat(26)]}), "tags.0", "a tag"),
        (json!({"sharedkey": "x"}), "sharedkey", "what is no key"),
        (json!({"public": "yes"}), "public", "what is no boolean"),
    ] {
        let answer = bob.post("/styles/image", with(change)).await;
        assert_eq!((answer.status, answer.paths()), (400, vec![path]), "{rule}: {}", answer.body);
    }
    let request = bob.request(Method::POST, "/collections");
    let many = vec!["a"; 101];
    let answer = bob.send(request.json(&json!({"name": "x", "styles": many}))).await;
    assert_eq!(answer.verdict(), (400, "BadRequest"), "{}", answer.body);
    // A prompt is not made long by a style that says it over and over.
    let style = with(json!({"name": "echo", "prompt": format!("{}{{np}}", "{p}".repeat(1000))}));
    bob.post("/styles/image", style).await.ok();
    let answer = bob.post("/generate/async", json!({"prompt": "x ".repeat(3000), "style": "echo"})).await;
    assert_eq!(answer.verdict(), (400, "BadRequest"), "{}", answer.body);
    for page in ["/styles/image?page=0", "/styles/image?page=2147483647", "/styles/text?page=-5"] {
        assert!(bob.get(page).await.ok().is_array(), "{page}");
    }
    broker.stop().await;
}
