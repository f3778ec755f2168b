//! The Generate service: submit, look, watch, cancel.

mod alchemy;
mod explain;
mod style;
mod watch;

use std::net::IpAddr;

use tonic::{Request, Response, Status};

use self::style::Paid;
use super::{
    Api,
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
    domain::{Error, RequestId, Result, UserId, error::ParamRule, request::Kind},
    engine::{Asked, Submitted, View},
    host::ObjectKey,
};

/// The Generate service.
pub struct GenerateService(pub Api);

/// Kinds of requests that a path of the API answers for.
const IMAGES: &[Kind] = &[Kind::Image, Kind::Video];
const VIDEO: &[Kind] = &[Kind::Video];
const TEXT: &[Kind] = &[Kind::Text];
const FORMS: &[Kind] = &[Kind::Alchemy];

#[tonic::async_trait]
impl Generate for GenerateService {
    type WatchStream = watch::Events;

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
        self.may_check(call.address, call.has_agent).map_err(refuse)?;
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

    async fn submit_alchemy(
        &self,
        request: Request<pb::SubmitAlchemyRequest>,
    ) -> Result<Response<pb::SubmitAlchemyResponse>, Status> {
        let call = enter(&*self.0.gate, request)?;
        self.alchemy(call).await.map(Response::new).map_err(refuse)
    }

    async fn get_alchemy(
        &self,
        request: Request<pb::GetAlchemyRequest>,
    ) -> Result<Response<pb::AlchemyStatus>, Status> {
        let call = enter(&*self.0.gate, request)?;
        let view = self.view(&call.message.id, FORMS).await.map_err(refuse)?;
        Ok(Response::new(convert::alchemy::status(&view, &self.0.objects)))
    }

    async fn cancel_alchemy(
        &self,
        request: Request<pb::CancelAlchemyRequest>,
    ) -> Result<Response<pb::AlchemyStatus>, Status> {
        let call = enter(&*self.0.gate, request)?;
        let view = self.cancel_forms(&call.message.id).await.map_err(refuse)?;
        Ok(Response::new(convert::alchemy::status(&view, &self.0.objects)))
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
        self.may_check(call.address, call.has_agent).map_err(refuse)?;
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

    async fn rate_images(
        &self,
        request: Request<pb::RateImagesRequest>,
    ) -> Result<Response<pb::RateImagesResponse>, Status> {
        let call = enter(&*self.0.gate, request)?;
        let view = self.view(&call.message.id, IMAGES).await.map_err(refuse)?;
        // No request is shared: whoever asks to share one is told so, and it is not.
        Err(refuse(if view.done { Error::AestheticsNotPublic } else { Error::AestheticsNotCompleted }))
    }

    async fn explain(
        &self,
        request: Request<pb::ExplainRequest>,
    ) -> Result<Response<pb::ExplainResponse>, Status> {
        let call = enter(&*self.0.gate, request)?;
        self.why(&call.message.id).await.map(Response::new).map_err(refuse)
    }

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let call = enter(&*self.0.gate, request)?;
        self.follow(call.message).await
    }
}

fn request_id(text: &str) -> Result<RequestId> {
    RequestId::parse(text).ok_or_else(|| Error::RequestNotFound(text.to_owned()))
}

impl GenerateService {
    async fn image(&self, call: Call<pb::SubmitImageRequest>) -> Result<Response<pb::SubmitImageResponse>> {
        let Call { mut message, key, address, is_proxied, .. } = call;
        let picked = style::pick(&self.0, message.style.as_deref(), Kind::Image).await?;
        if let Some(picked) = &picked {
            convert::styles::apply_to_image(&mut message, &picked.style)?;
        }
        self.refuse_in_maintenance()?;
        self.check_webhook(message.webhook.as_deref())?;
        let Paid { owner, shared_key, key_is_for_styles, styled } =
            style::payer(&self.0, key, address.filter(|_| !is_proxied), picked).await?;
        let is_dry_run = message.dry_run;
        let wish = convert::video::wish(&message);
        let (asked, sources) = image::asked(message);
        let (spec, misfit) = self.0.host.glance(|engine, _| engine.depicted(asked.spec.clone(), wish));
        let asked = Asked { spec, misfit, address, shared_key, key_is_for_styles, styled, ..asked };
        if is_dry_run {
            let kudos = self.quote(owner, asked).await?;
            let answer = pb::SubmitImageResponse { kudos, ..Default::default() };
            return Ok(with_status(answer, 200));
        }
        let submitted = match sources.is_empty() {
            true => self.submit(None, owner, asked).await?,
            false => self.submit_with_sources(owner, asked, sources).await?,
        };
        let (message, warnings) = convert::warned(&submitted);
        Ok(Response::new(pb::SubmitImageResponse {
            id: Some(submitted.id.to_string()),
            kudos: convert::whole(submitted.job_kudos),
            message,
            warnings,
        }))
    }

