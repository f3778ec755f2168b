//! Stories of workers and those who own them: who is let in, what becomes of them, what all are told.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{
    Arrival, Asked, Effect, Engine, ModesUpdate, NewMessage, NewUser, PeopleRules, Push, Rules, Step,
    Submission, WorkerUpdate,
    stage::{Stage, image_profile, text_profile, text_spec},
};
use crate::{
    config::ImageModels,
    domain::{
        Error, Kudos, OfferId, RequestId, Result, UserId, WorkerId,
        record::Record,
        request::{Kind, Spec},
        standing::{DROPS_TEXT, MAINTENANCE_TEXT},
        user::{KeyHash, Role},
        words::WordList,
        worker::{AlchemySkills, ImageSkills, Profile, Skills},
    },
};

const HOME: &str = "192.0.2.1";

fn stage() -> Stage {
    let people = PeopleRules {
        profanity: Arc::new(WordList::read("darn*")),
        unsafe_networks: vec!["198.51.100.0/24".parse().unwrap()],
        image_models: ImageModels::Any,
        judges: true,
    };
    Stage::with(Rules { people, ..Rules::default() })
}

fn account(stage: &mut Stage, alias: &str, roles: &[Role], worker_invites: usize) -> UserId {
    let new = NewUser {
        alias: alias.into(),
        key: KeyHash::of(alias),
        kudos: Kudos::whole(1000),
        roles: roles.to_vec(),
        concurrency: 1000,
        worker_invites,
    };
    stage.act(|engine, step| engine.add_user(step, new)).unwrap().id
}

fn pop_from(
    stage: &mut Stage,
    owner: UserId,
    name: &str,
    profile: Profile,
    address: &str,
) -> Result<OfferId> {
    let address: Option<IpAddr> = address.parse().ok();
    let arrival = Arrival { name, name_length: name.chars().count(), address };
    let until = stage.now;
    stage.act(|engine, step| engine.pop(step, owner, arrival, profile, until)).map(|held| held.offer)
}

fn writes(stage: &mut Stage, owner: UserId, name: &str) -> Result<OfferId> {
    pop_from(stage, owner, name, text_profile(1), HOME)
}

fn id(stage: &Stage, name: &str) -> WorkerId {
    stage.engine.worker_by_name(name).expect("there is such a worker").id
}

/// The code of a refusal, as programs read it.
fn told<T>(outcome: Result<T>) -> String {
    match outcome {
        Ok(_) => "in".into(),
        Err(error) => format!("{error:?}").split([' ', '(', '{']).next().unwrap_or_default().to_owned(),
    }
}

fn update(stage: &mut Stage, caller: UserId, worker: WorkerId, update: WorkerUpdate) -> String {
    told(stage.act(|engine, step| engine.update_worker(step, caller, worker, update)))
}

#[test]
fn who_pops_is_judged_in_the_contracts_order() {
    let mut stage = stage();
    let owner = stage.user;
    let other = account(&mut stage, "other", &[], 0);
    let deleted = account(&mut stage, "deleted", &[Role::Deleted, Role::Flagged], 0);
    let flagged = account(&mut stage, "flagged", &[Role::Flagged], 0);
    let trusted = account(&mut stage, "trusted", &[Role::Trusted], 0);
    let vpn = account(&mut stage, "vpn", &[Role::Vpn], 0);
    writes(&mut stage, owner, "writer").unwrap();
    let now = stage.now;
    stage.act(|engine, step| {
        engine
            .time_out(step, "203.0.113.0/24".parse().unwrap(), Some(now.plus(Duration::from_secs(60))))
            .unwrap();
    });
    let unnamed = || Profile { models: vec![], ..text_profile(1) };
    let rude = || Profile { bridge: crate::domain::bridge::Bridge::parse("darned:1:x"), ..text_profile(1) };
    let (hidden, resting) = ("198.51.100.7", "203.0.113.7");
    for (who, name, profile, address, verdict) in [
        (UserId(99), "writer", text_profile(1), HOME, "InvalidApiKey"),
        (deleted, "writer", text_profile(1), HOME, "DeletedUser"),
        (flagged, "writer", text_profile(1), HOME, "WorkerFlagged"),
        (UserId::ANONYMOUS, "writer", image_profile(1), HOME, "AnonForbiddenWorker"),
        (other, "writer", image_profile(1), resting, "PolymorphicNameConflict"),
        (other, "writer", text_profile(1), resting, "TimeoutIp"),
        (other, "writer", text_profile(1), hidden, "UnsafeIp"),
        (other, "darned", text_profile(1), hidden, "UnsafeIp"),
        (other, "darned", rude(), HOME, "ProfaneWorkerName"),
        (other, "new", rude(), HOME, "ProfaneBridgeAgent"),
        (other, "My CoLab 1", text_profile(1), HOME, "BadRequest"),
        (other, "writer", unnamed(), HOME, "WrongCredentials"),
        (other, "new", unnamed(), HOME, "BadRequest"),
        (other, "new", text_profile(1), HOME, "in"),
        (other, "new", rude(), HOME, "in"),
        (trusted, "second", text_profile(1), hidden, "in"),
        (vpn, "third", text_profile(1), hidden, "in"),
        (trusted, "fourth", text_profile(1), resting, "TimeoutIp"),
    ] {
        assert_eq!(told(pop_from(&mut stage, who, name, profile, address)), verdict, "{who} as {name:?}");
    }
    stage.wait(Duration::from_secs(60));
    assert_eq!(told(pop_from(&mut stage, other, "new", text_profile(1), resting)), "in", "it has rested");
}

