//! What a worker could offer besides.

use std::{mem::discriminant, sync::Arc};

use super::super::Pair;
use crate::domain::{
    request::Kind,
    worker::{ImageSkills, Profile, Skills, Worker},
};

/// What a worker could offer besides, for a rule to let it have a job. `None`: nothing that it says of
/// itself would do.
pub type Lifts = Option<fn(&Pair<'_>) -> Vec<Lift>>;

/// One thing that a worker could offer besides. The order is that in which equals are told.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Lift {
    /// Leave maintenance.
    NoMaintenance,
    /// Serve a model, or a form.
    Model(Arc<str>),
    /// Images of so many pixels.
    MaxPixels(i64),
    /// So many tokens.
    MaxLength(i64),
    /// So many tokens of context.
    MaxContextLength(i64),
    /// Source images of so many tiles.
    MaxTiles(u32),
    /// Nsfw jobs.
    Nsfw,
    /// Source images.
    Img2img,
    /// In- and outpainting.
    Painting,
    /// LoRAs.
    Lora,
    /// ControlNet.
    Controlnet,
    /// ControlNet on SDXL.
    SdxlControlnet,
    /// Post-processing.
    PostProcessing,
    /// Source images from unvetted addresses.
    UnsafeIp,
    /// As many steps as are asked for.
    AnySteps,
    /// Requests whose owner cannot pay at once.
    NoUpfrontKudos,
    /// Prompts with any words.
    NoBlacklist,
    /// A soft prompt.
    Softprompt(String),
}

impl Lift {
    /// How much is offered, where less of one kind means a smaller change.
    pub fn amount(&self) -> Option<i64> {
        match self {
            Self::MaxPixels(n) | Self::MaxLength(n) | Self::MaxContextLength(n) => Some(*n),
            Self::MaxTiles(n) => Some((*n).into()),
            _ => None,
        }
    }

    /// Whether two differ in nothing but how much they offer.
    pub fn is_like(&self, other: &Self) -> bool {
        self.amount().is_some() && discriminant(self) == discriminant(other)
    }

    /// How much of it a worker offers now for jobs of a kind, where that is a number.
    pub fn amount_of(&self, worker: &Worker, kind: Kind) -> Option<i64> {
        let skills = &worker.profile.for_kind(kind)?.skills;
        match (self, skills) {
            (Self::MaxPixels(_), skills) => skills.image().map(|skills| skills.max_pixels),
            (Self::MaxLength(_), Skills::Text(skills)) => Some(skills.max_length),
            (Self::MaxContextLength(_), Skills::Text(skills)) => Some(skills.max_context_length),
            (Self::MaxTiles(_), Skills::Alchemy(skills)) => Some(skills.max_tiles.into()),
            _ => None,
        }
    }

    /// Models that a request names, those for special accounts aside; or forms of it that wait.
    pub fn models(pair: &Pair<'_>) -> Vec<Self> {
        let named = pair.shape.models.iter().filter(|model| !model.contains("horde_special"));
        named.cloned().map(Self::Model).collect()
    }

    /// Has a worker offer it for jobs of a kind.
    pub fn apply(&self, worker: &mut Worker, kind: Kind) {
        if *self == Self::NoMaintenance {
            worker.maintenance = None;
            return;
        }
        let is_pop_of_videos = kind == Kind::Video && worker.profile.extras.video_pop.is_some();
        let profile = match &mut worker.profile.extras.video_pop {
            Some(pop) if is_pop_of_videos => &mut pop.profile,
            _ => &mut worker.profile,
        };
        self.offer(profile, kind);
    }

    fn offer(&self, profile: &mut Profile, kind: Kind) {
        match (self, &mut profile.skills) {
            (Self::Model(model), skills) => {
                if kind == Kind::Video && matches!(skills, Skills::Image(_)) {
                    profile.extras.video_models.push(model.clone());
                }
                profile.models.push(model.clone());
            }
            (Self::Nsfw, _) => profile.nsfw = true,
            (Self::NoBlacklist, _) => profile.blacklist.clear(),
            (lift, Skills::Image(skills) | Skills::Video(skills)) => lift.draw(skills),
            (Self::MaxLength(most), Skills::Text(skills)) => skills.max_length = *most,
            (Self::MaxContextLength(most), Skills::Text(skills)) => skills.max_context_length = *most,
            (Self::Softprompt(name), Skills::Text(skills)) => skills.softprompts.push(name.clone()),
            (Self::MaxTiles(most), Skills::Alchemy(skills)) => skills.max_tiles = *most,
            _ => {}
        }
    }

    fn draw(&self, skills: &mut ImageSkills) {
        match self {
            Self::MaxPixels(most) => skills.max_pixels = *most,
            Self::Img2img => skills.img2img = true,
            Self::Painting => skills.painting = true,
            Self::Lora => skills.lora = true,
            Self::Controlnet => skills.controlnet = true,
            Self::SdxlControlnet => skills.sdxl_controlnet = true,
            Self::PostProcessing => skills.post_processing = true,
            Self::UnsafeIp => skills.unsafe_ip = true,
            Self::AnySteps => skills.limit_max_steps = false,
            Self::NoUpfrontKudos => skills.require_upfront_kudos = false,
            _ => {}
        }
    }
}
