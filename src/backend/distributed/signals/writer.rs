//! The task that brings logs in Redis up to date.

use std::{sync::Arc, time::Duration};

use fred::types::Value;
use futures_util::future::join_all;

use super::{
    KEPT_FOR, Shared,
    shares::{Call, Entry},
};
use crate::{
    backend::distributed::{link::complain, scripts},
    domain::{RequestId, event::Event, result::Product},
};

/// Logs written side by side.
const SIDE_BY_SIDE: usize = 256;
/// How long the end of a log waits before it is tried again, and how often.
const WAIT_FOR_OTHERS: Duration = Duration::from_millis(50);
const MOST_WAITS: u32 = 50;
/// How long Redis is left alone after a failure.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs until it is aborted.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        if !shared.shares.lock().has_due() {
            shared.wake.notified().await;
        }
        let (forgotten, calls) = shared.shares.lock().take_due(SIDE_BY_SIDE);
        let mut is_well = forget(&shared, forgotten).await;
        if is_well {
            let outcomes = join_all(calls.into_iter().map(|call| append(&shared, call))).await;
            is_well = outcomes.into_iter().all(|is_done| is_done);
        } else {
            let mut shares = shared.shares.lock();
            calls.iter().for_each(|call| shares.failed(call.request));
        }
        shared.rounds.send_modify(|round| *round += 1);
        if !is_well {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn forget(shared: &Arc<Shared>, forgotten: Vec<RequestId>) -> bool {
    let drops = forgotten.iter().map(|request| {
        let keys = shared.link.log_keys(*request);
        scripts::FORGET.run(shared.link.logs(), keys, Vec::new())
    });
    let outcomes = join_all(drops).await;
    let mut again = Vec::new();
    for (request, outcome) in forgotten.into_iter().zip(outcomes) {
        match outcome {
            Ok(_) => shared.news.ring(request),
            Err(error) => {
                complain(&error, "a log could not be dropped; later again");
                again.push(request);
            }
        }
    }
    let is_done = again.is_empty();
    shared.shares.lock().put_forgotten(again);
    is_done
}

async fn append(shared: &Arc<Shared>, call: Call) -> bool {
    let mut arguments: Vec<Value> = vec![
        call.epoch.unwrap_or(0).to_string().into(),
        call.at.0.to_string().into(),
        shared.link.broker().into(),
        count(call.first),
        count(call.retold),
        count(usize::try_from(KEPT_FOR.as_millis()).unwrap_or(usize::MAX)),
    ];
    for entry in &call.events {
        push_event(&mut arguments, entry);
    }
    let keys = shared.link.log_keys(call.request);
    let answer = match scripts::APPEND.run(shared.link.logs(), keys, arguments).await {
        Ok(answer) => answer.into_array(),
        Err(error) => {
            complain(&error, "events could not be appended; in a moment again");
            shared.shares.lock().failed(call.request);
            return false;
        }
    };
    let number = |i: usize| answer.get(i).and_then(Value::as_i64).unwrap_or(0);
    let count = usize::try_from(number(2)).unwrap_or(0);
    if number(0) != 0 && number(4) == 1 {
        shared.shares.lock().waits(&call, number(0), count);
        shared.news.ring(call.request);
        return wait_for_others(shared, call);
    }
    if number(0) != 0 && number(4) == 2 {
        shared.shares.lock().retell_text(&call, number(0), count);
        shared.news.ring(call.request);
        return true;
    }
    note(shared, &call, number(0), number(2), number(3) == 1);
    shared.news.ring(call.request);
    true
}

/// The end of a log is here before a result that another broker has to tell. If that one is no more, the
/// log is dropped: who reads it begins it again from Records.
fn wait_for_others(shared: &Arc<Shared>, call: Call) -> bool {
    let is_late = shared.shares.lock().waited(call.request) > MOST_WAITS;
    if is_late {
        tracing::info!("an event log lacks a result of a broker that is no more; it is begun again");
        shared.shares.lock().forget(call.request);
        shared.wake.notify_one();
        return true;
    }
    let shared = shared.clone();
    tokio::spawn(async move {
        tokio::time::sleep(WAIT_FOR_OTHERS).await;
        shared.shares.lock().failed(call.request);
        shared.wake.notify_one();
    });
    true
}

fn note(shared: &Shared, call: &Call, epoch: i64, count: i64, is_sole: bool) {
    let mut shares = shared.shares.lock();
    match (epoch, call.epoch) {
        (0, Some(known)) => {
            tracing::info!("an event log was lost; it is begun again");
            shares.lost(call.request, known, shared.clock.now());
        }
        (0, None) => shares.failed(call.request),
        _ => shares.written(call, epoch, usize::try_from(count).unwrap_or(0), is_sole),
    }
}

fn count(number: usize) -> Value {
    length(number).into()
}

fn length(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What the script needs to know of an event, and the event.
fn push_event(arguments: &mut Vec<Value>, entry: &Entry) {
    let event = &*entry.event;
    let (what, job, attempt, bytes) = match event {
        Event::Token { job, attempt, text } if entry.is_taken_over => {
            ("t", Some(*job), *attempt, length(text.len()))
        }
        Event::Token { job, attempt, text } => ("p", Some(*job), *attempt, length(text.len())),
        Event::Progress { job, attempt, .. } | Event::Preview { job, attempt, .. } => {
            ("p", Some(*job), *attempt, 0)
        }
        Event::Assigned { job, attempt, .. } => ("a", Some(*job), *attempt, 0),
        Event::Reset { job } => ("z", *job, entry.after, 0),
        Event::Result { job, attempt, outcome } => {
            let text = match &outcome.product {
                Product::Text(text) if entry.ends_text => Some(text.len()),
                _ => None,
            };
            ("r", Some(*job), *attempt, text.map_or(-1, length))
        }
        Event::Done { finished, .. } => ("d", None, 0, length(*finished)),
        Event::Cancelled => ("c", None, 0, 0),
        Event::Faulted { .. } => ("f", None, 0, 0),
        Event::Queued(_) => ("q", None, 0, 0),
    };
    let body = serde_json::to_string(event).expect("events are plain data with keys that are text");
    arguments.extend([
        what.into(),
        job.map_or_else(String::new, |job| job.to_string()).into(),
        i64::from(attempt).into(),
        bytes.into(),
        body.into(),
    ]);
}