#[test]
fn nothing_is_asked_for_from_an_address_in_timeout_once_what_comes_before_is_right() {
    let mut stage = stage();
    let until = stage.now.plus(Duration::from_secs(60));
    stage.act(|engine, step| engine.time_out(step, "203.0.113.0/24".parse().unwrap(), Some(until))).unwrap();
    let vet = |stage: &Stage, prompt: &str, address: &str, has_nul: bool| {
        let spec = Spec { prompt: prompt.into(), ..text_spec(1) };
        let asked = Asked { address: address.parse().ok(), has_nul, ..spec.into() };
        told(stage.engine.vet(stage.user, asked, stage.now).map(drop))
    };
    assert_eq!(vet(&stage, "x", "203.0.113.7", true), "TimeoutIp");
    assert_eq!(vet(&stage, "", "203.0.113.7", true), "MissingPrompt");
    assert_eq!(vet(&stage, "x", HOME, true), "NulByte");
    assert_eq!(vet(&stage, "x", HOME, false), "in");
    stage.wait(Duration::from_secs(60));
    assert_eq!(vet(&stage, "x", "203.0.113.7", false), "in", "it has rested");
}

#[test]
fn so_many_workers_are_let_in_and_alchemists_do_not_count() {
    let mut stage = stage();
    let poor = account(&mut stage, "poor", &[], 0);
    let invited = account(&mut stage, "invited", &[], 5);
    let trusted = account(&mut stage, "trusted", &[Role::Trusted], 0);
    let alchemist = || Profile { skills: Skills::Alchemy(AlchemySkills { max_tiles: 4 }), ..text_profile(1) };
    for (owner, most, refusal) in
        [(poor, 4, "TooManyWorkers"), (invited, 6, "TooManyWorkers"), (trusted, 21, "TooManyWorkers")]
    {
        for i in 0..most {
            assert_eq!(told(writes(&mut stage, owner, &format!("{owner} {i}"))), "in");
        }
        assert_eq!(told(writes(&mut stage, owner, &format!("{owner} more"))), refusal);
        assert_eq!(told(writes(&mut stage, owner, &format!("{owner} 0"))), "in", "those that are known");
    }
    let brewer = account(&mut stage, "brewer", &[], 0);
    for i in 0..4 {
        let name = format!("brewer {i}");
        assert_eq!(told(pop_from(&mut stage, brewer, &name, alchemist(), HOME)), "in");
    }
    assert_eq!(
        told(pop_from(&mut stage, brewer, "brewer 4", alchemist(), HOME)),
        "TooManySameIps",
        "behind one address all count"
    );
    assert_eq!(told(pop_from(&mut stage, brewer, "brewer 4", alchemist(), "192.0.2.2")), "in");
    assert_eq!(told(pop_from(&mut stage, brewer, "a writer", text_profile(1), "192.0.2.2")), "in");
}

