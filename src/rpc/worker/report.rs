//! How jobs go: accepted, progress, tokens, previews. Each report extends its job's lease.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tonic::Status;

use crate::{
    domain::{AttemptId, Error, Result, UserId, user::KeyHash},
    engine::{Adoption, Report},
    rpc::{
        Api,
        check::{Violations, checked},
        convert::unsigned,
        gate::Call,
        pb, refuse, retell,
        worker::deliver,
    },
};

/// Reports that are taken in one go when they come thick and fast.
const AT_ONCE: usize = 64;

/// Takes reports until the worker ends the stream.
pub async fn stream<S>(api: &Api, key: Option<KeyHash>, messages: S) -> Result<pb::ReportResponse, Status>
where
    S: Stream<Item = Result<pb::ReportRequest, Status>> + Send + Unpin,
{
    let caller = api.caller(key).await.map_err(refuse)?;
    let (mut accepted, mut closed) = (0, 0);
    let mut bursts = messages.ready_chunks(AT_ONCE);
    loop {
        let burst = tokio::select! {
            burst = bursts.next() => burst,
            // Else a worker with nothing to say would hold up the broker's end.
            () = api.host.stopping().cancelled() => {
                return Err(refuse(Error::Draining { retry_after: crate::host::RETRY_AFTER }));
            }
        };
        let Some(burst) = burst else { break };
        let mut reports = Vec::with_capacity(burst.len());
        for message in burst {
            let message = checked(message.map_err(retell::status)?, Violations::for_headers())?;
            reports.push(read(api, caller, message).await?);
        }
        let counted = count(api, caller, reports).await?;
        (accepted, closed) = (accepted + counted.accepted, closed + counted.closed);
    }
    Ok(pb::ReportResponse { accepted, closed })
}

/// What a message reports, and of which job. Its picture is stored.
pub(super) async fn read(
    api: &Api,
    caller: UserId,
    message: pb::ReportRequest,
) -> Result<(AttemptId, Report), Status> {
    let id = AttemptId::parse(&message.id).ok_or_else(|| refuse(Error::InvalidJobId(message.id.clone())))?;
    let step = message.current_step.map(unsigned);
    let mut report = report_of(message.text, message.offset, message.current_step, message.total_steps);
    // Without its picture the report counts all the same.
    if !message.preview.is_empty() && store_preview(api, caller, id, message.preview.into()).await.is_ok() {
        report.preview = Some(step);
    }
    Ok((id, report))
}

/// Takes reports, and counts those that were of closed attempts: the worker hears of it on its stream, or
/// when it submits.
pub(super) async fn count(
    api: &Api,
    caller: UserId,
    reports: Vec<(AttemptId, Report)>,
) -> Result<pb::ReportResponse, Status> {
    let mut counted = pb::ReportResponse::default();
    for outcome in take(api, caller, reports).await.map_err(refuse)? {
        match outcome {
            Ok(_) => counted.accepted += 1,
            Err(Error::AbortedGen(_) | Error::InvalidJobId(_)) => counted.closed += 1,
            Err(error) => return Err(refuse(error)),
        }
    }
    Ok(counted)
}

/// Takes one report.
pub async fn progress(
    api: &Api,
    call: Call<pb::ReportProgressRequest>,
) -> Result<pb::ReportProgressResponse> {
    let Call { message, key, .. } = call;
    let text = message.id.clone().unwrap_or_default();
    let id = AttemptId::parse(&text).ok_or(Error::InvalidJobId(text))?;
    let (current, total) = (message.current_step(), message.total_steps());
    let report = report_of(message.text.unwrap_or_default(), message.offset, Some(current), Some(total));
    let caller = reporter(api, key, id).await?;
    take_one(api, caller, id, report).await?;
    let percent = if total > 0 { i64::from(current) * 100 / i64::from(total) } else { 0 };
    Ok(pb::ReportProgressResponse {
        progress_percent: i32::try_from(percent.min(100)).unwrap_or(100),
        current_step: current,
        total_steps: total,
    })
}

