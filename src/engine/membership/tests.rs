//! Who may change what, and what comes of it.

use super::*;
use crate::{
    domain::{
        board::{Board, Modes},
        shared_key::SharedKey,
        words::WordList,
    },
    engine::{
        Effect, PeopleRules, Push, Rules,
        stage::{Stage, text_profile, text_spec},
    },
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The return code, as far as a test tells them apart.
fn told<T>(outcome: Result<T>) -> String {
    match outcome {
        Ok(_) => "done".into(),
        Err(Error::Account(rule)) => format!("{rule:?}"),
        Err(error) => format!("{error:?}").split([' ', '(', '{']).next().unwrap_or_default().to_owned(),
    }
}

/// A stage on which one word is not wanted.
fn strict() -> Stage {
    let people = PeopleRules { profanity: WordList::read("bad").into(), ..PeopleRules::default() };
    Stage::with(Rules { people, ..Rules::default() })
}

fn add(stage: &mut Stage, alias: &str, roles: &[Role]) -> UserId {
    let new = NewUser {
        alias: alias.into(),
        key: KeyHash::of(alias),
        kudos: Kudos::whole(100),
        roles: roles.to_vec(),
        concurrency: 30,
        worker_invites: 0,
    };
    stage.act(|engine, step| engine.add_user(step, new)).unwrap().id
}

fn set(roles: &[(Role, bool)]) -> UserUpdate {
    UserUpdate { roles: roles.iter().copied().collect(), ..UserUpdate::default() }
}

fn text(text: &str) -> Option<String> {
    Some(text.into())
}

#[test]
fn each_field_has_those_who_may_set_it_and_nobody_else() {
    let person = |id, roles: &[Role]| User { id: UserId(id), roles: roles.to_vec(), ..User::anonymous() };
    let target = person(7, &[Role::Deleted]);
    let people = [
        ("anonymous", person(0, &[])),
        ("stranger", person(8, &[Role::Trusted, Role::Service])),
        ("owner", person(7, &[Role::Deleted])),
        ("serving owner", person(7, &[Role::Service])),
        ("moderator", person(9, &[Role::Moderator])),
        ("serving moderator", person(9, &[Role::Moderator, Role::Service])),
        ("admin", person(10, &[Role::Admin])),
    ];
    let none = UserUpdate::default;
    let (admins, moderators) = (&["admin"][..], &["moderator", "serving moderator", "admin"][..]);
    let owners = &["owner", "serving owner", "moderator", "serving moderator", "admin"][..];
    let services = &["serving owner", "serving moderator"][..];
    for (field, update, may, refusals) in [
        ("kudos", UserUpdate { kudos: Some(1), ..none() }, admins, &["NotAdmin"][..]),
        ("monthly_kudos", UserUpdate { monthly_kudos: Some(1), ..none() }, admins, &["NotAdmin"]),
        ("usage_multiplier", UserUpdate { usage_multiplier: Some(2.0), ..none() }, admins, &["NotAdmin"]),
        ("moderator", set(&[(Role::Moderator, true)]), admins, &["NotAdmin"]),
        ("concurrency", UserUpdate { concurrency: Some(1), ..none() }, moderators, &["NotModerator"]),
        ("worker_invited", UserUpdate { worker_invites: Some(1), ..none() }, moderators, &["NotModerator"]),
        ("trusted", set(&[(Role::Trusted, true)]), moderators, &["NotModerator"]),
        ("flagged", set(&[(Role::Flagged, false)]), moderators, &["NotModerator"]),
        ("customizer", set(&[(Role::Customizer, true)]), moderators, &["NotModerator"]),
        ("vpn", set(&[(Role::Vpn, true)]), moderators, &["NotModerator"]),
        ("service", set(&[(Role::Service, true)]), moderators, &["NotModerator"]),
        ("education", set(&[(Role::Education, true)]), moderators, &["NotModerator"]),
        ("special", set(&[(Role::Special, true)]), moderators, &["NotModerator"]),
        ("reset_suspicion", UserUpdate { resets_suspicion: true, ..none() }, moderators, &["NotModerator"]),
        (
            "admin_comment",
            UserUpdate { admin_comment: text("looked into"), ..none() },
            moderators,
            &["AnonymousSaysNothing", "NotModerator"],
        ),
        (
            "public_workers",
            UserUpdate { public_workers: Some(true), ..none() },
            owners,
            &["AnonymousSaysNothing", "NotModerator"],
        ),
        (
            "username",
            UserUpdate { alias: text("me"), ..none() },
            owners,
            &["AnonymousSaysNothing", "NotModerator"],
        ),
        (
            "contact",
            UserUpdate { contact: text("me@here"), ..none() },
            owners,
            &["AnonymousSaysNothing", "NotModerator"],
        ),
        (
            "generate_proxy_passkey",
            UserUpdate { passkey: text("secret"), ..none() },
            services,
            &["NotModerator", "NoService"],
        ),
        ("undelete", UserUpdate { undeletes: true, ..none() }, owners, &["NotModerator"]),
    ] {
        let profanity = WordList::built_in();
        let outcomes: Vec<_> = people
            .iter()
            .map(|(name, caller)| (*name, told(judge(caller, &target, &update, &profanity))))
            .collect();
        let let_in: Vec<_> =
            outcomes.iter().filter(|(_, outcome)| outcome == "done").map(|(name, _)| *name).collect();
        assert_eq!(let_in, may, "{field}");
        let others = outcomes.iter().filter(|(_, outcome)| outcome != "done");
        let mut told: Vec<_> = others.map(|(_, outcome)| outcome.as_str()).collect();
        told.dedup();
        told.sort_unstable();
        told.dedup();
        let mut expected = refusals.to_vec();
        expected.sort_unstable();
        assert_eq!(told, expected, "{field}");
    }
}

#[test]
fn what_is_said_of_an_account_is_judged_and_a_refusal_leaves_all_as_it_was() {
    let mut stage = strict();
    let (admin, owner) = (add(&mut stage, "admin", &[Role::Admin]), stage.user);
    let before = stage.engine.user(owner).unwrap().clone();
    let written = stage.log.len();
    let none = UserUpdate::default;
    for (caller, update, refusal) in [
        (owner, none(), "NothingSelected"),
        (owner, UserUpdate { alias: text("a bad one"), ..none() }, "ProfaneName"),
        (owner, UserUpdate { alias: text(&"x".repeat(31)), ..none() }, "LongName"),
        (owner, UserUpdate { alias: text("a#1"), ..none() }, "BadRequest"),
        (owner, UserUpdate { alias: text("   "), ..none() }, "BadRequest"),
        (owner, UserUpdate { contact: text("a bad one"), ..none() }, "ProfaneContact"),
        (owner, UserUpdate { undeletes: true, ..none() }, "NotDeleted"),
        (admin, UserUpdate { admin_comment: text("a bad one"), ..none() }, "ProfaneComment"),
        // What comes first would have been done by itself.
        (admin, UserUpdate { kudos: Some(5), undeletes: true, ..none() }, "NotDeleted"),
        (admin, UserUpdate { kudos: Some(5), monthly_kudos: Some(i64::MAX), ..none() }, "BadRequest"),
        (owner, UserUpdate { contact: text("me@here"), concurrency: Some(9), ..none() }, "NotModerator"),
    ] {
        let outcome = stage.act(|engine, step| engine.update_user(step, caller, owner, update.clone()));
        assert_eq!(told(outcome), refusal, "{update:?}");
    }
    assert_eq!((stage.engine.user(owner).unwrap(), stage.log.len()), (&before, written));
    for (caller, id, refusal) in [(owner, UserId(99), "UserNotFound"), (UserId(99), owner, "InvalidApiKey")] {
        let update = UserUpdate { contact: text("me@here"), ..none() };
        assert_eq!(told(stage.act(|engine, step| engine.update_user(step, caller, id, update))), refusal);
    }
}

#[test]
fn all_that_changes_is_one_record_and_the_answer_says_what() {
    let mut stage = Stage::new();
    let (admin, owner) = (add(&mut stage, "admin", &[Role::Admin, Role::Service]), stage.user);
    stage.log.clear();
    let update = UserUpdate {
        usage_multiplier: Some(0.5),
        concurrency: Some(7),
        worker_invites: Some(2),
        roles: [(Role::Moderator, true), (Role::Vpn, false)].into(),
        admin_comment: text("<b>fine</b> & <i>well"),
        public_workers: Some(true),
        alias: text(" New Name "),
        contact: text("me & mine"),
        passkey: text("a-passkey"),
        ..UserUpdate::default()
    };
    let done = stage.act(|engine, step| engine.update_user(step, admin, owner, update)).unwrap();
    let amended = stage.records().filter(|record| matches!(record, Record::UserAmended { .. })).count();
    assert_eq!(amended, 1);
    assert_eq!(
        (done.alias.as_deref(), done.contact.as_deref(), done.admin_comment.as_deref()),
        (Some("New Name"), Some("me &amp; mine"), Some("<b>fine</b> &amp; &lt;i&gt;well"))
    );
    assert_eq!(done.roles, [(Role::Moderator, true), (Role::Vpn, false)].into());
    let user = stage.engine.user(owner).unwrap();
    assert!(user.roles.contains(&Role::Trusted), "moderators are trusted");
    assert_eq!((user.username(), user.concurrency, user.worker_invites), ("New Name#1".into(), 7, 2));
    assert!(stage.engine.is_passkey(&KeyHash::of("a-passkey")));
    let another = UserUpdate { passkey: text("another"), ..UserUpdate::default() };
    stage.act(|engine, step| engine.update_user(step, admin, owner, another)).unwrap();
    let is_passkey = |stage: &Stage, text: &str| stage.engine.is_passkey(&KeyHash::of(text));
    assert_eq!((is_passkey(&stage, "a-passkey"), is_passkey(&stage, "another")), (false, true));
    stage.act(|engine, step| engine.update_user(step, admin, owner, set(&[(Role::Flagged, true)]))).unwrap();
    assert!(!is_passkey(&stage, "another"), "whoever is flagged speaks for nobody");
}

#[test]
fn kudos_are_granted_and_taken_down_to_the_floor_in_books_that_add_up() {
    let mut stage = Stage::new();
    let (admin, poor) = (add(&mut stage, "admin", &[Role::Admin]), add(&mut stage, "poor", &[]));
    for (kudos, balance, rule) in [
        (50, 150, "granted"),
        (-100, 50, "taken"),
        (-100, 25, "down to the floor"),
        (-1, 25, "and no further"),
        (0, 25, "nothing"),
    ] {
        let update = UserUpdate { kudos: Some(kudos), ..UserUpdate::default() };
        let done = stage.act(|engine, step| engine.update_user(step, admin, poor, update)).unwrap();
        assert_eq!(done.kudos, Some(Kudos::whole(balance)), "{rule}");
    }
    let user = stage.engine.user(poor).unwrap();
    assert_eq!(
        user.stats.granted,
        Kudos::whole(-51),
        "the opening is among it, and what was forgiven is not"
    );
    let posted = stage.records().filter_map(|record| match record {
        Record::Posted(posting) if posting.from == poor.into() => Some(-posting.amount),
        Record::Posted(posting) if posting.to == poor.into() => Some(posting.amount),
        _ => None,
    });
    assert_eq!(posted.sum::<Kudos>(), user.balance);
}

#[test]
fn education_moves_concurrency_unless_that_is_given_too() {
    for (before, is_given, wish, after, rule) in [
        (30, true, None, 200, "up"),
        (300, true, None, 300, "not down"),
        (200, false, None, 30, "back"),
        (100, false, None, 100, "what is somebody's own stays"),
        (30, true, Some(40), 40, "what is asked for counts"),
        (200, false, Some(199), 199, "here, too"),
    ] {
        let mut stage = Stage::new();
        let (mona, pupil) = (add(&mut stage, "mona", &[Role::Moderator]), add(&mut stage, "pupil", &[]));
        let first = UserUpdate { concurrency: Some(before), ..UserUpdate::default() };
        stage.act(|engine, step| engine.update_user(step, mona, pupil, first)).unwrap();
        let update = UserUpdate { concurrency: wish, ..set(&[(Role::Education, is_given)]) };
        let done = stage.act(|engine, step| engine.update_user(step, mona, pupil, update)).unwrap();
        assert_eq!(stage.engine.user(pupil).unwrap().concurrency, after, "{rule}");
        assert_eq!(done.concurrency, (after != before || wish.is_some()).then_some(after), "{rule}");
    }
}

#[test]
fn the_anonymous_account_has_no_role_whoever_gives_it() {
    let mut stage = Stage::new();
    let mona = add(&mut stage, "mona", &[Role::Moderator]);
    let update = set(&[(Role::Trusted, true), (Role::Education, true)]);
    let done = stage.act(|engine, step| engine.update_user(step, mona, UserId::ANONYMOUS, update)).unwrap();
    assert_eq!(done.roles, [(Role::Trusted, false), (Role::Education, false)].into());
    stage.act(|engine, step| engine.delete_user(step, mona, UserId::ANONYMOUS)).unwrap();
    let anonymous = stage.engine.user(UserId::ANONYMOUS).unwrap();
    assert_eq!((anonymous.roles.len(), anonymous.concurrency), (0, 500));
}

#[test]
fn trust_and_a_reset_clear_suspicion_of_the_account_and_its_workers() {
    for update in
        [set(&[(Role::Trusted, true)]), UserUpdate { resets_suspicion: true, ..UserUpdate::default() }]
    {
        let mut stage = Stage::new();
        let (mona, owner) = (add(&mut stage, "mona", &[Role::Moderator]), stage.user);
        stage.pop("writer", text_profile(1), Duration::ZERO);
        let worker = stage.engine.workers_of(owner)[0];
        stage.act(|engine, step| {
            engine.rule(
                step,
                worker,
                crate::domain::standing::Ruling { is_paused: Some(true), ..Default::default() },
            );
            engine.suspect(step, owner);
        });
        let resets = update.resets_suspicion;
        let done = stage.act(|engine, step| engine.update_user(step, mona, owner, update)).unwrap();
        assert!(!stage.engine.worker(worker).unwrap().standing.is_paused);
        let left = stage.engine.user(owner).unwrap().stats.suspicion;
        assert_eq!((left, done.suspicion), if resets { (0, Some(0)) } else { (1, None) });
    }
}

#[test]
fn streams_of_who_may_not_work_any_more_end() {
    for roles in [[(Role::Flagged, true)], [(Role::Deleted, true)]] {
        let mut stage = Stage::new();
        let owner = stage.user;
        let stream = stage.stream("writer", text_profile(1), 1, &[]);
        stage.log.clear();
        // Said elsewhere, and heard of here.
        let mut user = stage.engine.user(owner).unwrap().clone();
        Amendment { roles: roles.into(), ..Amendment::default() }.apply(&mut user);
        stage.act(|engine, step| engine.learn_changed(step, vec![user], Vec::new()));
        let is_end = |effect: &Effect| matches!(effect, Effect::Deliver { offer, push: Push::Dismissed } if *offer == stream);
        assert!(stage.log.iter().any(is_end), "{roles:?}");
    }
}

#[test]
fn a_new_account_is_a_pseudonym_with_the_contracts_defaults() {
    let mut stage = strict();
    let register = |stage: &mut Stage, alias: &str| {
        let new = Registration { alias: alias.into(), key: KeyHash::of(alias), address: None };
        stage.act(|engine, step| engine.register(step, new))
    };
    let eve = register(&mut stage, " Eve ").unwrap();
    assert_eq!((eve.alias.as_str(), eve.floor(), eve.balance), ("Eve", Kudos::whole(14), Kudos::ZERO));
    assert_eq!((eve.concurrency, eve.worker_invites, eve.roles.len()), (30, 0, 0));
    assert_eq!((eve.about.active_at, eve.about.public_workers), (stage.now, false));
    let long = register(&mut stage, &"é".repeat(31)).unwrap();
    let suspicion = |stage: &Stage, id| stage.engine.user(id).unwrap().stats.suspicion;
    assert_eq!((long.alias, suspicion(&stage, long.id), suspicion(&stage, eve.id)), ("é".repeat(30), 1, 0));
    for (alias, refusal) in
        [("a#b", "BadRequest"), ("\0 ", "BadRequest"), ("a b4d one", "ProfaneName"), (" Eve ", "KeyExists")]
    {
        assert_eq!(told(register(&mut stage, alias)), refusal, "{alias:?}");
    }
    let board = Board { modes: Modes { raid: true, ..Modes::default() }, ..Board::default() };
    stage.act(|engine, step| engine.learn_board(step, board));
    assert_eq!(told(register(&mut stage, "late")), "RegistrationClosed");
}

#[test]
fn nobody_registers_from_an_address_in_timeout() {
    let mut stage = Stage::new();
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    let until = Some(stage.now.plus(DAY));
    stage.act(|engine, step| engine.time_out(step, address.into(), until)).unwrap();
    let new = Registration { alias: "eve".into(), key: KeyHash::of("eve"), address: Some(address) };
    assert_eq!(told(stage.act(|engine, step| engine.register(step, new))), "TimeoutIp");
}

#[test]
fn a_new_key_takes_the_place_of_the_old_one() {
    let mut stage = Stage::new();
    let (owner, other) = (stage.user, add(&mut stage, "other", &[]));
    let rotate =
        |stage: &mut Stage, id, key| stage.act(|engine, step| engine.rotate_key(step, id, KeyHash::of(key)));
    assert_eq!(told(rotate(&mut stage, UserId::ANONYMOUS, "new")), "AnonForbidden");
    assert_eq!(told(rotate(&mut stage, owner, "other")), "KeyExists");
    assert_eq!(told(rotate(&mut stage, UserId(99), "new")), "UserNotFound");
    rotate(&mut stage, owner, "new").unwrap();
    let holder = |stage: &Stage, key| stage.engine.user_by_key(&KeyHash::of(key)).map(|user| user.id);
    assert_eq!((holder(&stage, "someone"), holder(&stage, "new")), (None, Some(owner)));
    assert_eq!(holder(&stage, "other"), Some(other));
}

#[test]
fn an_account_is_marked_first_and_wiped_when_it_was_idle() {
    let mut stage = Stage::new();
    let (mona, eve) = (add(&mut stage, "mona", &[Role::Moderator]), add(&mut stage, "eve", &[]));
    let other = add(&mut stage, "other", &[]);
    let delete =
        |stage: &mut Stage, caller, id| told(stage.act(|engine, step| engine.delete_user(step, caller, id)));
    for (caller, id, outcome, rule) in [
        (eve, UserId(99), "UserNotFound", "nobody"),
        (UserId(99), eve, "InvalidApiKey", "by nobody"),
        (UserId::ANONYMOUS, eve, "AnonymousDeletesNobody", "by everybody"),
        (mona, mona, "ModeratorStays", "a moderator"),
        (other, mona, "ModeratorStays", "is said first"),
        (other, eve, "NeitherSelfNorModerator", "by somebody"),
        (eve, eve, "done", "by itself: marked"),
        (mona, eve, "StillActive", "not at once"),
        (mona, other, "done", "by a moderator"),
    ] {
        assert_eq!(delete(&mut stage, caller, id), outcome, "{rule}");
    }
    let undelete = UserUpdate { undeletes: true, ..UserUpdate::default() };
    let done = stage.act(|engine, step| engine.update_user(step, other, other, undelete)).unwrap();
    assert!(done.undeleted && !stage.engine.user(other).unwrap().is(Role::Deleted));
    stage.now = stage.now.plus(30 * DAY - Duration::from_secs(1));
    assert_eq!(delete(&mut stage, mona, eve), "StillActive");
    stage.now = stage.now.plus(Duration::from_secs(1));
    assert_eq!(delete(&mut stage, eve, eve), "done");
    let gone = stage.engine.user(eve).unwrap();
    assert_eq!((gone.username(), gone.balance), (format!("{WIPED}#{eve}"), Kudos::whole(100)));
    assert!(stage.engine.user_by_key(&KeyHash::of("eve")).is_none(), "its key is nobody's");
    assert_eq!(delete(&mut stage, mona, eve), "UserNotFound", "there is nothing left to delete");
}

#[test]
fn what_an_account_has_goes_with_it_unless_a_worker_of_it_is_at_work() {
    let mut stage = Stage::new();
    let owner = stage.user;
    let new = crate::engine::NewSharedKey {
        owner,
        name: None,
        kudos: -1,
        days: -1,
        max_image_pixels: -1,
        max_image_steps: -1,
        max_text_tokens: -1,
        is_counted: false,
    };
    let key: SharedKey = stage.act(|engine, step| engine.lend(step, new)).unwrap();
    stage.submit(text_spec(1));
    stage.pop("writer", text_profile(1), Duration::ZERO);
    let attempt = stage.granted()[0];
    stage.act(|engine, step| engine.delete_user(step, owner, owner)).unwrap();
    let later = stage.now.plus(31 * DAY);
    let now = std::mem::replace(&mut stage.now, later);
    assert_eq!(told(stage.act(|engine, step| engine.delete_user(step, owner, owner))), "WorkerLocked");
    stage.now = now;
    stage.deliver(attempt).unwrap();
    stage.now = later;
    stage.act(|engine, step| engine.delete_user(step, owner, owner)).unwrap();
    assert!(stage.engine.workers_of(owner).is_empty());
    assert!(stage.engine.lender(&key.hash()).is_none());
    assert!(stage.records().any(|record| matches!(record, Record::WorkerDropped(_))));
}

#[test]
fn that_an_account_is_active_is_noted_once_an_hour() {
    let mut stage = Stage::new();
    let owner = stage.user;
    let noted = |stage: &mut Stage| {
        let count = stage.records().filter(|record| matches!(record, Record::UserAmended { .. })).count();
        stage.log.clear();
        count
    };
    stage.submit(text_spec(1));
    assert_eq!(noted(&mut stage), 0, "it was made just now");
    stage.now = stage.now.plus(Duration::from_secs(3600));
    stage.submit(text_spec(1));
    stage.submit(text_spec(1));
    assert_eq!(noted(&mut stage), 1);
    stage.now = stage.now.plus(Duration::from_secs(3600));
    stage.pop("writer", text_profile(1), Duration::ZERO);
    assert_eq!((noted(&mut stage), stage.engine.user(owner).unwrap().about.active_at), (1, stage.now));
}
