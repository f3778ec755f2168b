//! One job, from the push to its settlement.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use super::{
    Model,
    backoff::Backoff,
    connection::Connection,
    model::{FormTask, ImageTask, Progress, TextTask},
    refusal,
    reports::Reports,
};
use crate::rpc::pb::{
    Assignment, GenerationMetadata, PoppedForm, Reason, SubmitAlchemyResultRequest, SubmitImageResultRequest,
    SubmitTextResultRequest,
};

/// Tries to PUT an image or a video to its link before it goes along with the result instead.
const UPLOAD_TRIES: usize = 3;
/// What stands in a result for what was uploaded.
const UPLOADED: &str = "R2";
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A job as pushed.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub id: Arc<str>,
    pub task: Task,
}

#[derive(Clone, Debug)]
pub(super) enum Task {
    Text(TextTask),
    Drawn(Drawn),
    /// The form as it was popped.
    Form(PoppedForm),
}

/// An image or a video to make.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    pub task: ImageTask,
    /// Where to PUT it.
    link: Option<String>,
    /// How many of them the batch has.
    batch: usize,
    is_video: bool,
}

impl Job {
    /// The jobs of an assignment; none if it says nothing that we could do.
    pub fn all_of(assignment: Assignment) -> Vec<Self> {
        let Assignment { ids, image, text, alchemy, .. } = assignment;
        let batch = ids.len();
        let task = |index: usize| {
            if let Some(pop) = &alchemy {
                return pop.forms.get(index).cloned().map(Task::Form);
            }
            if let Some(pop) = &image {
                let model = pop.model.clone().unwrap_or_default();
                let payload = pop.payload.clone().unwrap_or_default();
                let first = pop.r2_upload.clone().filter(|_| index == 0);
                let link = pop.r2_uploads.get(index).cloned().or(first);
                let is_video = pop.media_type.as_deref() == Some("video");
                let task = ImageTask { model, payload, index };
                return Some(Task::Drawn(Drawn { task, link, batch, is_video }));
            }
            let pop = text.as_ref()?;
            let model = pop.model.clone().unwrap_or_default();
            Some(Task::Text(TextTask { model, payload: pop.payload.clone().unwrap_or_default(), index }))
        };
        let jobs = ids.iter().enumerate();
        jobs.filter_map(|(index, id)| Some(Self { id: id.as_str().into(), task: task(index)? })).collect()
    }

    fn failed(&self) -> Handed {
        match self.task {
            Task::Text(_) => Handed::Text(SubmitTextResultRequest {
                id: Some(self.id.to_string()),
                generation: Some("faulted".into()),
                state: Some("faulted".into()),
                ..Default::default()
            }),
            Task::Form(_) => Handed::Form(SubmitAlchemyResultRequest {
                id: Some(self.id.to_string()),
                result: Some(Default::default()),
                state: Some("faulted".into()),
            }),
            Task::Drawn(_) => Handed::Image(SubmitImageResultRequest {
                id: Some(self.id.to_string()),
                generation: Some("faulted".into()),
                seed: Some(0),
                state: Some("faulted".into()),
                ..Default::default()
            }),
        }
    }
}

/// What is handed in.
#[derive(Clone)]
enum Handed {
    Text(SubmitTextResultRequest),
    Image(SubmitImageResultRequest),
    Form(SubmitAlchemyResultRequest),
}

/// What the jobs of one worker share.
pub(super) struct Shop {
    pub connection: Connection,
    pub http: reqwest::Client,
    pub reports: Reports,
    pub model: Arc<dyn Model>,
}

impl Shop {
    /// Runs a job and hands in what came out, until the broker has settled it one way or the other.
    /// `stop` ends the work, not the handing in.
    pub async fn run(&self, job: Job, stop: CancellationToken) {
        self.reports.begin(&job.id);
        let made = tokio::select! {
            made = self.make(&job) => Some(made),
            () = stop.cancelled() => None,
        };
        let handed = match made {
            Some(Ok(handed)) => handed,
            Some(Err(error)) => {
                tracing::warn!(job.id = %job.id, "job {} failed: {error:#}", job.id);
                job.failed()
            }
            // Said so that the broker need not wait for a result that will not come.
            None => job.failed(),
        };
        self.hand_in(&job.id, handed).await;
        self.reports.end(&job.id);
    }

