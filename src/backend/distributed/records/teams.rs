//! Teams in PostgreSQL.

use super::{PgRecords, Session, Trouble};
use crate::{
    backend::cells,
    domain::{TeamId, team::TeamFigures},
};

pub(super) const TEAMS: &str = "SELECT * FROM teams";
const TEAM: &str = "SELECT * FROM teams WHERE id = $1";

pub(in crate::backend::distributed) const STATEMENTS: &[&str] = &[TEAMS, TEAM];

impl PgRecords {
    pub(super) async fn read_team_figures(
        &self,
        only: Option<TeamId>,
    ) -> Result<Vec<(TeamId, TeamFigures)>, Trouble> {
        let mut session = Session::of(&self.pool).await?;
        let query = match only {
            Some(id) => sqlx::query(TEAM).bind(id.0),
            None => sqlx::query(TEAMS),
        };
        let rows = query.fetch_all(&mut *session).await?;
        session.release();
        Ok(rows.iter().map(cells::team_figures).collect::<Result<_, _>>()?)
    }
}
