//! A worker whose connection is there and carries nothing any more.

use std::time::Duration;

use tokio::time::timeout;

use crate::harness::{ALICE, BOB, Broker, Staller, Worker};

/// A peer is found to be gone within 15 s; its jobs wait for it for another 15 s.
const LONGEST: Duration = Duration::from_secs(45);

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_falls_silent_is_found_out_and_its_job_goes_to_another() {
    let broker = Broker::start().await;
    let staller = Staller::before(broker.url()).await;
    let mut silent = Worker::at(&staller.url(), BOB, "silent").await;
    let mut stream = silent.opens_text_stream(1, &[]).await;
    let mut alice = broker.requester(ALICE).await;
    let id = alice.submits_text("carry on", 1).await;
    let lost = stream.job().await;
    silent.reports_text(&lost.ids[0], "carry ").await;
    let mut other = broker.worker(BOB, "other").await;
    let mut spare = other.opens_text_stream(1, &[]).await;

    staller.falls_silent();
    let job = timeout(LONGEST, spare.awaits_job()).await.expect("the silent worker is found out");
    assert_ne!(job.ids, lost.ids);
    other.delivers_text(&job.ids[0], "carry on then").await.expect("it is open");
    let status = alice.text_status(&id).await;
    assert_eq!((status.done, status.generations[0].text.as_str()), (true, "carry on then"));
    let late = broker.worker(BOB, "silent").await.delivers_text(&lost.ids[0], "carry on").await;
    assert!(late.is_err(), "what another one has done is not taken twice");
    broker.stop().await;
}
