//! The Generate service: submit, look, watch, cancel.

use std::pin::Pin;

use async_stream::try_stream;
use futures_util::Stream;
use tonic::{Request, Response, Status};

use super::{
    Api,
    check::{Check, violation},
    convert::{
        self,
        image::{self, Sources},
    },
    gate::{Call, enter},
    pb::{self, generate_server::Generate},
    refuse,
    rules::HttpStatus,
};
use crate::{
    domain::{
        Error, RequestId, Result, UserId,
        error::ParamRule,
        request::{Kind, Spec},
    },
    engine::{Submitted, View},
    host::{Cursor, ObjectKey},
};

/// The Generate service.
pub struct GenerateService(pub Api);

/// Kinds of requests that a path of the API answers for.
const IMAGES: &[Kind] = &[Kind::Image, Kind::Video];
const VIDEO: &[Kind] = &[Kind::Video];
const TEXT: &[Kind] = &[Kind::Text];

/// What a client is told when no worker online could take its request.
const NO_WORKER: &str =
    "no worker online can do this at the moment; the request waits until one comes, or until it expires";

#[tonic::async_trait]
impl Generate for GenerateService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<pb::WatchResponse, Status>> + Send>>;

    async fn submit_image(
        &self,
        request: Request<pb::SubmitImageRequest>,
    ) -> Result<Response<pb::SubmitImageResponse>, Status> {
        let call = enter(&*self.0.gate, request)?;
        self.image(call).await.map_err(refuse)
    }

    async fn submit_text(
        &self,
        request: Request<pb::SubmitTextRequest>,
    ) -> Result<Response<pb::SubmitTextResponse>, Status> {
        let call = enter(&*self.0.gate, request)?;
        self.text(call).await.map_err(refuse)
    }

    async fn check_image(
        &self,
        request: Request<pb::CheckImageRequest>,
    ) -> Result<Response<pb::RequestCheck>, Status> {
        let call = enter(&*self.0.gate, request)?;
        let view = self.view(&call.message.id, IMAGES).await.map_err(refuse)?;
        Ok(Response::new(convert::status::check(&view)))
    }

    async fn get_image(
        &self,
        request: Request<pb::GetImageRequest>,
    ) -> Result<Response<pb::ImageStatus>, Status> {
        let call = enter(&*self.0.gate, request)?;
        let view = self.view(&call.message.id, IMAGES).await.map_err(refuse)?;
        Ok(Response::new(convert::status::image(&view, &self.0.objects).await.map_err(refuse)?))
    }

    async fn cancel_image(
        &self,
        request: Request<pb::CancelImageRequest>,
    ) -> Result<Response<pb::ImageStatus>, Status> {
        let call = enter(&*self.0.gate, request)?;
        let view = self.cancel(&call.message.id, IMAGES).await.map_err(refuse)?;
        Ok(Response::new(convert::status::image(&view, &self.0.objects).await.map_err(refuse)?))
    }

    async fn check_text(
        &self,
        request: Request<pb::CheckTextRequest>,
    ) -> Result<Response<pb::RequestCheck>, Status> {
        let call = enter(&*self.0.gate, request)?;
        let view = self.view(&call.message.id, TEXT).await.map_err(refuse)?;
        Ok(Response::new(convert::status::check(&view)))
    }

    async fn get_text(
        &self,
        request: Request<pb::GetTextRequest>,
    ) -> Result<Response<pb::TextStatus>, Status> {
        let call = enter(&*self.0.gate, request)?;
        let view = self.view(&call.message.id, TEXT).await.map_err(refuse)?;
        Ok(Response::new(convert::status::text(&view)))
    }

    async fn cancel_text(
        &self,
        request: Request<pb::CancelTextRequest>,
    ) -> Result<Response<pb::TextStatus>, Status> {
        let call = enter(&*self.0.gate, request)?;
        let view = self.cancel(&call.message.id, TEXT).await.map_err(refuse)?;
        Ok(Response::new(convert::status::text(&view)))
    }

    async fn submit_video(
        &self,
        request: Request<pb::SubmitVideoRequest>,
    ) -> Result<Response<pb::SubmitImageResponse>, Status> {
        let call = enter(&*self.0.gate, request)?;
        self.image(call.map(convert::video::submit)).await.map_err(refuse)
    }

    async fn check_video(
        &self,
        request: Request<pb::CheckVideoRequest>,
    ) -> Result<Response<pb::RequestCheck>, Status> {
        let call = enter(&*self.0.gate, request)?;
        let view = self.view(&call.message.id, VIDEO).await.map_err(refuse)?;
        Ok(Response::new(convert::status::check(&view)))
    }

    async fn get_video(
        &self,
        request: Request<pb::GetVideoRequest>,
    ) -> Result<Response<pb::ImageStatus>, Status> {
        let call = enter(&*self.0.gate, request)?;
        let view = self.view(&call.message.id, VIDEO).await.map_err(refuse)?;
        Ok(Response::new(convert::status::image(&view, &self.0.objects).await.map_err(refuse)?))
    }

    async fn cancel_video(
        &self,
        request: Request<pb::CancelVideoRequest>,
    ) -> Result<Response<pb::ImageStatus>, Status> {
        let call = enter(&*self.0.gate, request)?;
        let view = self.cancel(&call.message.id, VIDEO).await.map_err(refuse)?;
        Ok(Response::new(convert::status::image(&view, &self.0.objects).await.map_err(refuse)?))
    }

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let Call { message, .. } = enter(&*self.0.gate, request)?;
        let after = match message.after.as_str() {
            "" => None,
            text => Some(Cursor::parse(text).ok_or_else(|| {
                violation("after", format!("'{text}' is no cursor: give back one that an event came with"))
            })?),
        };
        let id = request_id(&message.id).map_err(refuse)?;
        let kind = self.0.host.kind_of(id).await.map_err(refuse)?;
        let Some(mut watching) = self.0.host.watch(id, after).await.map_err(refuse)? else {
            let mut response: Response<Self::WatchStream> = Response::new(Box::pin(tokio_stream::empty()));
            response.extensions_mut().insert(HttpStatus(204));
            return Ok(response);
        };
        let objects = self.0.objects.clone();
        let events = try_stream! {
            while let Some((cursor, event)) = watching.next().await.map_err(refuse)? {
                yield convert::event::told(cursor, &event, kind, &objects);
            }
        };
        Ok(Response::new(Box::pin(events)))
    }
}