#[test]
fn models_of_others_and_unknown_ones_are_not_served() {
    let mut stage = stage();
    let common = account(&mut stage, "common", &[], 9);
    let special = account(&mut stage, "special", &[Role::Special], 9);
    let customizer = account(&mut stage, "customizer", &[Role::Customizer], 9);
    let text = |models: &[&str]| Profile {
        models: models.iter().map(|model| Arc::from(*model)).collect(),
        ..text_profile(1)
    };
    let image = |models: &[&str]| Profile {
        models: models.iter().map(|model| Arc::from(*model)).collect(),
        ..image_profile(1)
    };
    let (commons, specials) = (format!("m::common#{common}"), format!("m::special#{special}"));
    for (who, profile, verdict, rule) in [
        (common, text(&["any"]), "in", "texts have any name"),
        (common, text(&[&commons]), "in", "and one's own"),
        (common, text(&["any", &specials]), "BadRequest", "but not another's"),
        (common, image(&[&commons]), "BadRequest", "images of one's own take a special account"),
        (special, image(&[&specials]), "in", "which this is"),
        (special, image(&[&commons]), "BadRequest", "for its own"),
    ] {
        let name = format!("{who} {}", profile.kind().word());
        assert_eq!(told(pop_from(&mut stage, who, &name, profile, HOME)), verdict, "{rule}");
    }
    let people = PeopleRules { image_models: ImageModels::Known, ..PeopleRules::default() };
    let mut strict = Stage::with(Rules { people, ..Rules::default() });
    let _ = customizer;
    let customizer = account(&mut strict, "customizer", &[Role::Customizer], 9);
    let owner = strict.user;
    let refused = pop_from(&mut strict, owner, "artist", image(&["home-made"]), HOME).unwrap_err();
    assert!(refused.to_string().contains("we cannot accept workers serving"), "{refused}");
    assert_eq!(told(pop_from(&mut strict, customizer, "custom", image(&["home-made"]), HOME)), "in");
    assert_eq!(told(pop_from(&mut strict, owner, "writer", text(&["home-made"]), HOME)), "in");
}

#[test]
fn a_worker_is_changed_field_by_field_and_what_came_before_a_refusal_stays() {
    let mut stage = stage();
    let owner = stage.user;
    let other = account(&mut stage, "other", &[], 0);
    let mona = account(&mut stage, "mona", &[Role::Moderator], 0);
    let ada = account(&mut stage, "ada", &[Role::Admin], 0);
    writes(&mut stage, owner, "writer").unwrap();
    writes(&mut stage, other, "others").unwrap();
    let worker = id(&stage, "writer");
    let with = |change: fn(&mut WorkerUpdate)| {
        let mut update = WorkerUpdate::default();
        change(&mut update);
        update
    };
    let anyone = UserId::ANONYMOUS;
    for (who, change, verdict) in [
        (owner, with(|_| {}), "NoWorkerModSelected"),
        (owner, with(|u| u.maintenance_text = Some("text alone".into())), "NoWorkerModSelected"),
        (UserId(99), with(|u| u.maintenance = Some(true)), "InvalidApiKey"),
        (other, with(|u| u.maintenance = Some(true)), "NotOwner"),
        (other, with(|u| u.info = Some("x".into())), "NotOwner"),
        (anyone, with(|u| u.info = Some("x".into())), "NotOwner"),
        (owner, with(|u| u.info = Some("darned".into())), "ProfaneWorkerInfo"),
        (owner, with(|u| u.is_paused = Some(true)), "NotModerator"),
        (other, with(|u| u.name = Some("another".into())), "NotModerator"),
        (owner, with(|u| u.name = Some("darned".into())), "ProfaneWorkerName"),
        (owner, with(|u| u.name = Some("others".into())), "WorkerNameAlreadyExists"),
        (owner, with(|u| u.name = Some("x".repeat(101))), "TooLongWorkerName"),
        (owner, with(|u| u.name = Some("writer".into())), "in"),
        (other, with(|u| u.team = Some(String::new())), "NotModerator"),
        (owner, with(|u| u.team = Some("no-team".into())), "TeamNotFound"),
        (mona, with(|u| u.is_paused = Some(false)), "in"),
        (mona, with(|u| u.info = Some("mona was here".into())), "in"),
        (mona, with(|u| u.team = Some(String::new())), "in"),
        (ada, with(|u| u.is_paused = Some(false)), "in"),
        (ada, with(|u| u.info = Some("so was ada".into())), "in"),
    ] {
        assert_eq!(update(&mut stage, who, worker, change.clone()), verdict, "{who}: {change:?}");
    }
    let all = WorkerUpdate {
        maintenance: Some(true),
        maintenance_text: Some("m".repeat(400)),
        info: Some("mine".into()),
        name: Some("b <b>".into()),
        team: Some("no-team".into()),
        ..WorkerUpdate::default()
    };
    assert_eq!(update(&mut stage, owner, worker, all), "TeamNotFound");
    assert!(stage.engine.worker_by_name("writer").is_none());
    let changed = stage.engine.worker_by_name("b &lt;b&gt;").expect("it has its new name");
    assert_eq!(changed.maintenance.as_deref(), Some("m".repeat(300).as_str()));
    assert_eq!(changed.standing.info.as_deref(), Some("mine"));
    assert_eq!(update(&mut stage, owner, worker, with(|u| u.maintenance = Some(true))), "in");
    let told = stage.engine.worker(worker).and_then(|worker| worker.maintenance.clone());
    assert_eq!(told.as_deref(), Some(MAINTENANCE_TEXT));
    assert!(MAINTENANCE_TEXT.contains("maintenance mode") && DROPS_TEXT.contains("maintenance mode"));
}

