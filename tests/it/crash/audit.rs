//! The books at the end: what people were told, against what a broker that was just started shows.

use std::collections::{BTreeMap, HashMap, HashSet};

use gridbroker::domain::Kudos;

use super::history::{Asked, DOOMED, History};

/// What a request costs when it is accepted, and each job of it beside its reward.
const FEE: Kudos = Kudos::whole(1);

/// A request as its status shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    pub done: bool,
    pub faulted: bool,
    pub texts: Vec<String>,
}

/// What the broker shows.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// By ID; missing: the broker does not know it.
    pub requests: HashMap<String, Shown>,
    /// By account: what it has more than at the beginning, or less.
    pub gained: BTreeMap<&'static str, Kudos>,
    /// What the broker logged when it panicked.
    pub panics: Vec<String>,
    /// Prompts of requests that may have failed because leases of theirs ended: nobody heard of those jobs.
    pub expired: HashSet<String>,
}

/// All that does not add up.
///
/// - Every accepted request is there, done, and shows as many texts as it has jobs. One that somebody
///   cancelled may show fewer; one that no worker could do has failed.
/// - Its texts are exactly those whose rewards were acknowledged, each once.
/// - A request whose acceptance was cut off is there as a whole, or not at all.
/// - Owners of workers gained the sum of the rewards that were acknowledged, each attempt counted once,
///   and nothing else. (Workers ask until they are answered, so no result is in the air.)
/// - The requester lost the fees of all requests that are there, and the rewards of their jobs.
pub fn audit(history: &History, findings: &Findings, requester: &'static str) -> Vec<String> {
    let mut wrong = history.complaints.clone();
    wrong.extend(findings.panics.iter().map(|line| format!("the broker panicked: {line}")));
    if history.unanswered() > 0 {
        wrong.push(format!("{} results never got an answer", history.unanswered()));
    }
    let mut earned: BTreeMap<&str, Kudos> = BTreeMap::new();
    let mut by_prompt: HashMap<&str, Vec<&str>> = HashMap::new();
    for result in history.acknowledged.values() {
        *earned.entry(result.owner).or_default() += result.reward;
        by_prompt.entry(&result.prompt).or_default().push(&result.text);
    }
    let handed_out: HashSet<&String> = history.granted.values().collect();
    let mut spent = history.acknowledged.values().map(|result| result.reward + FEE).sum();
    for (prompt, asked) in &history.asked {
        let mut told = by_prompt.remove(prompt.as_str()).unwrap_or_default();
        told.sort_unstable();
        let Some(id) = &asked.id else {
            if !told.is_empty() || handed_out.contains(prompt) {
                spent += FEE;
                let is_whole = told.len() == if prompt.starts_with(DOOMED) { 0 } else { asked.jobs };
                if !is_whole && !findings.expired.contains(prompt) {
                    wrong.push(format!("{prompt} exists in part: {} of {}", told.len(), asked.jobs));
                }
            }
            continue;
        };
        spent += FEE;
        let Some(shown) = findings.requests.get(id) else {
            wrong.push(format!("request {id} was accepted and is lost"));
            continue;
        };
        if !shown.done {
            wrong.push(format!("request {id} of {} jobs is not done: {shown:?}", asked.jobs));
        }
        let has_expired = shown.faulted && findings.expired.contains(prompt);
        if !has_expired && !ends_well(prompt, asked, shown) {
            wrong.push(format!("request {id} of {} jobs ended so: {shown:?}", asked.jobs));
        }
        let mut texts: Vec<_> = shown.texts.iter().map(String::as_str).collect();
        texts.sort_unstable();
        if texts != told {
            wrong.push(format!("request {id} shows {texts:?}, acknowledged were {told:?}"));
        }
    }
    for (prompt, texts) in by_prompt {
        wrong.push(format!("{} results of {prompt:?}, which nobody asked for", texts.len()));
    }
    for (account, gained) in &findings.gained {
        let right = match *account == requester {
            true => Kudos::ZERO - spent,
            false => earned.get(account).copied().unwrap_or_default(),
        };
        if *gained != right {
            wrong.push(format!("{account} should have gained {right} kudos, not {gained}"));
        }
    }
    wrong
}