fn request_id(text: &str) -> Result<RequestId> {
    RequestId::parse(text).ok_or_else(|| Error::RequestNotFound(text.to_owned()))
}

/// Features of the API that this version does not have are refused rather than silently left out.
fn refuse_unsupported(style: Option<&String>, webhook: Option<&String>) -> Result<()> {
    if style.is_some() {
        return Err(Error::NotSupported("this server has no styles: leave style out".into()));
    }
    match webhook {
        None => Ok(()),
        Some(url) if !url.starts_with("https://") => {
            Err(Error::BadRequest("a webhook must be an https:// URL".into()))
        }
        Some(_) => {
            Err(Error::NotSupported("this server calls no webhooks: leave webhook out, and watch".into()))
        }
    }
}

impl GenerateService {
    async fn image(&self, call: Call<pb::SubmitImageRequest>) -> Result<Response<pb::SubmitImageResponse>> {
        let Call { message, key, .. } = call;
        refuse_unsupported(message.style.as_ref(), message.webhook.as_ref())?;
        let owner = self.0.caller(key).await?;
        if message.has_nul() {
            return Err(Error::NulByte);
        }
        let is_dry_run = message.dry_run;
        let wish = convert::video::wish(&message);
        let (spec, sources) = image::spec(message)?;
        let spec = self.0.host.glance(move |engine, _| engine.depicted(spec, wish))?;
        if is_dry_run {
            let kudos = self.quote(owner, spec).await?;
            let answer = pb::SubmitImageResponse { kudos, ..Default::default() };
            return Ok(with_status(answer, 200));
        }
        let submitted = match sources.is_empty() {
            true => self.submit(None, owner, spec).await?,
            false => self.submit_with_sources(owner, spec, sources).await?,
        };
        let message = (!submitted.is_possible).then(|| NO_WORKER.to_owned());
        let warnings = message
            .iter()
            .map(|text| pb::RequestWarning { code: "NoAvailableWorker".into(), message: text.clone() })
            .collect();
        Ok(Response::new(pb::SubmitImageResponse {
            id: Some(submitted.id.to_string()),
            kudos: convert::whole(submitted.job_kudos),
            message,
            warnings,
        }))
    }

