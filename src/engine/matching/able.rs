//! What rules read of a worker: what it says of itself, and what is known of the models that it serves.

use std::sync::Arc;

use crate::domain::{
    UserId,
    bridge::Bridge,
    models::StepLimit,
    price::ModelSizes,
    request::Kind,
    user::{Role, User},
    worker::{AlchemySkills, ImageSkills, Profile, Skills, TextSkills, Worker},
};

/// Tokens per second below which a text worker is slow, by the size of its first model in billions of
/// parameters. Source: stage A of text matching of the v2 contract.
const TEXT_FLOORS: [(f64, f64); 2] = [(20.0, 3.0), (13.0, 4.0)];
/// Of smaller models, and of those that nothing is known of.
const TEXT_FLOOR: f64 = 5.0;
/// Of workers without a model.
const TEXT_FLOOR_OF_NONE: f64 = 3.0;

/// What is known of the models that a worker serves jobs of one kind with. Found out when it says
/// something new of itself, or when the model reference changes.
#[derive(Clone, PartialEq, Debug)]
pub struct Facts {
    /// The models, sorted.
    pub models: Box<[Arc<str>]>,
    /// Those of them that are of Flux, sorted.
    pub flux: Box<[Arc<str>]>,
    /// One is for special accounts.
    pub has_special: bool,
    /// One paints into images.
    pub has_inpainting: bool,
    /// One draws from nothing.
    pub has_drawing: bool,
    /// One is of SDXL.
    pub has_sdxl: bool,
    /// One is of Stable Cascade.
    pub has_cascade: bool,
    /// The lowest of their limits of steps.
    pub step_limit: Option<StepLimit>,
    /// Tokens per second below which it is slow.
    pub text_floor: f64,
}

impl Facts {
    /// What is known of the models that a worker serves jobs of a kind with; `None`: it serves none.
    pub fn of(profile: &Profile, kind: Kind, reference: &dyn ModelSizes) -> Option<Self> {
        profile.for_kind(kind)?;
        let served = profile.models_for(kind);
        let draws = matches!(kind, Kind::Image | Kind::Video);
        let has = |is_such: &dyn Fn(&str) -> bool| draws && served.iter().any(|model| is_such(model));
        let is_painter = |model: &str| reference.image(model).is_some_and(|known| known.inpainting);
        let is_flux = |model: &&Arc<str>| draws && reference.baseline(model).starts_with("flux");
        let sorted = |mut models: Vec<Arc<str>>| {
            models.sort_unstable();
            models.dedup();
            models.into_boxed_slice()
        };
        let limits = served.iter().map(|model| StepLimit::of(reference.image(model)));
        let text_floor = match served.first().map(|model| reference.billions(model)) {
            None => TEXT_FLOOR_OF_NONE,
            Some(size) => {
                let is_of = |(least, _): &&(f64, f64)| size.is_some_and(|size| size >= *least);
                TEXT_FLOORS.iter().find(is_of).map_or(TEXT_FLOOR, |(_, floor)| *floor)
            }
        };
        Some(Self {
            flux: sorted(served.iter().filter(is_flux).cloned().collect()),
            has_special: served.iter().any(|model| model.contains("horde_special")),
            has_inpainting: has(&is_painter),
            has_drawing: has(&|model| !is_painter(model)),
            has_sdxl: has(&|model| reference.baseline(model) == "stable_diffusion_xl"),
            has_cascade: has(&|model| reference.baseline(model) == "stable_cascade"),
            step_limit: limits.min().filter(|_| draws),
            text_floor,
            models: sorted(served.into_owned()),
        })
    }

    /// Whether it serves a model.
    pub fn serves(&self, model: &Arc<str>) -> bool {
        self.models.binary_search(model).is_ok()
    }

    /// Whether a bridge can run one of its models.
    pub fn runs(&self, model: &Arc<str>, bridge: &Bridge) -> bool {
        self.flux.binary_search(model).is_err() || bridge.can("flux")
    }
}

/// A worker, as far as jobs of one kind go.
#[derive(Clone, Copy)]
pub struct Able<'a> {
    /// The worker.
    pub worker: &'a Worker,
    /// What it says where jobs of the kind are asked for.
    pub said: &'a Profile,
    /// What is known of its models.
    pub facts: &'a Facts,
    /// Whether its owner is trusted.
    pub owner_is_trusted: bool,
    /// Requests with an allow list go to workers that serve who asks first, and to no others.
    pub matched_targeting: bool,
}

impl<'a> Able<'a> {
    /// Looks at a worker for jobs of a kind.
    pub fn new(
        worker: &'a Worker,
        facts: &'a Facts,
        kind: Kind,
        owner: Option<&User>,
        matched_targeting: bool,
    ) -> Option<Self> {
        let said = worker.profile.for_kind(kind)?;
        let owner_is_trusted = owner.is_some_and(|user| user.is(Role::Trusted));
        Some(Self { worker, said, facts, owner_is_trusted, matched_targeting })
    }

    /// Accounts that it serves first: its owner, and those that it names.
    pub fn preferred(&self) -> impl Iterator<Item = UserId> + 'a {
        let named = self.said.priority_users.iter().copied().filter(|id| *id != self.worker.owner);
        [self.worker.owner].into_iter().chain(named)
    }

    /// Whether it serves an account first.
    pub fn prefers(&self, user: UserId) -> bool {
        user == self.worker.owner || self.said.priority_users.contains(&user)
    }

    /// Whether its software lacks a capability.
    pub fn lacks(&self, capability: &str) -> bool {
        !self.said.bridge.can(capability)
    }

    /// What it can draw; those that draw nothing can draw nothing.
    pub fn draws(&self) -> Option<&'a ImageSkills> {
        self.said.skills.image()
    }

    /// Whether it draws, and that is so.
    pub fn is_drawing(&self, is_so: impl FnOnce(&ImageSkills) -> bool) -> bool {
        self.draws().is_some_and(is_so)
    }

    /// What it can write.
    pub fn writes(&self) -> Option<&'a TextSkills> {
        match &self.said.skills {
            Skills::Text(skills) => Some(skills),
            _ => None,
        }
    }

    /// Which images it does forms with.
    pub fn transmutes(&self) -> Option<&'a AlchemySkills> {
        match &self.said.skills {
            Skills::Alchemy(skills) => Some(skills),
            _ => None,
        }
    }
}
