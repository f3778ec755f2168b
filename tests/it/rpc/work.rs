//! Work streams: the whole life of jobs over one call.

use gridbroker::rpc::pb::{
    self, ResultOutcome, pop_stream_response::Push, watch_response::Event, work_request::Say,
    work_response::Tell,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::harness::{ALICE, BOB, Broker, CAROL, PATIENCE, Refusal, Worker, joined_tokens};

/// A worker at its stream.
struct Desk {
    says: mpsc::UnboundedSender<pb::WorkRequest>,
    hears: Streaming<pb::WorkResponse>,
}

impl Desk {
    async fn call(worker: &Worker, first: Option<Say>) -> Result<Self, Status> {
        let (says, said) = mpsc::unbounded_channel();
        if first.is_some() {
            says.send(pb::WorkRequest { say: first }).unwrap();
        }
        let call = worker.keyed(UnboundedReceiverStream::new(said));
        let hears = worker.client.clone().work(call).await?.into_inner();
        Ok(Self { says, hears })
    }

    async fn opens(worker: &Worker, credits: i32, held: &[String]) -> (Self, pb::Opened) {
        let mut desk = Self::call(worker, Some(offer(worker, credits, held))).await.expect("a stream opens");
        match desk.next().await.expect("it is whole") {
            Tell::Push(pb::PopStreamResponse { push: Some(Push::Opened(opened)) }) => (desk, opened),
            other => panic!("the first message is {other:?}"),
        }
    }

    fn says(&self, say: Say) {
        self.says.send(pb::WorkRequest { say: Some(say) }).expect("the call goes on");
    }

    fn writes(&self, id: &str, text: &str) {
        self.says(Say::TextResult(pb::SubmitTextResultRequest {
            id: Some(id.into()),
            generation: Some(text.into()),
            ..Default::default()
        }));
    }

    fn reports(&self, id: &str, text: &str) {
        self.says(Say::Report(pb::ReportRequest { id: id.into(), text: text.into(), ..Default::default() }));
    }

    /// The next message that is no keep-alive.
    async fn next(&mut self) -> Result<Tell, Status> {
        loop {
            let next = timeout(PATIENCE, self.hears.message()).await.expect("something comes");
            match next?.ok_or_else(|| Status::ok("the end"))?.tell.expect("it says what it is") {
                Tell::Push(pb::PopStreamResponse { push: Some(Push::KeepAlive(_)) }) => {}
                tell => return Ok(tell),
            }
        }
    }

    async fn jobs(&mut self) -> Vec<String> {
        match self.next().await.expect("it is whole") {
            Tell::Push(pb::PopStreamResponse { push: Some(Push::Assignment(assignment)) }) => assignment.ids,
            other => panic!("a job was expected, {other:?} came"),
        }
    }

    async fn outcome(&mut self) -> ResultOutcome {
        match self.next().await.expect("it is whole") {
            Tell::Outcome(outcome) => outcome,
            other => panic!("an outcome was expected, {other:?} came"),
        }
    }
}

fn offer(worker: &Worker, credits: i32, held: &[String]) -> Say {
    Say::Offer(pb::PopStreamRequest {
        text: Some(worker.text_offer()),
        credits: Some(credits),
        held: held.to_vec(),
        ..Default::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_reports_and_results_go_over_one_stream() {
    let broker = Broker::start().await;
    let mut alice = broker.requester(ALICE).await;
    let worker = broker.worker(BOB, "twin").await;
    let (mut desk, opened) = Desk::opens(&worker, 2, &[]).await;
    assert_eq!((opened.credits, opened.kept.len()), (2, 0));
    let request = alice.submits_text("two of them", 2).await;
    let mut watch = alice.watches(&request, "").await;
    let mut ids = desk.jobs().await;
    while ids.len() < 2 {
        ids.extend(desk.jobs().await);
    }
    desk.says(Say::Acknowledgement(pb::Acknowledgement { ids: ids.clone() }));
    for id in &ids {
        // All at once: each report belongs before its result.
        for word in ["once ", "upon ", "a time"] {
            desk.reports(id, word);
        }
        desk.writes(id, "once upon a time");
    }
    let mut outcomes = [desk.outcome().await, desk.outcome().await];
    outcomes.sort_by_key(|outcome| ids.iter().position(|id| *id == outcome.id));
    for (outcome, id) in outcomes.iter().zip(&ids) {
        assert_eq!((&outcome.id, outcome.duplicate, &outcome.refusal), (id, false, &None));
        assert!(outcome.reward > 0.0);
    }
    let events = watch.rest().await;
    for job in 0..2 {
        assert_eq!(joined_tokens(&events, job), "once upon a time");
    }
    let resets = events.iter().filter(|event| matches!(event, Event::Reset(_))).count();
    assert_eq!(resets, 0, "no result overtook its reports: {events:?}");
    assert!(matches!(events.last(), Some(Event::Done(done)) if done.finished == 2));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_not_taken_is_told_and_the_stream_goes_on() {
    let broker = Broker::start().await;
    let mut alice = broker.requester(ALICE).await;
    let worker = broker.worker(BOB, "twin").await;
    let (mut desk, _) = Desk::opens(&worker, 1, &[]).await;
    let stranger = "00000000-0000-4000-8000-000000000000";
    desk.writes(stranger, "for nobody");
    let refusal = desk.outcome().await.refusal.expect("nobody has this job");
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::NotFound as i32, "InvalidJobID"));
    assert!(refusal.message.contains(stranger), "{}", refusal.message);
    desk.says(Say::TextResult(pb::SubmitTextResultRequest::default()));
    let refusal = desk.outcome().await.refusal.expect("it lacks what it must have");
    assert_eq!(refusal.code, Code::InvalidArgument as i32, "{refusal:?}");
    alice.submits_text("one", 1).await;
    let id = desk.jobs().await.remove(0);
    desk.writes(&id, "said");
    let first = desk.outcome().await;
    desk.writes(&id, "said again");
    let again = desk.outcome().await;
    assert_eq!((first.duplicate, again.duplicate), (false, true));
    assert!(first.reward > 0.0 && first.reward == again.reward && again.refusal.is_none());
    alice.submits_text("another", 1).await;
    let id = desk.jobs().await.remove(0);
    desk.says(Say::TextResult(pb::SubmitTextResultRequest {
        id: Some(id.clone()),
        generation: Some(String::new()),
        state: Some("faulted".into()),
        ..Default::default()
    }));
    let (mut faulted, mut next) = (None, None);
    while faulted.is_none() || next.is_none() {
        match desk.next().await.expect("it is whole") {
            Tell::Outcome(outcome) => faulted = Some(outcome),
            Tell::Push(pb::PopStreamResponse { push: Some(Push::Assignment(job)) }) => next = Some(job.ids),
            Tell::Push(other) => panic!("{other:?} came"),
        }
    }
    assert!(faulted.is_some_and(|outcome| outcome.reward == 0.0 && outcome.refusal.is_none()));
    assert_ne!(next, Some(vec![id]), "the job starts over, by another attempt");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_says_how_many_jobs_it_wants() {
    let broker = Broker::start().await;
    let mut alice = broker.requester(ALICE).await;
    let worker = broker.worker(BOB, "twin").await;
    let (mut desk, _) = Desk::opens(&worker, 2, &[]).await;
    let credits = |credits| Say::Credits(pb::Credits { credits });
    desk.says(credits(0));
    // What comes next is behind it.
    desk.writes("00000000-0000-4000-8000-000000000000", "");
    desk.outcome().await;
    let request = alice.submits_text("for whoever has time", 1).await;
    let mut other = broker.worker(CAROL, "other").await;
    let mut stream = other.opens_text_stream(1, &[]).await;
    let taken = stream.job().await;
    other.delivers_text(&taken.ids[0], "done").await.expect("it is taken");
    assert!(alice.text_status(&request).await.done, "the paused worker got nothing");
    // What is handed to a stream that is gone comes back at once.
    drop(stream);
    desk.says(credits(1));
    alice.submits_text("more", 1).await;
    let id = desk.jobs().await.remove(0);
    desk.writes(&id, "done");
    assert!(desk.outcome().await.reward > 0.0);
    desk.says(credits(3));
    let refused = Refusal::from(&desk.next().await.expect_err("that is more than it offered"));
    assert_eq!((refused.code, refused.paths), (Code::InvalidArgument, vec!["credits.credits".to_owned()]));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_comes_first_and_once() {
    let broker = Broker::start().await;
    let worker = broker.worker(BOB, "twin").await;
    let paths = |status: &Status| (status.code(), Refusal::from(status).paths);
    let invalid = |path: &str| (Code::InvalidArgument, vec![path.to_owned()]);
    let report = Say::Report(pb::ReportRequest::default());
    let refused = Desk::call(&worker, Some(report)).await.err().expect("it offers nothing");
    assert_eq!(paths(&refused), invalid("offer"));
    let nothing = Say::Offer(pb::PopStreamRequest::default());
    let refused = Desk::call(&worker, Some(nothing)).await.err().expect("an offer says what of");
    assert_eq!(paths(&refused), invalid("image"));
    let (mut desk, _) = Desk::opens(&worker, 1, &[]).await;
    desk.says(offer(&worker, 1, &[]));
    let refused = desk.next().await.expect_err("one offer a stream");
    assert_eq!(paths(&refused), invalid("offer"));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_is_answered_when_the_worker_ends_its_side() {
    let broker = Broker::start().await;
    let mut alice = broker.requester(ALICE).await;
    let worker = broker.worker(BOB, "twin").await;
    let (mut desk, _) = Desk::opens(&worker, 2, &[]).await;
    let requests = [alice.submits_text("done with", 1).await, alice.submits_text("kept", 1).await];
    let (first, second) = (desk.jobs().await.remove(0), desk.jobs().await.remove(0));
    desk.says(Say::Acknowledgement(pb::Acknowledgement { ids: vec![second.clone()] }));
    desk.writes(&first, "the last word");
    let Desk { says, hears } = desk;
    drop(says);
    let mut desk = Desk { says: mpsc::unbounded_channel().0, hears };
    let outcome = desk.outcome().await;
    assert_eq!((&outcome.id, &outcome.refusal), (&first, &None));
    assert_eq!(desk.next().await.expect_err("then the call ends").code(), Code::Ok);
    assert!(alice.text_status(&requests[0]).await.done);
    // What it has begun it may go on with at its next stream.
    let (mut desk, opened) = Desk::opens(&worker, 2, std::slice::from_ref(&second)).await;
    assert_eq!(opened.kept, std::slice::from_ref(&second));
    desk.writes(&second, "and the very last");
    assert_eq!(desk.outcome().await.refusal, None);
    assert!(alice.text_status(&requests[1]).await.done);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_down_says_so_and_a_cancelled_job_is_told() {
    let broker = Broker::start().await;
    let mut alice = broker.requester(ALICE).await;
    let worker = broker.worker(BOB, "twin").await;
    let (mut desk, _) = Desk::opens(&worker, 1, &[]).await;
    let request = alice.submits_text("never mind", 1).await;
    let ids = desk.jobs().await;
    let cancel = alice.keyed(pb::CancelTextRequest { id: request });
    alice.client.cancel_text(cancel).await.expect("it is cancelled");
    match desk.next().await.expect("it is whole") {
        Tell::Push(pb::PopStreamResponse { push: Some(Push::Cancel(cancel)) }) => assert_eq!(cancel.ids, ids),
        other => panic!("a cancel was expected, {other:?} came"),
    }
    let stops = tokio::spawn(broker.stop());
    match desk.next().await.expect("it is whole") {
        Tell::Push(pb::PopStreamResponse { push: Some(Push::Drain(_)) }) => {}
        other => panic!("a drain was expected, {other:?} came"),
    }
    let end = Refusal::from(&desk.next().await.expect_err("and then it ends"));
    assert_eq!((end.code, end.reason.as_str()), (Code::Unavailable, "Draining"));
    stops.await.expect("the broker stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_not_taken_is_told_and_what_is_at_hand_may_be_handed_in_while_the_broker_goes_down()
{
    let broker = Broker::start().await;
    let mut alice = broker.requester(ALICE).await;
    let worker = broker.worker(BOB, "twin").await;
    let (mut desk, _) = Desk::opens(&worker, 1, &[]).await;
    alice.submits_text("tell", 1).await;
    let id = desk.jobs().await.remove(0);
    desk.reports("no-id", "");
    assert_eq!(desk.outcome().await.refusal.map(|refusal| refusal.reason), Some("InvalidJobID".into()));
    let text = "too late".to_owned();
    desk.says(Say::Report(pb::ReportRequest { id: id.clone(), text, offset: Some(9), ..Default::default() }));
    let gap = desk.outcome().await;
    assert_eq!((&gap.id, gap.refusal.map(|refusal| refusal.reason)), (&id, Some("TokenGap".into())));
    desk.reports(&id, "once ");
    let stops = tokio::spawn(broker.stop());
    match desk.next().await.expect("it is whole") {
        Tell::Push(pb::PopStreamResponse { push: Some(Push::Drain(_)) }) => {}
        other => panic!("a drain was expected, {other:?} came"),
    }
    desk.writes(&id, "once upon a time");
    let outcome = desk.outcome().await;
    assert_eq!((&outcome.id, &outcome.refusal), (&id, &None));
    let end = Refusal::from(&desk.next().await.expect_err("then it ends"));
    assert_eq!(end.reason, "Draining");
    stops.await.expect("the broker stops");
}