#[test]
fn a_worker_in_maintenance_gets_what_waits_once_it_is_out_of_it() {
    let mut stage = stage();
    let owner = stage.user;
    let other = account(&mut stage, "other", &[], 0);
    stage.stream("writer", text_profile(1), 1, &[]);
    let worker = id(&stage, "writer");
    let switch = |on| WorkerUpdate { maintenance: Some(on), ..WorkerUpdate::default() };
    assert_eq!(update(&mut stage, owner, worker, switch(true)), "in");
    stage.user = other;
    stage.submit(text_spec(1));
    assert!(stage.granted().is_empty());
    assert_eq!(update(&mut stage, owner, worker, switch(false)), "in");
    assert_eq!(stage.granted().len(), 1);
}

#[test]
fn a_worker_is_deleted_with_its_streams_but_not_while_it_holds_a_job() {
    let mut stage = stage();
    let owner = stage.user;
    let other = account(&mut stage, "other", &[], 0);
    let stream = stage.stream("writer", text_profile(1), 1, &[]);
    let worker = id(&stage, "writer");
    stage.submit(text_spec(1));
    let attempt = stage.granted()[0];
    let delete =
        |stage: &mut Stage, who| told(stage.act(|engine, step| engine.delete_worker(step, who, worker)));
    assert_eq!(delete(&mut stage, UserId::ANONYMOUS), "AnonForbiddenWorker");
    assert_eq!(delete(&mut stage, other), "NotModerator");
    let ada = account(&mut stage, "ada", &[Role::Admin], 0);
    assert_eq!(delete(&mut stage, owner), "WorkerLocked");
    assert_eq!(delete(&mut stage, ada), "WorkerLocked", "who keeps order may, if it can be");
    stage.deliver(attempt).unwrap();
    assert_eq!(delete(&mut stage, owner), "in");
    assert_eq!(delete(&mut stage, owner), "WorkerNotFound");
    let is_dismissed = |effect: &Effect| matches!(effect, Effect::Deliver { offer, push: Push::Dismissed } if *offer == stream);
    assert!(stage.log.iter().any(is_dismissed));
    assert_eq!(stage.engine.open_offers(), 0);
    assert!(stage.records().any(|record| matches!(record, Record::WorkerDropped(gone) if *gone == worker)));
    writes(&mut stage, other, "writer").expect("its name is free");
}

/// Hands in jobs that take so long each, and drops as many as asked for in between.
fn works(stage: &mut Stage, owner: UserId, name: &str, drops: usize) {
    for _ in 0..drops {
        stage.submit(text_spec(1));
        writes(stage, owner, name).unwrap();
        for attempt in stage.granted() {
            stage.act(|engine, step| engine.settle(step, owner, attempt, Submission::Faulted)).unwrap();
        }
    }
}

