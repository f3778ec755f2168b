//! Accounts, as far as whoever looks may see them.

use super::{count, dates};
use crate::{
    domain::{
        Kudos, Timestamp, UserId, WorkerId,
        account::Identity,
        request::Kind,
        style::StyleName,
        user::{Role, User, Work},
    },
    engine::{Engine, UserUpdate, UserUpdated},
    rpc::pb,
};

/// Whoever looks at an account.
///
/// Source: the levels of UserDetails in the v2 contract.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Viewer {
    /// Anybody.
    Anybody,
    /// The account itself.
    Itself,
    /// A moderator.
    Moderator,
}

impl Viewer {
    /// What an account is to another one.
    pub fn of(viewer: &User, user: &User) -> Self {
        match viewer.id == user.id {
            _ if viewer.keeps_order() => Self::Moderator,
            true => Self::Itself,
            false => Self::Anybody,
        }
    }
}

/// What of an account does not lie with it.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// Its workers, oldest first.
    pub workers: Vec<WorkerId>,
    /// Its requests that are not done, images and texts.
    pub active: [Vec<String>; 2],
    /// What it gets each month.
    pub monthly: Kudos,
    /// Its styles, as far as the viewer may see them.
    pub styles: Vec<pb::UserStyle>,
}

impl Surroundings {
    /// Of an account that the engine knows.
    pub fn of(engine: &Engine, user: &User) -> Self {
        let active = [Kind::Image, Kind::Text].map(|kind| match user.id {
            // Everybody's requests are nobody's business.
            UserId::ANONYMOUS => Vec::new(),
            id => engine.active_requests(id, kind).iter().map(ToString::to_string).collect(),
        });
        let monthly = engine.allowance(user);
        Self { workers: engine.workers_of(user.id), active, monthly, styles: Vec::new() }
    }

    /// With these of its styles.
    pub fn with_styles(self, user: &User, styles: &[StyleName]) -> Self {
        let style = |style: &StyleName| pb::UserStyle {
            name: format!("{}::style::{}", user.username(), style.name),
            id: style.id.to_string(),
            r#type: style.kind.word().to_owned(),
        };
        Self { styles: styles.iter().map(style).collect(), ..self }
    }
}

/// Pixel-steps in millions, to two decimals.
fn millions(things: f64) -> f64 {
    (things / 1e4).round() / 100.0
}

fn records(user: &User) -> pb::UserRecords {
    let work = |work: &[Work; Kind::COUNT]| pb::WorkRecord {
        megapixelsteps: millions(work[Kind::Image.index()].things),
        tokens: work[Kind::Text.index()].things as i64,
    };
    let jobs = |work: &[Work; Kind::COUNT]| pb::CountRecord {
        image: work[Kind::Image.index()].jobs,
        text: work[Kind::Text.index()].jobs,
        interrogation: work[Kind::Alchemy.index()].jobs,
    };
    let stats = &user.stats;
    let [image_uses, text_uses] = stats.style_uses;
    pb::UserRecords {
        usage: Some(work(&stats.requested)),
        contribution: Some(work(&stats.fulfilled)),
        fulfillment: Some(jobs(&stats.fulfilled)),
        request: Some(jobs(&stats.requested)),
        style: Some(pb::CountRecord { image: image_uses, text: text_uses, interrogation: 0 }),
    }
}

