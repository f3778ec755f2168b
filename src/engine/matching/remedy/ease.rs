//! What who asks could change.

use std::{mem::discriminant, sync::Arc};

use super::super::Pair;
use crate::domain::request::{ImageParams, Params, Spec, TextParams};

/// What who asks could change about a rule, read from a pair with its request. `None`: nothing that may be
/// changed of a request has to do with the rule.
pub type Eases = Option<fn(&Pair<'_>) -> Vec<Ease>>;

/// Edges of images are multiples of this, in pixels.
const GRID: u32 = 64;
/// Fewest tokens that a text may ask for, and of context.
const FEWEST: (i64, i64) = (16, 80);

/// One thing that who asks could change. The order is that in which equals are told.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Ease {
    /// Let slow workers take it.
    SlowWorkers,
    /// Let extra-slow workers take it.
    ExtraSlowWorkers,
    /// Let workers take it whose owners are not trusted.
    UntrustedWorkers,
    /// Let any back end take it.
    AnyBackEnd,
    /// Drop the list of workers.
    AnyWorker,
    /// Let any model do it.
    AnyModel,
    /// Ask for this model.
    Model(Arc<str>),
    /// An image of this size, in pixels.
    Size {
        /// Width.
        width: u32,
        /// Height.
        height: u32,
    },
    /// So many steps.
    Steps(u32),
    /// This sampler.
    Sampler {
        /// Its name.
        name: &'static str,
        /// On the Karras schedule.
        karras: bool,
    },
    /// These post-processors alone.
    PostProcessing(Vec<String>),
    /// In one pass.
    NoHiresFix,
    /// Not seamless.
    NoTiling,
    /// Skip no CLIP layers.
    NoClipSkip,
    /// No LoRAs that are named by their version.
    NoLoraVersions,
    /// No LoRAs.
    NoLoras,
    /// No textual inversions.
    NoInversions,
    /// The source image is not the control itself.
    NoImageAsControl,
    /// Do not return the control.
    NoControlMap,
    /// No control.
    NoControl,
    /// No workflow.
    NoWorkflow,
    /// With a background.
    NoTransparency,
    /// No further source images.
    NoExtraSources,
    /// Start from the source image, and paint nothing into it.
    NoPainting,
    /// Start from no image.
    NoSource,
    /// The result as base64, not as a link.
    NoLinks,
    /// Say that it is not nsfw.
    NotNsfw,
    /// So many tokens at most.
    Length(u32),
    /// So many tokens of context at most.
    ContextLength(u32),
    /// No soft prompt.
    NoSoftprompt,
    /// A source image of so many tiles at most.
    Tiles(u32),
}

impl Ease {
    /// How much is asked for still, where more of one kind means a smaller change.
    pub fn amount(&self) -> Option<u64> {
        match self {
            Self::Size { width, height } => Some(u64::from(*width) * u64::from(*height)),
            Self::Steps(n) | Self::Length(n) | Self::ContextLength(n) | Self::Tiles(n) => Some((*n).into()),
            _ => None,
        }
    }

    /// Whether two differ in nothing but how much they ask for.
    pub fn is_like(&self, other: &Self) -> bool {
        self.amount().is_some() && discriminant(self) == discriminant(other)
    }

    /// The smallest change of size with which an image is no larger than a worker draws.
    pub fn smaller(pair: &Pair<'_>) -> Vec<Self> {
        let (Some(image), Some(able)) = (image(pair), pair.able.draws()) else { return Vec::new() };
        fit(image.width, image.height, able.max_pixels)
            .map(|(width, height)| Self::Size { width, height })
            .into_iter()
            .collect()
    }

    /// The most steps that are not too many for a worker.
    pub fn fewer_steps(pair: &Pair<'_>) -> Vec<Self> {
        let Some(image) = image(pair) else { return Vec::new() };
        let Some(limit) = pair.step_limit() else { return Vec::new() };
        let mut fewer = image.clone();
        let most = (1..image.steps).rev().find(|steps| {
            fewer.steps = *steps;
            !limit.is_passed_by(fewer.accurate_steps())
        });
        most.map(Self::Steps).into_iter().collect()
    }

