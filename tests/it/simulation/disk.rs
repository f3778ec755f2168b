//! The real Records beside the model.

use gridbroker::domain::record::{Record, Snapshot, StoredRequest};
use serde_json::Value;

use crate::backend::store::{Keeper, Store, TABLES};

/// Stores of their own, driven from this thread. All get the same batches.
pub struct Disk {
    runtime: tokio::runtime::Runtime,
    stores: Vec<Store>,
}

impl Disk {
    pub fn open(keepers: &[Keeper]) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let open = async {
            let mut stores = Vec::new();
            for keeper in keepers {
                stores.push(Store::fresh(*keeper).await);
            }
            stores
        };
        let stores = runtime.block_on(open);
        Self { runtime, stores }
    }

    pub fn commit(&self, batch: &[Record]) {
        for store in &self.stores {
            self.runtime.block_on(store.records.commit(batch)).unwrap();
        }
    }

    pub fn load(&self) -> Snapshot {
        self.runtime.block_on(self.stores[0].records.load()).unwrap()
    }

    /// The first difference between the tables of the first store and those of the others.
    pub fn difference_of_tables(&self) -> Option<String> {
        let (first, others) = self.stores.split_first()?;
        self.runtime.block_on(async {
            for (table, columns) in TABLES {
                let right = lines_of(first.table(table, columns).await);
                for other in others {
                    let stored = lines_of(other.table(table, columns).await);
                    if let Some(difference) = first_difference(&stored, &right) {
                        return Some(format!("{table} of {:?}: {difference}", other.keeper));
                    }
                }
            }
            let balances = first.balances().await;
            for store in &self.stores {
                let (kept, ledger) = (store.balances().await, store.ledger().await);
                if kept != balances || ledger != balances {
                    return Some(format!("balances of {:?}: {kept:?}, ledger {ledger:?}", store.keeper));
                }
            }
            None
        })
    }

    /// The first difference between what is stored and what should be.
    pub fn difference(&self, right: &Snapshot) -> Option<String> {
        let right = lines(right);
        self.stores.iter().find_map(|store| {
            let stored = self.runtime.block_on(store.records.load()).unwrap();
            let difference = first_difference(&lines(&stored), &right)?;
            Some(format!("{:?} and the model differ: {difference}", store.keeper))
        })
    }
}

fn lines_of(rows: Vec<Vec<Value>>) -> Vec<Value> {
    rows.into_iter().map(Value::Array).collect()
}

fn first_difference(stored: &[Value], right: &[Value]) -> Option<String> {
    let mut pairs = stored.iter().zip(right).filter(|(a, b)| !is_near(a, b));
    let unequal = pairs.next().map(|(a, b)| format!("stored {a}\nright  {b}"));
    unequal.or_else(|| {
        (stored.len() != right.len()).then(|| format!("{} rows, should be {}", stored.len(), right.len()))
    })
}

/// A snapshot as comparable lines, in one order.
fn lines(snapshot: &Snapshot) -> Vec<Value> {
    let mut users: Vec<_> = snapshot.users.iter().collect();
    users.sort_by_key(|user| user.id);
    let mut workers: Vec<_> = snapshot.workers.iter().collect();
    workers.sort_by_key(|worker| worker.id);
    let mut requests: Vec<_> = snapshot.requests.iter().collect();
    requests.sort_by_key(|stored| stored.request.id);
    let users = users.into_iter().map(|user| {
        serde_json::json!([
            user.id,
            user.alias,
            user.roles,
            user.concurrency,
            user.balance,
            user.escrow,
            user.stats,
            user.monthly,
            user.created_at
        ])
    });
    let workers = workers.into_iter().map(|worker| {
        let (a, b) = (&worker.stats, &worker.profile);
        serde_json::json!([worker.id, worker.name, worker.owner, worker.seen_at, worker.maintenance, a, b])
    });
    users.chain(workers).chain(requests.into_iter().map(request)).collect()
}

fn request(stored: &StoredRequest) -> Value {
    let mut open = stored.open.clone();
    open.sort_by_key(|attempt| attempt.id);
    let mut closed: Vec<_> =
        stored.closed.iter().map(|(job, number, id, how)| (id, job, number, how.word())).collect();
    closed.sort();
    let mut outcomes: Vec<_> = stored.outcomes.iter().map(|outcome| &**outcome).collect();
    outcomes.sort_by_key(|outcome| outcome.job);
    let request = &stored.request;
    let spec = serde_json::to_value(&*request.spec).unwrap();
    let states = (stored.cancelled, stored.faulted, stored.done, stored.consumed, stored.expires_at);
    serde_json::json!([
        request.id,
        request.owner,
        request.created_at,
        request.priority,
        spec,
        states,
        open,
        closed,
        outcomes
    ])
}

/// Equal, but for the last digits of decimals: JSON need not keep them.
fn is_near(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_near(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_near(a, b)))
        }
        (a, b) => a == b,
    }
}
