//! What is thought of a worker: what its owner and moderators say of it, and what it is suspected of.
//!
//! Several brokers may change this at the same time, each a part of it: what is written is a change,
//! not a value.

use std::net::IpAddr;

use super::TeamId;

/// Points of suspicion at which a worker of an untrusted owner is paused.
pub const MAX_SUSPICION: u32 = 5;

/// What workers in maintenance tell others unless their owner has something else to say. Image workers
/// look for "maintenance mode" in it.
pub const MAINTENANCE_TEXT: &str = "This worker has been put into maintenance mode by its owner";

/// What a worker tells others that went into maintenance by itself.
pub const DROPS_TEXT: &str = "This worker was put into maintenance mode because it dropped too many jobs; \
     see to it that it is fast enough for what it offers, and then take it out again";

/// Longest text of maintenance, in characters.
pub const LONGEST_MAINTENANCE: usize = 300;

/// Something that a worker is suspected for.
///
/// Source: the drop rules of the v2 contract. Only the last two count each time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suspect {
    /// Its name has more than 100 characters.
    LongName,
    /// Its name has more than 200 characters.
    VeryLongName,
    /// It came from an unsafe address while raid mode was on.
    UnsafeAddress,
    /// It claims images beyond 3072 × 3072 pixels.
    HugeImages,
    /// It delivered faster than is believable.
    Speed,
    /// It dropped too many jobs within an hour.
    Drops,
}

impl Suspect {
    /// Its bit among those that count once; `None`: it counts each time.
    fn bit(self) -> Option<u32> {
        match self {
            Self::LongName => Some(1),
            Self::VeryLongName => Some(2),
            Self::UnsafeAddress => Some(4),
            Self::HugeImages => Some(8),
            Self::Speed | Self::Drops => None,
        }
    }
}

/// What a worker is suspected of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Suspicion {
    /// What counts once, a bit each.
    pub once: u32,
    /// Points for what counts each time.
    pub repeated: u32,
}

impl Suspicion {
    /// How many points that is.
    pub fn points(self) -> u32 {
        self.once.count_ones().saturating_add(self.repeated)
    }

    /// What a further suspicion adds; `None`: nothing, it counted before.
    pub fn adding(self, suspect: Suspect) -> Option<Self> {
        match suspect.bit() {
            Some(bit) if self.once & bit != 0 => None,
            Some(bit) => Some(Self { once: bit, repeated: 0 }),
            None => Some(Self { once: 0, repeated: 1 }),
        }
    }

    /// Adds more.
    pub fn add(&mut self, more: Self) {
        self.once |= more.once;
        self.repeated = self.repeated.saturating_add(more.repeated);
    }
}

/// What is thought of a worker.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Standing {
    /// What its owner says of it.
    pub info: Option<String>,
    /// It gets nothing to do, and is not told so.
    pub is_paused: bool,
    /// What it is suspected of.
    pub suspicion: Suspicion,
    /// Its team.
    pub team: Option<TeamId>,
    /// Where it last popped from.
    pub address: Option<IpAddr>,
}

/// A change of what is said of a worker; `None`: it stays.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Ruling {
    /// In maintenance with this text, or not.
    pub maintenance: Option<Option<String>>,
    /// What its owner says of it; empty: nothing.
    pub info: Option<String>,
    /// Paused, or not.
    pub is_paused: Option<bool>,
    /// Another name.
    pub name: Option<String>,
    /// Its team, or none.
    pub team: Option<Option<TeamId>>,
    /// All suspicion before is forgotten.
    pub clears: bool,
    /// What is added to its suspicion.
    pub suspicion: Suspicion,
}

impl Ruling {
    /// Adds a later change: of what both say its word counts.
    pub fn then(&mut self, later: &Self) {
        let Self { maintenance, info, is_paused, name, team, clears, suspicion } = later.clone();
        self.maintenance = maintenance.or(self.maintenance.take());
        self.info = info.or(self.info.take());
        self.is_paused = is_paused.or(self.is_paused);
        self.name = name.or(self.name.take());
        self.team = team.or(self.team);
        if clears {
            self.clears = true;
            self.suspicion = Suspicion::default();
        }
        self.suspicion.add(suspicion);
    }

    /// Changes what is thought of a worker. Its maintenance and its name are not part of that.
    pub fn apply(&self, standing: &mut Standing) {
        if let Some(info) = &self.info {
            standing.info = (!info.is_empty()).then(|| info.clone());
        }
        standing.is_paused = self.is_paused.unwrap_or(standing.is_paused);
        standing.team = self.team.unwrap_or(standing.team);
        if self.clears {
            standing.suspicion = Suspicion::default();
        }
        standing.suspicion.add(self.suspicion);
    }
}

/// Tokens per second of a text model beyond which a delivery is not believed.
///
/// Source: the suspicion rules of the v2 contract.
pub fn believable_tokens(model: &str, billions: Option<f64>) -> f64 {
    let most = match billions {
        Some(size) if size >= 70.0 => 30.0,
        Some(size) if size >= 14.0 => 100.0,
        _ => 150.0,
    };
    // Of a mixture of eight experts a part is at work at a time.
    if model.to_ascii_lowercase().contains("8x") { most * 3.0 } else { most }
}

/// Pixel-steps per second beyond which a delivery is not believed.
pub const BELIEVABLE_PIXEL_STEPS: f64 = 20_000_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_once_adds_one_point_and_the_rest_one_each_time() {
        let mut suspicion = Suspicion::default();
        for (suspect, points, rule) in [
            (Suspect::LongName, 1, "a long name"),
            (Suspect::LongName, 1, "is long once"),
            (Suspect::VeryLongName, 2, "a very long one is something else"),
            (Suspect::HugeImages, 3, "huge images"),
            (Suspect::Speed, 4, "unbelievable speed"),
            (Suspect::Speed, 5, "counts each time"),
            (Suspect::Drops, 6, "and so do drops"),
            (Suspect::UnsafeAddress, 7, "an unsafe address"),
            (Suspect::UnsafeAddress, 7, "counts once"),
        ] {
            if let Some(more) = suspicion.adding(suspect) {
                suspicion.add(more);
            }
            assert_eq!(suspicion.points(), points, "{rule}");
        }
    }

    #[test]
    fn two_changes_after_each_other_are_as_one() {
        let first = Ruling {
            maintenance: Some(Some("back soon".into())),
            info: Some("mine".into()),
            suspicion: Suspicion { once: 1, repeated: 2 },
            ..Ruling::default()
        };
        let second = Ruling {
            maintenance: Some(None),
            is_paused: Some(true),
            clears: true,
            suspicion: Suspicion { once: 4, repeated: 0 },
            ..Ruling::default()
        };
        let (mut one, mut other) = (Standing::default(), Standing::default());
        first.apply(&mut one);
        second.apply(&mut one);
        let mut both = first;
        both.then(&second);
        both.apply(&mut other);
        assert_eq!(one, other);
        assert_eq!(other.suspicion, Suspicion { once: 4, repeated: 0 });
        assert_eq!((both.maintenance, both.info.as_deref()), (Some(None), Some("mine")));
    }

    #[test]
    fn larger_models_are_believed_less_speed() {
        for (model, billions, most) in [
            ("small", None, 150.0),
            ("small", Some(8.0), 150.0),
            ("middle", Some(14.0), 100.0),
            ("large", Some(70.0), 30.0),
            ("Mixtral-8x7B", Some(47.0), 300.0),
        ] {
            assert_eq!(believable_tokens(model, billions), most, "{model}, {billions:?}");
        }
    }
}
