//! Teams that workers join.

use super::{Kudos, TeamId, Timestamp, UserId};

/// A team. Its figures are not in it: they change with every job, and few look at them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Team {
    /// Its ID.
    pub id: TeamId,
    /// Its name; no other team has it in any case of letters.
    pub name: String,
    /// What it says of itself.
    pub info: Option<String>,
    /// Who founded it.
    pub owner: UserId,
    /// When that was.
    pub created_at: Timestamp,
}

impl Team {
    /// What names are compared by.
    pub fn key(name: &str) -> String {
        name.to_lowercase()
    }
}

/// A change of a team; `None`: it stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TeamChange {
    /// Its name.
    pub name: Option<String>,
    /// What it says of itself.
    pub info: Option<String>,
}

impl TeamChange {
    /// Adds a later change: of what both say its word counts.
    pub fn then(&mut self, later: &Self) {
        let Self { name, info } = later.clone();
        self.name = name.or(self.name.take());
        self.info = info.or(self.info.take());
    }

    /// Changes a team.
    pub fn apply(&self, team: &mut Team) {
        if let Some(name) = &self.name {
            team.name.clone_from(name);
        }
        if let Some(info) = &self.info {
            team.info = Some(info.clone());
        }
    }
}

/// What workers did for images and videos while they were in a team.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TeamFigures {
    /// Jobs delivered.
    pub fulfilled: i64,
    /// Kudos that the jobs earned.
    pub kudos: Kudos,
    /// Seconds online.
    pub uptime_seconds: i64,
}

impl TeamFigures {
    /// Adds a change.
    pub fn add(&mut self, change: Self) {
        self.fulfilled += change.fulfilled;
        self.kudos += change.kudos;
        self.uptime_seconds += change.uptime_seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_changes_after_each_other_are_as_one() {
        let change = |name: Option<&str>, info: Option<&str>| TeamChange {
            name: name.map(str::to_owned),
            info: info.map(str::to_owned),
        };
        for (first, second) in [
            (change(Some("a"), Some("b")), change(Some("c"), None)),
            (change(None, Some("b")), change(Some("c"), None)),
            (change(Some("a"), None), change(None, None)),
        ] {
            let team = Team {
                id: TeamId(uuid::Uuid::nil()),
                name: "old".into(),
                info: None,
                owner: UserId(1),
                created_at: Timestamp(0),
            };
            let (mut one, mut other, mut both) = (team.clone(), team, first.clone());
            first.apply(&mut one);
            second.apply(&mut one);
            both.then(&second);
            both.apply(&mut other);
            assert_eq!(one, other, "{first:?}, {second:?}");
        }
    }
}