/// An account as somebody sees it.
pub fn user(user: &User, around: Surroundings, viewer: Viewer, now: Timestamp) -> pb::UserDetails {
    let Surroundings { workers, active: [image, text], monthly, styles } = around;
    let (to_itself, to_moderators) = (viewer >= Viewer::Itself, viewer >= Viewer::Moderator);
    let (about, stats) = (&user.about, &user.stats);
    let ids = |ids: Vec<String>| pb::UserIds { ids };
    let is_active = !image.is_empty() || !text.is_empty();
    pb::UserDetails {
        username: user.username(),
        id: user.id.0,
        kudos: user.balance.as_f64(),
        kudos_details: Some(pb::UserKudosDetails {
            accumulated: stats.accumulated.as_f64(),
            admin: stats.granted.as_f64(),
            gifted: stats.moved.gifted.as_f64(),
            donated: stats.moved.donated.as_f64(),
            received: stats.moved.received.as_f64(),
            recurring: stats.moved.recurring.as_f64(),
            awarded: stats.moved.awarded.as_f64(),
            styled: stats.moved.styled.as_f64(),
        }),
        usage: Some(pb::ObsoleteUsage::default()),
        contributions: Some(pb::ObsoleteContributions::default()),
        records: Some(records(user)),
        concurrency: count(user.concurrency),
        worker_invited: count(user.worker_invites),
        moderator: user.is(Role::Moderator),
        trusted: user.is(Role::Trusted),
        flagged: user.is(Role::Flagged),
        pseudonymous: matches!(about.identity, Identity::Pseudonym(_)),
        service: user.is(Role::Service),
        deleted: user.is(Role::Deleted),
        education: user.is(Role::Education),
        customizer: user.is(Role::Customizer),
        worker_count: count(workers.len()),
        account_age: now.seconds_since(user.created_at),
        styles,
        worker_ids: (to_itself || about.public_workers)
            .then(|| ids(workers.iter().map(WorkerId::to_string).collect())),
        sharedkey_ids: to_itself
            .then(|| ids(user.shared_keys.iter().map(|key| key.id.to_string()).collect())),
        contact: about.contact.clone().filter(|_| to_itself),
        vpn: to_itself.then(|| user.is(Role::Vpn)),
        special: to_itself.then(|| user.is(Role::Special)),
        active_generations: (to_itself && is_active).then_some(pb::ActiveGenerations { image, text }),
        evaluating_kudos: (to_moderators || to_itself && user.escrow > Kudos::ZERO)
            .then(|| user.escrow.as_f64()),
        monthly_kudos: to_moderators.then(|| pb::MonthlyKudos {
            amount: Some(monthly.floor()),
            last_received: user.monthly.paid_at.map(dates::rfc822),
        }),
        suspicious: to_moderators.then(|| i32::try_from(stats.suspicion).unwrap_or(i32::MAX)),
        admin_comment: about.admin_comment.clone().filter(|_| to_moderators),
        proxy_passkey: about.proxy_passkey.clone().filter(|_| to_moderators),
    }
}

/// The same in a list, where objects are there even if they are empty.
pub fn listed(details: pb::UserDetails) -> pb::ListedUser {
    pb::ListedUser {
        username: details.username,
        id: details.id,
        kudos: details.kudos,
        kudos_details: details.kudos_details,
        usage: details.usage,
        contributions: details.contributions,
        records: details.records,
        concurrency: details.concurrency,
        worker_invited: details.worker_invited,
        moderator: details.moderator,
        trusted: details.trusted,
        flagged: details.flagged,
        pseudonymous: details.pseudonymous,
        service: details.service,
        deleted: details.deleted,
        education: details.education,
        customizer: details.customizer,
        worker_count: details.worker_count,
        account_age: details.account_age,
        styles: details.styles,
        worker_ids: details.worker_ids,
        sharedkey_ids: details.sharedkey_ids,
        contact: details.contact,
        vpn: details.vpn,
        special: details.special,
        active_generations: Some(details.active_generations.unwrap_or_default()),
        evaluating_kudos: details.evaluating_kudos,
        monthly_kudos: Some(details.monthly_kudos.unwrap_or_default()),
        suspicious: details.suspicious,
        admin_comment: details.admin_comment,
        proxy_passkey: details.proxy_passkey,
    }
}

/// What is to change of an account. What only counts when it is true is as absent when it is false; a new
/// passkey is made by `passkey`.
pub fn update(message: pb::UpdateUserRequest, passkey: impl FnOnce() -> String) -> UserUpdate {
    let roles = [
        (Role::Moderator, message.moderator),
        (Role::Trusted, message.trusted),
        (Role::Flagged, message.flagged),
        (Role::Customizer, message.customizer),
        (Role::Vpn, message.vpn),
        (Role::Service, message.service),
        (Role::Education, message.education),
        (Role::Special, message.special),
    ];
    let size = |count: Option<i32>| count.map(|count| usize::try_from(count).unwrap_or_default());
    UserUpdate {
        kudos: message.kudos.map(|kudos| kudos as i64),
        monthly_kudos: message.monthly_kudos,
        usage_multiplier: message.usage_multiplier,
        concurrency: size(message.concurrency),
        worker_invites: size(message.worker_invited),
        roles: roles.into_iter().filter_map(|(role, has)| Some((role, has?))).collect(),
        resets_suspicion: message.reset_suspicion == Some(true),
        admin_comment: message.admin_comment,
        public_workers: message.public_workers,
        alias: message.username,
        contact: message.contact,
        passkey: (message.generate_proxy_passkey == Some(true)).then(passkey),
        undeletes: message.undelete == Some(true),
    }
}

