//! What rules and counts read of a request, its free text and its owner aside.
//!
//! Requests of one shape are alike to every worker, so whether it may take them is asked once for all of
//! them. A rule sees nothing of what is asked for but the shape: what is not here, no rule of a shape
//! can depend on.

use std::sync::Arc;

use crate::domain::{
    WorkerId,
    models::StepLimit,
    price::ModelSizes,
    request::{ImageParams, Kind, Params, Spec, TextParams},
};

/// What a request is to workers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Shape {
    /// The kind of its jobs.
    pub kind: Kind,
    /// Models it names, or the forms of it that wait; sorted, each once. None: any.
    pub models: Vec<Arc<str>>,
    /// Only workers that allow such content.
    pub nsfw: bool,
    /// Only workers of trusted owners.
    pub trusted_workers: bool,
    /// Slow workers may take it.
    pub slow_workers: bool,
    /// Only known back ends.
    pub validated_backends: bool,
    /// It comes from an address that is not known to be safe, of somebody who is not trusted.
    pub unsafe_ip: bool,
    /// Only these workers, or none of these; sorted, each once.
    pub workers: Vec<WorkerId>,
    /// `workers` is a deny list.
    pub worker_blacklist: bool,
    /// What depends on the kind.
    pub wants: Wants,
}

/// What a request is to workers of its kind.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Wants {
    /// An image or a video.
    Image(Box<ImageWants>),
    /// A text.
    Text {
        /// Tokens to generate.
        max_length: i64,
        /// Tokens of context.
        max_context_length: i64,
        /// The soft prompt it needs.
        softprompt: Option<String>,
    },
    /// Forms, on an image of so many tiles.
    Alchemy {
        /// Of 512 × 512 pixels.
        tiles: u32,
    },
}

/// What an image needs of whoever draws it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ImageWants {
    /// Width times height.
    pub pixels: i64,
    /// Steps as they cost.
    pub steps: u32,
    /// The lowest of its models' limits of steps, if it names several.
    pub step_limit: Option<StepLimit>,
    /// Sampler, and whether on the Karras schedule.
    pub sampler: (String, bool),
    /// Post-processors; sorted, each once.
    pub post_processing: Vec<String>,
    /// It starts from an image.
    pub has_source: bool,
    /// It is in- or outpainting.
    pub is_painting: bool,
    /// It has more source images.
    pub has_extra_sources: bool,
    /// It has LoRAs.
    pub has_loras: bool,
    /// Some of them are named by their version.
    pub has_lora_versions: bool,
    /// It has textual inversions.
    pub has_tis: bool,
    /// It has a control.
    pub has_control: bool,
    /// Its source image is the control.
    pub image_is_control: bool,
    /// It wants the control back.
    pub return_control_map: bool,
    /// Seamless.
    pub tiling: bool,
    /// In two passes.
    pub hires_fix: bool,
    /// With an alpha channel.
    pub transparent: bool,
    /// Skips more than one CLIP layer.
    pub skips_clip: bool,
    /// By the workflow `qr_code`.
    pub is_qr_code: bool,
    /// Extra-slow workers may take it.
    pub extra_slow_workers: bool,
    /// Its result is to be a link.
    pub links: bool,
}

impl Shape {
    /// The shape of a request, with what is known of the models that it names.
    pub fn of(spec: &Spec, reference: &dyn ModelSizes) -> Self {
        let mut models = spec.models.clone();
        models.sort_unstable();
        models.dedup();
        let mut workers = spec.workers.clone();
        workers.sort_unstable();
        workers.dedup();
        let wants = match &spec.params {
            Params::Image(image) | Params::Video(image) => {
                Wants::Image(Box::new(ImageWants::of(image, &models, reference)))
            }
            Params::Text(text) => Wants::text(text),
            Params::Alchemy(alchemy) => Wants::Alchemy { tiles: alchemy.tiles },
        };
        Self {
            kind: spec.kind(),
            models,
            nsfw: spec.nsfw,
            trusted_workers: spec.trusted_workers,
            slow_workers: spec.slow_workers,
            validated_backends: spec.validated_backends,
            unsafe_ip: spec.origin.unsafe_ip,
            workers,
            worker_blacklist: spec.worker_blacklist,
            wants,
        }
    }

    /// The same, of alchemy of which these forms wait.
    pub fn with_forms(mut self, mut forms: Vec<Arc<str>>) -> Self {
        forms.sort_unstable();
        forms.dedup();
        self.models = forms;
        self
    }

