//! Workers and accounts, as they are shown.

use std::sync::Arc;

use super::{count, dates};
use crate::{
    domain::{
        board::WorkerMessage,
        request::Kind,
        user::{Role, User},
        worker::{Skills, Worker},
    },
    rpc::pb,
};

/// A worker with what its owner's account says of it.
pub struct Shown<'a> {
    /// The worker.
    pub worker: &'a Worker,
    /// Its owner.
    pub owner: Option<&'a User>,
    /// Whether it is online now.
    pub is_online: bool,
    /// Whether the viewer is a moderator.
    pub to_moderator: bool,
    /// Messages to it.
    pub messages: &'a [Arc<WorkerMessage>],
    /// Its team's name.
    pub team: Option<String>,
}

/// A message, as workers get it.
pub fn note(message: &WorkerMessage) -> pb::WorkerMessage {
    pb::WorkerMessage {
        id: message.id.to_string(),
        message: message.message.clone(),
        origin: message.origin.clone(),
        expiry: dates::rfc822(message.expires_at),
    }
}

/// A message, as those see it who write such.
pub fn message(message: &WorkerMessage) -> pb::MessageDetails {
    pb::MessageDetails {
        id: message.id.to_string(),
        worker_id: message.worker.map(|worker| worker.to_string()),
        user_id: message.author.to_string(),
        message: message.message.clone(),
        origin: message.origin.clone(),
        created: dates::rfc822(message.created_at),
        expiry: dates::rfc822(message.expires_at),
    }
}

fn note_for_moderators(message: &WorkerMessage) -> pb::WorkerDetailsMessage {
    pb::WorkerDetailsMessage {
        worker_id: message.worker.map(|worker| worker.to_string()),
        user_id: message.author.to_string(),
        message: message.message.clone(),
        origin: message.origin.clone(),
        created: dates::rfc822(message.created_at),
        expiry: dates::rfc822(message.expires_at),
    }
}

/// What workers of a kind are called on the wire.
pub fn type_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Alchemy => "interrogation",
        other => other.word(),
    }
}

/// A worker, as the viewer may see it.
pub fn worker(shown: &Shown<'_>) -> pb::WorkerDetails {
    let Shown { worker, owner, is_online, to_moderator, messages, team } = shown;
    let standing = &worker.standing;
    let is_open = *to_moderator || owner.is_some_and(|owner| owner.about.public_workers);
    let owner_is = |role| owner.is_some_and(|owner| owner.is(role));
    let (profile, stats) = (&worker.profile, &worker.stats);
    let mut details = pb::WorkerDetails {
        r#type: type_word(profile.listed_as()).into(),
        name: worker.name.clone(),
        id: worker.id.to_string(),
        online: *is_online,
        requests_fulfilled: stats.fulfilled,
        kudos_rewards: (stats.generated + stats.uptime_kudos).as_f64(),
        kudos_details: Some(pb::WorkerKudosDetails {
            generated: Some(stats.generated.as_f64()),
            // Typed clients read it as a whole number.
            uptime: Some(stats.uptime_kudos.floor()),
        }),
        performance: performance(worker),
        threads: i32::try_from(profile.threads).unwrap_or(i32::MAX),
        uptime: stats.uptime_seconds,
        uncompleted_jobs: stats.uncompleted,
        maintenance_mode: worker.maintenance.is_some(),
        trusted: owner_is(Role::Trusted),
        flagged: owner_is(Role::Flagged),
        info: standing.info.clone(),
        team: Some(pb::WorkerTeam {
            name: team.clone(),
            // One that was dissolved is none.
            id: standing.team.filter(|_| team.is_some()).map(|team| team.to_string()),
        }),
        bridge_agent: profile.bridge.agent.clone(),
        nsfw: Some(profile.nsfw),
        models: models(worker),
        owner: owner.filter(|_| is_open).map(User::username),
        contact: owner.filter(|_| *to_moderator).and_then(|owner| owner.about.contact.clone()),
        paused: to_moderator.then_some(standing.is_paused),
        suspicious: to_moderator.then(|| i32::try_from(standing.suspicion.points()).unwrap_or(i32::MAX)),
        ipaddr: standing.address.filter(|_| *to_moderator).map(|address| address.to_string()),
        messages: messages.iter().filter(|_| is_open).map(|note| note_for_moderators(note)).collect(),
        wallet_address: profile.extras.wallet.clone(),
        ..Default::default()
    };
    match &profile.skills {
        Skills::Image(skills) | Skills::Video(skills) => {
            details.max_pixels = Some(skills.max_pixels);
            // Typed clients read it as a whole number.
            details.megapixelsteps_generated = Some((stats.things / 1e6).round());
            details.img2img = Some(skills.img2img && profile.bridge.can("img2img"));
            details.painting = Some(skills.painting && profile.bridge.can("inpainting"));
            details.post_processing = Some(skills.post_processing && profile.bridge.can("post-processing"));
            details.controlnet = Some(skills.controlnet && profile.bridge.can("controlnet"));
            details.sdxl_controlnet = Some(skills.sdxl_controlnet && profile.bridge.can("controlnet"));
            details.lora = Some(skills.lora && profile.bridge.can("lora"));
        }
        Skills::Text(skills) => {
            details.max_length = i32::try_from(skills.max_length).ok();
            details.max_context_length = i32::try_from(skills.max_context_length).ok();
        }
        Skills::Alchemy(_) => {
            details.nsfw = None;
            details.forms = std::mem::take(&mut details.models);
        }
    }
    details
}

/// Models or forms of a worker that are told in brief.
const SOME_MODELS: usize = 20;

/// A worker in brief.
pub fn brief(worker: &Worker, is_trusted: bool) -> pb::WorkerBrief {
    let mut models = models(worker);
    let model_count = count(models.len());
    models.truncate(SOME_MODELS);
    pb::WorkerBrief {
        id: worker.id.to_string(),
        name: worker.name.clone(),
        r#type: type_word(worker.profile.listed_as()).into(),
        threads: i32::try_from(worker.profile.threads).unwrap_or(i32::MAX),
        models,
        model_count,
        requests_fulfilled: worker.stats.fulfilled,
        performance: performance(worker),
        maintenance_mode: worker.maintenance.is_some(),
        trusted: is_trusted,
    }
}

/// All its models, those of its pop of videos last.
fn models(worker: &Worker) -> Vec<String> {
    let own = worker.profile.models.iter();
    let videos = worker.profile.extras.video_pop.iter().flat_map(|pop| &pop.profile.models);
    let more = videos.filter(|model| !worker.profile.models.contains(model));
    own.chain(more).map(|model| model.to_string()).collect()
}

fn performance(worker: &Worker) -> String {
    match worker.profile.kind() {
        Kind::Image | Kind::Video => format!("{:.1} megapixelsteps per second", worker.speed() / 1e6),
        Kind::Text => format!("{:.1} tokens per second", worker.speed()),
        Kind::Alchemy => format!("{:.1} seconds per form", worker.seconds_per_form()),
    }
}