/// What has changed of an account.
pub fn updated(done: UserUpdated) -> pb::UpdateUserResponse {
    let role = |role| done.roles.get(&role).copied();
    pb::UpdateUserResponse {
        new_kudos: done.kudos.map(|kudos| kudos.as_f64()),
        monthly_kudos: done.monthly_kudos,
        usage_multiplier: done.usage_multiplier,
        moderator: role(Role::Moderator),
        concurrency: done.concurrency.map(count),
        worker_invited: done.worker_invites.map(count),
        trusted: role(Role::Trusted),
        flagged: role(Role::Flagged),
        customizer: role(Role::Customizer),
        vpn: role(Role::Vpn),
        service: role(Role::Service),
        education: role(Role::Education),
        special: role(Role::Special),
        new_suspicion: done.suspicion.map(|left| i32::try_from(left).unwrap_or(i32::MAX)),
        admin_comment: done.admin_comment,
        public_workers: done.public_workers,
        username: done.alias,
        contact: done.contact,
        proxy_passkey: done.passkey,
        undeleted: done.undeleted.then_some(true),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{domain::account::About, rpc::json};

    fn fields(details: &pb::UserDetails) -> Vec<String> {
        let body: Value = serde_json::from_slice(&json::to_vec(details)).unwrap();
        body.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn each_viewer_sees_what_is_meant_for_them_and_no_more() {
        let about = About {
            contact: Some("here".into()),
            admin_comment: Some("hm".into()),
            proxy_passkey: Some("secret".into()),
            ..About::default()
        };
        let eve = User { id: UserId(7), about, ..User::anonymous() };
        let around = || Surroundings { active: [vec!["a".into()], vec![]], ..Surroundings::default() };
        let seen = |viewer| fields(&user(&eve, around(), viewer, Timestamp(0)));
        let to_itself = ["worker_ids", "sharedkey_ids", "contact", "vpn", "special", "active_generations"];
        let to_moderators =
            ["evaluating_kudos", "monthly_kudos", "suspicious", "admin_comment", "proxy_passkey"];
        for (viewer, itself, moderators) in
            [(Viewer::Anybody, false, false), (Viewer::Itself, true, false), (Viewer::Moderator, true, true)]
        {
            let seen = seen(viewer);
            let is_seen = |name: &&str| seen.iter().any(|field| field == name);
            assert!(to_itself.iter().all(|name| is_seen(name) == itself), "{viewer:?}: {seen:?}");
            assert!(to_moderators.iter().all(|name| is_seen(name) == moderators), "{viewer:?}: {seen:?}");
            assert!(is_seen(&"flagged") && is_seen(&"usage") && is_seen(&"styles"));
        }
        let public = About { public_workers: true, ..eve.about.clone() };
        let eve = User { about: public, ..eve };
        let shown = user(&eve, around(), Viewer::Anybody, Timestamp(0));
        assert!(shown.worker_ids.is_some() && shown.sharedkey_ids.is_none(), "if it lets them");
    }

    #[test]
    fn viewers_are_told_apart() {
        let of = |id, roles: &[Role]| User { id: UserId(id), roles: roles.to_vec(), ..User::anonymous() };
        let user = of(7, &[]);
        for (viewer, level) in [
            (of(0, &[]), Viewer::Anybody),
            (of(8, &[Role::Trusted]), Viewer::Anybody),
            (of(7, &[]), Viewer::Itself),
            (of(8, &[Role::Moderator]), Viewer::Moderator),
            (of(8, &[Role::Admin]), Viewer::Moderator),
            (of(7, &[Role::Moderator]), Viewer::Moderator),
        ] {
            assert_eq!(Viewer::of(&viewer, &user), level, "{viewer:?}");
        }
    }

    #[test]
    fn switches_that_are_off_are_as_absent_and_kudos_lose_their_fraction() {
        let message = pb::UpdateUserRequest {
            reset_suspicion: Some(false),
            generate_proxy_passkey: Some(false),
            undelete: Some(false),
            filtered: Some(true),
            ..Default::default()
        };
        assert_eq!(update(message, || "secret".into()), UserUpdate::default());
        for (sent, kudos) in [(2.9, 2), (-2.9, -2), (0.0, 0)] {
            let message = pb::UpdateUserRequest { kudos: Some(sent), ..Default::default() };
            assert_eq!(update(message, String::new).kudos, Some(kudos));
        }
    }
}