    /// Samplers that a worker's software may have in place of the one that it lacks.
    pub fn other_samplers(pair: &Pair<'_>) -> Vec<Self> {
        /// What all software has, one way or the other.
        const COMMON: [(&str, bool); 4] =
            [("k_euler_a", true), ("k_euler_a", false), ("k_dpmpp_2m", true), ("DDIM", false)];
        let bridge = &pair.able.said.bridge;
        let has = COMMON.into_iter().filter(|(name, karras)| bridge.samples(name, *karras));
        has.map(|(name, karras)| Self::Sampler { name, karras }).collect()
    }

    /// Those post-processors that a worker's software has.
    pub fn fewer_processors(pair: &Pair<'_>) -> Vec<Self> {
        let Some(image) = image(pair) else { return Vec::new() };
        let lacks = |capability: &str| pair.able.lacks(capability);
        let mut kept = image.post_processing.clone();
        kept.retain(|name| !lacks("post-processing") && !lacks(name));
        // None at all also suits those who do none.
        let none = (!kept.is_empty()).then(Vec::new);
        [kept].into_iter().chain(none).map(Self::PostProcessing).collect()
    }

    /// Models that a worker serves, those for special accounts aside, and any.
    pub fn other_models(pair: &Pair<'_>) -> Vec<Self> {
        if pair.shape.kind == crate::domain::request::Kind::Alchemy {
            // Another form is another request.
            return Vec::new();
        }
        let served = pair.able.facts.models.iter().filter(|model| !model.contains("horde_special"));
        [Self::AnyModel].into_iter().chain(served.cloned().map(Self::Model)).collect()
    }

    /// So many tokens as a worker writes, of so much context as it takes.
    pub fn shorter(pair: &Pair<'_>) -> Vec<Self> {
        let most = pair.able.writes().map(|able| able.max_length).filter(|most| *most >= FEWEST.0);
        most.and_then(|most| u32::try_from(most).ok()).map(Self::Length).into_iter().collect()
    }

    /// So much context as a worker takes.
    pub fn less_context(pair: &Pair<'_>) -> Vec<Self> {
        let most = pair.able.writes().map(|able| able.max_context_length).filter(|most| *most >= FEWEST.1);
        most.and_then(|most| u32::try_from(most).ok()).map(Self::ContextLength).into_iter().collect()
    }

    /// So many tiles as a worker takes.
    pub fn fewer_tiles(pair: &Pair<'_>) -> Vec<Self> {
        let most = pair.able.transmutes().map(|able| able.max_tiles).filter(|most| *most > 0);
        most.map(Self::Tiles).into_iter().collect()
    }

    /// Asks for it so.
    pub fn apply(&self, spec: &mut Spec) {
        match self {
            Self::SlowWorkers => spec.slow_workers = true,
            Self::UntrustedWorkers => spec.trusted_workers = false,
            Self::AnyBackEnd => spec.validated_backends = false,
            Self::AnyWorker => (spec.workers, spec.worker_blacklist) = (Vec::new(), false),
            Self::AnyModel => spec.models.clear(),
            Self::Model(model) => spec.models = vec![model.clone()],
            Self::NotNsfw => spec.nsfw = false,
            _ => match &mut spec.params {
                Params::Image(image) | Params::Video(image) => self.draw(image),
                Params::Text(text) => self.write(text),
                Params::Alchemy(alchemy) => {
                    if let Self::Tiles(tiles) = self {
                        alchemy.tiles = *tiles;
                    }
                }
            },
        }
    }