    async fn make(&self, job: &Job) -> anyhow::Result<Handed> {
        let progress = Progress { reports: self.reports.clone(), job: job.id.clone() };
        let id = Some(job.id.to_string());
        match &job.task {
            Task::Text(task) => {
                let made = self.model.write(task.clone(), progress).await?;
                let (generation, seed) = (Some(made.text), made.seed);
                Ok(Handed::Text(SubmitTextResultRequest { id, generation, seed, ..Default::default() }))
            }
            Task::Form(form) => self.make_form(form).await.map(Handed::Form),
            Task::Drawn(Drawn { task, link, batch, is_video }) => {
                let index = task.index;
                let (file, seed) = if *is_video {
                    let made = self.model.film(task.clone(), progress).await?;
                    (made.file, made.seed)
                } else {
                    let made = self.model.draw(task.clone(), progress).await?;
                    (made.webp, made.seed)
                };
                let generation = Some(self.upload(link.as_deref(), file).await);
                let place = GenerationMetadata {
                    r#type: Some("batch_index".into()),
                    value: Some("see_ref".into()),
                    r#ref: Some(index.to_string()),
                };
                let gen_metadata = if *batch > 1 { vec![place] } else { Vec::new() };
                let seed = Some(seed);
                let request =
                    SubmitImageResultRequest { id, generation, seed, gen_metadata, ..Default::default() };
                Ok(Handed::Image(request))
            }
        }
    }

    /// Does a form. An image that is made must be uploaded: a result has no other place for it.
    async fn make_form(&self, form: &PoppedForm) -> anyhow::Result<SubmitAlchemyResultRequest> {
        let fetch = self.http.get(&form.source_image).timeout(CALL_TIMEOUT).send();
        let fetched = async { fetch.await?.error_for_status()?.bytes().await };
        // The link is a capability: it stays out of the log.
        let source = fetched.await.map_err(|error| error.without_url()).context("the source image")?;
        let payload = form.payload.clone().unwrap_or_default().0;
        let task = FormTask { form: form.form.clone(), payload, source };
        let mut made = self.model.transmute(task).await?;
        if let Some(webp) = made.webp {
            let uploaded = self.upload(form.r2_upload.as_deref(), webp).await;
            anyhow::ensure!(uploaded == UPLOADED, "the image could not be uploaded");
            made.words.insert(form.form.clone(), uploaded.into());
        }
        let result = serde_json::from_value(made.words.into()).context("the result is an object")?;
        Ok(SubmitAlchemyResultRequest { id: Some(form.id.clone()), result: Some(result), state: None })
    }

    /// PUTs an image or a video to its link, and returns what the result says of it; the file itself if
    /// that does not work out.
    async fn upload(&self, link: Option<&str>, file: Vec<u8>) -> String {
        let content = bytes::Bytes::from(file);
        let mut backoff = Backoff::default();
        for _ in 0..if link.is_some() { UPLOAD_TRIES } else { 0 } {
            let put = self.http.put(link.unwrap_or_default()).body(content.clone()).timeout(CALL_TIMEOUT);
            match put.send().await.and_then(reqwest::Response::error_for_status) {
                Ok(_) => return UPLOADED.into(),
                // The link is a capability: it stays out of the log.
                Err(error) => tracing::warn!("a result could not be uploaded: {}", error.without_url()),
            }
            tokio::time::sleep(backoff.wait(None)).await;
        }
        BASE64_STANDARD.encode(content)
    }

    async fn hand_in(&self, id: &str, handed: Handed) {
        let mut backoff = Backoff::default();
        loop {
            let status = match self.submit(handed.clone()).await {
                Ok(reward) => {
                    tracing::debug!(job.id = %id, reward, "job {id} is settled");
                    return;
                }
                Err(status) => status,
            };
            match refusal::reason(&status) {
                // An earlier try arrived; only its answer was lost.
                Some(Reason::DuplicateGen) => return,
                Some(Reason::AbortedGen | Reason::InvalidJobId) => {
                    tracing::info!(job.id = %id, "job {id} is no longer ours");
                    return;
                }
                _ if refusal::may_pass(&status) => {
                    tracing::debug!(job.id = %id, code = ?status.code(), "job {id} is handed in again");
                    tokio::time::sleep(backoff.wait(refusal::asked_wait(&status))).await;
                }
                _ => {
                    tracing::warn!(job.id = %id, "the result of job {id} is refused: {}", status.message());
                    return;
                }
            }
        }
    }

    async fn submit(&self, handed: Handed) -> Result<f64, Status> {
        let mut client = self.connection.worker();
        match handed {
            Handed::Text(result) => Ok(client.submit_text_result(timed(result)).await?.into_inner().reward),
            Handed::Form(result) => {
                Ok(client.submit_alchemy_result(timed(result)).await?.into_inner().reward)
            }
            Handed::Image(result) => Ok(client.submit_image_result(timed(result)).await?.into_inner().reward),
        }
    }
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL_TIMEOUT);
    request
}
