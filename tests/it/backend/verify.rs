//! Promises of Records about the check of the books: books that were tampered with are found out.

use gridbroker::{
    backend::{Ledger, Records, embedded::SqliteRecords},
    domain::{Kudos, UserId, kudos::Account, ledger::Holdings, record::Record, source::Source},
};
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};

use super::{
    making::{self, posting},
    store::{Keeper, Store},
};

/// Two accounts that gave, got, and were forgiven, and a job that was settled.
async fn history(store: &Store) {
    let counted = |user: i64, source: Source, change: i64| Record::UserCounted {
        user: UserId(user),
        change: source.counts(Kudos(change)),
    };
    let (request, attempt) = (making::request(2), making::attempt(0, 1));
    let batch = [
        making::user(1),
        making::user(2),
        posting("opening:1", -3, 1, 100),
        counted(1, Source::Admin, 100),
        posting("charge:x", 2, -2, 5),
        counted(2, Source::Accumulated, -5),
        posting("floor:2:1", Account::FORGIVEN.0, 2, 30),
        posting("escrow:x", -1, Account::escrow(UserId(1)).0, 9),
        making::accepted(&request),
        making::opened(&request, &attempt),
        making::settled(&request, &attempt),
    ];
    store.records.commit(&batch).await.unwrap();
}

pub async fn books_that_add_up_are_good(store: Store) {
    let audit = store.records.audit().await.unwrap();
    assert!(audit.is_good(), "with nothing in them: {audit:?}");
    history(&store).await;
    let audit = store.records.audit().await.unwrap();
    assert!(audit.is_good(), "{audit:?}");
    assert_eq!((audit.users, audit.postings, audit.settlements, audit.holds), (3, 4, 1, 0));
    assert_eq!(audit.sum, Kudos::ZERO);
}

/// Changes the store past its keeper.
async fn tamper(store: &Store, statement: &str) {
    match store.keeper {
        Keeper::Postgres => {
            let mut connection = store.connection().await;
            connection.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
        }
        Keeper::Sqlite | Keeper::Bucket => {
            let url = store.file_url().replace("?mode=ro", "");
            let mut connection = SqliteConnection::connect(&url).await.unwrap();
            connection.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
            connection.close().await.unwrap();
        }
    }
}

pub async fn what_was_tampered_with_is_found(store: Store) {
    history(&store).await;
    let is_sqlite = store.keeper == Keeper::Sqlite;
    // What is done to the books, what it breaks, and how it is put right again.
    for (rule, done, broken, undone) in [
        (
            "a posting moved a balance twice",
            "UPDATE balances SET amount = amount + 100 WHERE account = 1",
            &[
                "a balance is the sum of its postings",
                "an account's kudos by source",
                "all accounts together",
            ][..],
            "UPDATE balances SET amount = amount - 100 WHERE account = 1",
        ),
        (
            "a posting was planted",
            "INSERT INTO postings VALUES ('planted', -1, 2, 7, 0)",
            match is_sqlite {
                true => &["a balance is the sum of its postings", "the system's accounts"],
                false => &["a balance is the sum of its postings", "all accounts together"],
            },
            "DELETE FROM postings WHERE key = 'planted'",
        ),
        (
            "a figure was changed",
            "UPDATE users SET gifted = -4 WHERE id = 2",
            &["an account's kudos by source"],
            "UPDATE users SET gifted = 0 WHERE id = 2",
        ),
        (
            "a result was lost",
            "UPDATE outcomes SET attempt = '11111111-1111-4111-8111-111111111111'",
            &["what is settled has its result"],
            "UPDATE outcomes SET attempt = (SELECT id FROM attempts)",
        ),
        (
            "a request counts wrongly",
            "UPDATE requests SET settled = 0",
            &["a request counts what is settled"],
            "UPDATE requests SET settled = 1",
        ),
        (
            "a transfer was never posted",
            "INSERT INTO transfers VALUES ('22222222-2222-4222-8222-222222222222', 1, 2, NULL, 5, 0)",
            &["a transfer is posted as it is"],
            "DELETE FROM transfers",
        ),
    ] {
        tamper(&store, done).await;
        let audit = store.records.audit().await.unwrap();
        let mut found: Vec<_> = audit.findings.iter().map(|finding| finding.rule).collect();
        assert_eq!(found.len(), broken.len(), "{rule}: {audit:?}");
        for words in broken {
            found.retain(|finding| !finding.starts_with(words));
        }
        assert!(found.is_empty(), "{rule}: {found:?}");
        assert!(audit.findings.iter().all(|f| f.count > 0 && !f.example.is_empty()), "{rule}: {audit:?}");
        tamper(&store, undone).await;
        assert!(store.records.audit().await.unwrap().is_good(), "{rule}: put right again");
    }
}

pub async fn what_accounts_hold_is_told(store: Store) {
    history(&store).await;
    let holdings = Holdings { balances: Kudos(125), escrows: Kudos(9), held: Kudos(0) };
    assert_eq!(store.records.holdings().await.unwrap(), holdings);
}

#[tokio::test]
async fn a_ledger_of_hundreds_of_thousands_of_postings_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gridbroker.sqlite");
    let records = SqliteRecords::open(&path).await.unwrap();
    records.commit(&(1..=1000).map(making::user).collect::<Vec<_>>()).await.unwrap();
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    for statement in [
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) \
         INSERT INTO postings SELECT 'charge:' || i, 1 + i % 1000, -2, 3, 0 FROM n",
        "INSERT INTO balances SELECT account, sum(amount) FROM (SELECT debit AS account, -amount AS amount \
         FROM postings UNION ALL SELECT credit, amount FROM postings) GROUP BY account",
        "UPDATE users SET accumulated = coalesce((SELECT amount FROM balances WHERE account = id), 0)",
    ] {
        connection.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
    }
    let begun = tokio::time::Instant::now();
    let audit = records.audit().await.unwrap();
    println!("{} postings in {} ms", audit.postings, begun.elapsed().as_millis());
    assert!(audit.is_good() && audit.postings == 300_000, "{audit:?}");
}