    fn draw(&self, image: &mut ImageParams) {
        match self {
            Self::ExtraSlowWorkers => image.extra_slow_workers = true,
            Self::Size { width, height } => (image.width, image.height) = (*width, *height),
            Self::Steps(steps) => image.steps = *steps,
            Self::Sampler { name, karras } => {
                (image.sampler, image.karras) = ((*name).to_owned(), *karras);
            }
            Self::PostProcessing(kept) => image.post_processing.clone_from(kept),
            Self::NoHiresFix => image.hires_fix = false,
            Self::NoTiling => image.tiling = false,
            Self::NoClipSkip => image.clip_skip = None,
            Self::NoLoraVersions => image.loras.retain(|lora| !lora.is_version),
            Self::NoLoras => image.loras.clear(),
            Self::NoInversions => image.tis.clear(),
            Self::NoImageAsControl => image.image_is_control = false,
            Self::NoControlMap => image.return_control_map = false,
            Self::NoControl => without_control(image),
            Self::NoWorkflow => {
                image.workflow = None;
                image.extra_texts.clear();
            }
            Self::NoTransparency => image.transparent = false,
            Self::NoExtraSources => image.extra_sources.clear(),
            Self::NoPainting => {
                image.source_processing = "img2img".into();
                image.has_mask = false;
            }
            Self::NoSource => {
                // What reads the source image goes with it.
                without_control(image);
                (image.has_source, image.has_mask) = (false, false);
                image.source_processing = "img2img".into();
                image.extra_sources.clear();
            }
            Self::NoLinks => image.links = false,
            _ => {}
        }
    }

    fn write(&self, text: &mut TextParams) {
        match self {
            Self::Length(most) => text.max_length = text.max_length.min(*most),
            Self::ContextLength(most) => {
                text.max_context_length = *most;
                // What is written is part of the context.
                text.max_length = text.max_length.min(*most);
            }
            Self::NoSoftprompt => text.softprompt = None,
            _ => {}
        }
    }
}

fn image<'a>(pair: &Pair<'a>) -> Option<&'a ImageParams> {
    pair.asked.and_then(|asked| asked.request.spec.params.image())
}

fn without_control(image: &mut ImageParams) {
    image.control_type = None;
    (image.image_is_control, image.return_control_map) = (false, false);
}

/// The largest image of about the same proportions, no edge longer than before, that has so many pixels at
/// most; `None`: there is none.
fn fit(width: u32, height: u32, most: i64) -> Option<(u32, u32)> {
    let most = u64::try_from(most).ok()?;
    let area = |width: u32, height: u32| u64::from(width) * u64::from(height);
    if area(GRID, GRID) > most {
        return None;
    }
    let factor = (most as f64 / area(width, height) as f64).sqrt().min(1.0);
    let scaled = |edge: u32| ((f64::from(edge) * factor / f64::from(GRID)) as u32).max(1) * GRID;
    let (mut w, mut h) = (scaled(width), scaled(height));
    // One edge may be as short as can be, and the other too long beside it.
    while area(w, h) > most {
        if w >= h { w -= GRID } else { h -= GRID }
    }
    loop {
        let wider = (w < width && area(w + GRID, h) <= most).then(|| w + GRID);
        let higher = (h < height && area(w, h + GRID) <= most).then(|| h + GRID);
        let is_narrow = area(w, height) <= area(width, h);
        match (wider, higher) {
            (Some(wider), None) => w = wider,
            (Some(wider), Some(_)) if is_narrow => w = wider,
            (_, Some(higher)) => h = higher,
            (None, None) => return Some((w, h)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_image_that_fits_could_not_be_larger_and_fit(
            w in 1u32..=48, h in 1u32..=48, most in 0i64..10_000_000,
        ) {
            let (width, height) = (w * GRID, h * GRID);
            let area = |w: u32, h: u32| i64::from(w) * i64::from(h);
            match fit(width, height, most) {
                None => prop_assert!(most < area(GRID, GRID)),
                Some((w, h)) => {
                    prop_assert!(w % GRID == 0 && h % GRID == 0 && w > 0 && h > 0);
                    prop_assert!(w <= width && h <= height && area(w, h) <= most);
                    prop_assert!(w == width || area(w + GRID, h) > most, "{w} x {h} could be wider");
                    prop_assert!(h == height || area(w, h + GRID) > most, "{w} x {h} could be higher");
                }
            }
        }
    }

    #[test]
    fn sizes_keep_their_proportions() {
        for (width, height, most, fits) in [
            (2048, 2048, 1 << 20, Some((1024, 1024))),
            (1024, 1024, 1 << 20, Some((1024, 1024))),
            (1536, 768, 512 * 512, Some((768, 320))),
            (3072, 64, 64 * 1024, Some((1024, 64))),
            (64, 3072, 4096, Some((64, 64))),
            (512, 512, 4095, None),
            (512, 512, -1, None),
        ] {
            assert_eq!(fit(width, height, most), fits, "{width} x {height} within {most}");
        }
    }
}
