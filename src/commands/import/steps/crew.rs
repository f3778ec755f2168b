//! Teams and workers.

use futures_util::TryStreamExt;

use super::{CHUNK, Import, failed};
use crate::{
    commands::import::{
        cells::{Cells, Notes},
        crews,
        tally::Line,
    },
    domain::team::Team,
};

/// Most teams that there may be.
const MOST_TEAMS: usize = 10_000;

impl Import<'_> {
    /// Teams and workers.
    ///
    /// # Errors
    /// They cannot be read or written; then none of them came over.
    pub async fn crews(&mut self) -> anyhow::Result<()> {
        let mut extras = crews::Extras::default();
        for ask in [
            &crews::MODELS,
            &crews::BLACKLISTS,
            &crews::SOFTPROMPTS,
            &crews::FORMS,
            &crews::STATS,
            &crews::SPEEDS,
            &crews::SUSPICIONS,
        ] {
            self.gather(ask, |row| extras.take(row, ask.table)).await?;
        }
        let mut line = self.announce(&crews::TEAMS).await?;
        self.intake.begin().await.map_err(failed)?;
        let mut teams = Vec::new();
        let mut rows = self.horde.rows(&crews::TEAMS);
        while let Some(values) = rows.try_next().await.map_err(failed)? {
            line.read += 1;
            let row = Cells::of(&crews::TEAMS, &values);
            let mut notes = Notes::default();
            match crews::team(&row, self.now, &mut notes) {
                Err(reason) => line.skip(reason, row.text("name").unwrap_or_default()),
                Ok((team, _)) if self.known.teams.contains(&team.id) => line.already_there += 1,
                Ok((team, _)) if !self.owners.contains(&team.owner) => {
                    line.skip("its founder did not come over", team.name);
                }
                Ok((team, _)) if self.known.team_names.contains(&Team::key(&team.name)) => {
                    line.skip("another team has its name", team.name);
                }
                Ok((team, _)) if self.known.teams.len() >= MOST_TEAMS => {
                    line.skip("there are too many", team.name)
                }
                Ok((team, figures)) => {
                    self.known.teams.insert(team.id);
                    self.known.team_names.insert(Team::key(&team.name));
                    line.copy(&notes.0, &team.name);
                    teams.push((team, figures));
                }
            }
        }
        drop(rows);
        self.intake.teams(&teams).await.map_err(failed)?;
        let workers = self.workers(&extras).await?;
        self.intake.end().await.map_err(failed)?;
        self.lines.extend([line, workers]);
        Ok(())
    }

    async fn workers(&mut self, extras: &crews::Extras) -> anyhow::Result<Line> {
        let mut line = self.announce(&crews::WORKERS).await?;
        let mut chunk = Vec::new();
        let mut rows = self.horde.rows(&crews::WORKERS);
        while let Some(values) = rows.try_next().await.map_err(failed)? {
            line.read += 1;
            self.show.at(line.read);
            let row = Cells::of(&crews::WORKERS, &values);
            let mut notes = Notes::default();
            match crews::worker(&row, extras, self.now, &mut notes) {
                Err(reason) => line.skip(reason, row.text("name").unwrap_or_default()),
                Ok(worker) if self.known.workers.contains(&worker.id) => line.already_there += 1,
                Ok(worker) if !self.owners.contains(&worker.owner) => {
                    line.skip("its owner did not come over", worker.name);
                }
                Ok(worker) if self.known.worker_names.contains(&worker.name) => {
                    line.skip("another worker has its name", worker.name);
                }
                Ok(mut worker) => {
                    if worker.standing.team.is_some_and(|team| !self.known.teams.contains(&team)) {
                        worker.standing.team = None;
                        notes.add("its team did not come over, and it has none now");
                    }
                    self.known.workers.insert(worker.id);
                    self.known.worker_names.insert(worker.name.clone());
                    line.copy(&notes.0, &worker.name);
                    chunk.push(worker);
                }
            }
            if chunk.len() >= CHUNK {
                self.intake.workers(&std::mem::take(&mut chunk)).await.map_err(failed)?;
            }
        }
        drop(rows);
        self.intake.workers(&chunk).await.map_err(failed)?;
        Ok(line)
    }
}