/// Whether a request ended as it should.
fn ends_well(prompt: &str, asked: &Asked, shown: &Shown) -> bool {
    match (asked.is_cancelled, prompt.starts_with(DOOMED)) {
        (false, false) => !shown.faulted && shown.texts.len() == asked.jobs,
        (false, true) => shown.faulted && shown.texts.is_empty(),
        (true, false) => !shown.faulted && shown.texts.len() <= asked.jobs,
        (true, true) => shown.texts.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::history::Answer, *};

    /// One request of two jobs, delivered by bob; one whose acceptance was cut off, by carol.
    fn sound() -> (History, Findings) {
        let mut history = History::default();
        history.asks("first", 2);
        history.accepted("first", "id-1".into());
        history.asks("second", 1);
        for (attempt, prompt, owner, was_cut) in
            [("a", "first", "bob", false), ("b", "first", "bob", true), ("c", "second", "carol", false)]
        {
            history.is_granted(attempt, prompt);
            history.sends(attempt);
            let reward = Kudos::from_f64(1.5);
            let answer = if was_cut { Answer::Duplicate(reward) } else { Answer::Rewarded(reward) };
            history.answered((attempt, prompt, &format!("text of {attempt}")), owner, was_cut, answer);
        }
        let texts = vec!["text of b".into(), "text of a".into()];
        let shown = Shown { done: true, faulted: false, texts };
        let gained = [("bob", 3.0), ("carol", 1.5), ("alice", -9.5)];
        let gained = gained.map(|(account, kudos)| (account, Kudos::from_f64(kudos))).into();
        let requests = [("id-1".into(), shown)].into();
        (history, Findings { requests, gained, ..Findings::default() })
    }

    type Doctor = fn(&mut History, &mut Findings);

    #[test]
    fn books_that_add_up_pass_and_doctored_ones_are_called_what_they_are() {
        let (history, findings) = sound();
        assert_eq!(audit(&history, &findings, "alice"), Vec::<String>::new());
        let doctored: &[(&str, Doctor)] = &[
            ("was accepted and is lost", |_, found| found.requests.clear()),
            ("is not done", |_, found| found.requests.get_mut("id-1").unwrap().done = false),
            ("ended so", |_, found| found.requests.get_mut("id-1").unwrap().faulted = true),
            ("acknowledged were", |_, found| {
                found.requests.get_mut("id-1").unwrap().texts[0] = "another text".into();
            }),
            ("acknowledged were", |_, found| {
                let texts = &mut found.requests.get_mut("id-1").unwrap().texts;
                texts[0] = texts[1].clone();
            }),
            ("ended so", |_, found| found.requests.get_mut("id-1").unwrap().texts.truncate(1)),
            ("bob should have gained 3 kudos, not 4.5", |_, found| {
                *found.gained.get_mut("bob").unwrap() += Kudos::from_f64(1.5);
            }),
            ("carol should have gained 1.5 kudos, not 0", |_, found| {
                found.gained.insert("carol", Kudos::ZERO);
            }),
            ("alice should have gained -9.5 kudos", |_, found| {
                *found.gained.get_mut("alice").unwrap() += Kudos::from_f64(-1.0);
            }),
            ("which nobody asked for", |history, _| {
                history.asked.remove("second");
            }),
            ("exists in part", |history, _| history.asked.get_mut("second").unwrap().jobs = 3),
            ("never got an answer", |history, _| history.sends("d")),
            ("the broker panicked", |_, found| found.panics.push("thread main panicked".into())),
        ];
        for (words, doctor) in doctored {
            let (mut history, mut findings) = sound();
            doctor(&mut history, &mut findings);
            let found = audit(&history, &findings, "alice");
            assert!(found.iter().any(|complaint| complaint.contains(words)), "{words}: {found:?}");
        }
    }

    #[test]
    fn answers_that_break_a_promise_are_complaints_at_once() {
        let reward = Kudos::from_f64(1.5);
        for (attempt, answer) in [
            ("a", Answer::Rewarded(reward)),
            ("a", Answer::Duplicate(reward + reward)),
            ("a", Answer::Aborted),
            ("never-sent-before", Answer::Duplicate(reward)),
            ("x", Answer::Other("404 InvalidJobID".into())),
        ] {
            let (mut history, _) = sound();
            history.answered((attempt, "first", "text"), "bob", false, answer.clone());
            assert_eq!(history.complaints.len(), 1, "{attempt} {answer:?}");
        }
        let (mut history, _) = sound();
        history.is_granted("a", "first");
        history.accepted("second", "id-1".into());
        assert_eq!(history.complaints.len(), 2, "an attempt and an ID given out twice");
    }
}
