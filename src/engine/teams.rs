//! Teams: founded, changed, dissolved, joined; and what counts for them.
//!
//! Names and founders are in memory, and known to all brokers as what holds for everybody is. Figures are in
//! Records alone: what a worker does is added to those of the team that it is in at that moment.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{Engine, Step};
use crate::domain::{
    Error, Kudos, Result, TeamId, Timestamp, UserId, WorkerId,
    board::BoardChange,
    record::Record,
    request::Kind,
    standing::Ruling,
    team::{Team, TeamChange, TeamFigures},
    words,
    worker::{Worker, WorkerChange},
};

/// Teams that there may be.
const MAX_TEAMS: usize = 10_000;
/// Teams that one account may have founded that is no moderator.
const MOST_OF_ONE: usize = 100;

/// The teams, in memory.
#[derive(Default)]
pub(super) struct Teams {
    by_id: HashMap<TeamId, Arc<Team>>,
    /// By what names are compared by.
    by_name: HashMap<String, TeamId>,
}

impl Teams {
    /// Takes them over as Records have them.
    pub fn restore(&mut self, teams: Vec<Arc<Team>>) {
        self.by_id.clear();
        self.by_name.clear();
        for team in teams {
            self.insert(team);
        }
    }

    fn insert(&mut self, team: Arc<Team>) {
        if let Some(known) = self.by_id.get(&team.id) {
            self.by_name.remove(&Team::key(&known.name));
        }
        self.by_name.insert(Team::key(&team.name), team.id);
        self.by_id.insert(team.id, team);
    }

    fn remove(&mut self, id: TeamId) -> Option<Arc<Team>> {
        let team = self.by_id.remove(&id)?;
        self.by_name.remove(&Team::key(&team.name));
        Some(team)
    }
}

/// A team that is to be founded.
#[derive(Clone, Debug)]
pub struct NewTeam {
    /// Who founds it.
    pub owner: UserId,
    /// Its name, as it was sent.
    pub name: String,
    /// What it says of itself.
    pub info: Option<String>,
}

/// Who is in a team.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Roll {
    /// Its workers, oldest first, and whether each is online.
    pub workers: Vec<(WorkerId, bool)>,
    /// Models that those of them offer that are online, and how many of them do.
    pub models: BTreeMap<Arc<str>, usize>,
}

impl Engine {
    /// A team.
    pub fn team(&self, id: TeamId) -> Option<&Arc<Team>> {
        self.board.teams.by_id.get(&id)
    }

    /// All teams, oldest first.
    pub fn teams(&self) -> Vec<Arc<Team>> {
        let mut teams: Vec<_> = self.board.teams.by_id.values().cloned().collect();
        teams.sort_unstable_by_key(|team| (team.created_at, team.id));
        teams
    }

    /// The name of a team.
    pub fn team_name(&self, id: TeamId) -> Option<String> {
        self.team(id).map(|team| team.name.clone())
    }

    /// Who is in a team, of one or of all that have workers.
    pub fn rolls(&self, only: Option<TeamId>, now: Timestamp) -> HashMap<TeamId, Roll> {
        let in_team =
            |worker: &&_| worker_team(worker).is_some_and(|team| only.is_none_or(|only| team == only));
        let mut workers: Vec<_> = self.fleet.all().filter(in_team).collect();
        workers.sort_unstable_by_key(|worker| (worker.created_at, worker.id));
        let mut rolls: HashMap<TeamId, Roll> = HashMap::new();
        for worker in workers {
            let Some(team) = worker_team(worker) else { continue };
            let is_online = self.is_online(worker, now);
            let roll = rolls.entry(team).or_default();
            roll.workers.push((worker.id, is_online));
            if is_online {
                let models: BTreeSet<_> = worker.profile.models.iter().collect();
                models.into_iter().for_each(|model| *roll.models.entry(model.clone()).or_default() += 1);
            }
        }
        rolls
    }

