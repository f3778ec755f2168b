//! Image or video: what a request turns out to ask for, and which models make which.

use super::Engine;
use crate::domain::{
    Error,
    error::ParamRule,
    request::{Kind, Params, Spec},
    videos,
    worker::Profile,
};

/// What a requester said of the medium, besides the models.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wish {
    /// [`Kind::Image`] or [`Kind::Video`], if it was said.
    pub media: Option<Kind>,
    /// What is to be done with the source image makes sense for videos alone.
    pub is_video_mode: bool,
}

impl Wish {
    /// A video, and nothing else.
    pub const VIDEO: Self = Self { media: Some(Kind::Video), is_video_mode: false };

    /// Whether a video was asked for in words.
    pub fn is_for_video(self) -> bool {
        self.media == Some(Kind::Video) || self.is_video_mode
    }
}

impl Engine {
    /// A request for an image as the request that it is meant to be: for a video if that was said, or
    /// if all models that it names make videos. Beside it, VideoModeWithImageModel if a video is asked of a
    /// model that is known to make images: other rules are asked before that one.
    pub fn depicted(&self, mut spec: Spec, wish: Wish) -> (Spec, Option<Error>) {
        let is_video = |model: &str| self.models.is_video(model);
        let makes_video = !spec.models.is_empty() && spec.models.iter().all(|model| is_video(model));
        if !makes_video && !wish.is_for_video() {
            return (spec, None);
        }
        let misfit = spec.models.iter().find(|model| self.models.is_still(model)).map(|model| {
            Error::params(
                ParamRule::VideoModeWithImageModel,
                format!("{model} makes images: name a model that makes videos, or ask for an image"),
            )
        });
        videos::fold(&mut spec.models, is_video);
        if let Params::Image(mut image) = spec.params {
            image.source_processing = match (image.has_source, image.source_processing.as_str()) {
                (true, "inpainting" | "outpainting" | "remix") => image.source_processing,
                (true, _) => "img2video".into(),
                (false, _) => "txt2video".into(),
            };
            spec.params = Params::Video(image);
        }
        (spec, misfit)
    }

    /// Notes which of the models that a worker names make videos.
    pub(super) fn knowing_videos(&self, profile: Profile) -> Profile {
        profile.knowing_videos(|model| self.models.is_video(model))
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        domain::{
            request::{ImageParams, tests::image},
            worker::Skills,
        },
        engine::{
            Effect, Push, Report,
            stage::{Stage, image_profile, image_spec, text_profile, text_spec},
        },
    };

    const MINUTE: Duration = Duration::from_secs(60);

