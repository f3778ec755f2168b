//! Teams and workers of an AI Horde server as those of this one.
//!
//! Source: the source database of the v2 contract.

use std::{collections::HashMap, sync::Arc};

use super::cells::{Cells, MOST, Notes};
use crate::{
    backend::distributed::{
        Ask,
        Read::{Instant, Plain, Text},
    },
    domain::{
        Kudos, TeamId, Timestamp, UserId, WorkerId,
        bridge::Bridge,
        request::Kind,
        standing::{LONGEST_MAINTENANCE, MAINTENANCE_TEXT, Standing, Suspicion},
        team::{Team, TeamFigures},
        videos::Extras as Videos,
        worker::{AlchemySkills, ImageSkills, Profile, Skills, TextSkills, Worker, WorkerStats},
    },
};

/// Longest name of a team or a worker, in characters.
const LONGEST_NAME: usize = 100;
/// Longest text about one.
const LONGEST_INFO: usize = 1000;
/// Longest name of a model or of software.
const LONGEST_MODEL: usize = 255;
/// Most models, words, soft prompts or forms of a worker, each.
const MOST_LISTED: usize = 1000;

/// Teams.
pub static TEAMS: Ask = Ask {
    table: "teams",
    columns: &[
        ("id", Plain, true),
        ("name", Text(LONGEST_NAME), true),
        ("owner_id", Plain, true),
        ("info", Text(LONGEST_INFO), false),
        ("fulfilments", Plain, false),
        ("kudos", Plain, false),
        ("uptime", Plain, false),
        ("created", Instant, false),
    ],
    filter: "",
    order: &["created", "id"],
};
/// Workers.
pub static WORKERS: Ask = Ask {
    table: "workers",
    columns: &[
        ("id", Plain, true),
        ("worker_type", Text(30), true),
        ("user_id", Plain, true),
        ("name", Text(LONGEST_NAME), true),
        ("info", Text(LONGEST_INFO), false),
        ("ipaddr", Text(39), false),
        ("created", Instant, false),
        ("last_check_in", Instant, false),
        ("contributions", Plain, false),
        ("fulfilments", Plain, false),
        ("uncompleted_jobs", Plain, false),
        ("uptime", Plain, false),
        ("threads", Plain, false),
        ("bridge_agent", Text(LONGEST_INFO), false),
        ("max_power", Plain, false),
        ("extra_slow_worker", Plain, false),
        ("paused", Plain, false),
        ("maintenance", Plain, false),
        ("maintenance_msg", Text(LONGEST_MAINTENANCE), false),
        ("team_id", Plain, false),
        ("allow_unsafe_ipaddr", Plain, false),
        ("nsfw", Plain, false),
        ("max_pixels", Plain, false),
        ("allow_img2img", Plain, false),
        ("allow_painting", Plain, false),
        ("allow_post_processing", Plain, false),
        ("allow_controlnet", Plain, false),
        ("allow_sdxl_controlnet", Plain, false),
        ("allow_lora", Plain, false),
        ("limit_max_steps", Plain, false),
        ("max_length", Plain, false),
        ("max_context_length", Plain, false),
    ],
    filter: "",
    order: &["created", "id"],
};
/// Models that workers serve.
pub static MODELS: Ask =
    list("worker_models", &[("worker_id", Plain, true), ("model", Text(LONGEST_MODEL), true)]);
/// Words that they refuse.
pub static BLACKLISTS: Ask =
    list("worker_blacklists", &[("worker_id", Plain, true), ("word", Text(LONGEST_MODEL), true)]);
/// Soft prompts that they have.
pub static SOFTPROMPTS: Ask =
    list("text_worker_softprompts", &[("worker_id", Plain, true), ("softprompt", Text(LONGEST_MODEL), true)]);
/// Forms of alchemy that they do.
pub static FORMS: Ask =
    list("interrogation_worker_forms", &[("worker_id", Plain, true), ("form", Text(30), true)]);
/// Kudos that they earned.
pub static STATS: Ask =
    list("worker_stats", &[("worker_id", Plain, true), ("action", Text(20), true), ("value", Plain, true)]);
/// How fast they were lately.
pub static SPEEDS: Ask =
    list("worker_performances", &[("worker_id", Plain, true), ("performance", Plain, true)]);