#[test]
fn too_many_drops_within_an_hour_put_a_worker_into_maintenance() {
    let mut stage = stage();
    let owner = stage.user;
    writes(&mut stage, owner, "dropper").unwrap();
    let worker = id(&stage, "dropper");
    works(&mut stage, owner, "dropper", 15);
    stage.wait(Duration::from_secs(3700));
    works(&mut stage, owner, "dropper", 20);
    assert_eq!(stage.engine.worker(worker).unwrap().maintenance, None, "20 in an hour are let pass");
    works(&mut stage, owner, "dropper", 1);
    let dropper = stage.engine.worker(worker).unwrap();
    assert_eq!(dropper.maintenance.as_deref(), Some(DROPS_TEXT));
    assert_eq!(dropper.standing.suspicion.points(), 1);
    assert!(!dropper.standing.is_paused);
}

#[test]
fn a_raid_makes_drops_suspect_sooner_and_puts_nobody_into_maintenance() {
    let mut stage = stage();
    let owner = stage.user;
    let admin = account(&mut stage, "admin", &[Role::Admin], 0);
    let raid = ModesUpdate { raid: Some(true), ..ModesUpdate::default() };
    stage.act(|engine, step| engine.update_modes(step, admin, raid)).unwrap();
    writes(&mut stage, owner, "dropper").unwrap();
    let worker = id(&stage, "dropper");
    for points in 1..=4 {
        works(&mut stage, owner, "dropper", 11);
        let dropper = stage.engine.worker(worker).unwrap();
        assert_eq!((dropper.standing.suspicion.points(), &dropper.maintenance), (points, &None));
    }
    works(&mut stage, owner, "dropper", 10);
    assert!(!stage.engine.worker(worker).unwrap().standing.is_paused);
    works(&mut stage, owner, "dropper", 1);
    assert!(stage.engine.worker(worker).unwrap().standing.is_paused, "at five points");
    stage.user = admin;
    let theirs = stage.submit(text_spec(1));
    stage.user = owner;
    let pops = |stage: &mut Stage| -> Vec<RequestId> {
        writes(stage, owner, "dropper").unwrap();
        stage.grants().iter().map(|(_, grant)| grant.request).collect()
    };
    let own: Vec<_> = (0..100).flat_map(|_| pops(&mut stage)).collect();
    let real = own.iter().filter(|id| **id != theirs).count();
    assert_eq!(own.len() - real, 1, "who is paused gets its owner's, and is shown what is others'");
    assert_eq!(own.last(), Some(&theirs));
    stage.act(|engine, step| engine.clear_suspicion(step, owner));
    let dropper = stage.engine.worker(worker).unwrap();
    assert_eq!((dropper.standing.is_paused, dropper.standing.suspicion.points()), (false, 0));
    assert_eq!(pops(&mut stage), [theirs]);
}

#[test]
fn unbelievable_speed_pauses_workers_unless_their_owner_is_trusted() {
    for (roles, is_paused) in [(&[][..], true), (&[Role::Trusted][..], false)] {
        let mut stage = stage();
        let owner = account(&mut stage, "quick", roles, 0);
        stage.user = owner;
        for i in 0..5 {
            stage.submit(text_spec(1));
            writes(&mut stage, owner, "quick one").unwrap();
            let standing = &stage.engine.worker_by_name("quick one").unwrap().standing;
            assert_eq!((standing.suspicion.points(), standing.is_paused), (i, false));
            // 20 tokens at least, at once.
            let attempt = stage.granted()[0];
            stage.deliver(attempt).unwrap();
        }
        let standing = &stage.engine.worker_by_name("quick one").unwrap().standing;
        assert_eq!((standing.suspicion.points(), standing.is_paused), (5, is_paused), "{roles:?}");
    }
    let mut stage = stage();
    let owner = stage.user;
    stage.submit(text_spec(1));
    writes(&mut stage, owner, "steady").unwrap();
    let attempt = stage.granted()[0];
    stage.now = stage.now.plus(Duration::from_secs(1));
    stage.deliver(attempt).unwrap();
    assert_eq!(stage.engine.worker_by_name("steady").unwrap().standing.suspicion.points(), 0, "20 a second");
}

