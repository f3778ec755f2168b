//! What clients ask for and what workers say of themselves, at random.

use std::sync::Arc;

use gridbroker::domain::{
    WorkerId,
    bridge::Bridge,
    price::ModelSizes,
    request::{AlchemyParams, Form, ImageParams, Kind, Params, Spec, TextParams},
    worker::{AlchemySkills, ImageSkills, Profile, Skills, TextSkills},
};

use super::dice::Chance;

/// What is asked for and worked on.
pub const KINDS: [Kind; 2] = [Kind::Image, Kind::Text];

pub const MODELS: [[&str; 3]; 2] =
    [["Deliberate", "SDXL 1.0", "Flux.1"], ["koboldcpp/a", "koboldcpp/b", "tabby/c"]];

/// A model reference of six models.
pub struct Sizes;

impl ModelSizes for Sizes {
    fn baseline(&self, model: &str) -> &str {
        match model {
            "SDXL 1.0" => "stable_diffusion_xl",
            "Flux.1" => "flux_1",
            _ => "stable diffusion 1",
        }
    }

    fn billions(&self, model: &str) -> Option<f64> {
        model.ends_with("/a").then_some(13.0)
    }
}

fn some_models(chance: &mut Chance, kind: Kind, least: usize) -> Vec<Arc<str>> {
    let all = MODELS[kind.index()];
    let mut models: Vec<Arc<str>> =
        all.iter().filter(|_| chance.percent(45)).map(|name| Arc::from(*name)).collect();
    if models.len() < least {
        models.push(Arc::from(all[0]));
    }
    models
}

pub fn image(chance: &mut Chance) -> ImageParams {
    let side = [256, 512, 1024][chance.between(0, 2) as usize];
    ImageParams {
        sampler: "k_euler_a".into(),
        cfg_scale: 5.0,
        steps: chance.between(1, 60) as u32,
        width: side,
        height: 512,
        seed: chance.percent(30).then_some(7),
        seed_variation: chance.percent(30).then_some(3),
        karras: chance.percent(50),
        tiling: false,
        hires_fix: false,
        transparent: false,
        denoising_strength: None,
        hires_fix_denoising_strength: None,
        facefixer_strength: None,
        clip_skip: None,
        post_processing: vec![],
        control_type: None,
        image_is_control: false,
        return_control_map: false,
        loras: vec![],
        tis: vec![],
        extra_texts: vec![],
        workflow: None,
        special: None,
        extra_slow_workers: chance.percent(50),
        censor: false,
        links: true,
        disable_batching: chance.percent(20),
        source_processing: "img2img".into(),
        has_source: false,
        has_mask: false,
        extra_sources: vec![],
    }
}

pub fn text(chance: &mut Chance) -> TextParams {
    TextParams { max_length: chance.between(16, 120) as u32, max_context_length: 1024, ..Default::default() }
}

/// So many forms of alchemy.
pub fn alchemy(forms: usize) -> AlchemyParams {
    let form = Form { name: "caption".into(), payload: None };
    AlchemyParams { forms: vec![form; forms], tiles: 1, source_url: None }
}

/// A request; sometimes one that few workers may take.
pub fn spec(chance: &mut Chance, workers: &[WorkerId]) -> Spec {
    let kind = Kind::ALL[chance.between(0, 1) as usize];
    let params = match kind {
        Kind::Image => Params::Image(Box::new(image(chance))),
        Kind::Text => Params::Text(Box::new(text(chance))),
        Kind::Video => Params::Video(Box::new(image(chance))),
        Kind::Alchemy => Params::Alchemy(Box::new(alchemy(1))),
    };
    let jobs = match &params {
        Params::Image(image) if image.disable_batching => 1,
        _ => chance.between(1, 5) as usize,
    };
    let named = chance.percent(8).then(|| chance.pick(workers).copied()).flatten();
    Spec {
        prompt: "a lighthouse".into(),
        jobs,
        models: some_models(chance, kind, 0),
        nsfw: chance.percent(20),
        trusted_workers: chance.percent(5),
        slow_workers: kind == Kind::Text || chance.percent(80),
        validated_backends: kind == Kind::Text && chance.percent(10),
        workers: named.into_iter().collect(),
        worker_blacklist: chance.percent(50),
        origin: Default::default(),
        webhook: (jobs == 3).then(|| "https://example.org/hook".into()),
        params,
    }
}

/// A worker of a kind; an able one takes anything.
pub fn profile(chance: &mut Chance, kind: Kind, able: bool) -> Profile {
    let skills = match kind {
        Kind::Image | Kind::Video => Skills::Image(ImageSkills {
            max_pixels: if able || chance.percent(50) { 4096 * 4096 } else { 512 * 512 },
            img2img: true,
            painting: true,
            unsafe_ip: true,
            post_processing: true,
            controlnet: true,
            sdxl_controlnet: true,
            lora: true,
            limit_max_steps: false,
            require_upfront_kudos: !able && chance.percent(20),
            extra_slow: !able && chance.percent(10),
        }),
        Kind::Text => Skills::Text(TextSkills {
            max_length: if able { 4096 } else { 80 },
            max_context_length: 8192,
            softprompts: vec![],
        }),
        Kind::Alchemy => Skills::Alchemy(AlchemySkills { max_tiles: 80 }),
    };
    let bridge = match (kind, able || chance.percent(60)) {
        (Kind::Image | Kind::Video | Kind::Alchemy, true) => "AI Horde Worker reGen:13.0.0:x",
        (Kind::Text, true) => "KoboldCppEmbedWorker:2:x",
        (_, false) => "HomeMade:1:x",
    };
    Profile {
        models: match able {
            true => MODELS[kind.index()].iter().map(|name| Arc::from(*name)).collect(),
            false => some_models(chance, kind, 1),
        },
        bridge: Bridge::parse(bridge),
        threads: chance.between(1, 3) as u32,
        amount: chance.between(1, 4) as u32,
        nsfw: able || chance.percent(70),
        blacklist: vec![],
        priority_users: vec![],
        skills,
        extras: Default::default(),
    }
}