/// What they are suspected of.
pub static SUSPICIONS: Ask =
    list("worker_suspicions", &[("worker_id", Plain, true), ("suspicion_id", Plain, true)]);

const fn list(
    table: &'static str,
    columns: &'static [(&'static str, crate::backend::distributed::Read, bool)],
) -> Ask {
    Ask { table, columns, filter: "", order: &["id"] }
}

/// What other tables say of workers.
#[derive(Default)]
pub struct Extras(HashMap<WorkerId, Extra>);

/// What other tables say of a worker.
#[derive(Default, Clone)]
struct Extra {
    models: Vec<Arc<str>>,
    blacklist: Vec<String>,
    softprompts: Vec<String>,
    forms: Vec<Arc<str>>,
    generated: Kudos,
    uptime: Kudos,
    speeds: Vec<f64>,
    suspicion: Suspicion,
}

impl Extras {
    /// Takes a row of one of the tables.
    pub fn take(&mut self, row: &Cells<'_>, table: &str) {
        let Some(id) = row.id("worker_id") else { return };
        let extra = self.0.entry(WorkerId(id)).or_default();
        let word = |column: &str, longest: usize| {
            let fits = |text: &&str| {
                (1..=longest).contains(&text.chars().count()) && !text.contains(char::is_control)
            };
            row.text(column).filter(fits)
        };
        match table {
            "worker_models" => add(&mut extra.models, word("model", LONGEST_MODEL).map(Arc::from)),
            "worker_blacklists" => {
                add(&mut extra.blacklist, word("word", LONGEST_MODEL).map(str::to_lowercase))
            }
            "text_worker_softprompts" => {
                add(&mut extra.softprompts, word("softprompt", LONGEST_MODEL).map(str::to_owned));
            }
            "interrogation_worker_forms" => add(&mut extra.forms, word("form", 30).map(Arc::from)),
            "worker_stats" => {
                let amount = row.kudos("value").unwrap_or_default().max(Kudos::ZERO);
                let figure = match row.text("action") {
                    Some("generated" | "interrogated") => &mut extra.generated,
                    Some("uptime") => &mut extra.uptime,
                    _ => return,
                };
                figure.0 = figure.0.saturating_add(amount.0).min(Kudos::whole(super::cells::MOST_KUDOS).0);
            }
            "worker_performances" => {
                if let Some(speed) = row.decimal("performance").filter(|speed| (1e-6..1e12).contains(speed)) {
                    if extra.speeds.len() == WorkerStats::SAMPLES {
                        extra.speeds.remove(0);
                    }
                    extra.speeds.push(speed);
                }
            }
            "worker_suspicions" => {
                extra.suspicion.add(match row.whole("suspicion_id") {
                    Some(0) => Suspicion { once: 1, repeated: 0 },
                    Some(1) => Suspicion { once: 2, repeated: 0 },
                    Some(3) => Suspicion { once: 4, repeated: 0 },
                    Some(4) => Suspicion { once: 8, repeated: 0 },
                    Some(5 | 9) => Suspicion { once: 0, repeated: 1 },
                    _ => return,
                });
            }
            _ => {}
        }
    }
}

fn add<T: PartialEq>(list: &mut Vec<T>, one: Option<T>) {
    if let Some(one) = one.filter(|one| list.len() < MOST_LISTED && !list.contains(one)) {
        list.push(one);
    }
}

