//! Requests for alchemy: submit, look, cancel.

use super::GenerateService;
use crate::{
    domain::{Error, RequestId, Result, request::AlchemyParams},
    engine::{Asked, View},
    host::ObjectKey,
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
        let Call { message, key, address, .. } = call;
        self.refuse_in_maintenance()?;
        self.check_webhook(message.webhook.as_deref())?;
        let owner = self.0.caller(key).await?;
        if message.has_nul() {
            return Err(Error::NulByte);
        }
        let (mut spec, source) = alchemy::spec(message)?;
        // Whoever asks for too much is told so before anything is fetched or stored.
        let asked = Asked { address, ..spec.clone().into() };
        let id = self
            .0
            .host
            .act(move |engine, step, _| {
                engine.vet(owner, asked, step.now)?;
                Ok(RequestId(step.dice.uuid()))
            })
            .await?;
        let stored = matches!(source, Source::Content(_)).then_some(ObjectKey::Source(id));
        let outcome = match self.measure_source(id, &source).await {
            Ok(tiles) => {
                alchemy::set_tiles(&mut spec, tiles);
                self.submit(Some(id), owner, Asked { address, ..spec.into() }).await
            }
            Err(error) => Err(error),
        };
        if let (true, Some(key)) = (super::is_refused(&outcome), stored) {
            // The refusal is what counts; what cannot be deleted now is swept two hours later.
            let _ = self.0.objects.delete(key).await;
        }
        Ok(pb::SubmitAlchemyResponse { id: outcome?.id.to_string(), message: None })
    }

    /// The size of a source image in tiles. One that came as base64 is stored; one by URL stays where it is,
    /// and is looked at once.
    async fn measure_source(&self, id: RequestId, source: &Source) -> Result<u32> {
        let image = match source {
            Source::Url(url) => self.0.objects.fetch_source(url).await?,
            Source::Content(text) => self.0.objects.put_source(ObjectKey::Source(id), text).await?,
        };
        Ok(AlchemyParams::tiles_of(image.width, image.height))
    }

    /// Cancels, and says how it stands then.
    pub(super) async fn cancel_forms(&self, text: &str) -> Result<View> {
        let view = self.view(text, super::FORMS).await?;
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