/// Takes a picture of how far a job is.
pub async fn preview(api: &Api, call: Call<pb::ReportPreviewRequest>) -> Result<pb::ReportPreviewResponse> {
    let Call { message, key, .. } = call;
    let id = AttemptId::parse(&message.id).ok_or(Error::InvalidJobId(message.id))?;
    let caller = reporter(api, key, id).await?;
    let step = message.step.map(unsigned);
    store_preview(api, caller, id, message.image.into()).await?;
    take_one(api, caller, id, Report { preview: Some(step), ..Report::default() }).await?;
    Ok(pb::ReportPreviewResponse {})
}

/// Stores the picture of a job that the caller's worker has, and of no other.
async fn store_preview(api: &Api, caller: UserId, id: AttemptId, image: Bytes) -> Result<()> {
    api.host.bring(id, Adoption::GoesOn, Some(caller)).await?;
    match api.host.glance(|engine, _| engine.may_settle(Some(caller), id)) {
        Err(Error::InvalidJobId(_)) => deliver::past(api, Some(caller), id).await.map(|_| ()),
        other => other,
    }?;
    api.objects.put_preview(id, image).await
}

/// Who reports. An unknown job is told before an unknown key, as it is with results.
async fn reporter(api: &Api, key: Option<KeyHash>, id: AttemptId) -> Result<UserId> {
    if let Some(caller) = deliver::known(api, key).await? {
        return Ok(caller);
    }
    match api.host.glance(|engine, _| engine.may_settle(None, id)) {
        Err(Error::InvalidJobId(_)) if api.host.past_attempt(id).await?.is_none() => {
            Err(Error::InvalidJobId(id.to_string()))
        }
        _ => Err(Error::InvalidApiKey),
    }
}

/// Takes one report, and says of a job that is over how it ended.
async fn take_one(api: &Api, caller: UserId, id: AttemptId, report: Report) -> Result<()> {
    for outcome in take(api, caller, vec![(id, report)]).await? {
        match outcome {
            Err(Error::InvalidJobId(_)) => {
                deliver::past(api, Some(caller), id).await?;
            }
            other => {
                other?;
            }
        }
    }
    Ok(())
}

fn report_of(text: String, offset: Option<u64>, current: Option<i32>, total: Option<i32>) -> Report {
    let progress = match (current, total) {
        (None, None) => None,
        (current, total) => Some((unsigned(current.unwrap_or(0)), unsigned(total.unwrap_or(0)))),
    };
    Report { text, offset, progress, preview: None }
}

/// Takes reports; whether each counted, or why it was not taken.
pub(super) async fn take(
    api: &Api,
    caller: UserId,
    reports: Vec<(AttemptId, Report)>,
) -> Result<Vec<Result<bool>>> {
    for (id, _) in &reports {
        api.host.bring(*id, Adoption::GoesOn, Some(caller)).await?;
    }
    let again = if api.host.is_shared() { reports.clone() } else { Vec::new() };
    let mut outcomes = tell(api, caller, reports).await?;
    for (report, outcome) in again.into_iter().zip(&mut outcomes) {
        // It may have become another broker's just before; that it has ended is for Records to say.
        if let Err(Error::AbortedGen(id)) = *outcome
            && api.host.past_attempt(id).await?.is_some_and(|past| past.how.is_none())
        {
            api.host.bring(id, Adoption::GoesOn, Some(caller)).await?;
            if let Some(told) = tell(api, caller, vec![report]).await?.pop() {
                *outcome = told;
            }
        }
    }
    Ok(outcomes)
}

async fn tell(api: &Api, caller: UserId, reports: Vec<(AttemptId, Report)>) -> Result<Vec<Result<bool>>> {
    let outcomes = api.host.act(move |engine, step, _| {
        let take = |(id, report)| engine.report(step, caller, id, report);
        Ok(reports.into_iter().map(take).collect())
    });
    outcomes.await
}
