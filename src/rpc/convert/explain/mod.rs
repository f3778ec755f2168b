//! Why requests wait and workers have nothing to do, in words.

mod ease;
mod lift;

use super::{count, people::type_word, seconds};
use crate::{
    domain::{request::Spec, worker::Worker},
    engine::{Block, Change, Count, Explanation, Gain, KindExplanation, View, WorkerExplanation},
    rpc::pb,
};

/// A request, and why it waits if it does.
pub fn request(view: &View, why: Option<&Explanation>) -> pb::ExplainResponse {
    let state = state(view, why);
    let spec = &view.accepted.spec;
    let changes: Vec<_> = why.into_iter().flat_map(|why| &why.changes).map(|one| change(one, spec)).collect();
    pb::ExplainResponse {
        id: view.accepted.id.to_string(),
        r#type: type_word(spec.kind()).into(),
        state: state.into(),
        message: summary(view, state, why, &changes),
        waiting: count(view.waiting),
        processing: count(view.processing),
        finished: count(view.finished),
        queue_position: why.and_then(|why| why.position).map(|position| count(position.jobs)),
        queue_position_is_least: why
            .and_then(|why| why.position)
            .and_then(|position| (!position.is_exact).then_some(true)),
        wait_time: seconds(view.wait_seconds),
        workers: why.map(|why| pb::ExplainedWorkers {
            online: count(why.workers),
            able: count(why.able),
            considered: count(why.looked_at),
            is_partial: !why.is_whole,
        }),
        rules: why.into_iter().flat_map(|why| &why.counts).map(rule).collect(),
        changes,
    }
}

fn state(view: &View, why: Option<&Explanation>) -> &'static str {
    match () {
        () if view.faulted => "faulted",
        () if view.cancelled => "cancelled",
        () if view.done => "done",
        () if why.is_some() || view.waiting > 0 => "waiting",
        () => "processing",
    }
}

fn summary(view: &View, state: &str, why: Option<&Explanation>, changes: &[pb::SuggestedChange]) -> String {
    let Some(why) = why else {
        return match state {
            "faulted" => "it failed; nothing of it waits any more",
            "cancelled" => "it was cancelled; nothing of it waits any more",
            "done" => "it is done",
            "waiting" => "it was accepted a moment ago, and is about to be offered to workers",
            _ => "workers have all that is left of it",
        }
        .into();
    };
    let online = if why.looked_at < why.workers { "looked at" } else { "online" };
    let of_all = |able: usize| match (why.looked_at, able) {
        (1, 0) => "the one worker online may not take it".to_owned(),
        (1, _) => "the one worker online may take it".into(),
        (all, 0) => format!("none of the {all} workers {online} may take it"),
        (all, able) => format!("{able} of the {all} workers {online} may take it"),
    };
    let who = match (why.workers, why.able, why.position) {
        (0, ..) => return "no worker that runs such jobs is online: it waits until one comes".into(),
        (_, able, Some(position)) if position.jobs > 1 => format!(
            "{}: {}{} {} before it",
            of_all(able),
            if position.is_exact { "" } else { "at least " },
            some(position.jobs - 1, "job"),
            if position.jobs == 2 { "comes" } else { "come" },
        ),
        (_, 0, _) => of_all(0),
        (_, able, _) => format!("{}: it is next", of_all(able)),
    };
    let best = changes.first().filter(|_| why.able == 0);
    let advice = match best {
        Some(change) => {
            format!("; {} could if you {}", some(change.workers as usize, "worker"), change.message)
        }
        None if why.able == 0 => most_in_the_way(why),
        None => String::new(),
    };
    let rest = match view.processing {
        0 => String::new(),
        n => format!("; workers have {} of it already", some(n, "job")),
    };
    format!("{who}{advice}{rest}")
}

/// The rule that stands most in the way where no change would do.
fn most_in_the_way(why: &Explanation) -> String {
    let first = why.counts.iter().max_by_key(|count| (count.jobs_alone, count.jobs));
    let told = |count: &Count| {
        format!("; what stands most in the way: {} ({})", count.rule.why, some(count.jobs, "worker"))
    };
    first.map(told).unwrap_or_default()
}

