//! Source images at URLs: fetched, stored, handed to workers; or refused, and nothing is left.

use std::{
    io::Cursor,
    time::{Duration, Instant},
};

use gridbroker::config::Config;
use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker, Outsider, Reply, is_distributed};

fn allowed(config: &mut Config) {
    config.api.fetch_allow = vec!["127.0.0.1".parse().unwrap()];
}

fn picture(format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8, y as u8, 7]));
    let mut bytes = Vec::new();
    DynamicImage::from(image).write_to(&mut Cursor::new(&mut bytes), format).expect("it can be written");
    bytes
}

/// A PNG whose header speaks of ten thousand million pixels.
fn bomb() -> Vec<u8> {
    let mut png = picture(ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0]);
    let sum = !png[12..29].iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 * (sum & 1)))
    });
    png[29..33].copy_from_slice(&sum.to_be_bytes());
    png
}

async fn site() -> Outsider {
    Outsider::plain(|called| match called.line.as_str() {
        "GET /a.png" => Reply::Content(picture(ImageFormat::Png)),
        "GET /a.jpg" => Reply::Unannounced(picture(ImageFormat::Jpeg)),
        "GET /a.webp" => Reply::Content(picture(ImageFormat::WebP)),
        "GET /large" => Reply::Content(vec![7; 6 << 20]),
        "GET /large-unannounced" => Reply::Unannounced(vec![7; 6 << 20]),
        "GET /silent" => Reply::Silence,
        "GET /drips" => Reply::Drips(picture(ImageFormat::Png), Duration::from_millis(100)),
        "GET /page" => Reply::Content(b"<html>404 as it were</html>".to_vec()),
        "GET /svg" => Reply::Content(b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec()),
        "GET /empty" => Reply::Content(vec![]),
        "GET /gif" => Reply::Content(b"GIF89a\x01\0\x01\0\0\0\0;".to_vec()),
        "GET /half.png" => Reply::Content(picture(ImageFormat::Png)[..100].to_vec()),
        "GET /half.webp" => {
            let webp = picture(ImageFormat::WebP);
            Reply::Content(webp[..webp.len() / 2].to_vec())
        }
        "GET /bomb" => Reply::Content(bomb()),
        _ => Reply::Status(404),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn source_images_at_urls_reach_the_worker_as_webp() {
    let site = site().await;
    let broker = Broker::with(allowed).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let remix = json!({"prompt": "x", "models": ["Stable Cascade 1.0"], "source_image": site.url("/a.png"), "source_mask": site.url("/a.jpg"),
        "source_processing": "remix", "extra_source_images": [{"image": site.url("/a.webp"), "strength": 0.5}]});
    alice.post("/generate/async", remix).await.ok();
    let offer = json!({"name": "painter", "models": ["Stable Cascade 1.0"], "max_pixels": 4194304,
        "bridge_agent": "AI Horde Worker reGen:13:x"});
    let job = bob.post("/generate/pop", offer).await.ok();
    let links = [&job["source_image"], &job["source_mask"], &job["extra_source_images"][0]["image"]];
    for link in links {
        let link = link.as_str().unwrap_or_else(|| panic!("a link: {job}"));
        assert!(link.starts_with(broker.url()), "a worker never hears of the site: {link}");
        let fetched = reqwest::get(link).await.expect("it answers").bytes().await.expect("it is whole");
        assert_eq!(image::guess_format(&fetched).unwrap(), ImageFormat::WebP);
        assert_eq!(image::load_from_memory(&fetched).unwrap().into_rgb8().dimensions(), (64, 64));
    }
    assert_eq!(site.calls().len(), 3, "each is fetched once");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn source_images_that_cannot_be_had_are_refused_and_leave_nothing() {
    let (site, private) = (site().await, site().await);
    let to = private.url("/a.png");
    let leads_away = Outsider::plain(move |_| Reply::Redirect(to.clone())).await;
    let broker = Broker::with(allowed).await;
    let alice = broker.json(ALICE);
    for (url, rc) in [
        (site.url("/large"), "SourceImageSizeExceeded"),
        (site.url("/large-unannounced"), "SourceImageSizeExceeded"),
        (site.url("/silent"), "ImageValidationFailed"),
        (site.url("/drips"), "ImageValidationFailed"),
        (site.url("/missing"), "ImageValidationFailed"),
        (leads_away.url("/a.png"), "ImageValidationFailed"),
        (site.url("/page"), "SourceImageUrlInvalid"),
        (site.url("/svg"), "SourceImageUrlInvalid"),
        (site.url("/empty"), "SourceImageUrlInvalid"),
        (site.url("/gif"), "SourceImageUnreadable"),
        (site.url("/half.png"), "SourceImageUnreadable"),
        (site.url("/half.webp"), "SourceImageUnreadable"),
        (site.url("/bomb"), "SourceImageResolutionExceeded"),
        ("http://[::1]:1/a.png".into(), "ImageValidationFailed"),
        ("http://10.0.0.1/a.png".into(), "ImageValidationFailed"),
        ("http://169.254.169.254/latest/meta-data".into(), "ImageValidationFailed"),
        ("http://user:password@127.0.0.1/a.png".into(), "ImageValidationFailed"),
        ("http://no-such-name.invalid/a.png".into(), "ImageValidationFailed"),
        ("https://127.0.0.1:1/a.png".into(), "ImageValidationFailed"),
    ] {
        let began = Instant::now();
        let body = json!({"prompt": "x", "source_image": site.url("/a.png"), "source_mask": url});
        let refused = alice.post("/generate/async", body).await;
        assert_eq!(refused.verdict(), (400, rc), "{url}: {}", refused.body);
        assert!(began.elapsed() < Duration::from_secs(6), "{url} takes {:?}", began.elapsed());
    }
    assert!(private.calls().is_empty(), "nobody is led there: {:?}", private.calls());
    broker.holds_nothing().await;
    let home = broker.stop().await;
    if is_distributed() {
        // Objects are rows there; the suite of the back end looks at them.
        return;
    }
    let folders = std::fs::read_dir(home.dir.path().join("objects")).unwrap();
    let left: Vec<_> =
        folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_word_of_the_operator_nobody_nearby_is_called() {
    let site = site().await;
    let broker = Broker::start().await;
    let named = site.named_url("/a.png");
    for url in [site.url("/a.png"), named] {
        let body: Value = json!({"prompt": "x", "source_image": url});
        let refused = broker.json(ALICE).post("/generate/async", body).await;
        assert_eq!(refused.verdict(), (400, "ImageValidationFailed"), "{}", refused.body);
    }
    assert!(site.calls().is_empty());
    broker.stop().await;
}
