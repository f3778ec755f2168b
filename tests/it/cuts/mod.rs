//! Readers whose connections are cut again and again, anywhere, and who go on over another transport: the
//! pieces are the uncut stream, byte by byte.
//!
//! `GRIDBROKER_SEED=<n>` draws other cuts, and `GRIDBROKER_CUTS=<n>` more or fewer of them.

mod ways;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use gridbroker::rpc::pb;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;

use crate::harness::{ALICE, BOB, Broker, Cutter, Requester, Worker};
use ways::{Journal, Way};

/// Cuts over each transport.
const CUTS: usize = 1000;
/// Readers at a time.
const READERS: usize = 6;
/// A connection gets fewer bytes than this: some end in the headers, some in a message.
const MOST_BYTES: usize = 1500;
/// Tokens at most: a text of 512 tokens may have 128 KiB.
const TOKENS: usize = 20_000;
/// Between two bursts of tokens.
const PAUSE: Duration = Duration::from_millis(2);

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_a_thousand_times_over_each_transport_is_the_uncut_one() {
    let broker = Broker::start().await;
    let url = broker.url().to_owned();
    tell_through_cuts(&[url], broker.requester(ALICE).await, broker.worker(BOB, "teller").await).await;
    broker.stop().await;
}

/// Has a text told, and read by those whose connections are cut, before each of the brokers in turn.
pub async fn tell_through_cuts(urls: &[String], mut alice: Requester, worker: Worker) {
    let (seed, wanted) = (number("GRIDBROKER_SEED").unwrap_or(1), number("GRIDBROKER_CUTS").unwrap_or(CUTS));
    println!("seed {seed}");
    let id = submits(&mut alice).await;
    let job = {
        let mut worker = worker.clone();
        let mut stream = worker.opens_text_stream(1, &[]).await;
        let job = stream.job().await.ids[0].clone();
        // It is accepted, so it outlives the stream for a while; reports keep it.
        worker.reports_text(&job, "Once ").await;
        (stream, job)
    };
    let (_stream, job) = job;
    let mut cutters = Vec::new();
    for url in urls {
        let mut of_each = Vec::new();
        for way in Way::ALL {
            of_each.push((way, Cutter::before(url, MOST_BYTES, (seed * 10 + of_each.len()) as u64).await));
        }
        cutters.push(of_each);
    }
    let cutters = Arc::new(cutters);
    let cuts = {
        let cutters = cutters.clone();
        move |way: Way| {
            cutters.iter().flatten().filter(|(of, _)| *of == way).map(|(_, one)| one.cuts()).sum::<usize>()
        }
    };
    let told = Arc::new(AtomicUsize::new(0));
    let is_enough = Arc::new(AtomicBool::new(false));
    let teller = tokio::spawn(tells(worker, job, told.clone(), is_enough.clone()));

    let mut readers = JoinSet::new();
    for number in 0..READERS {
        readers.spawn(reads(cutters.clone(), id.clone(), (seed * 100 + number) as u64));
    }
    while Way::ALL.iter().any(|way| cuts(*way) < wanted) && told.load(Ordering::Relaxed) < TOKENS {
        tokio::time::sleep(PAUSE).await;
    }
    // Who comes when half of it, or nearly all, is told gets everything too.
    readers.spawn(reads(cutters.clone(), id.clone(), seed as u64));
    is_enough.store(true, Ordering::Relaxed);
    let text = teller.await.expect("the teller does not fail");
    // The result has all of the text in one message.
    cutters.iter().flatten().for_each(|(_, cutter)| cutter.relents());

    let uncut = alone(&urls[0], &id).await;
    assert_eq!(uncut.reader.results.get(&0), Some(&text));
    let mut journals = vec![alone(&urls[urls.len() - 1], &id).await];
    while let Some(journal) = readers.join_next().await {
        journals.push(journal.expect("a reader does not fail"));
    }
    assert_eq!(journals.len(), READERS + 2);
    for journal in &journals {
        assert!(journal.told == uncut.told, "{} events, {} uncut", journal.told.len(), uncut.told.len());
    }
    let counts: BTreeMap<_, _> = Way::ALL.iter().map(|way| (format!("{way:?}"), cuts(*way))).collect();
    println!("{counts:?} cuts of {} events", uncut.told.len());
    assert!(counts.values().all(|cuts| *cuts >= wanted), "too few cuts to show anything: {counts:?}");
}

async fn submits(alice: &mut Requester) -> String {
    let message = pb::SubmitTextRequest {
        prompt: Some("tell".into()),
        params: Some(pb::TextParams { max_length: Some(512), ..Default::default() }),
        ..Default::default()
    };
    let accepted = alice.client.submit_text(alice.keyed(message)).await.expect("it is accepted");
    accepted.into_inner().id.expect("an accepted request has an ID")
}

/// Tells tokens, a few at a time, until it is enough; then hands the text in. Returns it.
async fn tells(
    mut worker: Worker,
    job: String,
    told: Arc<AtomicUsize>,
    is_enough: Arc<AtomicBool>,
) -> String {
    let mut text = "Once ".to_owned();
    let (says, said) = mpsc::channel(64);
    let reporting = {
        let call = worker.keyed(ReceiverStream::new(said));
        let mut client = worker.client.clone();
        tokio::spawn(async move { client.report(call).await })
    };
    for number in 0..TOKENS {
        if is_enough.load(Ordering::Relaxed) {
            break;
        }
        let token = format!("{number} ");
        let report = pb::ReportRequest { id: job.clone(), text: token.clone(), ..Default::default() };
        says.send(report).await.expect("the broker listens");
        text.push_str(&token);
        told.fetch_add(1, Ordering::Relaxed);
        if number % 4 == 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
    drop(says);
    let counted = reporting.await.expect("it does not panic").expect("reports are no error").into_inner();
    assert_eq!(counted.closed, 0);
    worker.delivers_text(&job, &text).await.expect("it is open");
    text
}

/// Reads to the end through cuts, each time at another broker, over another transport.
async fn reads(cutters: Arc<Vec<Vec<(Way, Cutter)>>>, id: String, seed: u64) -> Journal {
    let (mut journal, mut chance) = (Journal::default(), StdRng::seed_from_u64(seed));
    while !journal.reader.is_done {
        let (way, cutter) =
            &cutters[chance.random_range(0..cutters.len())][chance.random_range(0..Way::ALL.len())];
        if let Err(wrong) = way.reads(&cutter.url(), &id, &mut journal).await {
            panic!("{way:?}: {wrong}");
        }
    }
    journal
}

/// Reads what is told without cuts.
async fn alone(url: &str, id: &str) -> Journal {
    let mut journal = Journal::default();
    Way::Grpc.reads(url, id, &mut journal).await.expect("it is one story");
    assert!(journal.reader.is_done, "nobody cuts it");
    journal
}
