//! Those who watch requests, over gRPC and SSE, and go on at another node when theirs falls; and those
//! who change their minds.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use parking_lot::Mutex;
use rand::RngExt;
use tokio::time::{sleep, timeout};
use tonic::Code;

use crate::{
    crash::{
        line::{Line, of},
        people::Crowd,
    },
    harness::{ALICE, Reader, Told},
};

/// A node that has said nothing for so long is left. A request may wait long: then it is asked again.
const SILENCE: Duration = Duration::from_secs(5);
/// How long a watcher has to come to the end of a request once all are done.
const LAST: Duration = Duration::from_secs(20);

/// What watchers saw to the end: the request's ID, and what they have of it.
pub type Seen = Arc<Mutex<Vec<(String, Reader)>>>;

/// Three watchers over each face, and one who cancels, at once at work.
pub fn gather(crowd: &Arc<Crowd>, urls: &[String]) -> Seen {
    let seen = Seen::default();
    for i in 0..3 {
        crowd.employs(watches_over_grpc(crowd.clone(), seen.clone(), i));
        crowd.employs(watches_over_sse(crowd.clone(), seen.clone(), urls.to_vec(), i));
    }
    crowd.employs(changes_minds(crowd.clone()));
    seen
}

/// A request that was accepted lately; `None`: no more are asked for.
async fn picks(crowd: &Crowd, chance: &mut rand::rngs::StdRng) -> Option<String> {
    loop {
        sleep(Duration::from_millis(chance.random_range(5..50))).await;
        if crowd.enough.is_cancelled() {
            return None;
        }
        let history = crowd.history.lock();
        let latest = history.accepted_in_order.iter().rev().take(20);
        if let Some(id) = latest.clone().nth(chance.random_range(0..20)) {
            return Some(id.clone());
        }
    }
}

/// Runs a reader to the end of its request, which must come soon after all are done.
async fn reads(crowd: &Crowd, seen: &Seen, id: &str, reading: impl Future<Output = Result<Reader, String>>) {
    let limit = async {
        crowd.closing.cancelled().await;
        sleep(LAST).await;
    };
    let read = tokio::select! {
        read = reading => read,
        () = limit => Err("it is done, and its watcher was never told".to_owned()),
    };
    match read {
        Ok(reader) => seen.lock().push((id.to_owned(), reader)),
        Err(wrong) => crowd.history.lock().complain(format!("watching {id}: {wrong}")),
    }
}

async fn watches_over_grpc(crowd: Arc<Crowd>, seen: Seen, number: usize) {
    let mut chance = crowd.chance(&format!("grpc-watcher-{number}"));
    let line = crowd.grpc(ALICE).with(number);
    while let Some(id) = picks(&crowd, &mut chance).await {
        reads(&crowd, &seen, &id, over_grpc(&crowd, &line, &id)).await;
    }
}

async fn over_grpc(crowd: &Crowd, line: &Line, id: &str) -> Result<Reader, String> {
    let (mut reader, mut before) = (Reader::default(), None);
    while !reader.is_done {
        let why = match line.watches(id, &reader.after()).await {
            Ok(mut stream) => {
                // That nothing happens is no failure of the call.
                before = None;
                let end = loop {
                    match timeout(SILENCE, stream.message()).await {
                        Ok(Ok(Some(told))) => reader.hears(told.into())?,
                        end => break end,
                    }
                };
                line.was_left();
                format!("{end:?}")
            }
            Err(status) if status.code() == Code::NotFound => return Err(status.to_string()),
            Err(status) => format!("{status:?}"),
        };
        if !reader.is_done {
            crowd.history.lock().is_cut(&format!("watcher of {id}"), &mut before, why);
            sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(reader)
}

async fn watches_over_sse(crowd: Arc<Crowd>, seen: Seen, urls: Vec<String>, number: usize) {
    let mut chance = crowd.chance(&format!("sse-watcher-{number}"));
    let client = reqwest::Client::builder().read_timeout(SILENCE).build().expect("a client can be made");
    while let Some(id) = picks(&crowd, &mut chance).await {
        reads(&crowd, &seen, &id, over_sse(&crowd, &client, &urls, number, &id)).await;
    }
}

async fn over_sse(
    crowd: &Crowd,
    client: &reqwest::Client,
    urls: &[String],
    first: usize,
    id: &str,
) -> Result<Reader, String> {
    let (mut reader, mut before) = (Reader::default(), None);
    for turn in first.. {
        let url = format!("{}/api/v2/generate/{id}/stream", urls[turn % urls.len()]);
        let request = client.get(url).header("last-event-id", reader.after());
        let answer = request.send().await;
        let why = of(turn, &answer);
        if let Ok(response) = answer {
            match response.status().as_u16() {
                200 => {
                    before = None;
                    hears_all(&mut reader, response).await?;
                }
                404 => return Err("404".into()),
                204 => return Err(format!("204, but the reader is not at the end: {reader:?}")),
                _ => {}
            }
        }
        if reader.is_done {
            break;
        }
        crowd.history.lock().is_cut(&format!("SSE watcher of {id}"), &mut before, why);
        sleep(Duration::from_millis(20)).await;
    }
    Ok(reader)
}

/// Takes in what an SSE stream says until it ends or breaks.
async fn hears_all(reader: &mut Reader, response: reqwest::Response) -> Result<(), String> {
    let (mut stream, mut text) = (response.bytes_stream(), Vec::new());
    while let Some(Ok(bytes)) = stream.next().await {
        text.extend_from_slice(&bytes);
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let block =
                String::from_utf8(text.drain(..end + 2).collect()).map_err(|error| error.to_string())?;
            if let Some(told) = Told::of_sse(&block) {
                reader.hears(told)?;
            }
        }
    }
    Ok(())
}

/// Cancels a request now and then.
async fn changes_minds(crowd: Arc<Crowd>) {
    let mut chance = crowd.chance("fickle");
    let lines = [crowd.grpc(ALICE), crowd.json(ALICE)];
    while let Some(id) = picks(&crowd, &mut chance).await {
        sleep(Duration::from_millis(chance.random_range(0..1000))).await;
        crowd.history.lock().cancels(&id);
        let line = &lines[chance.random_range(0..2)];
        line.with(chance.random_range(0..line.ends())).cancels(&id).await;
    }
}
