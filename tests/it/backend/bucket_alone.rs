//! What only a bucket can do, or break: links past the broker, foreign objects, keys that are not right.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use gridbroker::{
    backend::{
        Blobs,
        s3::{S3Blobs, is_passing},
    },
    config::{Bucket, Objects, Secret},
    domain::{Clock, Timestamp, clock::SystemClock},
};
use reqwest::{Client, Method, StatusCode};
use rusty_s3::S3Action;

use crate::harness::{free_port, names_in, s3, signer};

const HOLDS: Duration = Duration::from_secs(60);

async fn direct() -> (S3Blobs, Objects) {
    let objects = Objects { s3_direct_links: true, ..s3().bucket().await };
    (open(&objects, SystemClock).await, objects)
}

async fn open(objects: &Objects, clock: impl Clock + 'static) -> S3Blobs {
    S3Blobs::open(&objects.bucket().unwrap(), Arc::new(clock)).await.unwrap()
}

async fn send(verb: Method, url: &str, content_type: Option<&str>, content: &'static str) -> StatusCode {
    let request = Client::new().request(verb, url).body(content);
    let request = match content_type {
        Some(content_type) => request.header("content-type", content_type),
        None => request,
    };
    request.send().await.unwrap().status()
}

/// A clock that is late.
struct Late(Duration);

impl Clock for Late {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 - self.0.as_millis() as i64)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_hands_out_links_if_told_so() {
    let (blobs, objects) = direct().await;
    assert!(blobs.direct().is_some());
    let through = Objects { s3_direct_links: false, ..objects };
    assert!(open(&through, SystemClock).await.direct().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_past_the_broker_takes_any_content_type_and_none() {
    let (blobs, _) = direct().await;
    let link = blobs.direct().unwrap().put_link("some_put.webp", HOLDS);
    for content_type in [None, Some("image/webp"), Some("video/mp4"), Some("text/html; x=\"y\""), Some("odd")]
    {
        assert_eq!(send(Method::PUT, &link, content_type, "one").await, 200, "{content_type:?}");
    }
    let fetched = reqwest::get(blobs.direct().unwrap().get_link("some_put.webp", HOLDS)).await.unwrap();
    assert_eq!((fetched.status().as_u16(), fetched.text().await.unwrap().as_str()), (200, "one"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_past_the_broker_holds_for_its_name_its_verb_and_its_time() {
    let (blobs, objects) = direct().await;
    blobs.put("some.webp", Bytes::from_static(b"one")).await.unwrap();
    blobs.put("other.webp", Bytes::from_static(b"two")).await.unwrap();
    let (put, get) = {
        let links = blobs.direct().unwrap();
        (links.put_link("some.webp", HOLDS), links.get_link("some.webp", HOLDS))
    };
    for (verb, url, rule) in [
        (Method::PUT, get.clone(), "to fetch, not to replace"),
        (Method::GET, put.clone(), "to replace, not to fetch"),
        (Method::DELETE, put.clone(), "not to delete"),
        (Method::GET, get.replace("/some.webp", "/other.webp"), "no other object"),
        (Method::GET, get.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"), "no longer"),
        (Method::GET, get.split_once('?').unwrap().0.to_owned(), "signed"),
    ] {
        assert_eq!(send(verb, &url, None, "").await, 403, "{rule}");
    }
    let late = open(&objects, Late(HOLDS / 2)).await;
    let nearly = late.direct().unwrap().get_link("some.webp", HOLDS);
    assert_eq!(send(Method::GET, &nearly, None, "").await, 200, "half of its time is over");
    let over = late.direct().unwrap().get_link("some.webp", HOLDS / 4);
    assert_eq!(send(Method::GET, &over, None, "").await, 403, "all of it is");
    let over = late.direct().unwrap().put_link("some.webp", HOLDS / 4);
    assert_eq!(send(Method::PUT, &over, None, "x").await, 403, "all of it is");
    assert_eq!(blobs.get("some.webp").await.unwrap().as_deref(), Some(&b"one"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_looked_at_is_kept_and_nothing_else() {
    let (blobs, _) = direct().await;
    let links = blobs.direct().unwrap();
    let put = links.put_link("some_put.webp", HOLDS);
    send(Method::PUT, &put, Some("text/html"), "one").await;
    let seen = blobs.beginning("some_put.webp", 100).await.unwrap().unwrap();
    send(Method::PUT, &put, None, "two").await;
    let keep =
        async |version: &str, from: &str| links.keep(from, version, "some.webp", "video/mp4").await.unwrap();
    assert!(!keep(&seen.version, "some_put.webp").await, "it is another one by now");
    assert!(!keep(&seen.version, "missing.webp").await, "there is none");
    assert!(!blobs.exists("some.webp").await.unwrap());
    let seen = blobs.beginning("some_put.webp", 100).await.unwrap().unwrap();
    assert!(keep(&seen.version, "some_put.webp").await);
    send(Method::PUT, &put, None, "three").await;
    let fetched = reqwest::get(links.get_link("some.webp", HOLDS)).await.unwrap();
    assert_eq!(fetched.headers()["content-type"], "video/mp4", "not what the link was told");
    assert_eq!(fetched.text().await.unwrap(), "two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_others_are_passed_over() {
    let (blobs, objects) = direct().await;
    assert_eq!(names_in(&objects).await, Vec::<String>::new(), "opening it left nothing");
    let (bucket, credentials) = signer(&objects);
    for foreign in ["0a/deep/one.webp", "0b é.webp", "0c"] {
        let put = bucket.put_object(Some(&credentials), foreign).sign(HOLDS);
        assert_eq!(send(Method::PUT, put.as_str(), None, "x").await, 200);
    }
    for own in ["0a.webp", "0d.webp", "0e.webp"] {
        blobs.put(own, Bytes::from_static(b"x")).await.unwrap();
    }
    // One at a time: pages without any of ours are turned.
    assert_eq!(blobs.names("0a.webp", "1", 1).await.unwrap(), ["0d.webp"]);
    assert_eq!(blobs.names("", "0e", 10).await.unwrap(), ["0a.webp", "0d.webp"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_up_wrongly_is_told_and_what_is_away_passes() {
    let right = s3().bucket().await.bucket().unwrap();
    let wrong = |change: fn(&mut Bucket)| {
        let mut bucket = right.clone();
        change(&mut bucket);
        bucket
    };
    for (bucket, words) in [
        (wrong(|bucket| bucket.name = "not-there".into()), "correct s3_bucket"),
        (wrong(|bucket| bucket.key_id = "nobody".into()), "s3_access_key_id"),
        (wrong(|bucket| bucket.secret = Secret::new("wr0ng")), "s3_secret_access_key"),
        (wrong(|bucket| bucket.key_id = "gridbroker-reader".into()), "may not do that"),
    ] {
        let failure = S3Blobs::open(&bucket, Arc::new(SystemClock)).await.err().expect("it does not open");
        assert!(failure.to_string().contains(words), "{words}: {failure}");
        assert!(failure.to_string().contains(&bucket.name), "it says which: {failure}");
        assert!(!failure.to_string().contains("Signature=") && !failure.to_string().contains("wr0ng"));
        assert!(!is_passing(&failure), "{failure}");
    }
    let mut away = right.clone();
    away.endpoint = format!("http://127.0.0.1:{}", free_port()).parse().unwrap();
    let failure = S3Blobs::open(&away, Arc::new(SystemClock)).await.err().expect("nobody is there");
    assert!(is_passing(&failure), "{failure}");
    assert!(failure.to_string().contains("onnection refused"), "{failure}");
}
