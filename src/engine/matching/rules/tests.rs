//! A row for each rule: what makes it forbid, and what mends that.

use std::{collections::BTreeSet, sync::Arc};

use super::{super::*, *};
use crate::{
    domain::{
        Kudos, RequestId, Timestamp, UserId, WorkerId,
        bridge::Bridge,
        models::ModelReference,
        request::{
            Accepted, AlchemyParams, Form, ImageParams, Lora, Params, Spec, TextParams, TextualInversion,
        },
        standing::Standing,
        user::{Role, User},
        worker::{AlchemySkills, ImageSkills, Profile, Skills, TextSkills, Worker, WorkerStats},
    },
    engine::stage::{image_profile, image_spec, text_profile, text_spec},
};

const REFERENCE: &str = r#"{"image": {
    "still": {"baseline": "stable diffusion 1"},
    "painter": {"baseline": "stable diffusion 1", "inpainting": true},
    "large": {"baseline": "stable_diffusion_xl"},
    "cascade": {"baseline": "stable_cascade"},
    "flux": {"baseline": "flux_1", "requirements": {"min_steps": 4, "max_steps": 8}},
    "quick": {"baseline": "stable diffusion 1", "requirements": {"max_steps": 10}}
}, "text": {"small": {"parameters": 7e9}, "medium": {"parameters": 13e9}, "huge": {"parameters": 2e10}}}"#;

/// A request and a worker that may have it, until something is changed.
#[derive(Clone)]
struct Scene {
    spec: Spec,
    profile: Profile,
    stats: WorkerStats,
    standing: Standing,
    maintenance: Option<String>,
    owner: User,
    requester: User,
    matched_targeting: bool,
}

const WORKER: WorkerId = WorkerId(uuid::Uuid::from_u128(7));
const OTHER: WorkerId = WorkerId(uuid::Uuid::from_u128(8));

fn user(id: i64, kudos: i64) -> User {
    User { id: UserId(id), balance: Kudos::whole(kudos), ..User::anonymous() }
}

impl Scene {
    fn image() -> Self {
        let profile = image_profile(1);
        Self::of(image_spec(1), Profile { models: vec!["still".into(), "painter".into()], ..profile })
    }

    fn text() -> Self {
        Self::of(text_spec(1), Profile { models: vec!["small".into()], ..text_profile(1) })
    }

    fn alchemy() -> Self {
        let form = Form { name: "caption".into(), payload: None };
        let params = AlchemyParams { forms: vec![form], tiles: 4, source_url: None };
        let spec = Spec { params: Params::Alchemy(Box::new(params)), ..text_spec(1) };
        let skills = Skills::Alchemy(AlchemySkills { max_tiles: 4 });
        Self::of(spec, Profile { skills, models: vec!["caption".into()], ..text_profile(1) })
    }

    fn of(spec: Spec, profile: Profile) -> Self {
        Self {
            spec: Spec { models: vec![], ..spec },
            profile,
            stats: WorkerStats::default(),
            standing: Standing::default(),
            maintenance: None,
            owner: user(2, 0),
            requester: user(3, 1_000),
            matched_targeting: false,
        }
    }

    fn draw(&mut self) -> &mut ImageParams {
        match &mut self.spec.params {
            Params::Image(image) => image,
            _ => unreachable!("it is one of images"),
        }
    }

    fn write(&mut self) -> &mut TextParams {
        match &mut self.spec.params {
            Params::Text(text) => text,
            _ => unreachable!("it is one of texts"),
        }
    }

    fn skills(&mut self) -> &mut ImageSkills {
        match &mut self.profile.skills {
            Skills::Image(skills) => skills,
            _ => unreachable!("it draws"),
        }
    }

    fn writes(&mut self) -> &mut TextSkills {
        match &mut self.profile.skills {
            Skills::Text(skills) => skills,
            _ => unreachable!("it writes"),
        }
    }

    fn source(&mut self, what: &str) {
        (self.draw().has_source, self.draw().source_processing) = (true, what.into());
    }

    fn models(&mut self, asked: &[&str], served: &[&str]) {
        let list = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
        (self.spec.models, self.profile.models) = (list(asked), list(served));
    }