#[test]
fn long_names_and_huge_images_are_suspect_once() {
    let mut stage = stage();
    let poor = account(&mut stage, "poor", &[], 0);
    let trusted = account(&mut stage, "trusted", &[Role::Trusted], 0);
    let profile = || {
        let profile = image_profile(1);
        let Some(skills) = profile.skills.image().cloned() else { panic!("it draws") };
        Profile { skills: Skills::Image(ImageSkills { max_pixels: 3072 * 3072 + 1, ..skills }), ..profile }
    };
    for (owner, length, points) in [(poor, 100, 1), (poor, 101, 2), (poor, 201, 3), (trusted, 201, 2)] {
        let name = format!("{owner} {length}");
        for _ in 0..3 {
            let arrival = Arrival { name: &name, name_length: length, address: None };
            let until = stage.now;
            stage.act(|engine, step| engine.pop(step, owner, arrival, profile(), until)).unwrap();
        }
        let standing = &stage.engine.worker_by_name(&name).unwrap().standing;
        assert_eq!(standing.suspicion.points(), points, "{length} letters of {owner}'s");
    }
}

#[test]
fn a_raid_lets_the_unsafe_in_and_marks_them() {
    let mut stage = stage();
    let owner = stage.user;
    let admin = account(&mut stage, "admin", &[Role::Admin], 0);
    let raid = ModesUpdate { raid: Some(true), ..ModesUpdate::default() };
    stage.act(|engine, step| engine.update_modes(step, admin, raid)).unwrap();
    pop_from(&mut stage, owner, "hidden", text_profile(1), "198.51.100.7").unwrap();
    let standing = &stage.engine.worker_by_name("hidden").unwrap().standing;
    assert_eq!(standing.suspicion.points(), 1);
    assert_eq!(standing.address, "198.51.100.7".parse().ok());
}

#[test]
fn time_is_counted_while_a_worker_may_work() {
    let mut stage = stage();
    let owner = stage.user;
    let uptime = |stage: &mut Stage, wait: u64| {
        stage.wait(Duration::from_secs(wait));
        writes(stage, owner, "writer").unwrap();
        stage.engine.worker_by_name("writer").unwrap().stats.uptime_seconds
    };
    assert_eq!(uptime(&mut stage, 0), 0);
    for (wait, total, rule) in [
        (20, 20, "from one pop to the next"),
        (20, 40, "and on"),
        (300, 340, "as long as it is online"),
        (301, 340, "not longer: it begins anew"),
        (60, 400, "from then on"),
    ] {
        assert_eq!(uptime(&mut stage, wait), total, "{rule}");
    }
    let worker = id(&stage, "writer");
    let paused = |on| WorkerUpdate { is_paused: Some(on), ..WorkerUpdate::default() };
    let mona = account(&mut stage, "mona", &[Role::Moderator], 0);
    update(&mut stage, mona, worker, paused(true));
    assert_eq!(uptime(&mut stage, 60), 400, "paused");
    update(&mut stage, mona, worker, paused(false));
    assert_eq!(uptime(&mut stage, 60), 460);
    let resting = WorkerUpdate { maintenance: Some(true), ..WorkerUpdate::default() };
    update(&mut stage, owner, worker, resting);
    stage.wait(Duration::from_secs(60));
    assert_eq!(told(writes(&mut stage, owner, "writer")), "WorkerMaintenance");
    assert_eq!(stage.engine.worker(worker).unwrap().stats.uptime_seconds, 460, "in maintenance");
}

#[test]
fn a_worker_on_a_quiet_stream_gathers_time_too() {
    let mut stage = stage();
    stage.stream("writer", text_profile(1), 1, &[]);
    for _ in 0..20 {
        stage.now = stage.now.plus(Duration::from_secs(60));
        stage.act(Engine::tick);
    }
    // It is looked at once there is enough to pay for, and when others look.
    let counted = stage.engine.worker_by_name("writer").unwrap().stats.uptime_seconds;
    assert!((600..=1200).contains(&counted), "{counted} s are counted");
    let written: i64 = stage
        .records()
        .filter_map(|record| match record {
            Record::WorkerCounted { change, .. } => Some(change.uptime_seconds),
            _ => None,
        })
        .sum();
    assert_eq!(written, counted, "all of it is on disk once it is paid for");
}

