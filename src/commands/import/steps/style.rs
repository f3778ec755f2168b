//! Styles and collections.

use futures_util::TryStreamExt;

use super::{CHUNK, Import, failed};
use crate::{
    commands::import::{
        cells::{Cells, Notes},
        styles::{self, Judge},
        tally::Line,
    },
    domain::style::MAX_OWNED,
};

impl Import<'_> {
    /// Styles and collections.
    ///
    /// # Errors
    /// They cannot be read or written; then none of them came over.
    pub async fn styles(&mut self) -> anyhow::Result<()> {
        let mut extras = styles::Extras::default();
        for ask in [&styles::MODELS, &styles::TAGS, &styles::EXAMPLES, &styles::MEMBERS] {
            self.gather(ask, |row| extras.take(row, ask.table)).await?;
        }
        let mut line = self.announce(&styles::STYLES).await?;
        self.intake.begin().await.map_err(failed)?;
        let mut judge = Judge::new(self.now);
        let mut chunk = Vec::new();
        let mut rows = self.horde.rows(&styles::STYLES);
        while let Some(values) = rows.try_next().await.map_err(failed)? {
            line.read += 1;
            self.show.at(line.read);
            let row = Cells::of(&styles::STYLES, &values);
            let mut notes = Notes::default();
            let mut style = match styles::style(&row, &extras, self.now, &mut notes) {
                Ok(style) if self.known.styles.contains_key(&style.id) => {
                    line.already_there += 1;
                    continue;
                }
                Ok(style) if !self.owners.contains(&style.owner) => {
                    line.skip("its author did not come over", style.name);
                    continue;
                }
                Ok(style) => style,
                Err(reason) => {
                    line.skip(reason, row.text("name").unwrap_or_default());
                    continue;
                }
            };
            let roles = self.roles.get(&style.owner.0);
            if let Err(error) = judge.style(&mut style, roles) {
                line.skip("the API would not take it", format!("{}: {error}", style.name));
                continue;
            }
            if style.shared_key.is_some_and(|key| !self.known.shared_keys.contains(&key)) {
                style.shared_key = None;
                notes.add("its shared key did not come over, and it has none now");
            }
            let names = self.known.style_names.entry(style.owner).or_default();
            if names.len() >= MAX_OWNED {
                line.skip("its author has too many", &style.name);
                continue;
            }
            if !names.insert(style.name.clone()) {
                line.skip("another style of its author has its name", &style.name);
                continue;
            }
            self.known.styles.insert(style.id, style.kind);
            line.copy(&notes.0, &style.name);
            chunk.push(style);
            if chunk.len() >= CHUNK {
                self.intake.styles(&std::mem::take(&mut chunk)).await.map_err(failed)?;
            }
        }
        drop(rows);
        self.intake.styles(&chunk).await.map_err(failed)?;
        let collections = self.collections(&extras, &judge).await?;
        self.intake.end().await.map_err(failed)?;
        self.lines.extend([line, collections]);
        Ok(())
    }

    async fn collections(&mut self, extras: &styles::Extras, judge: &Judge) -> anyhow::Result<Line> {
        let mut line = self.announce(&styles::COLLECTIONS).await?;
        let mut all = Vec::new();
        let mut rows = self.horde.rows(&styles::COLLECTIONS);
        while let Some(values) = rows.try_next().await.map_err(failed)? {
            line.read += 1;
            let row = Cells::of(&styles::COLLECTIONS, &values);
            let mut notes = Notes::default();
            let mut collection =
                match styles::collection(&row, extras, &self.known.styles, self.now, &mut notes) {
                    Ok(collection) => collection,
                    Err(reason) => {
                        line.skip(reason, row.text("name").unwrap_or_default());
                        continue;
                    }
                };
            if self.known.collections.contains(&collection.id) {
                line.already_there += 1;
                continue;
            }
            if !self.owners.contains(&collection.owner) {
                line.skip("its owner did not come over", collection.name);
                continue;
            }
            if let Err(error) = judge.collection(&mut collection) {
                line.skip("the API would not take it", format!("{}: {error}", collection.name));
                continue;
            }
            let names = self.known.collection_names.entry(collection.owner).or_default();
            if names.len() >= MAX_OWNED || !names.insert(collection.name.clone()) {
                line.skip("its owner has one of its name, or too many", &collection.name);
                continue;
            }
            self.known.collections.insert(collection.id);
            line.copy(&notes.0, &collection.name);
            all.push(collection);
        }
        drop(rows);
        self.intake.collections(&all).await.map_err(failed)?;
        Ok(line)
    }
}