/// A name that is as it was, but for markup: by it people and machines find what they look for.
fn name(row: &Cells<'_>, notes: &mut Notes) -> Result<String, &'static str> {
    let name = row.text("name").unwrap_or_default();
    match () {
        () if name.trim().is_empty() => Err("it has no name"),
        () if name.chars().count() > LONGEST_NAME => Err("its name is longer than 100 characters"),
        () if name.contains(char::is_control) => Err("its name has control characters in it"),
        () => Ok(notes.safe(name)),
    }
}

/// A team.
///
/// # Errors
/// Why it does not come over.
pub fn team(row: &Cells<'_>, now: Timestamp, notes: &mut Notes) -> Result<(Team, TeamFigures), &'static str> {
    let id = TeamId(row.id("id").ok_or("its ID is none that a team can have")?);
    let owner = UserId(row.whole("owner_id").ok_or("nobody founded it")?);
    let team = Team {
        id,
        name: name(row, notes)?,
        info: notes.said(row.text("info"), LONGEST_INFO, false),
        owner,
        created_at: row.at("created", now).unwrap_or(now),
    };
    let figures = TeamFigures {
        fulfilled: notes.count(row.whole("fulfilments")),
        kudos: notes.gain(row.kudos("kudos")),
        uptime_seconds: notes.count(row.whole("uptime")),
    };
    Ok((team, figures))
}

/// A worker.
///
/// # Errors
/// Why it does not come over.
pub fn worker(
    row: &Cells<'_>,
    extras: &Extras,
    now: Timestamp,
    notes: &mut Notes,
) -> Result<Worker, &'static str> {
    let id = WorkerId(row.id("id").ok_or("its ID is none that a worker can have")?);
    let kind = match row.text("worker_type") {
        Some("stable_worker") => Kind::Image,
        Some("text_worker") => Kind::Text,
        Some("interrogation_worker") => Kind::Alchemy,
        _ => return Err("it is of no kind that is known here"),
    };
    let owner = row.whole("user_id").map(UserId).filter(|id| *id != UserId::ANONYMOUS);
    let owner = owner.ok_or("nobody owns it")?;
    let name = name(row, notes)?;
    let extra = extras.0.get(&id).cloned().unwrap_or_default();
    let created_at = row.at("created", now).unwrap_or(now);
    let stats = stats(row, kind, &extra, notes);
    let standing = Standing {
        info: notes.said(row.text("info"), LONGEST_INFO, false),
        is_paused: row.flag("paused"),
        suspicion: extra.suspicion,
        team: row.id("team_id").map(TeamId),
        address: row.text("ipaddr").and_then(|text| text.parse().ok()),
    };
    let text = notes.said(row.text("maintenance_msg"), LONGEST_MAINTENANCE, false);
    Ok(Worker {
        id,
        name,
        owner,
        created_at,
        seen_at: row.at("last_check_in", now).unwrap_or(created_at),
        profile: profile(row, kind, extra, notes),
        maintenance: row.flag("maintenance").then(|| text.unwrap_or_else(|| MAINTENANCE_TEXT.to_owned())),
        stats,
        standing,
    })
}

fn stats(row: &Cells<'_>, kind: Kind, extra: &Extra, notes: &mut Notes) -> WorkerStats {
    let fulfilled = notes.count(row.whole("fulfilments"));
    let contributed = notes.count(row.whole("contributions")) as f64;
    WorkerStats {
        fulfilled,
        uncompleted: notes.count(row.whole("uncompleted_jobs")),
        things: match kind {
            // Megapixel-steps there, pixel-steps here.
            Kind::Image => contributed * 1e6,
            Kind::Alchemy => fulfilled as f64,
            _ => contributed,
        },
        generated: extra.generated,
        uptime_seconds: notes.count(row.whole("uptime")),
        uptime_kudos: extra.uptime,
        // Seconds for a form there, forms a second here.
        speeds: match kind {
            Kind::Alchemy => extra.speeds.iter().map(|seconds| 1.0 / seconds).collect(),
            _ => extra.speeds.clone(),
        },
        ..WorkerStats::default()
    }
}

/// What it said of itself last; it says so again at its next pop.
fn profile(row: &Cells<'_>, kind: Kind, extra: Extra, notes: &mut Notes) -> Profile {
    let mut number =
        |name: &str, default: i64, most: i64| notes.within(row.whole(name).unwrap_or(default), 0, most);
    let threads = number("threads", 1, 1000).max(1);
    let skills = match kind {
        Kind::Text => Skills::Text(TextSkills {
            max_length: number("max_length", 80, MOST),
            max_context_length: number("max_context_length", 1024, MOST),
            softprompts: extra.softprompts,
        }),
        Kind::Alchemy => {
            let tiles = number("max_power", 8, 100_000);
            Skills::Alchemy(AlchemySkills { max_tiles: u32::try_from(tiles).unwrap_or(u32::MAX) })
        }
        _ => Skills::Image(ImageSkills {
            max_pixels: number("max_pixels", 512 * 512, MOST),
            img2img: row.flag("allow_img2img"),
            painting: row.flag("allow_painting"),
            unsafe_ip: row.flag("allow_unsafe_ipaddr"),
            post_processing: row.flag("allow_post_processing"),
            controlnet: row.flag("allow_controlnet"),
            sdxl_controlnet: row.flag("allow_sdxl_controlnet"),
            lora: row.flag("allow_lora"),
            limit_max_steps: row.flag("limit_max_steps"),
            require_upfront_kudos: false,
            extra_slow: row.flag("extra_slow_worker"),
        }),
    };
    let agent = notes.said(row.text("bridge_agent"), LONGEST_INFO, true);
    Profile {
        models: if kind == Kind::Alchemy { extra.forms } else { extra.models },
        bridge: Bridge::parse(agent.as_deref().unwrap_or("unknown:0:unknown")),
        threads: u32::try_from(threads).unwrap_or(1),
        amount: 1,
        nsfw: row.flag("nsfw"),
        blacklist: extra.blacklist,
        priority_users: Vec::new(),
        skills,
        extras: Videos::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const ID: &str = "cccccccc-0000-4000-8000-000000000001";

    fn values(ask: &Ask, cells: &[(&str, &str)]) -> Vec<Option<String>> {
        for (name, _) in cells {
            assert!(ask.columns.iter().any(|(column, ..)| column == name), "{name}");
        }
        let cell = |name: &str| cells.iter().rev().find(|(column, _)| *column == name);
        ask.columns.iter().map(|(name, ..)| cell(name).map(|(_, value)| (*value).to_owned())).collect()
    }

    fn read(cells: &[(&str, &str)], extras: &Extras) -> (Result<Worker, &'static str>, Notes) {
        let whole = [("id", ID), ("worker_type", "stable_worker"), ("user_id", "7"), ("name", "brush")];
        let values = values(&WORKERS, &[&whole[..], cells].concat());
        let mut notes = Notes::default();
        let read = worker(&Cells::of(&WORKERS, &values), extras, NOW, &mut notes);
        (read, notes)
    }

    #[test]
    fn what_rows_of_workers_say_is_bounded() {
        type Look = fn(&Worker) -> bool;
        let cases: &[(&[(&str, &str)], usize, Look, &str)] = &[
            (
                &[],
                0,
                |worker| worker.maintenance.is_none() && worker.profile.threads == 1,
                "what is not said is common",
            ),
            (
                &[("worker_type", "text_worker")],
                0,
                |worker| worker.profile.kind() == Kind::Text,
                "kinds are told",
            ),
            (
                &[("worker_type", "interrogation_worker")],
                0,
                |worker| worker.profile.kind() == Kind::Alchemy,
                "all three",
            ),
            (
                &[("maintenance", "true")],
                0,
                |worker| worker.maintenance.as_deref() == Some(MAINTENANCE_TEXT),
                "with a text",
            ),
            (
                &[("maintenance", "false"), ("maintenance_msg", "x")],
                0,
                |worker| worker.maintenance.is_none(),
                "or not at all",
            ),
            (&[("threads", "0")], 0, |worker| worker.profile.threads == 1, "one job at a time"),
            (
                &[("threads", "99999999999")],
                1,
                |worker| worker.profile.threads == 1000,
                "and not all there are",
            ),
            (
                &[("contributions", "3")],
                0,
                |worker| worker.stats.things == 3e6,
                "pixel-steps, not millions of them",
            ),
            (&[("fulfilments", "-3")], 1, |worker| worker.stats.fulfilled == 0, "counts are not negative"),
            (&[("uptime", "1e30")], 1, |worker| worker.stats.uptime_seconds == MOST, "nor endless"),
            (&[("ipaddr", "2001:db8::7")], 0, |worker| worker.standing.address.is_some(), "an address"),
            (&[("ipaddr", "here")], 0, |worker| worker.standing.address.is_none(), "is one"),
            (
                &[("last_check_in", "1800000000000")],
                0,
                |worker| worker.seen_at == NOW,
                "nobody was seen tomorrow",
            ),
            (
                &[("bridge_agent", "AI Horde Worker reGen:13:x")],
                0,
                |worker| worker.profile.bridge.version == 13,
                "software",
            ),
            (
                &[("info", "a\u{0}b")],
                1,
                |worker| worker.standing.info.as_deref() == Some("ab"),
                "texts are cleaned",
            ),
            (
                &[
                    ("name", "a & <script>"),
                    ("info", "<img src=x>"),
                    ("maintenance", "t"),
                    ("maintenance_msg", "<u>"),
                ],
                1,
                |worker| {
                    worker.name == "a &amp; &lt;script&gt;"
                        && worker.standing.info.as_deref() == Some("&lt;img src=x&gt;")
                        && worker.maintenance.as_deref() == Some("&lt;u&gt;")
                },
                "and no markup",
            ),
            (
                &[("name", "a &amp; <b>b</b>")],
                0,
                |worker| worker.name == "a &amp; <b>b</b>",
                "but what may stay",
            ),
        ];
        for (cells, changes, look, rule) in cases {
            let (worker, notes) = read(cells, &Extras::default());
            let worker = worker.expect(rule);
            assert!(look(&worker), "{rule}: {worker:?}");
            assert_eq!(notes.0.len(), *changes, "{rule}: {notes:?}");
        }
        let long = "n".repeat(101);
        for (column, value) in [
            ("id", "none"),
            ("id", "00000000-0000-0000-0000-000000000000"),
            ("worker_type", "worker"),
            ("user_id", "0"),
            ("user_id", "x"),
            ("name", ""),
            ("name", " "),
            ("name", "a\nb"),
            ("name", &long),
        ] {
            assert!(read(&[(column, value)], &Extras::default()).0.is_err(), "{column} = {value:?}");
        }
    }

    #[test]
    fn what_other_tables_say_of_a_worker_is_bounded_too() {
        let mut extras = Extras::default();
        let mut take = |ask: &'static Ask, cells: &[(&str, &str)]| {
            let values = values(ask, &[&[("worker_id", ID)], cells].concat());
            extras.take(&Cells::of(ask, &values), ask.table);
        };
        let long = "m".repeat(256);
        for model in ["a model", "a model", "", "b\u{0}", &long] {
            take(&MODELS, &[("model", model)]);
        }
        for n in 0..MOST_LISTED + 5 {
            take(&BLACKLISTS, &[("word", &format!("WORD {n}"))]);
        }
        for speed in (1..=25).map(|n| n.to_string()).chain(["NaN", "-1", "inf", "0"].map(str::to_owned)) {
            take(&SPEEDS, &[("performance", &speed)]);
        }
        for (action, value) in
            [("generated", "700"), ("interrogated", "5"), ("uptime", "80"), ("generated", "-9"), ("x", "1")]
        {
            take(&STATS, &[("action", action), ("value", value)]);
        }
        for suspicion in ["0", "0", "4", "5", "9", "77", "x"] {
            take(&SUSPICIONS, &[("suspicion_id", suspicion)]);
        }
        let worker = read(&[], &extras).0.unwrap();
        assert_eq!(worker.profile.models, ["a model".into()]);
        assert_eq!(
            (worker.profile.blacklist.len(), worker.profile.blacklist[0].as_str()),
            (MOST_LISTED, "word 0")
        );
        assert_eq!(worker.stats.speeds, (6..=25).map(f64::from).collect::<Vec<_>>(), "the newest");
        assert_eq!(
            (worker.stats.generated, worker.stats.uptime_kudos),
            (Kudos::whole(705), Kudos::whole(80))
        );
        assert_eq!(worker.standing.suspicion, Suspicion { once: 9, repeated: 2 });
        let alchemist = read(&[("worker_type", "interrogation_worker")], &extras).0.unwrap();
        assert_eq!(alchemist.stats.speeds[0], 1.0 / 6.0, "forms a second");
    }

    #[test]
    fn what_rows_of_teams_say_is_bounded() {
        let read = |cells: &[(&str, &str)]| {
            let whole = [("id", ID), ("owner_id", "7"), ("name", "Team &amp; co")];
            let values = values(&TEAMS, &[&whole[..], cells].concat());
            team(&Cells::of(&TEAMS, &values), NOW, &mut Notes::default())
        };
        let (team, figures) = read(&[("kudos", "-4"), ("fulfilments", "12"), ("created", "5")]).unwrap();
        assert_eq!((team.name.as_str(), team.created_at), ("Team &amp; co", Timestamp(5)));
        assert_eq!((figures.kudos, figures.fulfilled), (Kudos::ZERO, 12));
        let (team, _) = read(&[("name", "<img>"), ("info", "a & b")]).unwrap();
        assert_eq!((team.name.as_str(), team.info.as_deref()), ("&lt;img&gt;", Some("a &amp; b")));
        assert!(
            read(&[("name", "")]).is_err()
                && read(&[("owner_id", "")]).is_err()
                && read(&[("id", "7")]).is_err()
        );
    }
}
