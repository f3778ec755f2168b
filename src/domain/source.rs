//! What moves an account's kudos, as it is shown: the figures of `kudos_details`.
//!
//! Source: the accounts of the v2 contract. What is given away or taken counts as less than nothing. All
//! figures of an account add up to its balance, less what it was forgiven.

use serde::{Deserialize, Serialize};

use super::{Kudos, user::UserStats};

/// Why kudos move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Earned or spent by jobs and time online.
    Accumulated,
    /// Given away.
    Gifted,
    /// Given to a school.
    Donated,
    /// Granted by an operator.
    Admin,
    /// Got from another account.
    Received,
    /// Monthly.
    Recurring,
    /// Awarded.
    Awarded,
    /// For a style that was used.
    Styled,
}

/// Kudos by what moved them, but for what is earned, spent and granted by operators.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Moved {
    /// Given away; never above zero.
    pub gifted: Kudos,
    /// Given to schools; never above zero.
    pub donated: Kudos,
    /// Got from other accounts.
    pub received: Kudos,
    /// Monthly.
    pub recurring: Kudos,
    /// Awarded.
    pub awarded: Kudos,
    /// For styles that were used.
    pub styled: Kudos,
    /// How often the balance was lifted to its floor.
    pub lifts: i64,
}

impl Moved {
    /// Adds a change.
    pub fn add(&mut self, change: &Self) {
        self.gifted += change.gifted;
        self.donated += change.donated;
        self.received += change.received;
        self.recurring += change.recurring;
        self.awarded += change.awarded;
        self.styled += change.styled;
        self.lifts += change.lifts;
    }
}

impl Source {
    /// What a movement adds to the account's figures.
    pub fn counts(self, change: Kudos) -> UserStats {
        let mut stats = UserStats::default();
        let figure = match self {
            Self::Accumulated => &mut stats.accumulated,
            Self::Admin => &mut stats.granted,
            Self::Gifted => &mut stats.moved.gifted,
            Self::Donated => &mut stats.moved.donated,
            Self::Received => &mut stats.moved.received,
            Self::Recurring => &mut stats.moved.recurring,
            Self::Awarded => &mut stats.moved.awarded,
            Self::Styled => &mut stats.moved.styled,
        };
        *figure = change;
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_a_figure_of_its_own_and_they_add_up() {
        let all = [
            Source::Accumulated,
            Source::Gifted,
            Source::Donated,
            Source::Admin,
            Source::Received,
            Source::Recurring,
            Source::Awarded,
            Source::Styled,
        ];
        let mut sum = UserStats::default();
        for (i, source) in all.into_iter().enumerate() {
            sum.add(&source.counts(Kudos(1 << i)));
        }
        let Moved { gifted, donated, received, recurring, awarded, styled, lifts } = sum.moved;
        let figures = [sum.accumulated, gifted, donated, sum.granted, received, recurring, awarded, styled];
        assert_eq!(figures.map(|figure| figure.0), [1, 2, 4, 8, 16, 32, 64, 128]);
        assert_eq!(lifts, 0);
    }
}
