//! What callers are shown of requests, attempts and teams: from memory where that knows, or else from Records.

use std::collections::HashMap;

use super::Host;
use crate::{
    domain::{
        AttemptId, Error, RequestId, Result, TeamId, record::PastAttempt, request::Kind, team::TeamFigures,
    },
    engine::{self, Explanation, View},
};

impl Host {
    /// Where a request stands, from memory or else from the records.
    ///
    /// # Errors
    /// [`Error::RequestNotFound`], [`Error::StoreUnavailable`].
    pub async fn view(&self, id: RequestId) -> Result<View> {
        if self.is_shared() {
            return self.shared_view(id).await;
        }
        if let Some(view) = self.read(move |engine, now| engine.view(id, now)).await? {
            return Ok(view);
        }
        self.stored_view(id).await
    }

    /// Where a request stands, and why it waits if it does.
    ///
    /// # Errors
    /// As [`Host::view`].
    pub async fn explain(&self, id: RequestId) -> Result<(View, Option<Explanation>)> {
        let view = self.view(id).await?;
        if view.done || view.waiting == 0 {
            return Ok((view, None));
        }
        let why = self.glance(|engine, now| engine.explain(id, now));
        Ok((view, why))
    }

    /// The kind of a request, from memory or else from the records.
    ///
    /// # Errors
    /// As [`Host::view`].
    pub async fn kind_of(&self, id: RequestId) -> Result<Kind> {
        match self.glance(|engine, _| engine.kind_of_request(id)) {
            Some(kind) => Ok(kind),
            None => Ok(self.stored_view(id).await?.accepted.spec.kind()),
        }
    }

    /// Where a request stands that other brokers may have a part in: Records know what became of its
    /// jobs, the engine what it waits for.
    async fn shared_view(&self, id: RequestId) -> Result<View> {
        let stored = self.stored_view(id).await?;
        if stored.done {
            return Ok(stored);
        }
        self.bring_request(id).await?;
        let live = self.glance(|engine, now| engine.view(id, now));
        Ok(match live {
            None => stored,
            Some(live) => View {
                position: if stored.waiting > 0 { live.position } else { 0 },
                wait_seconds: live.wait_seconds,
                is_possible: live.is_possible,
                ..stored
            },
        })
    }

    pub(super) async fn stored_view(&self, id: RequestId) -> Result<View> {
        let stored = self.stored(self.shared.backend.records.request(id).await)?;
        stored.map(engine::stored_view).ok_or_else(|| Error::RequestNotFound(id.to_string()))
    }

    /// What became of an attempt that the engine does not know.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn past_attempt(&self, id: AttemptId) -> Result<Option<PastAttempt>> {
        self.stored(self.shared.backend.records.attempt(id).await)
    }

    /// Figures of a team, or of all, by their IDs; those that are new may have none yet.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn team_figures(&self, only: Option<TeamId>) -> Result<HashMap<TeamId, TeamFigures>> {
        let figures = self.stored(self.shared.backend.records.team_figures(only).await)?;
        Ok(figures.into_iter().collect())
    }
}
