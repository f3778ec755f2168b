//! Workers that make videos: as part of what they draw, at a pop of its own, or both.
//!
//! Legacy software knows workers that draw, and one way to ask for jobs. Such a worker says all its
//! models there; those that make videos stand in the lanes of videos, the others in those of images.
//! A worker may also ask for videos alone, at a pop where each of its models makes them, and by turns
//! at both. It stays one worker, and what it said at either holds for as long as it comes back there.

use std::{borrow::Cow, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Timestamp,
    request::Kind,
    worker::{Profile, Skills, Worker},
};

/// What only some workers say.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Extras {
    /// Wallet of its owner: `0x` and 40 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wallet: Option<String>,
    /// Those of an image worker's models that make videos. Set by who knows the models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub video_models: Vec<Arc<str>>,
    /// What an image worker says at the pop of videos, if it lately used that one too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video_pop: Option<Box<VideoPop>>,
}

/// What an image worker says at the pop of videos. Instants are of the minute: they are written down
/// with the rest, and not each pop is news.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct VideoPop {
    /// What it says there.
    pub profile: Profile,
    /// When it last did.
    pub said_at: Timestamp,
    /// When it last used the pop of images.
    pub images_at: Timestamp,
}

/// How long what was said at one of the pops holds while only the other one is used.
const FRESH: Duration = Duration::from_secs(Worker::ONLINE_SECONDS + 60);

fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    now.since(at) <= FRESH
}

fn minute(at: Timestamp) -> Timestamp {
    Timestamp(at.0 - at.0.rem_euclid(60_000))
}

impl Profile {
    /// Notes which of an image worker's models make videos. Their names are in lower case from then on,
    /// as requests have them.
    pub fn knowing_videos(mut self, is_video: impl Fn(&str) -> bool) -> Self {
        if self.skills.image().is_some() {
            fold(&mut self.models, &is_video);
        }
        if matches!(self.skills, Skills::Image(_)) {
            self.extras.video_models = self.models.iter().filter(|model| is_video(model)).cloned().collect();
        }
        self
    }

    /// What it is listed as: one that draws, whether it moves or not, is an image worker.
    pub fn listed_as(&self) -> Kind {
        match self.kind() {
            Kind::Video => Kind::Image,
            other => other,
        }
    }

    /// Kinds of jobs it runs.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(|kind| self.for_kind(*kind).is_some())
    }

    /// What it says where jobs of a kind are asked for; `None`: it runs none of them.
    pub fn for_kind(&self, kind: Kind) -> Option<&Self> {
        let extras = &self.extras;
        match (kind, &self.skills) {
            // One whose models all make videos draws nothing else.
            (Kind::Image, Skills::Image(_)) => {
                (self.models.len() > extras.video_models.len()).then_some(self)
            }
            (Kind::Video, Skills::Image(_)) => match &extras.video_pop {
                Some(pop) => Some(&pop.profile),
                None => (!extras.video_models.is_empty()).then_some(self),
            },
            _ => (kind == self.kind()).then_some(self),
        }
    }

    /// Models that it runs jobs of a kind with.
    pub fn models_for(&self, kind: Kind) -> Cow<'_, [Arc<str>]> {
        let Some(said) = self.for_kind(kind) else { return Cow::Borrowed(&[]) };
        let videos = &said.extras.video_models;
        match (kind, &said.skills) {
            (Kind::Image, Skills::Image(_)) if !videos.is_empty() => {
                said.models.iter().filter(|model| !videos.contains(model)).cloned().collect()
            }
            (Kind::Video, Skills::Image(_)) => Cow::Borrowed(videos),
            _ => Cow::Borrowed(&said.models),
        }
    }

    /// What is known of a worker once it said this, of which that was known until now, since an instant.
    pub fn following(self, known: &Self, known_at: Timestamp, now: Timestamp) -> Self {
        let known_pop = known.extras.video_pop.as_deref();
        match (&known.skills, &self.skills) {
            (Skills::Image(_), Skills::Image(_)) => match known_pop {
                Some(pop) if is_fresh(pop.said_at, now) => self.beside(pop.profile.clone(), pop.said_at, now),
                _ => self,
            },
            (Skills::Video(_), Skills::Image(_)) if is_fresh(known_at, now) => {
                self.beside(known.clone(), known_at, now)
            }
            (Skills::Image(_), Skills::Video(_)) => {
                let images_at = known_pop.map_or(known_at, |pop| pop.images_at);
                match is_fresh(images_at, now) {
                    true => {
                        let mut known = known.clone();
                        known.extras.wallet = self.extras.wallet.clone().or(known.extras.wallet);
                        known.beside(self, now, images_at)
                    }
                    false => self,
                }
            }
            _ => self,
        }
    }

    fn beside(mut self, videos: Self, said_at: Timestamp, images_at: Timestamp) -> Self {
        let pop = VideoPop { profile: videos, said_at: minute(said_at), images_at: minute(images_at) };
        self.extras.video_pop = Some(Box::new(pop));
        self
    }
}

/// Writes names of models that make videos in lower case.
pub fn fold(models: &mut [Arc<str>], is_video: impl Fn(&str) -> bool) {
    for model in models {
        if model.chars().any(char::is_uppercase) && is_video(model) {
            *model = model.to_lowercase().into();
        }
    }
}
