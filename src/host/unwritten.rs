//! What this broker has changed and not written down yet: accounts, workers, what holds for everybody.
//!
//! Rows of it are read again when others may have changed them. A row that was read while a change
//! was on its way lacks it: it must not replace what is in memory.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::batch;
use crate::domain::{RequestId, UserId, WorkerId, record::Record};

/// What rows are about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Person {
    User(UserId),
    Worker(WorkerId),
    /// What holds for everybody.
    Board,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Mark {
    /// Deeds that are on their way.
    pending: u32,
    /// Counts changes.
    version: u64,
}

/// What is on its way, by whom it is about.
#[derive(Default)]
pub(super) struct Unwritten {
    marks: HashMap<Person, Mark>,
    /// Requests that were accepted, and that Records do not have yet.
    accepting: HashSet<RequestId>,
}

/// How things stood when rows were about to be read.
pub(super) struct Glimpse(HashMap<Person, Mark>);

impl Unwritten {
    /// Notes a record that is to be written.
    pub fn add(&mut self, record: &Record) {
        if let Record::RequestAccepted { request, .. } = record {
            self.accepting.insert(request.id);
        }
        for person in persons(record) {
            let mark = self.marks.entry(person).or_default();
            mark.pending += 1;
            mark.version += 1;
        }
    }

    /// Notes records that were written or refused.
    pub fn end<'r>(&mut self, records: impl Iterator<Item = &'r Record>) {
        for record in records {
            if let Record::RequestAccepted { request, .. } = record {
                self.accepting.remove(&request.id);
            }
            for person in persons(record) {
                let mark = self.marks.entry(person).or_default();
                mark.pending = mark.pending.saturating_sub(1);
                mark.version += 1;
            }
        }
    }

    /// Whether Records may not have a request yet that was accepted here.
    pub fn is_accepting(&self, id: RequestId) -> bool {
        self.accepting.contains(&id)
    }

    /// How things stand.
    pub fn glimpse(&self, users: &[UserId], workers: &[WorkerId]) -> Glimpse {
        let users = users.iter().copied().map(Person::User);
        let persons = users.chain(workers.iter().copied().map(Person::Worker)).chain([Person::Board]);
        Glimpse(persons.map(|person| (person, self.mark(person))).collect())
    }

    /// Whether a row that was read since a glimpse has all that this broker changed.
    pub fn is_whole(&self, glimpse: &Glimpse, person: Person) -> bool {
        let now = self.mark(person);
        now.pending == 0 && glimpse.0.get(&person).is_none_or(|then| *then == now)
    }

    fn mark(&self, person: Person) -> Mark {
        self.marks.get(&person).copied().unwrap_or_default()
    }
}

fn persons(record: &Record) -> impl Iterator<Item = Person> + use<> {
    let (users, workers): (BTreeSet<_>, BTreeSet<_>) = batch::people(std::iter::once(record));
    let board = matches!(record, Record::BoardChanged(_)).then_some(Person::Board);
    users.into_iter().map(Person::User).chain(workers.into_iter().map(Person::Worker)).chain(board)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::user::UserStats;

    #[test]
    fn a_request_is_on_its_way_until_it_is_written_or_refused() {
        let request = crate::domain::request::Accepted {
            id: RequestId(uuid::Uuid::from_u128(1)),
            owner: UserId(7),
            created_at: crate::domain::Timestamp(0),
            priority: 0,
            spec: std::sync::Arc::new(crate::engine::stage::text_spec(1)),
        };
        let (id, mut unwritten) = (request.id, Unwritten::default());
        let record = Record::RequestAccepted { request, expires_at: Default::default(), limit: 1 };
        unwritten.add(&record);
        assert!(unwritten.is_accepting(id));
        unwritten.end([&record].into_iter());
        assert!(!unwritten.is_accepting(id));
    }

    #[test]
    fn a_row_that_was_read_while_a_change_was_on_its_way_is_not_whole() {
        let (user, mut unwritten) = (UserId(7), Unwritten::default());
        let record = Record::UserCounted { user, change: UserStats::default() };
        let before = unwritten.glimpse(&[user], &[]);
        assert!(unwritten.is_whole(&before, Person::User(user)));
        unwritten.add(&record);
        let meanwhile = unwritten.glimpse(&[user], &[]);
        assert!(!unwritten.is_whole(&before, Person::User(user)), "it changed since");
        assert!(!unwritten.is_whole(&meanwhile, Person::User(user)), "it is on its way");
        unwritten.end([&record].into_iter());
        assert!(!unwritten.is_whole(&meanwhile, Person::User(user)), "it may have come after the reading");
        let after = unwritten.glimpse(&[user], &[]);
        assert!(unwritten.is_whole(&after, Person::User(user)));
    }
    #[test]
    fn what_holds_for_everybody_is_whole_once_what_was_changed_of_it_is_written() {
        let mut unwritten = Unwritten::default();
        let route = crate::domain::board::BoardChange::Route("/api/v2/teams".into(), true);
        let record = Record::BoardChanged(route);
        let before = unwritten.glimpse(&[], &[]);
        unwritten.add(&record);
        assert!(!unwritten.is_whole(&before, Person::Board), "it changed since");
        unwritten.end([&record].into_iter());
        assert!(!unwritten.is_whole(&before, Person::Board), "it may have come after the reading");
        assert!(unwritten.is_whole(&unwritten.glimpse(&[], &[]), Person::Board));
    }
}
