//! Which paths the old server answers, as operators switched them.

use super::{Engine, Step};
use crate::domain::{
    Error, Result,
    board::BoardChange,
    record::Record,
    route::{self, Routes},
};

/// Paths that may be switched: each call looks through them.
const MAX_ROUTES: usize = 500;

impl Engine {
    /// What was switched so far.
    pub fn routes(&self) -> &Routes {
        &self.board.routes
    }

    /// Has the old server answer a path and all below it from now on, or this one.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is no path that can be switched, or if there are too many.
    pub fn switch_route(&mut self, step: &mut Step<'_>, path: &str, is_returned: bool) -> Result<()> {
        route::check(path).map_err(|why| Error::BadRequest(format!("{path:?}: {why}")))?;
        let routes = &mut self.board.routes;
        let is_known = routes.all().iter().any(|(known, _)| known == path);
        if !is_known && routes.all().len() >= MAX_ROUTES {
            return Err(Error::BadRequest(format!(
                "there are {MAX_ROUTES} paths already: switch one that lies above several"
            )));
        }
        routes.set(path, is_returned);
        step.persist(Record::BoardChanged(BoardChange::Route(path.to_owned(), is_returned)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::stage::Stage;

    #[test]
    fn paths_are_switched_and_kept_and_not_without_end() {
        let mut stage = Stage::new();
        let done = stage.act(|engine, step| engine.switch_route(step, "/api/v2/teams", true));
        assert!(done.is_ok());
        assert_eq!(stage.engine.routes().decide("/api/v2/teams/7"), Some(("/api/v2/teams", true)));
        let refused = stage.act(|engine, step| engine.switch_route(step, "/metrics", true));
        assert!(matches!(refused, Err(Error::BadRequest(why)) if why.contains("only this server")));
        for i in 1..MAX_ROUTES {
            stage.act(|engine, step| engine.switch_route(step, &format!("/x{i}"), true)).unwrap();
        }
        assert!(stage.act(|engine, step| engine.switch_route(step, "/one-more", true)).is_err());
        assert!(stage.act(|engine, step| engine.switch_route(step, "/x7", false)).is_ok(), "a known one");
    }
}
