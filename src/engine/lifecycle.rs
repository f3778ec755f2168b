//! Short stories of how requests stand and end, by the numbers of the contract.

use std::time::Duration;

use super::{
    Engine, View,
    stage::{Stage, image_profile, image_spec, text_profile, text_spec},
};
use crate::domain::{
    RequestId,
    record::Record,
    request::{Params, Spec},
    worker::{Profile, Skills},
};

const MINUTE: Duration = Duration::from_secs(60);

fn view(stage: &Stage, id: RequestId) -> View {
    Engine::view(&stage.engine, id, stage.now).expect("it is known")
}

/// Fails a held attempt.
fn fail(stage: &mut Stage, id: crate::domain::AttemptId) {
    let owner = stage.user;
    stage.act(|engine, step| engine.settle(step, owner, id, super::Submission::Faulted)).unwrap();
}

#[test]
fn three_faults_end_a_request_though_another_job_of_it_is_held() {
    let mut stage = Stage::new();
    let id = stage.submit(text_spec(2));
    stage.pop("steady", text_profile(1), Duration::ZERO);
    let held = stage.granted()[0];
    for faults in 1..=3 {
        stage.pop("clumsy", text_profile(1), Duration::ZERO);
        let attempt = stage.granted()[0];
        fail(&mut stage, attempt);
        assert_eq!(view(&stage, id).restarted, faults);
        assert_eq!(view(&stage, id).waiting, usize::from(faults < 3), "the slot comes back until then");
    }
    let failed = view(&stage, id);
    assert_eq!((failed.faulted, failed.done, failed.processing), (true, true, 1));
    assert_eq!((failed.is_possible, failed.wait_seconds, failed.position), (false, 0, 0));
    stage.deliver(held).unwrap();
    assert_eq!(view(&stage, id).finished, 1, "what was held may still come, and is paid");
}

#[test]
fn what_is_done_is_possible_though_its_worker_has_left() {
    let mut stage = Stage::new();
    let id = stage.submit(text_spec(1));
    assert!(!view(&stage, id).is_possible, "nobody is there");
    stage.pop("writer", text_profile(1), Duration::ZERO);
    assert!(view(&stage, id).is_possible, "it is being worked on");
    let held = stage.granted()[0];
    stage.deliver(held).unwrap();
    stage.wait(MINUTE * 10);
    assert!(view(&stage, id).is_possible);
}

#[test]
fn a_cancelled_request_is_done_once_nothing_of_it_is_open() {
    let mut stage = Stage::new();
    let id = stage.submit(text_spec(3));
    stage.pop("writer", text_profile(1), Duration::ZERO);
    let held = stage.granted()[0];
    stage.act(|engine, step| engine.cancel(step, id));
    let open = view(&stage, id);
    assert_eq!((open.done, open.waiting, open.processing), (false, 0, 1));
    stage.deliver(held).unwrap();
    let done = view(&stage, id);
    assert_eq!((done.done, done.finished, done.faulted), (true, 1, false));
}

/// The latest expiry that Records were told of a request.
fn expiry(stage: &Stage, id: RequestId) -> i64 {
    let told = stage.records().filter_map(|record| match record {
        Record::RequestAccepted { request, expires_at, .. } if request.id == id => Some(expires_at.0),
        Record::RequestMoved { request, expires_at, .. } if *request == id => Some(expires_at.0),
        _ => None,
    });
    told.max().unwrap()
}

#[test]
fn a_request_is_kept_for_twenty_minutes_from_each_touch_and_an_hour_from_an_extra_slow_one() {
    let extra_slow = |profile: Profile| match profile.skills {
        Skills::Image(skills) => Profile {
            skills: Skills::Image(crate::domain::worker::ImageSkills { extra_slow: true, ..skills }),
            ..profile
        },
        _ => unreachable!("it draws"),
    };
    for is_slow in [false, true] {
        let mut stage = Stage::new();
        let mut spec: Spec = image_spec(1);
        if let Params::Image(image) = &mut spec.params {
            image.extra_slow_workers = true;
        }
        let id = stage.submit(spec);
        assert_eq!(expiry(&stage, id) - stage.now.0, 20 * 60_000);
        stage.wait(MINUTE);
        let profile = if is_slow { extra_slow(image_profile(1)) } else { image_profile(1) };
        stage.pop("artist", profile, Duration::ZERO);
        assert_eq!(expiry(&stage, id) - stage.now.0, if is_slow { 60 } else { 20 } * 60_000);
        stage.wait(MINUTE);
        let held = stage.granted()[0];
        stage.deliver(held).unwrap();
        assert_eq!(expiry(&stage, id) - stage.now.0, if is_slow { 59 } else { 20 } * 60_000, "never lowered");
    }
}

#[test]
fn waits_are_counted_in_tokens_and_in_millions_of_pixel_steps() {
    let mut stage = Stage::new();
    let text = stage.submit(text_spec(2));
    let image = stage.submit(image_spec(2));
    let later = stage.submit(text_spec(1));
    // Nobody works: one token, or a million pixel-steps, each second.
    assert_eq!((view(&stage, text).wait_seconds, view(&stage, text).position), (160, 1));
    assert_eq!((view(&stage, later).wait_seconds, view(&stage, later).position), (240, 2));
    assert_eq!(view(&stage, image).wait_seconds, 16, "2 × 512² × 30 pixel-steps");
}