#[test]
fn modes_are_for_those_who_may_and_maintenance_stops_what_waits() {
    let mut stage = stage();
    let owner = stage.user;
    let admin = account(&mut stage, "admin", &[Role::Admin], 0);
    let mona = account(&mut stage, "mona", &[Role::Moderator], 0);
    let (on, none) = (Some(true), ModesUpdate::default());
    let maintenance = ModesUpdate { maintenance: on, ..none };
    let rest = ModesUpdate { invite_only: on, raid: on, ..none };
    for (who, wanted, verdict) in [
        (owner, maintenance, "NotAdmin"),
        (mona, ModesUpdate { raid: on, ..maintenance }, "NotAdmin"),
        (owner, rest, "NotModerator"),
        (mona, none, "NoHordeModSelected"),
        (UserId(99), rest, "InvalidApiKey"),
        (mona, rest, "in"),
    ] {
        let outcome = stage.act(|engine, step| engine.update_modes(step, who, wanted));
        assert_eq!(told(outcome), verdict, "{who}: {wanted:?}");
    }
    assert_eq!(told(writes(&mut stage, mona, "another")), "WorkerInviteOnly");
    stage.stream("writer", text_profile(1), 1, &[]);
    let request = stage.submit(text_spec(3));
    let attempt = stage.granted()[0];
    let idle = stage.submit(text_spec(1));
    stage.act(|engine, step| engine.update_modes(step, admin, maintenance)).unwrap();
    assert!(matches!(stage.engine.refuse_in_maintenance(), Err(Error::MaintenanceMode)));
    assert_eq!(stage.engine.depth(Kind::Text), (0, 1), "what a worker holds goes on");
    assert!(stage.engine.view(idle, stage.now).unwrap().done);
    let is_cancel = |effect: &Effect| matches!(effect, Effect::Deliver { push: Push::Cancel { .. }, .. });
    assert!(!stage.log.iter().any(is_cancel), "nobody is told to stop");
    stage.deliver(attempt).unwrap();
    let view = stage.engine.view(request, stage.now).unwrap();
    assert_eq!((view.finished, view.waiting, view.done), (1, 0, true));
    let off = ModesUpdate { maintenance: Some(false), ..none };
    stage.act(|engine, step| engine.update_modes(step, admin, off)).unwrap();
    assert!(stage.engine.refuse_in_maintenance().is_ok());
}

#[test]
fn messages_reach_those_they_are_for_until_their_time_is_over() {
    let mut stage = stage();
    let owner = stage.user;
    let stream = stage.stream("writer", text_profile(1), 1, &[]);
    writes(&mut stage, owner, "reader").unwrap();
    let alchemist = Profile { skills: Skills::Alchemy(AlchemySkills { max_tiles: 4 }), ..text_profile(1) };
    pop_from(&mut stage, owner, "brewer", alchemist, HOME).unwrap();
    let new = |worker, lasts| NewMessage {
        worker,
        author: owner,
        origin: "someone#1".into(),
        message: "update, please".into(),
        lasts: Duration::from_secs(lasts),
    };
    let reader = id(&stage, "reader");
    let post = |stage: &mut Stage, new| {
        stage.act(|engine: &mut Engine, step: &mut Step<'_>| engine.post_message(step, new))
    };
    let all = post(&mut stage, new(None, 100)).unwrap();
    let one = post(&mut stage, new(Some(reader), 50)).unwrap();
    assert_eq!(told(post(&mut stage, new(Some(WorkerId(uuid::Uuid::nil())), 1))), "WorkerNotFound");
    let empty = NewMessage { message: String::new(), ..new(None, 1) };
    assert_eq!(told(post(&mut stage, empty)), "BadRequest");
    let notes: Vec<_> = stage
        .log
        .iter()
        .filter_map(|effect| match effect {
            Effect::Deliver { offer, push: Push::Note(note) } => Some((*offer, note.id)),
            _ => None,
        })
        .collect();
    assert_eq!(notes, [(stream, all.id)], "streams are told at once");
    let shown = |stage: &Stage, name: &str| {
        let messages = stage.engine.messages_for(id(stage, name), stage.now);
        messages.iter().map(|message| message.id).collect::<Vec<_>>()
    };
    assert_eq!(shown(&stage, "reader"), [all.id, one.id]);
    assert_eq!(shown(&stage, "writer"), [all.id]);
    assert_eq!(shown(&stage, "brewer"), [], "alchemists get none");
    stage.now = stage.now.plus(Duration::from_secs(50));
    assert_eq!(shown(&stage, "reader"), [all.id]);
    stage.act(Engine::tick);
    assert_eq!(stage.engine.messages().count(), 1, "what is over is taken down");
    assert!(stage.act(|engine, step| engine.withdraw_message(step, all.id)));
    assert!(!stage.act(|engine, step| engine.withdraw_message(step, all.id)));
    assert_eq!(shown(&stage, "writer"), []);
}
