//! The books, as PostgreSQL has them once all is done.

use std::collections::{HashMap, HashSet};

use gridbroker::domain::Kudos;
use sqlx::{PgConnection, Row};

/// Each finds what breaks one rule, and says so; nothing, if the rule holds.
const RULES: [&str; 12] = [
    // A balance is the sum of the account's postings.
    "SELECT format('account %s has a balance of %s, and its postings amount to %s', account, has, posted) \
     FROM (SELECT account, coalesce(balances.amount, 0) AS has, coalesce(moved.amount, 0) AS posted \
         FROM balances FULL JOIN (SELECT account, sum(amount) AS amount FROM \
             (SELECT debit AS account, -amount AS amount FROM postings \
              UNION ALL SELECT credit, amount FROM postings) AS moves GROUP BY account) AS moved \
         USING (account) WHERE account >= 0) AS both_sums WHERE has <> posted",
    // All accounts together have nothing.
    "SELECT format('all accounts together have %s', total) FROM (SELECT \
         (SELECT coalesce(sum(amount), 0) FROM balances) + \
         (SELECT coalesce(sum(amount), 0) FROM system_balances) AS total) AS sums WHERE total <> 0",
    // A reward is for a result, and with what is put aside of it is what its worker was told.
    "SELECT format('posting %s of %s is for no such result', paid.key, paid.amount) FROM postings AS paid \
     LEFT JOIN postings AS aside ON aside.key = 'escrow:' || split_part(paid.key, ':', 2) \
     WHERE paid.key LIKE 'reward:%' AND NOT EXISTS (SELECT 1 FROM outcomes \
         WHERE paid.key = 'reward:' || attempt AND reward = paid.amount + coalesce(aside.amount, 0))",
    "SELECT format('posting %s is for no result', key) FROM postings \
     WHERE key LIKE 'escrow:%' AND NOT EXISTS (SELECT 1 FROM outcomes \
         WHERE key = 'escrow:' || attempt AND reward >= amount)",
    "SELECT format('posting %s is for no result', key) FROM postings \
     WHERE key LIKE 'charge:%' AND NOT EXISTS (SELECT 1 FROM outcomes WHERE key = 'charge:' || attempt)",
    "SELECT format('posting %s is for no request', key) FROM postings \
     WHERE key LIKE 'activation:%' AND NOT EXISTS (SELECT 1 FROM requests WHERE key = 'activation:' || id)",
    "SELECT format('posting %s is for nothing that happened', key) FROM postings \
     WHERE split_part(key, ':', 1) NOT IN ('reward', 'escrow', 'charge', 'activation', 'opening', 'uptime')",
    // Time online is paid for once in 600 s, however many brokers see the worker.
    "SELECT format('worker %s was paid for %s times 600 s online, within %s s', split_part(key, ':', 2), count(*), \
         (SELECT (max(at) - min(at)) / 1000 FROM postings)) FROM postings WHERE key LIKE 'uptime:%' \
     GROUP BY split_part(key, ':', 2) HAVING count(*) * 600 > (SELECT (max(at) - min(at)) / 1000 FROM postings)",
    // A result is paid.
    "SELECT format('attempt %s earned %s and was not paid', attempt, reward) FROM outcomes \
     WHERE reward > 0 AND NOT EXISTS (SELECT 1 FROM postings \
         WHERE key IN ('reward:' || attempt, 'escrow:' || attempt))",
    // What is settled has its result, and the other way round.
    "SELECT format('attempt %s is %s, and has %s result', coalesce(id, attempt), state, \
         CASE WHEN attempt IS NULL THEN 'no' ELSE 'a' END) \
     FROM attempts FULL JOIN outcomes ON id = attempt \
     WHERE (coalesce(state, '') = 'settled') <> (attempt IS NOT NULL)",
    // A job is settled once.
    "SELECT format('job %s of request %s is settled %s times', job, request, count(*)) FROM attempts \
     WHERE state = 'settled' GROUP BY request, job HAVING count(*) > 1",
    // A request counts its attempts rightly, and is done.
    "SELECT format('request %s counts %s open and %s settled, has %s and %s, done: %s', id, requests.open, \
         settled, has_open, has_settled, done) \
     FROM requests, LATERAL (SELECT count(*) FILTER (WHERE state = 'open') AS has_open, \
         count(*) FILTER (WHERE state = 'settled') AS has_settled FROM attempts WHERE request = requests.id) AS has \
     WHERE requests.open <> has_open OR settled <> has_settled OR NOT done",
];

/// All that does not add up.
pub async fn audit(books: &mut PgConnection) -> Vec<String> {
    let mut wrong = Vec::new();
    for rule in RULES {
        let found: Vec<String> = sqlx::query_scalar(rule).fetch_all(&mut *books).await.expect(rule);
        // Enough to see what it is about.
        wrong.extend(found.into_iter().take(5));
    }
    wrong
}

/// What an account got for its workers' time online, or has put aside of that.
pub async fn paid_for_time(books: &mut PgConnection, account: i64) -> Kudos {
    let query = "SELECT coalesce(sum(amount), 0)::BIGINT FROM postings \
         WHERE key LIKE 'uptime:%' AND credit IN ($1, $1 + (1::BIGINT << 40))";
    let sum = sqlx::query_scalar(query).bind(account).fetch_one(books).await;
    Kudos(sum.expect("postings can be added up"))
}

/// Prompts of requests that may have failed because three leases ended of which no worker ever heard.
pub async fn expired(books: &mut PgConnection, granted: &HashSet<String>) -> HashSet<String> {
    let query = "SELECT spec_json::JSONB ->> 'prompt' AS prompt, attempts.id::TEXT AS attempt \
         FROM attempts JOIN requests ON requests.id = request WHERE state = 'faulted' AND faulted";
    let mut faults: HashMap<String, usize> = HashMap::new();
    for row in sqlx::query(query).fetch_all(books).await.expect("attempts can be read") {
        if !granted.contains(row.get::<&str, _>("attempt")) {
            *faults.entry(row.get("prompt")).or_default() += 1;
        }
    }
    faults.into_iter().filter(|(_, count)| *count >= 3).map(|(prompt, _)| prompt).collect()
}

/// Attempts that are open, in words.
pub async fn open_attempts(books: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    let query = "SELECT format('%s of job %s of %s, number %s, on a %s, granted %s s ago, for %s s more', id, job, \
                 request, number, held, round(extract(epoch FROM now()) - granted_at / 1000), \
                 round(expires_at / 1000 - extract(epoch FROM now()))) FROM attempts WHERE state = 'open'";
    sqlx::query_scalar(query).fetch_all(books).await
}

/// Requests that are not done.
pub async fn open_requests(books: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM requests WHERE NOT done").fetch_one(books).await
}

/// IDs of requests that are not done.
pub async fn not_done(books: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("SELECT id::TEXT FROM requests WHERE NOT done").fetch_all(books).await
}

/// Open attempts of HTTP pops, with their prompts, so old that their answer is not under way any more.
///
/// Those of which no worker knows were answered to nobody: the node fell between the grant and its
/// delivery, or the worker had given up on a node that stood still.
pub async fn old_pops(books: &mut PgConnection) -> Result<Vec<(String, String)>, sqlx::Error> {
    let query = "SELECT attempts.id::TEXT, spec_json::JSONB ->> 'prompt' \
         FROM attempts JOIN requests ON requests.id = request WHERE state = 'open' AND held = 'pop' \
         AND granted_at < (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT - 12000";
    sqlx::query_as(query).fetch_all(books).await
}
