//! The program over a bucket that cannot be reached yet, or is set up wrongly.

use gridbroker::config::Objects;

use super::late::{Served, forward_to};
use crate::harness::{Redis, eventually, free_port, postgres, s3};

/// Flags for a bucket behind a port, with this secret.
fn flags(objects: &Objects, port: u16, secret: &str) -> Vec<String> {
    let bucket = objects.bucket().expect("it is set up");
    let flag = |name: &str, value: &str| [format!("--{name}"), value.to_owned()];
    [
        flag("s3-endpoint", &format!("http://127.0.0.1:{port}")),
        flag("s3-bucket", &bucket.name),
        flag("s3-access-key-id", &bucket.key_id),
        flag("s3-secret-access-key", secret),
    ]
    .concat()
}

fn serve(flags: &[String], more: &[&str]) -> Served {
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Served::by(&flags)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn until_a_bucket_can_be_reached_callers_are_told_to_wait() {
    let objects = s3().bucket().await;
    let secret = objects.bucket().unwrap().secret;
    let port = free_port();
    let mut served = serve(&flags(&objects, port, secret.expose()), &[]);
    assert!(!served.url.is_empty(), "it listens");
    let logs = served.listen();
    let first = logs.iter().find(|line| line.contains("ERROR")).expect("it says what is wrong");
    for words in [&format!("http://127.0.0.1:{port}"), "onnection refused", "the bucket "] {
        assert!(first.contains(words), "{words}: {first}");
    }
    assert!(!first.contains(secret.expose()) && !first.contains("X-Amz"), "{first}");
    assert_eq!((served.get("/livez").await.0, served.get("/readyz").await.0), (200, 503));
    assert_eq!(served.submits().await.status(), 503);
    forward_to(s3().port(), port).await;
    eventually(async || served.get("/readyz").await.0 == 200).await;
    assert_eq!(served.submits().await.status(), 202);
    assert_eq!(served.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_set_up_wrongly_ends_the_start() {
    let objects = s3().bucket().await;
    let wrong = flags(&objects, s3().port(), "wr0ng-word");
    let redis = Redis::start();
    let redis = format!("redis://127.0.0.1:{}", redis.port());
    let missing = postgres().url("not_there");
    let distributed = ["--database-url", missing.expose(), "--redis-url", &redis];
    for (more, words) in [
        (&[][..], &["s3_secret_access_key", "SignatureDoesNotMatch"][..]),
        // All that is wrong is told at once.
        (&distributed, &["s3_secret_access_key", "no such database"]),
    ] {
        let served = serve(&wrong, more);
        assert_eq!(served.url, "", "it never said that it listens");
        let (code, logged) = served.end();
        assert_eq!(code, Some(1), "{logged}");
        words.iter().for_each(|word| assert!(logged.contains(word), "{word}: {logged}"));
        assert!(!logged.contains("wr0ng-word") && !logged.contains("a-test-password"), "{logged}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_a_bucket_is_refused_with_all_that_is_missing() {
    let served = Served::by(&["--s3-bucket", "Grid", "--s3-secret-access-key", "s3cret-word"]);
    let (code, logged) = served.end();
    assert_eq!(code, Some(2), "{logged}");
    for words in ["s3_endpoint, s3_access_key_id", "small letters", "2 settings need attention"] {
        assert!(logged.contains(words), "{words}: {logged}");
    }
    assert!(!logged.contains("s3cret-word"), "{logged}");
}