fn some(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

fn rule(of: &Count) -> pb::ExplainedRule {
    pb::ExplainedRule {
        name: of.rule.name.into(),
        key: of.rule.key.map(str::to_owned),
        message: of.rule.why.into(),
        workers: count(of.jobs),
        workers_only: count(of.jobs_alone),
    }
}

fn change(of: &Change, spec: &Spec) -> pb::SuggestedChange {
    let words: Vec<_> = of.eases.iter().map(|one| ease::words(one, spec)).collect();
    pb::SuggestedChange {
        message: words.join(", and "),
        patch: Some(ease::patch(&of.eases, spec)),
        workers: count(of.workers),
    }
}

/// Why a worker has nothing to do.
pub fn worker(worker: &Worker, is_online: bool, why: &WorkerExplanation) -> pb::ExplainWorkerResponse {
    let blocks: Vec<_> = why.blocks.iter().map(block).collect();
    pb::ExplainWorkerResponse {
        id: worker.id.to_string(),
        name: worker.name.clone(),
        message: worker_summary(&blocks, &why.kinds),
        online: is_online,
        blocks,
        kinds: why.kinds.iter().map(kind).collect(),
    }
}

fn worker_summary(blocks: &[pb::WorkerBlock], kinds: &[KindExplanation]) -> String {
    let is_passing = |block: &&pb::WorkerBlock| matches!(block.code.as_str(), "not_waiting" | "no_credits");
    let mut words: Vec<_> = blocks.iter().map(|block| block.message.clone()).collect();
    // What keeps it from work for good says all.
    if blocks.iter().all(|block| is_passing(&block)) {
        words.push(prospects(kinds));
    }
    words.join("; ")
}

/// What a worker may take of what waits, and what would bring it most.
fn prospects(kinds: &[KindExplanation]) -> String {
    let (able, jobs) = kinds.iter().fold((0, 0), |(able, jobs), kind| (able + kind.able, jobs + kind.jobs));
    let gains = kinds.iter().flat_map(|kind| kind.models.iter().chain(&kind.lifts).map(move |g| (kind, g)));
    let advice = match gains.max_by_key(|(_, gain)| gain.jobs) {
        Some((kind, gain)) => {
            let words = lift::words(&gain.lift, kind.kind);
            format!("; it could take {} more if you {words}", some(gain.jobs, "job"))
        }
        None => String::new(),
    };
    match able {
        0 => format!("it may take none of the {} that wait{advice}", some(jobs, "job")),
        n => format!("it may take {n} of the {} that wait, as soon as it asks{advice}", some(jobs, "job")),
    }
}

fn block(of: &Block) -> pb::WorkerBlock {
    let (code, message) = match of {
        Block::OwnerDeleted => ("owner_deleted", "its owner's account is scheduled for deletion".to_owned()),
        Block::OwnerFlagged => ("owner_flagged", "its owner is flagged, and its pops are refused".into()),
        Block::Offline(seconds) => {
            ("offline", format!("it is offline: it was not heard of for {}", span(*seconds)))
        }
        Block::NotWaiting => (
            "not_waiting",
            "it has no pop or stream open at this broker, and gets nothing until it asks".into(),
        ),
        Block::NoCredits => ("no_credits", "it has as many jobs as it has room for".into()),
        Block::Maintenance(text) => {
            ("maintenance", format!("it is in maintenance, and takes its owner's requests alone: {text}"))
        }
        Block::Paused => ("paused", "it is paused by a moderator".into()),
        Block::NothingWaits => ("nothing_waits", "nothing waits of the kinds that it runs".into()),
    };
    pb::WorkerBlock { code: code.into(), message }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn kind(of: &KindExplanation) -> pb::ExplainedKind {
    let suggested = |gains: &[Gain]| -> Vec<_> { gains.iter().map(|gain| offer(gain, of)).collect() };
    pb::ExplainedKind {
        r#type: type_word(of.kind).into(),
        requests: count(of.requests),
        jobs: count(of.jobs),
        requests_considered: count(of.looked_at),
        is_partial: !of.is_whole,
        able_jobs: count(of.able),
        rules: of.counts.iter().map(worker_rule).collect(),
        models: suggested(&of.models),
        offers: suggested(&of.lifts),
    }
}

fn worker_rule(of: &Count) -> pb::ExplainedWorkerRule {
    pb::ExplainedWorkerRule {
        name: of.rule.name.into(),
        key: of.rule.key.map(str::to_owned),
        message: of.rule.why.into(),
        jobs: count(of.jobs),
        jobs_only: count(of.jobs_alone),
        requests: count(of.requests),
        requests_only: count(of.requests_alone),
    }
}

fn offer(gain: &Gain, of: &KindExplanation) -> pb::SuggestedOffer {
    pb::SuggestedOffer {
        message: lift::words(&gain.lift, of.kind),
        offer: Some(lift::offer(&gain.lift, of.kind)),
        current: gain.now,
        jobs: count(gain.jobs),
        requests: count(gain.requests),
    }
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans_are_told_in_the_unit_that_suits_them() {
        for (seconds, told) in [
            (0, "0 s"),
            (119, "119 s"),
            (301, "5 min"),
            (7_200, "2 h"),
            (172_799, "47 h"),
            (400_000, "4 days"),
        ] {
            assert_eq!(span(seconds), told);
        }
    }
}
