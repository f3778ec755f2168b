//! Promises of Records about teams.

use std::sync::Arc;

use gridbroker::{
    backend::{
        Refusal::{Overtaken, Taken},
        Verdict::{Kept, Refused},
    },
    domain::{
        Kudos, TeamId, Timestamp, UserId, WorkerId,
        board::BoardChange,
        record::Record,
        standing::Ruling,
        team::{Team, TeamChange, TeamFigures},
    },
};
use uuid::Uuid;

use super::{making, store::Store};

fn team(name: &str, created_at: i64) -> Team {
    Team {
        id: TeamId(Uuid::new_v4()),
        name: name.into(),
        info: Some("\"we\" draw".into()),
        owner: UserId(1),
        created_at: Timestamp(created_at),
    }
}

fn founded(team: &Team) -> Record {
    Record::BoardChanged(BoardChange::TeamMade(Arc::new(team.clone())))
}

fn renamed(team: &Team, name: &str) -> Record {
    changed(team, TeamChange { name: Some(name.into()), info: None })
}

fn changed(team: &Team, change: TeamChange) -> Record {
    Record::BoardChanged(BoardChange::TeamChanged(team.id, change))
}

fn dissolved(team: &Team) -> Record {
    Record::BoardChanged(BoardChange::TeamGone(team.id))
}

fn counted(team: &Team, fulfilled: i64, kudos: i64, uptime_seconds: i64) -> Record {
    let figures = TeamFigures { fulfilled, kudos: Kudos(kudos), uptime_seconds };
    Record::TeamCounted { team: team.id, figures }
}

async fn teams(store: &Store) -> Vec<Team> {
    store.records.board().await.unwrap().teams.iter().map(|team| (**team).clone()).collect()
}

pub async fn a_team_comes_back_as_it_was_founded_and_changed(store: Store) {
    let (first, second) = (team("First", 1), Team { info: None, ..team("Second & co", 2) });
    store.records.commit(&[founded(&second), founded(&first)]).await.unwrap();
    assert_eq!(teams(&store).await, [first.clone(), second.clone()], "oldest first");
    let loaded = store.records.load().await.unwrap().board.teams;
    assert_eq!(loaded.len(), 2, "they are read at the start");
    let info = |info: &str| TeamChange { name: None, info: Some(info.into()) };
    let changes = [renamed(&first, "Third"), changed(&second, info("said")), changed(&first, info("more"))];
    store.records.commit(&changes).await.unwrap();
    let expected = [
        Team { name: "Third".into(), info: Some("more".into()), ..first.clone() },
        Team { info: Some("said".into()), ..second.clone() },
    ];
    assert_eq!(teams(&store).await, expected);
    let deeds = [vec![dissolved(&first)], vec![dissolved(&first)], vec![renamed(&first, "Fourth")]];
    let gone = Refused(Overtaken);
    assert_eq!(store.records.commit_each(&deeds).await.unwrap(), [Kept, gone, gone]);
    assert_eq!(teams(&store).await.len(), 1);
}

pub async fn a_teams_name_is_taken_once_in_any_case(store: Store) {
    let (first, second, third) = (team("Ärger", 1), team("second", 2), team("äRGER", 3));
    let deeds = [vec![founded(&first)], vec![founded(&second)], vec![founded(&third)]];
    assert_eq!(store.records.commit_each(&deeds).await.unwrap(), [Kept, Kept, Refused(Taken)]);
    let deeds = [vec![renamed(&second, "ÄRGER")], vec![renamed(&first, "ärger")]];
    assert_eq!(
        store.records.commit_each(&deeds).await.unwrap(),
        [Refused(Taken), Kept],
        "its own it may have"
    );
    // What one of them makes room for, another may take.
    let deeds =
        [vec![renamed(&first, "other")], vec![renamed(&second, "Ärger")], vec![founded(&team("SECOND", 4))]];
    assert_eq!(store.records.commit_each(&deeds).await.unwrap(), [Kept, Kept, Kept]);
}

pub async fn a_team_that_is_dissolved_leaves_its_workers_without_one(store: Store) {
    let (first, second) = (team("first", 1), team("second", 2));
    let [one, two, three] = ["one", "two", "three"].map(making::worker);
    let joins = |worker: WorkerId, team: &Team| {
        let ruling = Box::new(Ruling { team: Some(Some(team.id)), ..Ruling::default() });
        Record::WorkerRuled { worker, ruling }
    };
    let mut batch = vec![making::user(1), founded(&first), founded(&second)];
    batch.extend([&one, &two, &three].map(making::made));
    batch.extend([joins(one.id, &first), joins(two.id, &second), joins(three.id, &first)]);
    store.records.commit(&batch).await.unwrap();
    store.records.commit(&[dissolved(&first)]).await.unwrap();
    let (_, workers) = store.records.people(&[], &[one.id, two.id, three.id]).await.unwrap();
    for worker in workers {
        let left = (worker.id == two.id).then_some(second.id);
        assert_eq!(worker.standing.team, left, "{}", worker.name);
    }
}

pub async fn figures_of_teams_add_up(store: Store) {
    let (first, second) = (team("first", 1), team("second", 2));
    store.records.commit(&[founded(&first), founded(&second)]).await.unwrap();
    store.records.commit(&[counted(&first, 1, 500, 0), counted(&first, 1, 250, 60)]).await.unwrap();
    let nobody = team("nobody", 3);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let deed = vec![counted(&first, 1, 1, 1), counted(&nobody, 1, 1, 1)];
        let records = store.records.clone();
        tasks.spawn(async move { records.commit_each(&[deed]).await.unwrap()[0] });
    }
    assert!(
        tasks.join_all().await.into_iter().all(|verdict| verdict == Kept),
        "one that is gone is no reason"
    );
    let figures = TeamFigures { fulfilled: 10, kudos: Kudos(758), uptime_seconds: 68 };
    assert_eq!(store.records.team_figures(Some(first.id)).await.unwrap(), [(first.id, figures)]);
    let mut all = store.records.team_figures(None).await.unwrap();
    all.sort_by_key(|(id, _)| *id != first.id);
    assert_eq!(all, [(first.id, figures), (second.id, TeamFigures::default())]);
    assert_eq!(store.records.team_figures(Some(nobody.id)).await.unwrap(), []);
}