    /// What an image or a video needs.
    pub fn image(&self) -> Option<&ImageWants> {
        match &self.wants {
            Wants::Image(image) => Some(image),
            Wants::Text { .. } | Wants::Alchemy { .. } => None,
        }
    }

    /// Whether its list of workers leaves one out.
    pub fn excludes(&self, worker: WorkerId) -> bool {
        !self.workers.is_empty() && self.workers.binary_search(&worker).is_ok() == self.worker_blacklist
    }

    /// Whether only workers on its list may have it.
    pub fn is_for_some(&self) -> bool {
        !self.workers.is_empty() && !self.worker_blacklist
    }
}

impl Wants {
    fn text(text: &TextParams) -> Self {
        Self::Text {
            max_length: i64::from(text.max_length),
            max_context_length: i64::from(text.max_context_length),
            softprompt: text.softprompt.clone(),
        }
    }
}

impl ImageWants {
    fn of(image: &ImageParams, models: &[Arc<str>], reference: &dyn ModelSizes) -> Self {
        let mut post_processing = image.post_processing.clone();
        post_processing.sort_unstable();
        post_processing.dedup();
        let limits = || models.iter().map(|model| StepLimit::of(reference.image(model))).min();
        Self {
            pixels: image.pixels(),
            steps: image.accurate_steps(),
            step_limit: if models.len() > 1 { limits() } else { None },
            sampler: (image.sampler.clone(), image.karras),
            post_processing,
            has_source: image.has_source,
            is_painting: image.is_painting(),
            has_extra_sources: !image.extra_sources.is_empty(),
            has_loras: !image.loras.is_empty(),
            has_lora_versions: image.loras.iter().any(|lora| lora.is_version),
            has_tis: !image.tis.is_empty(),
            has_control: image.control_type.is_some(),
            image_is_control: image.image_is_control,
            return_control_map: image.return_control_map,
            tiling: image.tiling,
            hires_fix: image.hires_fix,
            transparent: image.transparent,
            skips_clip: image.clip_skip.is_some_and(|skip| skip > 1),
            is_qr_code: image.workflow.as_deref() == Some("qr_code"),
            extra_slow_workers: image.extra_slow_workers,
            links: image.links,
        }
    }
}

/// What the counts of `skipped` ask of a request, each by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trait {
    /// It starts from an image.
    Source,
    /// It is in- or outpainting.
    Painting,
    /// It has LoRAs.
    Loras,
    /// It has a control.
    Control,
    /// It is processed afterwards.
    PostProcessing,
    /// It comes from an unsafe address.
    UnsafeIp,
    /// Only workers that allow such content.
    Nsfw,
    /// No slow workers.
    NotSlow,
    /// No extra-slow workers.
    NotExtraSlow,
    /// Only workers of trusted owners.
    Trusted,
    /// In two passes.
    HiresFix,
    /// It wants the control back.
    ReturnControlMap,
    /// Seamless.
    Tiling,
    /// With an alpha channel.
    Transparent,
    /// It has textual inversions.
    TextualInversions,
}

impl Trait {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Source,
        Self::Painting,
        Self::Loras,
        Self::Control,
        Self::PostProcessing,
        Self::UnsafeIp,
        Self::Nsfw,
        Self::NotSlow,
        Self::NotExtraSlow,
        Self::Trusted,
        Self::HiresFix,
        Self::ReturnControlMap,
        Self::Tiling,
        Self::Transparent,
        Self::TextualInversions,
    ];

    /// Whether a request is so.
    pub fn is_of(self, shape: &Shape) -> bool {
        let image = |is_so: fn(&ImageWants) -> bool| shape.image().is_some_and(is_so);
        match self {
            Self::Source => image(|image| image.has_source),
            Self::Painting => image(|image| image.is_painting),
            Self::Loras => image(|image| image.has_loras),
            Self::Control => image(|image| image.has_control),
            Self::PostProcessing => image(|image| !image.post_processing.is_empty()),
            Self::UnsafeIp => shape.unsafe_ip,
            Self::Nsfw => shape.nsfw,
            Self::NotSlow => !shape.slow_workers,
            Self::NotExtraSlow => image(|image| !image.extra_slow_workers),
            Self::Trusted => shape.trusted_workers,
            Self::HiresFix => image(|image| image.hires_fix),
            Self::ReturnControlMap => image(|image| image.return_control_map),
            Self::Tiling => image(|image| image.tiling),
            Self::Transparent => image(|image| image.transparent),
            Self::TextualInversions => image(|image| image.has_tis),
        }
    }
}