    /// Founds a team.
    ///
    /// # Errors
    /// TeamNameAlreadyExists, ProfaneTeamName, ProfaneTeamInfo; [`Error::BadRequest`] for a name of nothing,
    /// or if there are too many.
    pub fn found_team(&mut self, step: &mut Step<'_>, new: NewTeam) -> Result<Arc<Team>> {
        let NewTeam { owner, name, info } = new;
        let name = self.fit_team_name(&name, None)?;
        self.fit_team_info(info.as_deref())?;
        if self.board.teams.by_id.len() >= MAX_TEAMS {
            return Err(Error::BadRequest(format!("there are {MAX_TEAMS} teams already: join one of them")));
        }
        let own = self.board.teams.by_id.values().filter(|team| team.owner == owner).count();
        if own >= MOST_OF_ONE && self.demand_moderator(owner).is_err() {
            return Err(Error::BadRequest(format!(
                "{own} teams are yours already: dissolve one of them first"
            )));
        }
        let team = Team { id: TeamId(step.dice.uuid()), name, info, owner, created_at: step.now };
        let team = Arc::new(team);
        self.board.teams.insert(team.clone());
        step.persist(Record::BoardChanged(BoardChange::TeamMade(team.clone())));
        Ok(team)
    }

    /// Changes a team; returns it as it is then. Whoever may do so is asked before.
    ///
    /// # Errors
    /// TeamNotFound, NoTeamModSelected; as [`Engine::found_team`].
    pub fn change_team(&mut self, step: &mut Step<'_>, id: TeamId, change: TeamChange) -> Result<Arc<Team>> {
        let mut team = self.team(id).cloned().ok_or_else(|| Error::TeamNotFound(id.to_string()))?;
        let TeamChange { name, info } = change;
        if name.is_none() && info.is_none() {
            return Err(Error::NoTeamModSelected);
        }
        let name = name.map(|name| self.fit_team_name(&name, Some(id))).transpose()?;
        self.fit_team_info(info.as_deref())?;
        let change = TeamChange { name, info };
        change.apply(Arc::make_mut(&mut team));
        self.board.teams.insert(team.clone());
        step.persist(Record::BoardChanged(BoardChange::TeamChanged(id, change)));
        Ok(team)
    }

    /// Dissolves a team, and returns what it was called. Its workers have none from then on.
    ///
    /// # Errors
    /// TeamNotFound.
    pub fn dissolve_team(&mut self, step: &mut Step<'_>, id: TeamId) -> Result<String> {
        let team = self.board.teams.remove(id).ok_or_else(|| Error::TeamNotFound(id.to_string()))?;
        let members: Vec<_> = self
            .fleet
            .all()
            .filter(|worker| worker_team(worker) == Some(id))
            .map(|worker| worker.id)
            .collect();
        for member in members {
            if let Some(worker) = self.fleet.get_mut(member) {
                worker.standing.team = None;
            }
        }
        step.persist(Record::BoardChanged(BoardChange::TeamGone(id)));
        Ok(team.name.clone())
    }

    /// Has a worker join a team, or leave it for none; returns the team's name. Its time online until then
    /// counts for the team that it leaves.
    pub(super) fn join_team(
        &mut self,
        step: &mut Step<'_>,
        id: WorkerId,
        team: &str,
    ) -> Result<Option<String>> {
        let (team, name) = match team {
            "" => (None, None),
            sent => {
                let known = TeamId::parse(sent).and_then(|id| Some((id, self.team_name(id)?)));
                let (id, name) = known.ok_or_else(|| Error::TeamNotFound(sent.to_owned()))?;
                (Some(id), Some(name))
            }
        };
        self.accrue_waiting(step.now, id);
        let change = self.fleet.take_unwritten(id);
        if change != WorkerChange::default() {
            step.part();
            step.persist(Record::WorkerCounted { worker: id, change });
            self.count_time(step, id, change.uptime_seconds);
        }
        step.cut();
        self.rule(step, id, Ruling { team: Some(team), ..Ruling::default() });
        Ok(name)
    }

    /// A worker has delivered a job that earned so much.
    pub(super) fn count_for_team(&mut self, step: &mut Step<'_>, worker: WorkerId, kind: Kind, kudos: Kudos) {
        if matches!(kind, Kind::Image | Kind::Video) {
            self.add_to_team(step, worker, TeamFigures { fulfilled: 1, kudos, uptime_seconds: 0 });
        }
    }