    fn named(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    fn asking(names: &[&str]) -> Spec {
        Spec { models: named(names), ..image_spec(1) }
    }

    fn video(names: &[&str]) -> Spec {
        Spec { params: Params::Video(Box::new(image())), ..asking(names) }
    }

    /// A worker at the pop of images.
    fn draws(names: &[&str]) -> Profile {
        Profile { models: named(names), ..image_profile(1) }
    }

    /// A worker at the pop of videos.
    fn films(names: &[&str]) -> Profile {
        let profile = draws(names);
        let skills = profile.skills.image().expect("it draws").clone();
        Profile { skills: Skills::Video(skills), ..profile }
    }

    #[test]
    fn words_and_models_decide_what_a_request_is_for() {
        use Kind::{Image, Video};
        let stage = Stage::new();
        let wish = |media, is_video_mode| Wish { media, is_video_mode };
        for (models, wish, kind, rule) in [
            (&["still"][..], wish(None, false), Some(Image), "an image model"),
            (&["any"], wish(None, false), Some(Image), "what nobody knows makes images"),
            (&[], wish(None, false), Some(Image), "any model makes images"),
            (&["video"], wish(None, false), Some(Video), "a video model"),
            (&["VIDEO"], wish(None, false), Some(Video), "in any case"),
            (&["video"], wish(Some(Image), false), Some(Video), "cannot make an image, whatever is said"),
            (&["video", "still"], wish(None, false), Some(Image), "one that may be made as an image is one"),
            (&[], wish(Some(Video), false), Some(Video), "any model that makes videos"),
            (&["any"], wish(Some(Video), false), Some(Video), "the requester knows more"),
            (&["any"], wish(None, true), Some(Video), "and says so by what is to be done"),
            (&["still"], wish(Some(Video), false), None, "a video of an image model"),
            (&["still"], wish(None, true), None, "in whatever words"),
            (&["video", "still"], wish(Some(Video), false), None, "one wrong model is one too many"),
        ] {
            match stage.engine.depicted(asking(models), wish) {
                (spec, None) => assert_eq!(Some(spec.kind()), kind, "{rule}"),
                (_, Some(Error::BadParams { rule: broken, .. })) => {
                    assert_eq!((kind, broken), (None, ParamRule::VideoModeWithImageModel), "{rule}");
                }
                (_, Some(other)) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn what_is_done_with_a_source_image_is_put_right_for_videos() {
        let stage = Stage::new();
        for (has_source, asked, done) in [
            (false, "img2img", "txt2video"),
            (true, "img2img", "img2video"),
            (true, "img2video", "img2video"),
            (true, "inpainting", "inpainting"),
        ] {
            let params = ImageParams { has_source, source_processing: asked.into(), ..image() };
            let spec = Spec { params: Params::Image(Box::new(params)), ..asking(&["Video"]) };
            let (spec, _) = stage.engine.depicted(spec, Wish::default());
            assert_eq!(spec.params.image().map(|image| &*image.source_processing), Some(done), "{asked}");
            assert_eq!(*spec.models, *named(&["video"]), "workers know it by this name");
        }
    }

    #[test]
    fn a_worker_that_draws_and_films_takes_both_in_one_order() {
        let mut stage = Stage::new();
        let mut asked = Vec::new();
        for spec in [video(&["video a"]), asking(&["model"]), video(&[]), asking(&[])] {
            asked.push(stage.submit(spec));
            stage.now = stage.now.plus(Duration::from_secs(1));
        }
        let mut got = Vec::new();
        for _ in &asked {
            stage.pop("w", draws(&["model", "Video A"]), Duration::ZERO);
            let (_, grant) = stage.grants().pop().expect("there is work for it");
            let model = if grant.spec.kind() == Kind::Video { "video a" } else { "model" };
            assert_eq!(grant.attempts[0].model, model);
            got.push(grant.request);
        }
        assert_eq!(got, asked);
    }

    #[test]
    fn videos_of_any_model_go_to_workers_of_video_models_alone() {
        let mut stage = Stage::new();
        let still = stage.pop("still", draws(&["model"]), MINUTE);
        let texts = stage.pop("text", text_profile(1), MINUTE);
        let id = stage.submit(video(&[]));
        assert!(!stage.engine.view(id, stage.now).unwrap().is_possible);
        assert!(stage.grants().is_empty(), "{still:?} and {texts:?} make none");
        let both = stage.pop("both", draws(&["model", "video a"]), MINUTE);
        assert_eq!(stage.grants().pop().map(|grant| grant.0), Some(both));
        let alone = stage.pop("films", films(&["of its own"]), MINUTE);
        stage.submit(asking(&[]));
        assert_eq!(
            stage.grants().pop().map(|grant| grant.0),
            Some(still),
            "one at the pop of videos takes no image"
        );
        stage.submit(video(&["of its own"]));
        assert_eq!(
            stage.grants().pop().map(|grant| grant.0),
            Some(alone),
            "there all of its models make videos"
        );
    }

    #[test]
    fn a_worker_that_waits_for_both_gets_whichever_comes() {
        let mut stage = Stage::new();
        for spec in [asking(&["model"]), video(&["video a"]), video(&[])] {
            let offer = stage.pop("w", draws(&["model", "video a"]), MINUTE);
            let id = stage.submit(spec);
            let grant = stage.grants().pop().expect("it fits");
            assert_eq!((grant.0, grant.1.request), (offer, id));
        }
    }

    #[test]
    fn one_name_may_be_used_at_both_pops_and_stays_one_worker() {
        let mut stage = Stage::new();
        let (stills, moving) = (draws(&["model"]), films(&["own"]));
        let records_of_people = |stage: &Stage| {
            use crate::domain::record::Record;
            let is_said = |r: &&Record| matches!(r, Record::WorkerSaid(_) | Record::WorkerMade { .. });
            stage.records().filter(is_said).count()
        };
        // Minutes are of the clock: begin with one.
        stage.now.0 -= stage.now.0 % 60_000;
        let kinds = |stage: &Stage| {
            let worker = stage.engine.worker_by_name("w").unwrap();
            worker.profile.kinds().collect::<Vec<_>>()
        };
        stage.pop("w", stills.clone(), Duration::ZERO);
        assert_eq!(kinds(&stage), [Kind::Image]);
        stage.pop("w", moving.clone(), Duration::ZERO);
        stage.pop("w", stills.clone(), Duration::ZERO);
        assert_eq!(kinds(&stage), [Kind::Image, Kind::Video]);
        let before = records_of_people(&stage);
        for _ in 0..10 {
            stage.wait(Duration::from_secs(2));
            stage.pop("w", moving.clone(), Duration::ZERO);
            stage.pop("w", stills.clone(), Duration::ZERO);
        }
        assert_eq!(records_of_people(&stage), before, "to come back to the other pop is no news");
        assert_eq!(stage.engine.workers().count(), 1);
        let (image, film) = (stage.submit(asking(&["model"])), stage.submit(video(&["own"])));
        for id in [image, film] {
            assert!(stage.engine.view(id, stage.now).unwrap().is_possible);
        }
        stage.pop("w", moving.clone(), Duration::ZERO);
        assert_eq!(stage.grants().pop().map(|grant| grant.1.request), Some(film));
        stage.pop("w", stills.clone(), Duration::ZERO);
        assert_eq!(stage.grants().pop().map(|grant| grant.1.request), Some(image));
        for _ in 0..8 {
            stage.wait(MINUTE);
            stage.pop("w", stills.clone(), Duration::ZERO);
        }
        assert_eq!(kinds(&stage), [Kind::Image], "what it has not said for long holds no more");
        let other = stage.act(|engine, step| {
            let (owner, until) = (engine.worker_by_name("w").unwrap().owner, step.now);
            engine.pop(step, owner, "w", text_profile(1), until)
        });
        assert!(matches!(other, Err(Error::PolymorphicNameConflict(_))), "{other:?}");
    }

    #[test]
    fn an_empty_pop_says_of_all_its_kinds_why_they_were_passed_over() {
        let mut stage = Stage::new();
        stage.submit(asking(&["other"]));
        stage.submit(video(&["video b"]));
        let skipped = |stage: &mut Stage, profile: Profile| {
            stage.log.clear();
            stage.pop("w", profile, Duration::ZERO);
            stage.log.iter().find_map(|effect| match effect {
                Effect::Deliver { push: Push::Empty { skipped }, .. } => Some(skipped["models"]),
                _ => None,
            })
        };
        assert_eq!(
            skipped(&mut stage, draws(&["model"])),
            Some(1),
            "who films nothing is not told of videos"
        );
        assert_eq!(skipped(&mut stage, draws(&["model", "video a"])), Some(2));
        assert_eq!(skipped(&mut stage, films(&["video a"])), Some(1));
    }

    #[test]
    fn a_video_may_take_two_hours_and_its_request_lives_as_long() {
        let mut stage = Stage::new();
        stage.pop("w", films(&["own"]), MINUTE);
        let id = stage.submit(video(&["own"]));
        let (_, grant) = stage.grants().pop().expect("it fits");
        assert_eq!(grant.ttl_seconds, 7200);
        let attempt = grant.attempts[0].id;
        stage.wait(Duration::from_secs(7190));
        let owner = stage.user;
        let report = Report { preview: Some(Some(3)), ..Report::default() };
        stage.act(|engine, step| engine.report(step, owner, attempt, report)).unwrap();
        let told = stage.events(id);
        let preview = crate::domain::event::Event::Preview { job: 0, attempt: 1, id: attempt, step: Some(3) };
        assert_eq!(told.last(), Some(&preview));
        stage.wait(Duration::from_secs(7190));
        assert!(stage.deliver(attempt).is_ok(), "a report gives it as long again");
        let view = stage.engine.view(id, stage.now).expect("it is kept for its results");
        assert_eq!((view.finished, view.done), (1, true));
    }

    #[test]
    fn figures_count_a_worker_of_both_once() {
        let mut stage = Stage::new();
        stage.pop("both", draws(&["model", "video a"]), MINUTE);
        stage.pop("films", films(&["own"]), MINUTE);
        stage.pop("stills", draws(&["model"]), MINUTE);
        stage.submit(video(&["video b"]));
        stage.submit(asking(&["other"]));
        let figures = stage.engine.drawing_performance(stage.now);
        assert_eq!((figures.workers, figures.threads, figures.queued_jobs), (3, 3, 2));
        let line = |kind| {
            let lines = stage.engine.model_lines(kind, stage.now).into_iter();
            lines.map(|line| (line.name, line.threads, line.jobs)).collect::<Vec<_>>()
        };
        let of = |name: &str, threads, jobs| (name.to_owned(), threads, jobs);
        assert_eq!(line(Kind::Image), [of("model", 2, 0), of("other", 0, 1)]);
        assert_eq!(line(Kind::Video), [of("own", 1, 0), of("video a", 1, 0), of("video b", 0, 1)]);
    }

    #[test]
    fn the_scarcer_kind_is_that_with_more_to_do_for_each_thread() {
        let mut stage = Stage::new();
        let scarcer = |stage: &Stage| {
            let texts = stage.engine.performance(Kind::Text, stage.now);
            Engine::scarcer(&stage.engine.drawing_performance(stage.now), &texts)
        };
        stage.pop("w", draws(&["model"]), MINUTE);
        assert_eq!(scarcer(&stage), Kind::Text, "nobody writes");
        stage.submit(video(&["video"]));
        stage.submit(video(&["video"]));
        assert_eq!(scarcer(&stage), Kind::Image, "three to two, videos included");
        stage.submit(text_spec(5));
        assert_eq!(scarcer(&stage), Kind::Text);
    }
}
