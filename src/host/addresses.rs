//! Whom workers' addresses are asked about, before they are let in.

use std::{net::IpAddr, sync::Arc};

use super::Host;
use crate::{
    domain::{Result, UserId},
    engine::Doubt,
    outside::checker::{self, Checker},
};

/// Lets workers come up to the door. Cheap to clone.
#[derive(Clone)]
pub struct Porter {
    host: Host,
    checker: Option<Arc<Checker>>,
}

impl Porter {
    /// One with a checker, or without.
    pub fn new(host: Host, checker: Option<Checker>) -> Self {
        Self { host, checker: checker.map(Arc::new) }
    }

    /// Prepares for a worker that comes: what other brokers know of it is known here, and its address was asked
    /// about. Whether it is let in the engine says.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`](crate::domain::Error::StoreUnavailable).
    pub async fn receive(&self, owner: UserId, name: &str, address: Option<IpAddr>) -> Result<()> {
        self.host.bring_worker(name).await?;
        let (Some(checker), Some(address)) = (&self.checker, address) else { return Ok(()) };
        let is_new = checker.known(address).is_none();
        if !is_new || !self.host.glance(|engine, _| engine.wants_check(owner, address)) {
            return Ok(());
        }
        let (doubt, lasts) = match checker.is_safe(address).await {
            Some(true) => (None, checker::HOLDS),
            Some(false) => (Some(Doubt::Unsafe), checker::HOLDS),
            None => (Some(Doubt::Unchecked), checker::REST),
        };
        let learn = move |engine: &mut crate::engine::Engine, step: &mut crate::engine::Step<'_>| {
            engine.learn_address(address, doubt, step.now.plus(lasts), step.now);
        };
        self.host.instruct(learn).await;
        Ok(())
    }
}