    /// Records are told of so many seconds that a worker was online.
    pub(super) fn count_time(&mut self, step: &mut Step<'_>, worker: WorkerId, uptime_seconds: i64) {
        let draws = self
            .fleet
            .get(worker)
            .is_some_and(|worker| matches!(worker.profile.kind(), Kind::Image | Kind::Video));
        if draws && uptime_seconds > 0 {
            self.add_to_team(step, worker, TeamFigures { uptime_seconds, ..TeamFigures::default() });
        }
    }

    fn add_to_team(&self, step: &mut Step<'_>, worker: WorkerId, figures: TeamFigures) {
        // One that is gone has no figures any more.
        let team = self.fleet.get(worker).and_then(worker_team).filter(|team| self.team(*team).is_some());
        if let Some(team) = team {
            step.persist(Record::TeamCounted { team, figures });
        }
    }

    fn fit_team_name(&self, sent: &str, own: Option<TeamId>) -> Result<String> {
        let name = words::safe_name(sent);
        let holder = self.board.teams.by_name.get(&Team::key(&name)).copied();
        if holder.is_some() && holder != own {
            return Err(Error::TeamNameAlreadyExists(name));
        }
        if self.rules.people.profanity.is_in(&name) {
            return Err(Error::ProfaneTeamName);
        }
        if name.is_empty() {
            return Err(Error::BadRequest("the team's name is empty: give it one".into()));
        }
        Ok(name)
    }

    fn fit_team_info(&self, info: Option<&str>) -> Result<()> {
        let is_profane = info.is_some_and(|info| self.rules.people.profanity.is_in(info));
        if is_profane { Err(Error::ProfaneTeamInfo) } else { Ok(()) }
    }
}