    async fn text(&self, call: Call<pb::SubmitTextRequest>) -> Result<Response<pb::SubmitTextResponse>> {
        let Call { message, key, .. } = call;
        refuse_unsupported(message.style.as_ref(), message.webhook.as_ref())?;
        let owner = self.0.caller(key).await?;
        if message.prompt().is_empty() {
            return Err(Error::MissingPrompt);
        }
        if message.has_nul() {
            return Err(Error::NulByte);
        }
        if !message.extra_source_images.is_empty() {
            return Err(Error::params(
                ParamRule::InvalidExtraSourceImages,
                "text requests take no extra_source_images",
            ));
        }
        let is_dry_run = message.dry_run;
        let spec = convert::text::spec(message)?;
        if is_dry_run {
            let kudos = self.quote(owner, spec).await?;
            return Ok(with_status(pb::SubmitTextResponse { kudos, ..Default::default() }, 200));
        }
        let submitted = self.submit(None, owner, spec).await?;
        Ok(Response::new(pb::SubmitTextResponse {
            id: Some(submitted.id.to_string()),
            kudos: 0.0,
            message: (!submitted.is_possible).then(|| NO_WORKER.to_owned()),
        }))
    }

    async fn quote(&self, owner: UserId, spec: Spec) -> Result<f64> {
        let price = self.0.host.read(move |engine, _| {
            engine.may_submit(owner, &spec)?;
            Ok(engine.quote(&spec))
        });
        Ok(convert::whole(price.await??))
    }

    async fn submit(&self, id: Option<RequestId>, owner: UserId, spec: Spec) -> Result<Submitted> {
        let submit = self.0.host.act(move |engine, step, _| {
            let id = id.unwrap_or_else(|| RequestId(step.dice.uuid()));
            engine.submit(step, id, owner, spec)
        });
        submit.await
    }

    /// Source images are stored before the request is accepted: an accepted request has all it needs.
    async fn submit_with_sources(&self, owner: UserId, spec: Spec, sources: Sources) -> Result<Submitted> {
        let (id, spec) = self
            .0
            .host
            .act(move |engine, step, _| {
                engine.may_submit(owner, &spec)?;
                Ok((RequestId(step.dice.uuid()), spec))
            })
            .await?;
        let named = [(ObjectKey::Source(id), sources.source), (ObjectKey::Mask(id), sources.mask)];
        let named = named.into_iter().filter_map(|(key, image)| Some((key, image?)));
        let extra = sources.extra.into_iter().enumerate().map(|(i, image)| (ObjectKey::Extra(id, i), image));
        let mut stored = Vec::new();
        let mut outcome = Ok(());
        for (key, image) in named.chain(extra) {
            stored.push(key);
            outcome = self.0.objects.put_source(key, &image).await;
            if outcome.is_err() {
                break;
            }
        }
        let outcome = match outcome {
            Ok(()) => self.submit(Some(id), owner, spec).await,
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            for key in stored {
                // The refusal is what counts; what cannot be deleted now is swept a day later.
                let _ = self.0.objects.delete(key).await;
            }
        }
        outcome
    }

    async fn view(&self, text: &str, kinds: &[Kind]) -> Result<View> {
        let view = self.0.host.view(request_id(text)?).await?;
        if !kinds.contains(&view.accepted.spec.kind()) {
            return Err(Error::RequestNotFound(text.to_owned()));
        }
        Ok(view)
    }

    /// The status as it was before.
    async fn cancel(&self, text: &str, kinds: &[Kind]) -> Result<View> {
        let view = self.view(text, kinds).await?;
        let id = view.accepted.id;
        if view.done {
            return Ok(view);
        }
        self.0.host.bring_request(id).await?;
        let before = self.0.host.act(move |engine, step, _| {
            let before = engine.view(id, step.now);
            engine.cancel(step, id);
            Ok(before)
        });
        Ok(before.await?.unwrap_or(view))
    }
}

fn with_status<T>(answer: T, status: u16) -> Response<T> {
    let mut response = Response::new(answer);
    response.extensions_mut().insert(HttpStatus(status));
    response
}
