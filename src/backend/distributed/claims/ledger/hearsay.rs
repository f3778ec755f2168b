//! What a ledger knows of jobs that other brokers have to do with: by their news, or from Records.

use super::{JobId, Ledger, Stand};
use crate::domain::{AttemptId, news::News, record::StoredRequest};

impl Ledger {
    /// Puts right what is known of a request by hearsay, by Records as they are now. What this broker
    /// looks after stays as it is while they have it open.
    pub fn correct(&mut self, stored: &StoredRequest) {
        let id = stored.request.id;
        let before = self.requests.remove(&id);
        self.insert(stored);
        let own = before.into_iter().flat_map(|request| request.jobs.into_iter().enumerate());
        let is_open = |id: AttemptId| stored.open.iter().any(|attempt| attempt.id == id);
        let (own, lost): (Vec<_>, Vec<_>) = own
            .filter_map(|(job, stand)| match stand {
                Stand::Held(attempt) if self.own.contains(&attempt.id) => Some((job, attempt)),
                _ => None,
            })
            .partition(|(_, attempt)| is_open(attempt.id));
        for (_, attempt) in lost {
            self.own.remove(&attempt.id);
            self.attempts.remove(&attempt.id);
        }
        if let Some(request) = self.requests.get_mut(&id) {
            own.into_iter().for_each(|(job, attempt)| request.jobs[job] = Stand::Held(attempt));
        }
        self.close_if_over(id);
    }

    pub(super) fn learn(&mut self, stored: &StoredRequest, adopted: &[AttemptId]) {
        let id = stored.request.id;
        if stored.done {
            if self.requests.contains_key(&id) {
                self.end(id, |_, _| true);
            }
            return;
        }
        if !self.requests.contains_key(&id) {
            self.insert(stored);
        }
        for attempt in stored.open.iter().filter(|attempt| adopted.contains(&attempt.id)) {
            self.own.insert(attempt.id);
            self.attempts.insert(attempt.id, (id, attempt.job));
            let stand = self.requests.get_mut(&id).and_then(|request| request.jobs.get_mut(attempt.job));
            if let Some(stand) = stand {
                *stand = Stand::Held(attempt.clone());
            }
        }
        if stored.cancelled || stored.faulted {
            self.withdraw(id);
        }
        self.close_if_over(id);
    }

    pub(super) fn hear(&mut self, news: &News) {
        match news {
            News::Waits { request: id, job, number } => {
                let number = *number;
                let Some(stand) = self.stand_of((*id, *job)) else { return };
                let is_news = match stand {
                    Stand::Waiting { number: known, .. } => *known < number,
                    Stand::Held(held) => held.number < number,
                    Stand::Away(known) => *known < number,
                    Stand::Over => false,
                };
                if is_news {
                    self.replace((*id, *job), Stand::Waiting { number, taken_from: None, how: None });
                }
            }
            News::Held(hold) => {
                let job = (hold.request, hold.job);
                let Some(stand) = self.stand_of(job) else { return };
                let is_news = match stand {
                    Stand::Waiting { number, .. } => *number <= hold.number,
                    // Of one that this broker looks after it is news only if it was taken from it.
                    Stand::Held(held) => {
                        held.number < hold.number || (held.id == hold.attempt && hold.is_taken_from_us)
                    }
                    Stand::Away(number) => *number <= hold.number,
                    Stand::Over => false,
                };
                if is_news {
                    self.replace(job, Stand::Away(hold.number));
                }
            }
            News::Over { request, job } if self.stand_of((*request, *job)).is_some() => {
                self.replace((*request, *job), Stand::Over);
                self.close_if_over(*request);
            }
            _ => {}
        }
    }

    fn stand_of(&self, job: JobId) -> Option<&Stand> {
        self.requests.get(&job.0)?.jobs.get(job.1)
    }

    /// Notes where a job stands by what another broker told Redis: there is nothing to be told of it.
    fn replace(&mut self, job: JobId, next: Stand) {
        let stand = self.requests.get_mut(&job.0).and_then(|request| request.jobs.get_mut(job.1));
        let Some(stand) = stand else { return };
        if let Stand::Held(attempt) = stand {
            self.attempts.remove(&attempt.id);
            self.own.remove(&attempt.id);
        }
        *stand = next;
        self.due.remove(&job);
    }
}
