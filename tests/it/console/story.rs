//! What people do with the console, in a real browser.

use serde_json::json;

use super::{
    browser::{DESKTOP, Screen},
    page::{Stage, number},
};
use crate::harness::eventually;

const PHONE: Screen = Screen { width: 360, height: 740, is_phone: true };
const SMALLEST: Screen = Screen { width: 320, height: 640, is_phone: true };

#[tokio::test(flavor = "multi_thread")]
async fn tokens_appear_one_by_one_and_a_reload_goes_on_from_there() {
    let stage = Stage::with_worker().await;
    let id = stage.asks_for_text("a lighthouse and a stubborn storm", 90).await;
    stage.takes_notes().await;
    eventually(async || stage.notes().await.len() >= 10).await;
    let before = stage.notes().await;
    for pair in before.windows(2) {
        let added = pair[1].strip_prefix(pair[0].as_str()).expect("each adds to the one before");
        assert!(added.split_whitespace().count() <= 4, "by little: {added:?}");
    }
    let before = before.last().expect("there are notes").clone();
    stage.browser.keeps("playground-text-desktop-light").await;

    stage.browser.overhears("Watch").await;
    stage.browser.reloads().await;
    stage.takes_notes().await;
    stage.browser.sees("#run-outcome .pill", "Done").await;
    let asked = stage.browser.runs("return window.asked").await;
    let [asked] = asked.as_array().expect("a list").as_slice() else { panic!("it asks once: {asked}") };
    let cursor = asked.as_str().and_then(|asked| asked.split_once(&id)).expect("it names the request").1;
    let seq: usize = cursor.split_once('-').and_then(|(_, seq)| seq.parse().ok()).expect("and the cursor");
    // Behind "queued" and "assigned".
    assert!(seq > 10, "it asks for what follows: {cursor:?}");
    let (after, whole) = (stage.notes().await, stage.text_of(&id).await);
    assert!(after.len() > 5, "it was in mid-stream: {after:?}");
    assert!(after[0].len() >= before.len(), "it goes on from where it was: {before:?}, {:?}", after[0]);
    for note in &after {
        assert!(whole.starts_with(note.as_str()), "nothing twice, nothing left out: {note:?} of {whole:?}");
    }
    assert_eq!(after.last(), Some(&whole));
    assert!(stage.browser.reads("#cancel").await.is_empty(), "there is nothing left to cancel");

    // Another tab knows nothing of it, and has the address.
    stage.browser.runs("sessionStorage.clear(); location.hash = '#overview'").await;
    stage.browser.runs("window.addEventListener('pagehide', () => sessionStorage.clear())").await;
    stage.opens(&format!("?again#playground/text/{id}")).await;
    stage.browser.sees("#run-outcome .pill", "Done").await;
    assert_eq!(
        stage.browser.runs("return document.querySelector('#run-outcome .text').textContent").await,
        json!(whole)
    );
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_cancelled_and_says_so() {
    let stage = Stage::with_worker().await;
    let id = stage.asks_for_text("something long that nobody waits for", 400).await;
    stage.browser.clicks("#cancel").await;
    stage.browser.sees("#run-outcome .pill", "Cancelled").await;
    eventually(async || stage.browser.reads("#cancel").await.is_empty()).await;
    let status = stage.json().get(&format!("/generate/text/status/{id}")).await.ok();
    assert_eq!((&status["done"], &status["waiting"]), (&json!(true), &json!(0)), "{status}");
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_says_where_and_can_be_cancelled_too() {
    let stage = Stage::set().await;
    let browser = &stage.browser;
    stage.json().post("/generate/text/async", json!({"prompt": "came first", "params": {"n": 2}})).await.ok();
    stage.opens("#playground").await;
    browser.clicks("#submit").await;
    browser.sees("#run-outcome", "Position 2 in the queue, about ").await;
    let note = browser.reads("#run-notes").await;
    assert!(note.starts_with("No worker online can do this"), "{note}");
    assert_eq!(note.matches("No worker").count(), 1, "said once: {note}");
    browser.keeps("playground-waiting-desktop-light").await;
    browser.clicks("#cancel").await;
    browser.sees("#run-outcome .pill", "Cancelled").await;
    eventually(async || browser.reads("#cancel").await.is_empty()).await;
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_drawn_and_shown() {
    let stage = Stage::with_worker().await;
    let browser = &stage.browser;
    stage.opens("#playground").await;
    browser.clicks("label[for=kind-image]").await;
    browser.types("#prompt", "rolling hills under a low sun").await;
    // The model is chosen from those that are served.
    browser.sees("#image-model", "stable_diffusion").await;
    browser.runs("document.querySelector('#image-model').value = 'stable_diffusion'").await;
    browser.clicks("#submit").await;
    browser.sees("#run-outcome .pill", "Done").await;
    let width = "return document.querySelector('#run-outcome img').naturalWidth";
    eventually(async || number(&browser.runs(width).await) == 512.0).await;
    let alt = browser.runs("return document.querySelector('#run-outcome img').alt").await;
    assert_eq!(alt, json!("Image 1 of this request"));
    browser.keeps("playground-image-desktop-light").await;
    browser.likes("dark").await;
    browser.keeps("playground-image-desktop-dark").await;
    browser.likes("light").await;
    browser.fits(PHONE).await;
    browser.keeps("playground-image-phone-light").await;

    browser.reloads().await;
    browser.sees("#run-outcome .pill", "Done").await;
    eventually(async || number(&browser.runs(width).await) == 512.0).await;
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_shows_what_happens_as_it_happens() {
    let mut stage = Stage::set().await;
    stage.opens("").await;
    stage.browser.sees("#health", "Live").await;
    stage.browser.sees("#workers-none", "No worker is online").await;
    stage.browser.keeps("overview-empty-desktop-light").await;
    let waiting = json!({"prompt": "waits", "models": ["nobody/has-it-13b"], "params": {"n": 3}});
    stage.json().post("/generate/text/async", waiting).await.ok();
    stage.browser.sees("#kinds li:nth-child(2)", "3 jobs queued").await;
    stage.browser.sees("#models-rows", "nobody/has-it-13b").await;
    stage.hires();
    for name in ["mock-text", "mock-image", "mock-alchemy"] {
        stage.browser.sees("#workers-rows", name).await;
    }
    stage.browser.sees("#models-rows", "mock/echo-7b").await;
    stage.browser.keeps("overview-desktop-light").await;
    stage.browser.likes("dark").await;
    stage.browser.keeps("overview-desktop-dark").await;
    stage.browser.fits(PHONE).await;
    stage.browser.keeps("overview-phone-dark").await;
    stage.browser.likes("light").await;
    stage.browser.keeps("overview-phone-light").await;
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_request_is_told_by_its_id() {
    let stage = Stage::with_worker().await;
    let browser = &stage.browser;
    let asked = json!({"prompt": "two short texts", "params": {"n": 2, "max_length": 16}});
    let accepted = stage.json().post("/generate/text/async", asked).await.ok();
    let id = accepted["id"].as_str().expect("an ID");
    stage.opens("#request").await;
    browser.types("#request-id", id).await;
    browser.clicks("#find button").await;
    browser.sees("#request-outcome .pill", "Done").await;
    for line in ["Queued", "Job 1 assigned", "Job 2 writes", "Job 2 delivered", "Done"] {
        browser.sees("#life", line).await;
    }
    assert!(browser.address().await.ends_with(&format!("#request/{id}")), "a reload keeps the place");
    browser.keeps("request-desktop-light").await;
    browser.likes("dark").await;
    browser.fits(PHONE).await;
    browser.keeps("request-phone-dark").await;

    browser.types("#request-id", "no-such-request").await;
    browser.clicks("#find button").await;
    browser.sees("#request-outcome .notice", "There is no such request").await;
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_says_why_and_no_longer_once_it_is_served() {
    let mut stage = Stage::set().await;
    stage.hires();
    stage.opens("").await;
    stage.browser.sees("#workers-rows", "mock-image").await;
    let asked = json!({"prompt": "waits", "models": ["nobody-has-it"], "params": {"tiling": true}});
    let accepted = stage.json().post("/generate/async", asked).await.ok();
    let id = accepted["id"].as_str().expect("an ID");
    stage.opens(&format!("#request/{id}")).await;
    let browser = &stage.browser;
    browser.sees("#request-why", "The one worker online may not take it").await;
    browser.sees("#request-why .advice", "turn off tiling").await;
    browser.sees("#request-why tbody", "software has no tiling").await;
    browser.keeps("request-why-desktop-light").await;
    browser.likes("dark").await;
    browser.fits(PHONE).await;
    browser.keeps("request-why-phone-dark").await;
    browser.fits(SMALLEST).await;
    let width = browser.runs("return document.documentElement.scrollWidth").await;
    assert!(number(&width) <= 320.0, "it is {width} px wide");
    // A worker comes that can do it.
    let offer =
        json!({"name": "painter", "models": ["nobody-has-it"], "bridge_agent": "AI Horde Worker reGen:13:x"});
    let bob = stage.node.json(crate::harness::BOB);
    assert!(bob.post("/generate/pop", offer).await.ok()["id"].is_string());
    browser.sees("#request-outcome .pill", "Running").await;
    eventually(async || browser.reads("#request-why").await.is_empty()).await;
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_explained_to_who_has_its_owners_key() {
    let mut stage = Stage::set().await;
    stage.hires();
    let large = json!({"prompt": "waits", "params": {"width": 1536, "height": 1536}});
    stage.json().post("/generate/async", large).await.ok();
    let another = json!({"prompt": "waits", "models": ["nobody-has-it"], "params": {"n": 2}});
    stage.json().post("/generate/async", another).await.ok();
    stage.opens("").await;
    let browser = &stage.browser;
    browser.sees("#workers-rows", "mock-image").await;
    browser.runs("[...document.querySelectorAll('#workers-rows a')].find((a) => a.textContent === 'mock-image').click()").await;
    browser.sees("#worker-wrong", "Enter the key").await;
    browser.types("#worker-key", crate::harness::ALICE).await;
    browser.clicks("#find-worker button").await;
    browser.sees("#worker-wrong", "another account's").await;
    browser.types("#worker-key", crate::harness::BOB).await;
    browser.clicks("#find-worker button").await;
    browser.sees("#worker-name", "mock-image").await;
    browser.sees("#worker-kinds .advice", "Serve the model nobody-has-it 2 jobs more").await;
    browser.sees("#worker-kinds .advice", "Raise max_pixels to 2,359,296 1 job more").await;
    browser.sees("#worker-kinds tbody", "larger than the worker draws").await;
    assert!(browser.reads("#worker-wrong").await.is_empty());
    browser.keeps("worker-desktop-light").await;
    browser.likes("dark").await;
    browser.fits(PHONE).await;
    browser.keeps("worker-phone-dark").await;
    browser.types("#worker-id", "nobody").await;
    browser.clicks("#find-worker button").await;
    browser.sees("#worker-wrong", "There is no such worker").await;
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_with_what_to_do() {
    let stage = Stage::set().await;
    let browser = &stage.browser;
    stage.opens("#playground").await;
    browser.types("#key", "nobody-has-this-key").await;
    browser.clicks("#submit").await;
    browser.sees("#wish-wrong", "No account has this API key").await;
    let kept = "return [sessionStorage.getItem('gridbroker key'), localStorage.length, document.cookie]";
    assert_eq!(browser.runs(kept).await, json!(["nobody-has-this-key", 0, ""]), "it stays in this tab");
    browser.types("#key", "0000000000").await;
    browser.runs("document.querySelector('#length').min = 1").await;
    browser.types("#length", "3").await;
    browser.clicks("#submit").await;
    browser.sees("#wish-wrong", "params.max_length").await;
    browser.keeps("playground-refused-desktop-light").await;
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_back_is_found_again() {
    let mut stage = Stage::with_worker().await;
    let id = stage.asks_for_text("a text that outlives its broker", 120).await;
    assert!(stage.node.ends().await.success());
    stage.browser.sees("#run-outcome .notice", "trying again").await;
    stage.browser.sees("#health", "Connection lost").await;
    stage.node.starts().await;
    stage.browser.sees("#health", "Live").await;
    stage.browser.sees("#run-outcome .pill", "Done").await;
    let shown = stage.browser.runs("return document.querySelector('#run-outcome .text').textContent").await;
    assert_eq!(shown, json!(stage.text_of(&id).await));
    stage.closes().await;
}

/// A page that knows nothing but `EventSource`.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_source_reads_a_stream_and_continues_it_after_a_reload() {
    let stage = Stage::with_worker().await;
    let browser = &stage.browser;
    let asked = json!({"prompt": "for a page that knows no stubs", "params": {"max_length": 80}});
    let accepted = stage.json().post("/generate/text/async", asked).await.ok();
    let id = accepted["id"].as_str().expect("an ID");
    stage.opens("#overview").await;
    let listen = |after: &str| {
        format!(
            "window.seen = {{ texts: [], last: '', isDone: false }};
             const source = new EventSource('/api/v2/generate/{id}/stream?after={after}');
             source.addEventListener('token', (event) => {{
                 window.seen.texts.push(JSON.parse(event.data).text);
                 window.seen.last = event.lastEventId;
             }});
             source.onmessage = (event) => {{
                 if (event.data === '[DONE]') {{ window.seen.isDone = true; source.close(); }}
             }};"
        )
    };
    browser.runs(&listen("")).await;
    eventually(async || number(&browser.runs("return window.seen.texts.length").await) >= 5.0).await;
    let seen = browser.runs("return window.seen").await;
    assert_eq!(seen["isDone"], false, "they come one by one: {seen}");
    browser.reloads().await;
    browser.runs(&listen(seen["last"].as_str().expect("a cursor"))).await;
    eventually(async || browser.runs("return window.seen.isDone").await == json!(true)).await;
    let rest = browser.runs("return window.seen.texts").await;
    let texts = |list: &serde_json::Value| -> String {
        list.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text")).collect()
    };
    assert!(rest.as_array().is_some_and(|rest| rest.len() > 5), "it was in mid-stream: {rest}");
    assert_eq!(texts(&seen["texts"]) + &texts(&rest), stage.text_of(id).await);
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_who_has_no_mouse_no_sight_or_a_small_screen() {
    let mut stage = Stage::set().await;
    let asked = json!({"prompt": "waits", "models": ["a-model-with-a-name-that-goes-on/and-on-and-on-13b"]});
    stage.json().post("/generate/text/async", asked).await.ok();
    stage.hires();
    stage.opens("").await;
    stage.browser.sees("#workers-rows", "mock-alchemy").await;
    let browser = &stage.browser;
    // Tab, Enter.
    browser.presses("\u{E004}").await;
    assert_eq!(browser.runs("return document.activeElement.id").await, json!("skip"));
    browser.presses("\u{E007}").await;
    assert_eq!(browser.runs("return document.activeElement.id").await, json!("main"));
    for section in ["overview", "playground", "request", "worker"] {
        browser.runs(&format!("location.hash = '#{section}'")).await;
        browser.sees(&format!("#{section}-title"), "").await;
        let current =
            browser.runs("return document.querySelector('nav [aria-current=page]').dataset.section").await;
        assert_eq!(current, json!(section));
        let nameless = browser
            .runs(
                "return [...document.querySelectorAll('input, select, textarea, button, a, [role=region], [role=log]')]
                     .filter((one) => one.checkVisibility())
                     .filter((one) => !(one.labels?.length || one.textContent.trim() || one.ariaLabel
                         || one.getAttribute('aria-labelledby')))
                     .map((one) => one.outerHTML)",
            )
            .await;
        assert_eq!(nameless, json!([]), "{section}: what can be used has a name");
        browser.fits(SMALLEST).await;
        let width = browser.runs("return document.documentElement.scrollWidth").await;
        assert!(number(&width) <= 320.0, "{section} is {width} px wide");
        browser.keeps(&format!("{section}-320px-light")).await;
        browser.fits(DESKTOP).await;
    }
    stage.ends().await;
}
