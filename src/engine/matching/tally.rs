//! Figures of all images that wait, so that a pop without a job can say of the whole queue why, at a cost
//! that does not grow with the queue.
//!
//! Each count of `skipped` but those of stage B looks at one side of a request, so requests are counted by
//! each side, as they begin and cease to wait. What may grow is bounded by what stands in the queue: a
//! figure for each size, each sampler, each worker on a list and each set of models. Only sets of several
//! models are walked, those that begin with a model that the worker serves, and no more than [`SETS`].

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    sync::Arc,
};

use super::{Able, Shape, Trait, rules::SLOW_BELOW};
use crate::domain::WorkerId;

/// Sets of several models that are looked at for one answer; those of more are taken to have a model that
/// the worker does not serve.
pub const SETS: usize = 4_096;

/// How many images that wait are of each sort.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Tally {
    /// Of each trait.
    traits: [usize; Trait::COUNT],
    /// Of each size, in pixels.
    pixels: BTreeMap<i64, usize>,
    /// With each sampler, with and without the Karras schedule.
    samplers: HashMap<(String, bool), usize>,
    /// With an allow list of workers.
    allow_lists: usize,
    /// With each worker on an allow list, and on a deny list.
    listed: HashMap<WorkerId, (usize, usize)>,
    /// Naming any model.
    named: usize,
    /// Naming one alone.
    single: HashMap<Arc<str>, usize>,
    /// Naming several, by the first of them.
    sets: HashMap<Arc<str>, BTreeMap<Vec<Arc<str>>, usize>>,
}

/// What `skipped` counts of one trait.
struct Count {
    key: &'static str,
    counts: Trait,
    /// Whether a worker is told of it.
    of: fn(&Able<'_>) -> bool,
}

macro_rules! counts {
    ($($key:literal $sort:ident $of:expr;)*) => {
        &[$(Count { key: $key, counts: Trait::$sort, of: $of }),*]
    };
}

/// What is counted. Where a worker allows something that its software cannot do, the software is named.
const COUNTS: &[Count] = counts! {
    "img2img" Source |able| able.is_drawing(|skills| !skills.img2img);
    "painting" Painting |able| able.is_drawing(|skills| !skills.painting);
    "lora" Loras |able| able.is_drawing(|skills| !skills.lora);
    "controlnet" Control |able| able.is_drawing(|skills| !skills.controlnet);
    "post-processing" PostProcessing |able| able.is_drawing(|skills| !skills.post_processing);
    "unsafe_ip" UnsafeIp |able| able.is_drawing(|skills| !skills.unsafe_ip);
    "nsfw" Nsfw |able| !able.said.nsfw;
    "performance" NotSlow |able| able.worker.speed() <= SLOW_BELOW;
    "performance" NotExtraSlow |able| able.is_drawing(|skills| skills.extra_slow);
    "untrusted" Trusted |able| !able.owner_is_trusted;
    "bridge_version" HiresFix |able| able.lacks("hires_fix");
    "bridge_version" ReturnControlMap |able| able.lacks("return_control_map");
    "bridge_version" Tiling |able| able.lacks("tiling");
    "bridge_version" Transparent |able| {
        able.lacks("layer_diffuse") || able.is_drawing(|skills| !skills.sdxl_controlnet)
    };
    "bridge_version" TextualInversions |able| able.lacks("textual_inversion");
    "bridge_version" Source |able| able.is_drawing(|skills| skills.img2img) && able.lacks("img2img");
    "bridge_version" Painting |able| able.is_drawing(|skills| skills.painting) && able.lacks("inpainting");
    "bridge_version" Loras |able| able.is_drawing(|skills| skills.lora) && able.lacks("lora");
    "bridge_version" Control |able| able.is_drawing(|skills| skills.controlnet) && able.lacks("controlnet");
};

/// What is there in any answer, whatever it counts.
pub const ALWAYS: [&str; 12] = [
    "models",
    "worker_id",
    "img2img",
    "painting",
    "lora",
    "controlnet",
    "post-processing",
    "unsafe_ip",
    "nsfw",
    "performance",
    "untrusted",
    "bridge_version",
];

impl Tally {
    /// Counts requests of a shape, or with a negative number counts them no longer.
    pub fn change(&mut self, shape: &Shape, by: isize) {
        let Some(image) = shape.image() else { return };
        let add = |count: &mut usize| *count = count.saturating_add_signed(by);
        for (sort, count) in Trait::ALL.into_iter().zip(&mut self.traits) {
            if sort.is_of(shape) {
                add(count);
            }
        }
        let of_size = self.pixels.entry(image.pixels).or_default();
        add(of_size);
        if *of_size == 0 {
            self.pixels.remove(&image.pixels);
        }
        change(&mut self.samplers, image.sampler.clone(), by);
        if shape.is_for_some() {
            add(&mut self.allow_lists);
        }
        for worker in &shape.workers {
            let (allowed, denied) = self.listed.entry(*worker).or_default();
            add(if shape.worker_blacklist { denied } else { allowed });
            if (*allowed, *denied) == (0, 0) {
                self.listed.remove(worker);
            }
        }
        match shape.models.as_slice() {
            [] => return,
            [model] => change(&mut self.single, model.clone(), by),
            [first, ..] => {
                let sets = self.sets.entry(first.clone()).or_default();
                let count = sets.entry(shape.models.clone()).or_default();
                add(count);
                if *count == 0 {
                    sets.remove(&shape.models);
                }
                if sets.is_empty() {
                    self.sets.remove(first);
                }
            }
        }
        add(&mut self.named);
    }

