//! Requests for alchemy: submit, look, cancel.

use bytes::Bytes;

use super::{GenerateService, refuse_unsupported};
use crate::{
    domain::{
        Error, RequestId, Result,
        error::ParamRule,
        request::{AlchemyParams, Kind},
    },
    engine::View,
    host::{ObjectKey, dimensions},
    rpc::{
        check::Check,
        convert::alchemy::{self, Source},
        gate::Call,
        pb,
    },
};

impl GenerateService {
    pub(super) async fn alchemy(
        &self,
        call: Call<pb::SubmitAlchemyRequest>,
    ) -> Result<pb::SubmitAlchemyResponse> {
        let Call { message, key, .. } = call;
        refuse_unsupported(None, message.webhook.as_ref())?;
        let owner = self.0.caller(key).await?;
        if message.has_nul() {
            return Err(Error::NulByte);
        }
        let (mut spec, source) = alchemy::spec(message)?;
        // Whoever asks for too much is told so before anything is fetched or stored.
        let asked = spec.clone();
        let id = self
            .0
            .host
            .act(move |engine, step, _| {
                engine.may_submit(owner, &asked)?;
                Ok(RequestId(step.dice.uuid()))
            })
            .await?;
        let stored = matches!(source, Source::Content(_)).then_some(ObjectKey::Source(id));
        let outcome = match self.measure_source(id, &source, fetch_source).await {
            Ok(tiles) => {
                alchemy::set_tiles(&mut spec, tiles);
                self.submit(Some(id), owner, spec).await
            }
            Err(error) => Err(error),
        };
        if let (Err(_), Some(key)) = (&outcome, stored) {
            // The refusal is what counts; what cannot be deleted now is swept a day later.
            let _ = self.0.objects.delete(key).await;
        }
        Ok(pb::SubmitAlchemyResponse { id: outcome?.id.to_string(), message: None })
    }

    /// The size of a source image in tiles. One that came as base64 is stored; one by URL stays where it is,
    /// and is looked at once.
    async fn measure_source(
        &self,
        id: RequestId,
        source: &Source,
        fetch: impl AsyncFn(&str) -> Result<Bytes>,
    ) -> Result<u32> {
        let (width, height) = match source {
            Source::Url(url) => dimensions(&fetch(url).await?),
            Source::Content(text) => {
                let key = ObjectKey::Source(id);
                self.0.objects.put_source(key, text).await?;
                self.0.objects.get(&key.to_string()).await?.and_then(|image| dimensions(&image))
            }
        }
        .ok_or_else(|| {
            Error::params(ParamRule::ImageValidationFailed, "the source image cannot be decoded")
        })?;
        Ok(AlchemyParams::tiles_of(width, height))
    }

    /// Cancels, and says how it stands then.
    pub(super) async fn cancel_forms(&self, text: &str) -> Result<View> {
        let view = self.view(text, Kind::Alchemy).await?;
        let id = view.accepted.id;
        if view.done {
            return Ok(view);
        }
        self.0.host.bring_request(id).await?;
        let cancelled = self.0.host.act(move |engine, step, _| {
            engine.cancel(step, id);
            Ok(())
        });
        match cancelled.await {
            // A form was ended elsewhere at this moment; the others are cancelled all the same.
            Ok(()) | Err(Error::Overtaken) => self.0.host.view(id).await,
            Err(error) => Err(error),
        }
    }
}

/// What is behind the URL of a source image.
async fn fetch_source(_url: &str) -> Result<Bytes> {
    Err(Error::NotSupported("source images by URL are not supported here; send base64".into()))
}
