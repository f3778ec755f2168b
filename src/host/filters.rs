//! Filters of prompts: those of the operator's file, and beside them those that moderators keep in Records.
//!
//! ```text
//!  a file that changed ────┐
//!  a moderator's edit ─────┼─► made ready, off the engine's task ──► engine.learn_filters
//!  another broker's edit ──┘        └─ cannot be: what was known before still holds
//! ```
//!
//! An edit is made ready before it is written, so what cannot be used is never written; and it is answered
//! once it holds here. Other brokers are told, and read all filters again.

use std::{collections::BTreeMap, sync::Arc};

use super::Host;
use crate::{
    backend::Failure,
    domain::{
        Error, Result, UserId,
        filters::{
            Filter, FilterChange, Filters, Pattern, Tested, Unreadable,
            kept::{Granted, Wish, applied, grant},
        },
    },
    engine::Engine,
};

/// How often an edit is tried again when another broker was faster.
const MORE_TRIES: usize = 20;
/// How long a store that failed is left alone before filters are read again.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

/// What is known of filters. Whoever changes any of it holds it until the engine has learnt it: so edits
/// of this broker come one after the other.
pub(super) struct Sieve {
    /// Those of the operator's file.
    file: Arc<Filters>,
    /// Those that moderators keep, as they were read last.
    kept: Vec<Filter>,
    /// All of them, ready.
    ready: Arc<Filters>,
}

impl Sieve {
    /// What there is at the start. Where both together are too much, those of the file alone hold.
    pub fn of(file: Arc<Filters>, kept: Vec<Filter>) -> Self {
        let ready = ready(&file, &kept, &Filters::default()).unwrap_or_else(|why| {
            tracing::error!("{why}; only the filters of the file hold");
            (*file).clone()
        });
        Self { file, kept, ready: Arc::new(ready) }
    }

    /// All of them, ready.
    pub fn ready(&self) -> Arc<Filters> {
        self.ready.clone()
    }

    /// Makes them ready as they are to be.
    async fn prepare(&self, file: &Arc<Filters>, kept: &[Filter]) -> Result<Arc<Filters>, Unreadable> {
        let (file, kept, known) = (file.clone(), kept.to_vec(), self.ready.clone());
        let made = tokio::task::spawn_blocking(move || ready(&file, &kept, &known));
        made.await.expect("making filters ready does not panic").map(Arc::new)
    }
}

/// Both together; of what is kept, what cannot be used is told in the log.
fn ready(file: &Filters, kept: &[Filter], known: &Filters) -> Result<Filters, Unreadable> {
    let (ready, unusable) = file.beside(kept.iter().map(|filter| &filter.pattern), known)?;
    for why in unusable {
        tracing::error!("a filter of the store is left out: {why}");
    }
    Ok(ready)
}

impl Host {
    /// Filters that moderators keep, by ID.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn filters(&self) -> Result<Vec<Filter>> {
        self.stored(self.shared.backend.records.filters().await)
    }

    /// All regexes that hold, of each type, as alternatives.
    pub fn filter_regexes(&self) -> BTreeMap<i64, String> {
        self.glance(|engine, _| engine.filters()).joined()
    }

    /// What a prompt matches, as one that is submitted is looked at.
    ///
    /// # Errors
    /// As [`Engine::refuse_long_prompt`].
    pub async fn test_filters(&self, prompt: String, filter_type: Option<i64>) -> Result<Tested> {
        Engine::refuse_long_prompt(&prompt)?;
        let filters = self.glance(|engine, _| engine.filters());
        let tested = tokio::task::spawn_blocking(move || filters.test(&prompt, filter_type));
        Ok(tested.await.expect("testing a prompt does not panic"))
    }

    /// Changes the filters that moderators keep, and returns the one that it is about. It holds here when
    /// this returns, and on other brokers a moment later.
    ///
    /// # Errors
    /// As [`grant`]; [`Error::BadRequest`] for a pattern that cannot be used: where; [`Error::Overtaken`]
    /// while others change them all the time.
    pub async fn change_filters(&self, editor: UserId, wish: Wish) -> Result<Filter> {
        let mut tries = 0;
        loop {
            match self.try_to_change_filters(editor, &wish).await {
                Err(Error::Overtaken) if tries < MORE_TRIES => tries += 1,
                outcome => return outcome,
            }
        }
    }

    async fn try_to_change_filters(&self, editor: UserId, wish: &Wish) -> Result<Filter> {
        let mut sieve = self.shared.filters.lock().await;
        let kept = self.filters().await?;
        let change = match grant(&kept, wish, editor)? {
            Granted::Already(filter) => return Ok(filter),
            Granted::Change(change) => change,
        };
        let after = applied(&kept, &change);
        let filter = match &change {
            FilterChange::Added(filter) | FilterChange::Edited(filter) => {
                check(filter.pattern.clone()).await?;
                filter.clone()
            }
            FilterChange::Dropped(id) => {
                let dropped = kept.iter().find(|filter| filter.id == *id);
                dropped.cloned().ok_or_else(|| Error::FilterNotFound(id.to_string()))?
            }
        };
        let ready = sieve.prepare(&sieve.file, &after).await;
        let ready = ready.map_err(|why| Error::BadRequest(format!("{why}: delete some first")))?;
        self.act(move |engine, step, _| {
            engine.change_filters(step, change);
            Ok(())
        })
        .await?;
        (sieve.kept, sieve.ready) = (after, ready.clone());
        self.act(move |engine, _, _| {
            engine.learn_filters(ready);
            Ok(())
        })
        .await?;
        Ok(filter)
    }

    /// Takes over what stands in the operator's file. A file that has become empty is half written, or a slip.
    pub(super) async fn learn_filter_file(&self, file: Arc<Filters>) {
        let mut sieve = self.shared.filters.lock().await;
        if file.rows() == 0 && sieve.file.rows() > 0 {
            return tracing::error!(
                "the file of prompt filters is empty; what was known before still holds until the broker is \
                 started without it"
            );
        }
        match sieve.prepare(&file, &sieve.kept).await {
            Ok(ready) => {
                (sieve.file, sieve.ready) = (file, ready.clone());
                self.order(move |engine, _, _| engine.learn_filters(ready)).await;
            }
            Err(why) => tracing::error!("{why}; what was known before still holds"),
        }
    }

    /// Reads the filters that moderators keep again, in its own time, as others changed them.
    pub(super) fn reread_filters(&self) {
        let host = self.clone();
        tokio::spawn(async move {
            while let Err(error) = host.try_to_reread_filters().await {
                tracing::warn!(%error, "filters could not be read again yet");
                tokio::select! {
                    () = host.stopping().cancelled() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        });
    }

    async fn try_to_reread_filters(&self) -> Result<(), Failure> {
        let mut sieve = self.shared.filters.lock().await;
        let kept = self.shared.backend.records.filters().await?;
        if kept == sieve.kept {
            return Ok(());
        }
        match sieve.prepare(&sieve.file, &kept).await {
            Ok(ready) => {
                (sieve.kept, sieve.ready) = (kept, ready.clone());
                self.order(move |engine, _, _| engine.learn_filters(ready)).await;
            }
            Err(why) => tracing::error!("{why}; what was known before still holds"),
        }
        Ok(())
    }
}

/// Whether a pattern can be used.
async fn check(pattern: Pattern) -> Result<()> {
    let compiled = tokio::task::spawn_blocking(move || pattern.compile().map(drop));
    let compiled = compiled.await.expect("compiling a pattern does not panic");
    compiled.map_err(|why| Error::BadRequest(format!("this filter cannot be used: {why}")))
}
