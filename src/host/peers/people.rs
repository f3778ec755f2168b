//! Rows of accounts and workers, read again because others may have changed them.

use super::Host;
use crate::{
    backend::Failure,
    domain::{UserId, WorkerId, user::User, worker::Worker},
    host::unwritten::Person,
};

impl Host {
    /// Reads accounts and workers, and lets the engine learn them; returns those for which it is to be
    /// done again, as this broker changed them meanwhile. Those are learnt only if all are taken.
    pub(super) async fn read_people(
        &self,
        users: Vec<UserId>,
        workers: Vec<WorkerId>,
        takes_all: bool,
    ) -> Result<(Vec<UserId>, Vec<WorkerId>), Failure> {
        if users.is_empty() && workers.is_empty() {
            return Ok((users, workers));
        }
        let glimpse = self.shared.unwritten.lock().glimpse(&users, &workers);
        let asked = workers.clone();
        let (users, workers) = self.shared.backend.records.people(&users, &workers).await?;
        let is_there = |id: &WorkerId| workers.iter().any(|worker| worker.id == *id);
        let gone: Vec<_> = asked.into_iter().filter(|id| !is_there(id)).collect();
        let (mut again_users, mut again_workers) = (Vec::new(), Vec::new());
        {
            let unwritten = self.shared.unwritten.lock();
            again_users.extend(users.iter().map(|user| user.id));
            again_users.retain(|id| !unwritten.is_whole(&glimpse, Person::User(*id)));
            again_workers.extend(workers.iter().map(|worker| worker.id).chain(gone.iter().copied()));
            again_workers.retain(|id| !unwritten.is_whole(&glimpse, Person::Worker(*id)));
        }
        let (shared, host) = (self.shared.clone(), self.clone());
        self.instruct(move |engine, step| {
            // What changed between the reading and now is told by those who changed it, and read then.
            let unwritten = shared.unwritten.lock();
            let is_new = |user: &User| engine.user(user.id).is_none();
            let users: Vec<_> = users
                .into_iter()
                .filter(|user| {
                    takes_all || is_new(user) || unwritten.is_whole(&glimpse, Person::User(user.id))
                })
                .collect();
            let is_new = |worker: &Worker| engine.worker(worker.id).is_none();
            let workers: Vec<_> = workers
                .into_iter()
                .filter(|worker| {
                    takes_all || is_new(worker) || unwritten.is_whole(&glimpse, Person::Worker(worker.id))
                })
                .collect();
            let gone = gone.into_iter().filter(|id| unwritten.is_whole(&glimpse, Person::Worker(*id)));
            for id in gone {
                engine.forget_worker(step, id);
            }
            let learnt: Vec<_> = workers.iter().map(|worker| worker.id).collect();
            // A row that is older than what is known here may have a key that is no more.
            users.iter().for_each(|user| host.know_key(user));
            engine.learn_changed(step, users, workers);
            engine.refill(step, &learnt);
        })
        .await;
        Ok((again_users, again_workers))
    }

    /// Reads an account again, until this broker does not change it meanwhile.
    pub(in crate::host) async fn reread_user(&self, id: UserId) -> Result<(), Failure> {
        let mut users = vec![id];
        while !users.is_empty() {
            (users, _) = self.read_people(users, Vec::new(), false).await?;
        }
        Ok(())
    }

    pub(super) async fn learn_people(&self, users: Vec<User>, workers: Vec<Worker>) {
        users.iter().for_each(|user| self.know_key(user));
        let learnt: Vec<_> = workers.iter().map(|worker| worker.id).collect();
        self.instruct(move |engine, step| {
            engine.learn_changed(step, users, workers);
            engine.refill(step, &learnt);
        })
        .await;
    }
}