    fn bridge(&mut self, agent: &str) {
        self.profile.bridge = Bridge::parse(agent);
    }

    fn worker(&self) -> Worker {
        Worker {
            id: WORKER,
            name: "worker".into(),
            owner: self.owner.id,
            created_at: Timestamp(0),
            seen_at: Timestamp(0),
            profile: self.profile.clone(),
            maintenance: self.maintenance.clone(),
            stats: self.stats.clone(),
            standing: self.standing.clone(),
        }
    }

    /// Puts the request beside the worker.
    fn beside<T>(&self, look: impl FnOnce(&Pair<'_>) -> T) -> T {
        let reference = ModelReference::read(REFERENCE).unwrap();
        let (kind, worker) = (self.spec.kind(), self.worker());
        let facts = Facts::of(&worker.profile, kind, &reference).unwrap();
        let able = Able::new(&worker, &facts, kind, Some(&self.owner), self.matched_targeting).unwrap();
        let request = Accepted {
            id: RequestId(uuid::Uuid::from_u128(1)),
            owner: self.requester.id,
            created_at: Timestamp(0),
            priority: 0,
            spec: Arc::new(self.spec.clone()),
        };
        let mut shape = Shape::of(&self.spec, &reference);
        if let Params::Alchemy(alchemy) = &self.spec.params {
            shape = shape.with_forms(alchemy.forms.iter().map(|form| form.name.clone()).collect());
        }
        let asked = Asked { request: &request, requester: Some(&self.requester) };
        look(&Pair::new(&shape, asked, &able))
    }

    /// Whether a rule forbids it, and whether any does.
    fn judge(&self, rule: &Rule) -> (bool, bool) {
        self.beside(|pair| {
            // What is asked of each request must not decide about a shape.
            let Pair { shape, able, is_own, is_preferred, .. } = *pair;
            let of_shape = Pair { shape, able, is_own, is_preferred, asked: None };
            assert!(rule.asks_each.is_none() || !(rule.forbids)(&of_shape), "{}", rule.name);
            let asks = rule.asks_each.is_some_and(|asks| asks(able));
            assert!(!(rule.forbids)(pair) || rule.asks_each.is_none() || asks, "{}", rule.name);
            ((rule.forbids)(pair), refusal(pair).is_some())
        })
    }
}

type Change = fn(&mut Scene);
type Row = (&'static str, fn() -> Scene, Change, Change);

const OLD: &str = "AI Horde Worker reGen:1:x";
const NONE: &str = "AI Horde Worker:11:x";

fn lora(is_version: bool) -> Lora {
    Lora { name: "1".into(), model: 1.0, clip: 1.0, inject_trigger: None, is_version }
}

/// Name of the rule; the scene; what makes the rule forbid; what mends that.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    // A2
    ("max_pixels", Scene::image, |s| s.draw().width = 576, |s| s.skills().max_pixels = 576 * 512),
    // A3
    ("models", Scene::image, |s| s.models(&["large"], &["still"]), |s| s.models(&["large", "still"], &["still"])),
    ("models", Scene::text, |s| s.models(&["huge"], &["small"]), |s| s.models(&["huge"], &["small", "huge"])),
    ("models", Scene::alchemy, |s| s.profile.models = vec!["nsfw".into()], |s| s.profile.models.push("caption".into())),
    ("no models", Scene::image, |s| s.models(&[], &["still", "horde_special::a#2"]), |s| s.models(&["still"], &["still", "horde_special::a#2"])),
    // A4, B12
    ("source image", Scene::image, |s| { s.source("img2img"); s.skills().img2img = false }, |s| s.skills().img2img = true),
    // A5, B8
    ("painting", Scene::image, |s| { s.source("inpainting"); s.skills().painting = false }, |s| s.skills().painting = true),
    ("painting", Scene::image, |s| { s.source("outpainting"); s.skills().painting = false }, |s| s.source("img2img")),
    // A6
    ("extra source images by the software", Scene::image, |s| { s.draw().extra_sources = vec![1.0]; s.bridge("AI Horde Worker reGen:4:x") }, |s| s.bridge("AI Horde Worker reGen:5:x")),
    // A7, B19, B21
    ("unsafe address", Scene::image, |s| { s.spec.origin.unsafe_ip = true; s.owner.roles.push(Role::Trusted); s.skills().unsafe_ip = false }, |s| s.skills().unsafe_ip = true),
    ("unvetted requester", Scene::image, |s| s.spec.origin.unsafe_ip = true, |s| { s.owner.roles.push(Role::Trusted); }),
    ("unvetted requester", Scene::alchemy, |s| s.spec.origin.unsafe_ip = true, |s| { s.owner.roles.push(Role::Trusted); }),
    // A8, B2
    ("nsfw", Scene::image, |s| { s.spec.nsfw = true; s.profile.nsfw = false }, |s| s.profile.nsfw = true),
    ("nsfw", Scene::text, |s| { s.spec.nsfw = true; s.profile.nsfw = false }, |s| s.spec.nsfw = false),
    // A9
    ("results as links", Scene::image, |s| s.bridge("AI Horde Worker:7:x"), |s| { s.draw().links = false; s.bridge(NONE) }),
    // A10
    ("LoRAs", Scene::image, |s| { s.draw().loras = vec![lora(false)]; s.skills().lora = false }, |s| s.skills().lora = true),
    ("LoRAs by the software", Scene::image, |s| { s.draw().loras = vec![lora(false)]; s.bridge(OLD) }, |s| s.bridge("AI Horde Worker reGen:2:x")),
    // A11
    ("textual inversions", Scene::image, |s| { s.draw().tis = vec![TextualInversion { name: "1".into(), inject: None, strength: 1.0 }]; s.bridge("AI Horde Worker:23:x") }, |s| s.bridge("AI Horde Worker:24:x")),
    // A12, B14
    ("control", Scene::image, |s| { s.draw().control_type = Some("canny".into()); s.skills().controlnet = false }, |s| s.skills().controlnet = true),
    ("control by the software", Scene::image, |s| { s.draw().control_type = Some("canny".into()); s.bridge("AI Horde Worker:14:x") }, |s| s.bridge("AI Horde Worker:15:x")),
    ("image as control", Scene::image, |s| { s.draw().control_type = Some("canny".into()); s.draw().image_is_control = true; s.bridge("AI Horde Worker:22:x") }, |s| s.bridge("AI Horde Worker:23:x")),
    // A13
    ("slow workers", Scene::image, |s| { s.spec.slow_workers = false; s.stats.speeds = vec![499_999.0] }, |s| s.stats.speeds = vec![500_000.0]),
    ("slow workers", Scene::image, |s| { s.spec.slow_workers = false; s.stats.speeds = vec![499_999.0] }, |s| s.spec.slow_workers = true),
    ("slow workers", Scene::text, |s| { s.spec.slow_workers = false; s.stats.speeds = vec![4.9] }, |s| s.stats.speeds = vec![5.0]),
    ("slow workers", Scene::text, |s| { s.spec.slow_workers = false; s.profile.models = vec!["medium".into(), "small".into()]; s.stats.speeds = vec![3.9] }, |s| s.stats.speeds = vec![4.0]),
    ("slow workers", Scene::text, |s| { s.spec.slow_workers = false; s.profile.models = vec!["huge".into()]; s.stats.speeds = vec![2.9] }, |s| s.stats.speeds = vec![3.0]),
    ("slow workers", Scene::text, |s| { s.spec.slow_workers = false; s.profile.models = vec!["small".into(), "huge".into()]; s.stats.speeds = vec![3.0] }, |s| s.profile.models.reverse()),
    ("slow workers", Scene::alchemy, |s| { s.spec.slow_workers = false; s.stats.speeds = vec![0.1] }, |s| s.stats.speeds = vec![0.11]),
    // A14
    ("extra-slow workers", Scene::image, |s| s.skills().extra_slow = true, |s| s.draw().extra_slow_workers = true),
    // A15
    ("transparent", Scene::image, |s| { s.draw().transparent = true; s.bridge("AI Horde Worker reGen:7:x") }, |s| s.bridge("AI Horde Worker reGen:8:x")),
    ("transparent", Scene::image, |s| { s.draw().transparent = true; s.skills().sdxl_controlnet = false }, |s| s.skills().sdxl_controlnet = true),
    // A16, B1
    ("maintenance", Scene::image, |s| s.maintenance = Some("later".into()), |s| s.requester.id = s.owner.id),
    ("maintenance", Scene::text, |s| { s.maintenance = Some("later".into()); s.profile.priority_users = vec![s.requester.id] }, |s| s.requester.id = s.owner.id),
    ("maintenance", Scene::alchemy, |s| s.maintenance = Some("later".into()), |s| s.maintenance = None),
    // A17, B6
    ("worker list", Scene::image, |s| s.spec.workers = vec![OTHER], |s| s.spec.workers.push(WORKER)),
    ("worker list", Scene::text, |s| { s.spec.workers = vec![WORKER, OTHER]; s.spec.worker_blacklist = true }, |s| s.spec.workers = vec![OTHER]),
    ("matched targeting", Scene::image, |s| { s.spec.workers = vec![WORKER]; s.matched_targeting = true }, |s| s.profile.priority_users = vec![s.requester.id]),
    ("matched targeting", Scene::text, |s| { s.spec.workers = vec![WORKER]; s.matched_targeting = true }, |s| { s.spec.workers = vec![OTHER]; s.spec.worker_blacklist = true }),
    // B3
    ("trusted workers", Scene::image, |s| s.spec.trusted_workers = true, |s| { s.owner.roles.push(Role::Trusted); }),
    ("trusted workers", Scene::alchemy, |s| s.spec.trusted_workers = true, |s| { s.owner.roles.push(Role::Trusted); }),
    // B5
    ("blacklist", Scene::image, |s| s.profile.blacklist = vec!["light".into()], |s| s.profile.blacklist = vec!["lights".into()]),
    ("blacklist", Scene::image, |s| { s.profile.blacklist = vec!["über".into()]; s.spec.prompt = "ÜBER".into() }, |s| s.spec.prompt = "under".into()),
    // B7
    ("source image by the software", Scene::image, |s| { s.source("img2img"); s.draw().links = false; s.draw().karras = false; s.bridge("SD-WebUI Stable Horde Worker Bridge:1:x") }, |s| s.bridge("HordeAutoWebBridge:1:x")),
    // B8, B9
    ("painting by the software", Scene::image, |s| { s.source("inpainting"); s.draw().links = false; s.draw().karras = false; s.bridge("HordeAutoWebBridge:2:x") }, |s| { s.draw().karras = true; s.bridge(OLD); s.profile.bridge.version = 2 }),
    ("models that paint", Scene::image, |s| { s.source("inpainting"); s.models(&[], &["still", "large"]) }, |s| s.models(&[], &["still", "painter"])),
    ("models that draw", Scene::image, |s| s.models(&[], &["painter"]), |s| s.source("inpainting")),
    // B10
    ("sampler", Scene::image, |s| { s.draw().sampler = "DDIM".into(); s.draw().links = false; s.bridge("AI Horde Worker:17:x") }, |s| s.draw().karras = false),
    // B11
    ("post-processors", Scene::image, |s| { s.draw().post_processing = vec!["CodeFormers".into()]; s.draw().links = false; s.bridge("SD-WebUI Stable Horde Worker Bridge:4:x") }, |s| s.bridge("AI Horde Worker:11:x")),
    ("post-processors", Scene::image, |s| { s.draw().post_processing = vec!["CodeFormers".into(), "RestoreFormer".into()]; s.bridge("AI Horde Worker reGen:12:x") }, |s| s.bridge("AI Horde Worker reGen:13:x")),
    // B13
    ("tiling", Scene::image, |s| { s.draw().tiling = true; s.bridge("AI Horde Worker:24:x") }, |s| { s.bridge(OLD); s.profile.bridge.version = 2 }),
    ("control map", Scene::image, |s| { s.draw().return_control_map = true; s.bridge("AI Horde Worker:17:x") }, |s| s.bridge("AI Horde Worker:18:x")),
    // B15
    ("qr_code", Scene::image, |s| { s.draw().workflow = Some("qr_code".into()); s.bridge("AI Horde Worker reGen:6:x") }, |s| s.bridge("AI Horde Worker reGen:7:x")),
    ("qr_code on SDXL", Scene::image, |s| { s.draw().workflow = Some("qr_code".into()); s.models(&[], &["still", "large"]); s.skills().sdxl_controlnet = false }, |s| s.models(&[], &["still"])),
    // B16
    ("hires_fix", Scene::image, |s| { s.draw().hires_fix = true; s.bridge("AI Horde Worker:12:x") }, |s| s.bridge("AI Horde Worker:13:x")),
    ("Stable Cascade in two passes", Scene::image, |s| { s.draw().hires_fix = true; s.models(&[], &["still", "cascade"]); s.bridge("AI Horde Worker reGen:5:x") }, |s| s.bridge("AI Horde Worker reGen:6:x")),
    // B17
    ("Flux", Scene::image, |s| { s.models(&["flux"], &["still", "flux"]); s.bridge("AI Horde Worker reGen:8:x") }, |s| s.bridge("AI Horde Worker reGen:9:x")),
    ("Flux", Scene::image, |s| { s.models(&[], &["flux"]); s.bridge("AI Horde Worker reGen:8:x") }, |s| s.models(&[], &["flux", "still"])),
    ("Flux", Scene::image, |s| { s.models(&["flux"], &["still", "flux"]); s.bridge("AI Horde Worker reGen:8:x") }, |s| s.models(&["flux", "still"], &["still", "flux"])),
    // B18
    ("clip_skip", Scene::image, |s| { s.draw().clip_skip = Some(2); s.bridge("AI Horde Worker:12:x") }, |s| s.draw().clip_skip = Some(1)),
    ("versions of LoRAs", Scene::image, |s| { s.draw().loras = vec![lora(true)]; s.bridge("AI Horde Worker reGen:2:x") }, |s| s.bridge("AI Horde Worker reGen:3:x")),
    // B20
    ("steps", Scene::image, |s| { s.draw().steps = 31; s.skills().limit_max_steps = true }, |s| s.draw().steps = 30),
    ("steps", Scene::image, |s| { s.draw().steps = 16; s.models(&["still"], &["still", "quick"]); s.skills().limit_max_steps = true }, |s| s.skills().limit_max_steps = false),
    ("steps", Scene::image, |s| { s.draw().steps = 16; s.models(&["still", "quick"], &["still"]); s.skills().limit_max_steps = true }, |s| s.models(&["still"], &["still"])),
    ("steps", Scene::image, |s| { s.draw().steps = 16; s.draw().sampler = "k_heun".into(); s.skills().limit_max_steps = true }, |s| s.draw().steps = 15),
    // B22
    ("post-processing", Scene::image, |s| { s.draw().post_processing = vec!["GFPGAN".into()]; s.skills().post_processing = false }, |s| s.skills().post_processing = true),
    // B23
    ("upfront kudos", Scene::image, |s| { s.skills().require_upfront_kudos = true; s.requester.balance = Kudos::whole(1) }, |s| s.requester.balance = Kudos::whole(100)),
    ("upfront kudos", Scene::image, |s| { s.skills().require_upfront_kudos = true; s.requester.balance = Kudos::whole(1) }, |s| { s.requester.roles.push(Role::Trusted); }),
    ("upfront kudos", Scene::image, |s| { s.skills().require_upfront_kudos = true; s.requester.balance = Kudos::whole(1) }, |s| s.profile.priority_users = vec![s.requester.id]),
    // Texts
    ("length", Scene::text, |s| s.write().max_length = 513, |s| s.write().max_length = 512),
    ("context length", Scene::text, |s| s.write().max_context_length = 8193, |s| s.writes().max_context_length = 8193),
    ("validated back end", Scene::text, |s| { s.spec.validated_backends = true; s.bridge("home made:1:x") }, |s| s.bridge("TabbyAPI:1:x")),
    ("soft prompt", Scene::text, |s| s.write().softprompt = Some("kind".into()), |s| s.writes().softprompts = vec!["kind".into()]),
    // Forms
    ("tiles", Scene::alchemy, |s| s.profile.skills = Skills::Alchemy(AlchemySkills { max_tiles: 3 }), |s| s.profile.skills = Skills::Alchemy(AlchemySkills { max_tiles: 4 })),
    // All
    ("paused", Scene::image, |s| s.standing.is_paused = true, |s| s.requester.id = s.owner.id),
    ("paused", Scene::text, |s| s.standing.is_paused = true, |s| s.standing.is_paused = false),
    ("paused", Scene::alchemy, |s| s.standing.is_paused = true, |s| s.requester.id = s.owner.id),
];

#[test]
fn each_rule_forbids_what_its_row_says_and_nothing_once_that_is_mended() {
    for scene in [Scene::image, Scene::text, Scene::alchemy] {
        let scene = scene();
        assert!(!scene.judge(&PAUSED).1, "{:?}", scene.spec.kind());
    }
    for (number, (name, scene, spoil, mend)) in ROWS.iter().enumerate() {
        let mut scene = scene();
        let rules = Rules::of(scene.spec.kind());
        let rule = rules.all().find(|rule| rule.name == *name).expect("the rule is in the table");
        spoil(&mut scene);
        assert_eq!(scene.judge(rule), (true, true), "row {number}: {name} forbids");
        mend(&mut scene);
        assert_eq!(scene.judge(rule), (false, false), "row {number}: {name} is mended");
    }
}

#[test]
fn what_a_rule_names_as_its_remedy_mends_it() {
    // Whose software is what is wrong; and who has the model that it cannot run.
    const NOT_BY_OFFERS: [&str; 2] = ["transparent", "Flux"];
    for (number, (name, scene, spoil, _)) in ROWS.iter().enumerate() {
        let mut scene = scene();
        spoil(&mut scene);
        let rules = Rules::of(scene.spec.kind());
        let rule = rules.all().find(|rule| rule.name == *name).expect("the rule is in the table");
        let (eases, lifts) = scene.beside(|pair| {
            let eases = rule.eases.map(|eases| eases(pair)).unwrap_or_default();
            (eases, rule.lifts.map(|lifts| lifts(pair)).unwrap_or_default())
        });
        let is_eased = |ease: &Ease| {
            let mut changed = scene.clone();
            ease.apply(&mut changed.spec);
            !changed.judge(rule).0
        };
        // Any model may be none that will do.
        let failing: Vec<_> =
            eases.iter().filter(|ease| !matches!(ease, Ease::AnyModel) && !is_eased(ease)).collect();
        let is_flux = *name == "Flux" && eases.iter().any(is_eased);
        let none_will_do = scene.profile.models == [Arc::from("flux")];
        assert!(failing.is_empty() || is_flux || none_will_do, "row {number}: {name} by {failing:?}");
        let is_lifted = |lift: &Lift| {
            let (mut changed, mut worker) = (scene.clone(), scene.worker());
            lift.apply(&mut worker, scene.spec.kind());
            (changed.profile, changed.maintenance) = (worker.profile, worker.maintenance);
            !changed.judge(rule).0
        };
        let is_no_matter = lifts.is_empty() || NOT_BY_OFFERS.contains(name);
        assert!(is_no_matter || lifts.iter().any(is_lifted), "row {number}: {name} by {lifts:?}");
    }
}

#[test]
fn no_rule_is_without_a_row() {
    for (kind, scene) in [
        (Kind::Image, Scene::image as fn() -> Scene),
        (Kind::Text, Scene::text),
        (Kind::Alchemy, Scene::alchemy),
    ] {
        let shown: BTreeSet<_> =
            ROWS.iter().filter(|row| row.1().spec.kind() == scene().spec.kind()).map(|row| row.0).collect();
        // Rules that are those of images, too, are shown there once.
        let elsewhere = ["worker list", "nsfw", "trusted workers", "blacklist", "matched targeting"];
        let missing: Vec<_> = Rules::of(kind)
            .all()
            .map(|rule| rule.name)
            .filter(|name| !shown.contains(name) && !elsewhere.contains(name))
            .collect();
        assert!(missing.is_empty(), "{kind:?}: {missing:?}");
    }
}