    /// What `skipped` says of them to a worker, but for stage B.
    ///
    /// A request counts under each key that applies to it. The contract's own equalities: an image as large
    /// as the worker's largest counts, as does a worker exactly as fast as one that is not slow, and a
    /// request that names one model which the worker does not serve, whatever else it names.
    pub fn told(&self, able: &Able<'_>) -> BTreeMap<&'static str, usize> {
        let mut told: BTreeMap<&'static str, usize> = ALWAYS.into_iter().map(|key| (key, 0)).collect();
        let mut count = |key, more| *told.entry(key).or_default() += more;
        for row in COUNTS {
            if (row.of)(able) {
                count(row.key, self.traits[row.counts as usize]);
            }
        }
        let bridge = &able.said.bridge;
        let unsupported = self.samplers.iter().filter(|((name, karras), _)| !bridge.samples(name, *karras));
        count("bridge_version", unsupported.map(|(_, requests)| requests).sum());
        count("models", self.named - self.fully_served(able));
        let (allowed, denied) = self.listed.get(&able.worker.id).copied().unwrap_or_default();
        count("worker_id", self.allow_lists - allowed + denied);
        if let Some(skills) = able.draws() {
            let large: usize = self.pixels.range(skills.max_pixels..).map(|(_, requests)| requests).sum();
            if large > 0 {
                count("max_pixels", large);
            }
        }
        told
    }

    /// Requests of which a worker serves each model that they name.
    fn fully_served(&self, able: &Able<'_>) -> usize {
        let served = &able.facts.models;
        let single: usize = served.iter().filter_map(|model| self.single.get(model)).sum();
        let sets = served.iter().filter_map(|model| self.sets.get(model)).flatten().take(SETS);
        let whole = sets.filter(|(set, _)| set.iter().all(|model| able.facts.serves(model)));
        single + whole.map(|(_, requests)| requests).sum::<usize>()
    }
}

fn change<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K, by: isize) {
    use std::collections::hash_map::Entry;
    match counts.entry(key) {
        Entry::Occupied(mut known) => {
            let count = known.get().saturating_add_signed(by);
            if count == 0 {
                known.remove();
            } else {
                known.insert(count);
            }
        }
        Entry::Vacant(new) => {
            if let Ok(count @ 1..) = usize::try_from(by) {
                new.insert(count);
            }
        }
    }
}