fn worker_team(worker: &Worker) -> Option<TeamId> {
    worker.standing.team
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        domain::{news::News, request::Spec, user::Role, words::WordList, worker::Profile},
        engine::{
            PeopleRules, Rules, WorkerUpdate,
            stage::{Stage, image_profile, image_spec, text_profile, text_spec},
        },
    };

    fn stage() -> Stage {
        let people = PeopleRules { profanity: Arc::new(WordList::read("darn*")), ..PeopleRules::default() };
        Stage::with(Rules { people, ..Rules::default() })
    }

    fn found(stage: &mut Stage, name: &str) -> Result<TeamId> {
        let new = NewTeam { owner: stage.user, name: name.into(), info: None };
        stage.act(|engine, step| engine.found_team(step, new)).map(|team| team.id)
    }

    fn change(stage: &mut Stage, id: TeamId, name: Option<&str>, info: Option<&str>) -> Result<Arc<Team>> {
        let change = TeamChange { name: name.map(str::to_owned), info: info.map(str::to_owned) };
        stage.act(|engine, step| engine.change_team(step, id, change))
    }

    fn told<T: std::fmt::Debug>(outcome: Result<T>) -> String {
        outcome.err().map_or("done".into(), |error| {
            format!("{error:?}").split(['(', ' ']).next().unwrap_or_default().to_owned()
        })
    }

    fn joins(stage: &mut Stage, name: &str, team: &str) -> Result<Option<Option<String>>> {
        let (user, id) = (stage.user, stage.engine.worker_by_name(name).unwrap().id);
        let update = WorkerUpdate { team: Some(team.into()), ..WorkerUpdate::default() };
        stage.act(|engine, step| engine.update_worker(step, user, id, update)).map(|updated| updated.team)
    }

    /// What was written of teams, summed up.
    fn figures(stage: &Stage) -> HashMap<TeamId, TeamFigures> {
        let mut sums: HashMap<TeamId, TeamFigures> = HashMap::new();
        for record in stage.records() {
            if let Record::TeamCounted { team, figures } = record {
                sums.entry(*team).or_default().add(*figures);
            }
        }
        sums
    }

    fn draws(stage: &mut Stage, name: &str, profile: Profile, spec: Spec) -> Kudos {
        stage.submit(spec);
        stage.pop(name, profile, Duration::ZERO);
        let held = stage.granted()[0];
        stage.deliver(held).unwrap()
    }

    #[test]
    fn names_are_unique_in_any_case_decent_and_safe_to_show() {
        let mut stage = stage();
        let first = found(&mut stage, " Alpha & co ").unwrap();
        assert_eq!(stage.engine.team_name(first).as_deref(), Some("Alpha &amp; co"));
        for (name, outcome) in [
            ("ALPHA & CO", "TeamNameAlreadyExists"),
            ("darned", "ProfaneTeamName"),
            ("   ", "BadRequest"),
            ("Beta", "done"),
        ] {
            assert_eq!(told(found(&mut stage, name)), outcome, "{name}");
        }
        for (name, info, outcome) in [
            (None, None, "NoTeamModSelected"),
            (Some("bETA"), None, "TeamNameAlreadyExists"),
            (Some("darn it"), None, "ProfaneTeamName"),
            (None, Some("darn it"), "ProfaneTeamInfo"),
            (Some("ALPHA"), Some("fine"), "done"),
            (Some("alpha"), None, "done"),
        ] {
            assert_eq!(told(change(&mut stage, first, name, info)), outcome, "{name:?}, {info:?}");
        }
        let team = stage.engine.team(first).unwrap();
        assert_eq!((team.name.as_str(), team.info.as_deref()), ("alpha", Some("fine")));
        assert_eq!(told(found(&mut stage, "Alpha & co")), "done", "what it was called is free");
        let names: Vec<_> = stage.engine.teams().iter().map(|team| team.name.clone()).collect();
        assert_eq!(names, ["alpha", "Beta", "Alpha &amp; co"], "oldest first");
        assert_eq!(stage.act(|engine, step| engine.dissolve_team(step, first)).unwrap(), "alpha");
        assert_eq!(told(stage.act(|engine, step| engine.dissolve_team(step, first))), "TeamNotFound");
        assert_eq!(told(change(&mut stage, first, Some("more"), None)), "TeamNotFound");
        assert_eq!(told(found(&mut stage, "ALPHA")), "done");
    }

    #[test]
    fn images_count_for_the_team_that_their_worker_is_in_at_that_moment() {
        let mut stage = stage();
        let (first, second) = (found(&mut stage, "first").unwrap(), found(&mut stage, "second").unwrap());
        draws(&mut stage, "artist", image_profile(1), image_spec(1));
        assert!(figures(&stage).is_empty(), "it is in none");
        assert_eq!(joins(&mut stage, "artist", &first.to_string()).unwrap(), Some(Some("first".into())));
        let one = draws(&mut stage, "artist", image_profile(1), image_spec(1));
        joins(&mut stage, "artist", &second.to_string()).unwrap();
        let two = draws(&mut stage, "artist", image_profile(1), image_spec(1));
        assert_eq!(joins(&mut stage, "artist", "").unwrap(), Some(None));
        draws(&mut stage, "artist", image_profile(1), image_spec(1));
        let sums = figures(&stage);
        let of = |team| sums.get(&team).map(|figures: &TeamFigures| (figures.fulfilled, figures.kudos));
        assert_eq!((of(first), of(second)), (Some((1, one)), Some((1, two))));
        // Texts do not count.
        stage.pop("writer", text_profile(1), Duration::ZERO);
        joins(&mut stage, "writer", &first.to_string()).unwrap();
        draws(&mut stage, "writer", text_profile(1), text_spec(1));
        assert_eq!(figures(&stage)[&first].fulfilled, 1);
        assert_eq!(told(joins(&mut stage, "writer", "first")), "TeamNotFound", "a name is no ID");
    }

    #[test]
    fn time_online_counts_for_the_team_in_which_it_was_spent() {
        let mut stage = stage();
        let (first, second) = (found(&mut stage, "first").unwrap(), found(&mut stage, "second").unwrap());
        stage.stream("artist", image_profile(1), 1, &[]);
        stage.stream("writer", text_profile(1), 1, &[]);
        stage.wait(Duration::from_secs(100));
        for name in ["artist", "writer"] {
            joins(&mut stage, name, &first.to_string()).unwrap();
        }
        stage.wait(Duration::from_secs(50));
        for name in ["artist", "writer"] {
            joins(&mut stage, name, &second.to_string()).unwrap();
        }
        stage.wait(Duration::from_secs(30));
        joins(&mut stage, "artist", "").unwrap();
        stage.wait(Duration::from_secs(20));
        joins(&mut stage, "artist", &first.to_string()).unwrap();
        let sums = figures(&stage);
        let seconds = |team| sums.get(&team).map(|figures: &TeamFigures| figures.uptime_seconds);
        assert_eq!((seconds(first), seconds(second)), (Some(50), Some(30)), "of those who draw alone");
        let counted: i64 = stage
            .records()
            .filter_map(|record| match record {
                Record::WorkerCounted { change, .. } => Some(change.uptime_seconds),
                _ => None,
            })
            .sum();
        assert_eq!(counted, 200 + 150, "and each second once for its worker");
    }

    #[test]
    fn over_several_brokers_all_time_counts_for_the_team() {
        let mut stage = stage();
        let team = found(&mut stage, "first").unwrap();
        stage.pop("artist", image_profile(1), Duration::ZERO);
        joins(&mut stage, "artist", &team.to_string()).unwrap();
        let artist = stage.engine.worker_by_name("artist").unwrap().id;
        stage.engine.share();
        // One that leads is told so again and again.
        for _ in 0..700 {
            let now = stage.now;
            stage.engine.lead(now, true);
            stage.wait(Duration::from_secs(1));
            // It polls another one, which says so.
            let seen = News::Seen(vec![(artist, stage.now)]);
            stage.act(|engine, step| engine.hear(step, &[seen]));
        }
        let counted = stage.records().filter_map(|record| match record {
            Record::WorkerCounted { change, .. } => Some(change.uptime_seconds),
            _ => None,
        });
        let (counted, of_team) = (counted.sum::<i64>(), figures(&stage)[&team].uptime_seconds);
        assert!(counted > 600, "it is told to the others each minute: {counted}");
        assert_eq!(of_team, counted);
    }

    #[test]
    fn an_account_has_so_many_teams_unless_it_keeps_order_here() {
        let mut stage = stage();
        let teams: Vec<_> =
            (0..MOST_OF_ONE).map(|i| found(&mut stage, &format!("team {i}")).unwrap()).collect();
        let refused = found(&mut stage, "one more").unwrap_err().to_string();
        assert!(refused.contains("100 teams are yours"), "{refused}");
        stage.act(|engine, step| engine.dissolve_team(step, teams[0])).unwrap();
        found(&mut stage, "one more").unwrap();
        let user = stage.user;
        let roles = [(Role::Moderator, true)].into();
        stage.act(|engine, step| engine.set_roles(step, user, roles)).unwrap();
        found(&mut stage, "another one").unwrap();
    }

    #[test]
    fn a_team_that_is_dissolved_has_no_workers_and_nothing_counts_for_it() {
        let mut stage = stage();
        let team = found(&mut stage, "first").unwrap();
        stage.pop("artist", image_profile(1), Duration::ZERO);
        joins(&mut stage, "artist", &team.to_string()).unwrap();
        let now = stage.now;
        let rolls = stage.engine.rolls(Some(team), now);
        let (worker, models) = (&rolls[&team].workers, &rolls[&team].models);
        assert_eq!((worker.len(), worker[0].1, models.values().collect::<Vec<_>>()), (1, true, vec![&1]));
        stage.wait(Duration::from_secs(3600));
        let now = stage.now;
        let rolls = stage.engine.rolls(None, now);
        assert_eq!((rolls[&team].workers[0].1, rolls[&team].models.len()), (false, 0), "it is not there");
        stage.act(|engine, step| engine.dissolve_team(step, team)).unwrap();
        assert!(stage.engine.rolls(None, now).is_empty());
        assert_eq!(stage.engine.worker_by_name("artist").unwrap().standing.team, None);
        draws(&mut stage, "artist", image_profile(1), image_spec(1));
        assert!(!figures(&stage).contains_key(&team));
    }
}