    async fn text(&self, call: Call<pb::SubmitTextRequest>) -> Result<Response<pb::SubmitTextResponse>> {
        let Call { mut message, key, address, is_proxied, .. } = call;
        let picked = style::pick(&self.0, message.style.as_deref(), Kind::Text).await?;
        if let Some(picked) = &picked {
            convert::styles::apply_to_text(&mut message, &picked.style)?;
        }
        self.refuse_in_maintenance()?;
        self.check_webhook(message.webhook.as_deref())?;
        let Paid { owner, shared_key, key_is_for_styles, styled } =
            style::payer(&self.0, key, address.filter(|_| !is_proxied), picked).await?;
        let is_dry_run = message.dry_run;
        let asked = convert::text::asked(message);
        let asked = Asked { address, shared_key, key_is_for_styles, styled, ..asked };
        if is_dry_run {
            let kudos = self.quote(owner, asked).await?;
            return Ok(with_status(pb::SubmitTextResponse { kudos, ..Default::default() }, 200));
        }
        let submitted = self.submit(None, owner, asked).await?;
        let (message, warnings) = convert::warned(&submitted);
        Ok(Response::new(pb::SubmitTextResponse {
            id: Some(submitted.id.to_string()),
            kudos: 0.0,
            message,
            warnings,
        }))
    }

    fn may_check(&self, address: Option<IpAddr>, has_agent: bool) -> Result<()> {
        self.0.host.glance(|engine, now| engine.may_check(address, has_agent, now))
    }

    /// Step 5 of the contract's order.
    fn refuse_in_maintenance(&self) -> Result<()> {
        self.0.host.glance(|engine, _| engine.refuse_in_maintenance())
    }

    /// Step 6 of the contract's order: before the key is looked at.
    fn check_webhook(&self, url: Option<&str>) -> Result<()> {
        url.map_or(Ok(()), |url| self.0.objects.check_webhook(url))
    }

    async fn quote(&self, owner: UserId, asked: Asked) -> Result<f64> {
        let price = self.0.host.act(move |engine, step, _| {
            let vetted = engine.screen(step, owner, asked)?;
            Ok(engine.quote(&vetted.spec))
        });
        Ok(convert::whole(price.await?))
    }

    async fn submit(&self, id: Option<RequestId>, owner: UserId, asked: Asked) -> Result<Submitted> {
        let mut again = asked.allow_downgrade.then(|| asked.clone());
        let mut asked = asked;
        loop {
            // The engine took the kudos for there; another broker had set them aside, or kept them.
            let smaller = match (self.submit_once(id, owner, asked).await, again.take()) {
                (Err(Error::KudosUpfront { may_shrink: true, .. }), Some(again)) if !again.must_shrink => {
                    Asked { must_shrink: true, ..again }
                }
                (Err(Error::SharedKeyInsufficientKudos { .. }), Some(again)) if !again.key_is_short => {
                    Asked { key_is_short: true, ..again }
                }
                (outcome, _) => return outcome,
            };
            again = Some(smaller.clone());
            asked = smaller;
        }
    }

    async fn submit_once(&self, id: Option<RequestId>, owner: UserId, asked: Asked) -> Result<Submitted> {
        let submit = self.0.host.act(move |engine, step, _| {
            let id = id.unwrap_or_else(|| RequestId(step.dice.uuid()));
            engine.submit(step, id, owner, asked)
        });
        submit.await
    }

    /// Source images are stored before the request is accepted: an accepted request has all it needs.
    async fn submit_with_sources(&self, owner: UserId, asked: Asked, sources: Sources) -> Result<Submitted> {
        let (id, asked) = self
            .0
            .host
            .act(move |engine, step, _| {
                engine.screen(step, owner, asked.clone())?;
                Ok((RequestId(step.dice.uuid()), asked))
            })
            .await?;
        let named = [(ObjectKey::Source(id), sources.source), (ObjectKey::Mask(id), sources.mask)];
        let named = named.into_iter().filter_map(|(key, image)| Some((key, image?)));
        let extra = sources.extra.into_iter().enumerate().map(|(i, image)| (ObjectKey::Extra(id, i), image));
        let needs_alpha = asked.spec.needs_alpha();
        let mut stored = Vec::new();
        let mut outcome = Ok(());
        for (key, image) in named.chain(extra) {
            stored.push(key);
            outcome = self.0.objects.put_source(key, &image).await.and_then(|source| match key {
                ObjectKey::Source(_) if needs_alpha && !source.has_alpha => Err(Error::params(
                    ParamRule::InpaintingMissingMask,
                    "inpainting needs a source_mask, or a source_image with an alpha channel",
                )),
                _ => Ok(()),
            });
            if outcome.is_err() {
                break;
            }
        }
        let outcome = match outcome {
            Ok(()) => self.submit(Some(id), owner, asked).await,
            Err(error) => Err(error),
        };
        if is_refused(&outcome) {
            for key in stored {
                // The refusal is what counts; what cannot be deleted now is swept two hours later.
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

/// Whether a submit was refused for good. While the store cannot be reached, nobody knows: what was
/// accepted after all needs its images.
fn is_refused<T>(outcome: &Result<T>) -> bool {
    let is_open = |error: &Error| matches!(error, Error::StoreUnavailable { .. } | Error::Draining { .. });
    outcome.as_ref().is_err_and(|error| !is_open(error))
}

fn with_status<T>(answer: T, status: u16) -> Response<T> {
    let mut response = Response::new(answer);
    response.extensions_mut().insert(HttpStatus(status));
    response
}
