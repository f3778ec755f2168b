//! `gridbroker import horde`: from a database of the old kind into either store, and on with the same people.

use std::{collections::BTreeMap, path::Path, process::Output};

use gridbroker::{
    config::{Secret, SecretUrl},
    domain::key_salt::KeySalt,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};

use super::{command, gridbroker, text};
use crate::{
    backend::store::Store,
    harness::{ANONYMOUS, Broker, Home, Redis, postgres},
};

const SCHEMA: &str = include_str!("horde.sql");
const SALT: &str = "salt, of the sea";
/// How many more come if it [grows](Horde::grows): two full loads, and a rest.
const MANY: u64 = 1100;

/// A database of the old kind.
struct Horde {
    url: SecretUrl,
}

impl Horde {
    async fn start() -> Self {
        let name = postgres().database().await;
        let horde = Self { url: postgres().url(&name) };
        let mut sql = String::new();
        for (place, part) in SCHEMA.split("{KEY:").enumerate() {
            match part.split_once('}') {
                Some((key, rest)) if place > 0 => {
                    let hash = KeySalt::new(SALT).hash(key.as_bytes());
                    sql.extend(hash.0.iter().map(|byte| format!("{byte:02x}")));
                    sql.push_str(rest);
                }
                _ => sql.push_str(part),
            }
        }
        horde.runs(&sql).await;
        horde
    }

    async fn runs(&self, statement: &str) {
        let mut connection = PgConnection::connect(self.url.expose()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
    }

    /// More accounts and workers than are written at once. These workers are read first.
    async fn grows(&self) {
        self.runs(&format!(
            "INSERT INTO users (id, username, oauth_id, api_key, created, kudos)
                 SELECT 1000 + n, 'one of many', 'g_many' || n, encode(sha256(n::TEXT::BYTEA), 'hex'),
                     TIMESTAMP '2022-11-01', 100 + n
                 FROM generate_series(1, {MANY}) AS n;
             INSERT INTO workers (id, worker_type, user_id, name, created)
                 SELECT gen_random_uuid(), 'stable_worker', 1000 + n, 'one of many ' || n, TIMESTAMP '2022-11-01'
                 FROM generate_series(1, {MANY}) AS n"
        ))
        .await;
    }

    /// The last of the workers cannot be read, which shows when all others were: an index has them in their order,
    /// so the server sends each as it comes to it.
    async fn breaks(&self) {
        self.runs(
            "ALTER TABLE workers RENAME TO kept;
             CREATE INDEX ON kept (created, id);
             CREATE VIEW workers AS
                 SELECT id, worker_type, user_id, name, created,
                     fulfilments / CASE name WHEN 'of who is gone' THEN 0 ELSE 1 END AS fulfilments
                 FROM kept;
             DO $$ BEGIN
                 EXECUTE format('ALTER DATABASE %I SET enable_sort = off', current_database());
             END $$",
        )
        .await;
    }

    /// It can again.
    async fn is_mended(&self) {
        self.runs("DROP VIEW workers; ALTER TABLE kept RENAME TO workers").await;
    }
}

/// Where an import goes to.
enum Place {
    Embedded(Home),
    Database(SecretUrl, Home),
}

impl Place {
    fn embedded() -> Self {
        Self::Embedded(Home::embedded())
    }

    async fn database() -> Self {
        let url = postgres().url(&postgres().database().await);
        Self::Database(url.clone(), Home::over(url, Redis::start()))
    }

    fn home(&self) -> &Home {
        match self {
            Self::Embedded(home) | Self::Database(_, home) => home,
        }
    }

    fn into_home(self) -> Home {
        match self {
            Self::Embedded(home) | Self::Database(_, home) => home,
        }
    }

    /// Flags that name it. Nobody asks the Redis of an import.
    fn flags(&self) -> Vec<String> {
        let data = self.home().dir.path().join("data").display().to_string();
        match self {
            Self::Embedded(_) => vec!["--data".into(), self.home().dir.path().display().to_string()],
            Self::Database(url, _) => {
                let url = url.expose().to_owned();
                ["--data", &data, "--database-url", &url, "--redis-url", "redis://127.0.0.1:1"]
                    .map(str::to_owned)
                    .to_vec()
            }
        }
    }

    fn import(&self, from: &SecretUrl, more: &[&str]) -> Imported {
        let mut args = vec!["import", "horde", "--from", from.expose()];
        args.extend(more);
        let flags = self.flags();
        args.extend(flags.iter().map(String::as_str));
        Imported::of(gridbroker(Path::new("/"), &args), &[from])
    }

    /// All rows of all tables of the store, by table; nothing, if there is none.
    async fn rows(&self) -> BTreeMap<String, Vec<String>> {
        let mut all = BTreeMap::new();
        match self {
            Self::Embedded(home) => {
                let file = home.dir.path().join("gridbroker.sqlite");
                if !file.exists() {
                    return all;
                }
                let mut db =
                    SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
                for table in TABLES {
                    let columns: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!(
                        "SELECT name FROM pragma_table_info('{table}')"
                    )))
                    .fetch_all(&mut db)
                    .await
                    .unwrap();
                    let all_columns = columns
                        .iter()
                        .map(|name| format!("quote(\"{name}\")"))
                        .collect::<Vec<_>>()
                        .join("||'|'||");
                    let select = AssertSqlSafe(format!("SELECT {all_columns} FROM {table} ORDER BY 1"));
                    all.insert(
                        table.to_owned(),
                        sqlx::query_scalar(select).fetch_all(&mut db).await.unwrap(),
                    );
                }
            }
            Self::Database(url, _) => {
                let mut db = PgConnection::connect(url.expose()).await.unwrap();
                let made: i64 = sqlx::query_scalar(
                    "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'",
                )
                .fetch_one(&mut db)
                .await
                .unwrap();
                if made == 0 {
                    return all;
                }
                for table in TABLES {
                    let select = AssertSqlSafe(format!("SELECT t::TEXT FROM {table} AS t ORDER BY 1"));
                    let rows = sqlx::query(select).fetch_all(&mut db).await.unwrap();
                    all.insert(table.to_owned(), rows.iter().map(|row| row.get(0)).collect());
                }
            }
        }
        all
    }
}

const TABLES: [&str; 8] =
    ["users", "balances", "postings", "shared_keys", "teams", "workers", "styles", "style_collections"];

/// Exit code, report and what was said of it.
struct Imported(Option<i32>, Value, String);

impl Imported {
    fn of(out: Output, urls: &[&SecretUrl]) -> Self {
        let (report, said) = (text(&out.stdout), text(&out.stderr));
        for url in urls {
            let password = url.expose().split(['@', ':']).nth(2).expect("it has a password");
            assert!(!said.contains(password) && !report.contains(password), "the password is told: {said}");
        }
        assert!(!said.contains(SALT) && !report.contains(SALT), "the salt is told: {said}");
        let report =
            if report.is_empty() { Value::Null } else { serde_json::from_str(&report).expect("JSON") };
        Self(out.status.code(), report, said)
    }

    #[track_caller]
    fn succeeds(self) -> (Value, String) {
        assert_eq!(self.0, Some(0), "{}", self.2);
        (self.1, self.2)
    }

    #[track_caller]
    fn fails(self, words: &[&str]) {
        assert_eq!((self.0, &self.1), (Some(1), &Value::Null), "{}", self.2);
        words.iter().for_each(|word| assert!(self.2.contains(word), "{word}: {}", self.2));
    }
}

/// What a report says of a table: read, copied, there already.
#[track_caller]
fn told(report: &Value, table: &str) -> (u64, u64, u64) {
    let line = line(report, table);
    let number = |name: &str| line[name].as_u64().expect("a number");
    (number("read"), number("copied"), number("already_there"))
}

#[track_caller]
fn line<'r>(report: &'r Value, table: &str) -> &'r Value {
    let lines = report["tables"].as_array().expect("tables");
    lines.iter().find(|line| line["table"] == table).expect(table)
}

/// Reasons and how often each, of what was skipped or changed.
#[track_caller]
fn reasons(report: &Value, table: &str, what: &str) -> Vec<(String, u64)> {
    let all = line(report, table)[what].as_object().expect("reasons");
    all.iter().map(|(reason, told)| (reason.clone(), told["rows"].as_u64().unwrap())).collect()
}

const SALTED: [&str; 2] = ["--salt", SALT];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_embedded_store_took_in_goes_on_as_before() {
    goes_on_as_before(Place::embedded()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_database_took_in_goes_on_as_before() {
    goes_on_as_before(Place::database().await).await;
}

async fn goes_on_as_before(place: Place) {
    let horde = Horde::start().await;
    let dry = [&SALTED[..], &["--dry-run"]].concat();
    let (rehearsed, said) = place.import(&horde.url, &dry).succeeds();
    assert!(said.contains("nothing was written"), "{said}");
    assert!(place.rows().await.is_empty(), "a rehearsal makes nothing");
    let (mut report, said) = place.import(&horde.url, &SALTED).succeeds();
    for word in ["the salt is right", "GRIDBROKER_KEY_SALTS", "next: gridbroker ledger verify"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    for (table, counts) in [
        ("users", (12, 9, 0)),
        ("user_sharedkeys", (6, 3, 0)),
        ("teams", (4, 1, 0)),
        ("workers", (9, 3, 0)),
        ("styles", (9, 2, 0)),
        ("style_collections", (3, 1, 0)),
    ] {
        assert_eq!(told(&report, table), counts, "{table}: {said}");
    }
    let written = place.rows().await;
    report["dry_run"] = true.into();
    assert_eq!(report, rehearsed, "a rehearsal tells what would be");
    // Again, which changes nothing.
    let (again, _) = place.import(&horde.url, &SALTED).succeeds();
    assert_eq!(told(&again, "users"), (12, 0, 9));
    assert_eq!(told(&again, "workers"), (9, 0, 3));
    assert_eq!(told(&again, "style_collections"), (3, 0, 1));
    assert_eq!(place.rows().await, written, "what is there stays as it is");
    verifies(&place);
    let salted = |config: &mut gridbroker::config::Config| {
        config.api.key_salts = vec![Secret::new("another"), Secret::new(SALT)];
        config.api.long_poll_timeout = 0;
    };
    let broker = Broker::over(place.into_home(), salted).await;
    people_are_who_they_were(&broker).await;
    things_work_as_they_did(&broker).await;
    // Without the salt nobody comes in by an old key.
    let broker = Broker::over(broker.stop().await, |_| {}).await;
    assert_eq!(broker.json("ada-old-key").get("/find_user").await.rc(), "UserNotFound");
    assert_eq!(broker.json(ANONYMOUS).get("/find_user").await.ok()["username"], "Anonymous#0");
    broker.stop().await;
}

#[track_caller]
fn verifies(place: &Place) {
    let flags = place.flags();
    let mut args = vec!["ledger", "verify"];
    args.extend(flags.iter().map(String::as_str));
    let out = gridbroker(Path::new("/"), &args);
    let said = text(&out.stdout);
    assert!(out.status.success() && said.contains("all adds up"), "{said}{}", text(&out.stderr));
    assert!(said.contains("sum of all accounts: 0 kudos"), "{said}");
}

async fn people_are_who_they_were(broker: &Broker) {
    let ada = broker.json("ada-old-key").get("/find_user").await.ok();
    assert_eq!((&ada["username"], &ada["id"]), (&json!("Ada#7"), &json!(7)));
    // 1234.5, and 10.25 that the old server had not counted yet.
    assert_eq!(ada["kudos"], 1244.75, "{ada}");
    let details = &ada["kudos_details"];
    for (what, kudos) in [("accumulated", 900.0), ("gifted", -100.0), ("received", 334.0), ("admin", 110.75)]
    {
        assert_eq!(details[what], kudos, "{what} of {details}");
    }
    for (what, value) in [
        ("trusted", json!(true)),
        ("customizer", json!(true)),
        ("flagged", json!(false)),
        ("moderator", json!(false)),
        ("concurrency", json!(60)),
        ("worker_invited", json!(4)),
        ("worker_count", json!(3)),
        ("contact", json!("ada@example.org")),
        ("pseudonymous", json!(false)),
    ] {
        assert_eq!(ada[what], value, "{what} of {ada}");
    }
    assert_eq!(ada["records"]["usage"]["megapixelsteps"], 12.5, "{ada}");
    assert_eq!(
        (&ada["records"]["request"]["image"], &ada["records"]["fulfillment"]["text"]),
        (&json!(3), &json!(8))
    );
    let operator = broker.json("operator-key");
    let seen = operator.get("/users/7").await.ok();
    assert_eq!(seen["evaluating_kudos"], 65.0, "{seen}");
    let ben = operator.get("/users/8").await.ok();
    assert_eq!(
        (&ben["kudos"], &ben["pseudonymous"], &ben["suspicious"]),
        (&json!(14.0), &json!(true), &json!(3))
    );
    let eve = broker.json("eve-old-key").get("/find_user").await.ok();
    assert_eq!(
        (&eve["username"], &eve["concurrency"]),
        (&json!("x_1 a very long name that goes on and on and on#9"), &json!(500))
    );
    assert_eq!(eve["kudos"], 1e11, "{eve}");
    let anonymous = broker.json(ANONYMOUS).get("/find_user").await.ok();
    assert_eq!((&anonymous["kudos"], &anonymous["moderator"]), (&json!(-20.0), &json!(false)), "{anonymous}");
    for key in ["gone-old-key", "negative", "far", "nobody"] {
        let refused = broker.json(key).get("/find_user").await;
        assert_eq!(refused.rc(), "UserNotFound", "{key}: {}", refused.body);
    }
    assert_eq!(broker.json_without_key().get("/users/10").await.rc(), "UserNotFound", "it was wiped");
    let keyless = broker.json_without_key().get("/users/11").await.ok();
    assert_eq!((&keyless["username"], &keyless["kudos"]), (&json!("keyless#11"), &json!(40.0)));
    assert_eq!(broker.json_without_key().get("/users/13").await.ok()["username"], "User#13");
}

async fn things_work_as_they_did(broker: &Broker) {
    let ada = broker.json("ada-old-key");
    let brush = ada.get("/workers/cccccccc-0000-4000-8000-000000000001").await.ok();
    for (what, value) in [
        ("name", json!("Ada's brush")),
        ("owner", json!("Ada#7")),
        ("requests_fulfilled", json!(40)),
        ("uptime", json!(86_400)),
        ("maintenance_mode", json!(true)),
        ("info", json!("draws")),
        ("type", json!("image")),
        ("models", json!(["stable_diffusion"])),
    ] {
        assert_eq!(brush[what], value, "{what} of {brush}");
    }
    assert_eq!(brush["team"]["name"], "Painters &amp; co", "{brush}");
    let by_name = ada.get("/workers/name/Ada's%20pen").await.ok();
    assert_eq!(by_name["id"], "cccccccc-0000-4000-8000-000000000002", "{by_name}");
    assert_eq!((&by_name["team"]["id"], &by_name["type"]), (&Value::Null, &json!("text")), "{by_name}");
    let team = broker.json_without_key().get("/teams/bbbbbbbb-0000-4000-8000-000000000001").await.ok();
    assert_eq!(
        (&team["creator"], &team["requests_fulfilled"], &team["kudos"]),
        (&json!("Ada#7"), &json!(12), &json!(340.0))
    );
    assert_eq!(team["workers"][0]["name"], "Ada's brush", "{team}");
    // A worker comes back under its name, and nobody else does.
    let offer = json!({"name": "Ada's pen", "models": ["any-model"]});
    ada.post("/generate/text/pop", offer.clone()).await.ok();
    let theirs = broker.json("ben-old-key").post("/generate/text/pop", offer).await;
    assert_eq!(theirs.rc(), "WrongCredentials", "{}", theirs.body);
    let seen = ada.get("/workers/cccccccc-0000-4000-8000-000000000002").await.ok();
    assert_eq!((&seen["online"], &seen["name"]), (&json!(true), &json!("Ada's pen")), "{seen}");
    // A key that is lent.
    let key = ada.get("/sharedkeys/aaaaaaaa-0000-4000-8000-000000000001").await.ok();
    assert_eq!(
        (&key["kudos"], &key["utilized"], &key["max_text_tokens"]),
        (&json!(500), &json!(20), &json!(80)),
        "{key}"
    );
    let lent = broker.json("aaaaaaaa-0000-4000-8000-000000000001");
    assert_eq!(lent.get("/find_user").await.ok()["username"], "Ada#7 (Shared Key: friends)");
    let body = json!({"prompt": "hello", "params": {"max_length": 40}, "models": ["any-model"]});
    let asked = lent.post("/generate/text/async", body).await;
    assert_eq!(asked.status, 202, "{}", asked.body);
    let job =
        ada.post("/generate/text/pop", json!({"name": "Ada's pen", "models": ["any-model"]})).await.ok();
    assert!(job["id"].is_string(), "the old worker gets what is asked with the old key: {job}");
    // One that ended, and one that never began.
    for key in ["aaaaaaaa-0000-4000-8000-000000000002", "aaaaaaaa-0000-4000-8000-000000000004"] {
        let body = json!({"prompt": "hello", "models": ["any-model"]});
        let refused = broker.json(key).post("/generate/text/async", body).await;
        assert_eq!(refused.rc(), "SharedKeyExpired", "{key}: {}", refused.body);
    }
    // Styles.
    let style = ada.get("/styles/image/dddddddd-0000-4000-8000-000000000001").await.ok();
    assert_eq!(
        (&style["name"], &style["use_count"], &style["creator"]),
        (&json!("oil &amp; water"), &json!(41), &json!("Ada#7"))
    );
    assert_eq!(style["examples"].as_array().map(Vec::len), Some(1), "{style}");
    let operator = broker.json("operator-key");
    let body = json!({"prompt": "a cat", "style": "Ada#7::style::oil & water"});
    let asked = operator.post("/generate/async", body).await;
    assert_eq!(asked.status, 202, "{}", asked.body);
    assert_eq!(
        ada.get("/find_user").await.ok()["kudos"],
        1245.75,
        "its author is thanked, and paid for what was asked with the key she lends"
    );
    let paints = ada.get("/collections/ffffffff-0000-4000-8000-000000000001").await.ok();
    assert_eq!(paints["styles"].as_array().map(Vec::len), Some(1), "{paints}");
    let body = json!({"prompt": "a cat", "style": "paints"});
    assert_eq!(operator.post("/generate/async", body).await.status, 202);
    // Who has another key now has the old one no more.
    let form = reqwest::Client::new()
        .post(format!("{}/register/key", broker.url()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("apikey=ben-old-key");
    let page = form.send().await.unwrap();
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    let new = page.split("ah-api-key\">").nth(1).and_then(|rest| rest.split('<').next()).expect("a key");
    assert_eq!(broker.json(new).get("/find_user").await.ok()["username"], "ben#8");
    assert_eq!(broker.json("ben-old-key").get("/find_user").await.rc(), "UserNotFound");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_come_over_is_told_with_the_reason() {
    let horde = Horde::start().await;
    let place = Place::embedded();
    let (report, said) = place.import(&horde.url, &[&SALTED[..], &["--dry-run"]].concat()).succeeds();
    for (table, what, expected) in [
        ("users", "skipped", &[("its ID is none that an account can have", 3)][..]),
        (
            "user_sharedkeys",
            "skipped",
            &[
                ("another key has its ID here", 1),
                ("its ID is none that a key can have", 1),
                ("nobody lends it", 1),
            ],
        ),
        ("user_sharedkeys", "changed", &[("a number was out of bounds", 1)]),
        (
            "teams",
            "skipped",
            &[("another team has its name", 1), ("it has no name", 1), ("its founder did not come over", 1)],
        ),
        (
            "workers",
            "skipped",
            &[
                ("another worker has its name", 1),
                ("it is of no kind that is known here", 1),
                ("its name is longer than 100 characters", 1),
                ("its owner did not come over", 2),
                ("nobody owns it", 1),
            ],
        ),
        (
            "workers",
            "changed",
            &[("a number was out of bounds", 1), ("its team did not come over, and it has none now", 1)],
        ),
        (
            "styles",
            "skipped",
            &[
                ("another style of its author has its name", 1),
                ("it is of no kind that is known here", 1),
                ("its author did not come over", 1),
                ("its parameters cannot be read, or are too long", 1),
                ("the API would not take it", 3),
            ],
        ),
        (
            "styles",
            "changed",
            &[
                ("examples that are no links, or too many, were left out", 1),
                ("its shared key did not come over, and it has none now", 1),
                ("tags or models that are too long, or too many, were left out", 1),
            ],
        ),
        (
            "style_collections",
            "skipped",
            &[("its owner has one of its name, or too many", 1), ("none of its styles is here", 1)],
        ),
    ] {
        let expected: Vec<_> = expected.iter().map(|(reason, rows)| ((*reason).to_owned(), *rows)).collect();
        assert_eq!(reasons(&report, table, what), expected, "{table} {what}: {said}");
    }
    let changed: BTreeMap<_, _> = reasons(&report, "users", "changed").into_iter().collect();
    for (reason, rows) in [
        ("another account has its key", 1),
        ("its key cannot be read", 1),
        ("another account is said to be the same person's", 1),
        ("another account has its passkey", 1),
        ("its kudos were below the floor", 2),
        ("its kudos cannot be read", 1),
        ("it has no name", 1),
        ("its name had a # in it", 1),
        ("a text was too long", 1),
        ("control characters were taken out", 1),
        ("a number was out of bounds", 1),
    ] {
        let found = changed.iter().find(|(told, _)| told.starts_with(reason));
        assert_eq!(found.map(|(_, rows)| *rows), Some(rows), "{reason}: {changed:?}");
    }
    assert!(said.contains("skipped 2: its owner did not come over (first: orphan)"), "{said}");
    let warnings = report["warnings"].as_array().expect("warnings");
    let warning = warnings.first().and_then(Value::as_str).unwrap_or_default();
    assert!(warnings.len() == 1 && warning.starts_with("2 rows of kudos_stat_events"), "{warnings:?}");
    assert!(said.contains("warning: 2 rows of kudos_stat_events") && said.contains("projector"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_that_are_not_there_are_done_without_and_those_that_are_needed_are_named_first() {
    let horde = Horde::start().await;
    horde
        .runs(
            "ALTER TABLE user_sharedkeys DROP COLUMN created; ALTER TABLE teams DROP COLUMN created;
             ALTER TABLE workers DROP COLUMN created; ALTER TABLE worker_models DROP COLUMN id;
             ALTER TABLE worker_performances DROP COLUMN id; ALTER TABLE styles DROP COLUMN created;
             ALTER TABLE style_models DROP COLUMN id; ALTER TABLE style_collections DROP COLUMN created;
             ALTER TABLE kudos_stat_events DROP COLUMN applied; DROP TABLE user_suspicions;
             ALTER TABLE style_tags RENAME COLUMN tag TO label",
        )
        .await;
    let place = Place::embedded();
    place.import(&horde.url, &SALTED).fails(&["the old server's database has no style_tags.tag"]);
    let rows = place.rows().await;
    assert_eq!((rows["postings"].len(), rows["workers"].len()), (0, 0), "nobody came over");
    horde.runs("ALTER TABLE style_tags RENAME COLUMN label TO tag").await;
    let (report, said) = place.import(&horde.url, &SALTED).succeeds();
    for (table, counts) in [
        ("users", (12, 9, 0)),
        ("user_sharedkeys", (6, 3, 0)),
        ("teams", (4, 1, 0)),
        ("workers", (9, 3, 0)),
        ("styles", (9, 2, 0)),
        ("style_collections", (3, 1, 0)),
    ] {
        assert_eq!(told(&report, table), counts, "{table}: {said}");
    }
    assert_eq!(report["warnings"], json!([]), "that table is another one");
    verifies(&place);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_was_wiped_since_stays_so_and_gets_nothing_back() {
    let horde = Horde::start().await;
    let place = Place::embedded();
    let (report, said) = place.import(&horde.url, &SALTED).succeeds();
    assert_eq!(told(&report, "workers"), (9, 3, 0), "{said}");
    let salted = |config: &mut gridbroker::config::Config| config.api.key_salts = vec![Secret::new(SALT)];
    let broker = Broker::over(place.into_home(), salted).await;
    let operator = broker.json("operator-key");
    // Once to mark it, and once to wipe it, as it is idle.
    operator.delete("/users/7").await.ok();
    operator.delete("/users/7").await.ok();
    assert_eq!(operator.get("/users/7").await.rc(), "UserNotFound");
    let place = Place::Embedded(broker.stop().await);
    let (report, said) = place.import(&horde.url, &SALTED).succeeds();
    assert_eq!(told(&report, "users"), (12, 0, 8), "{said}");
    assert!(said.contains("skipped 1: it was wiped here, and stays so (first: 7)"), "{said}");
    // The name of one of its workers is free for somebody else's.
    assert_eq!(told(&report, "workers"), (9, 1, 0), "{said}");
    assert_eq!(told(&report, "user_sharedkeys"), (6, 0, 0), "{said}");
    let rows = place.rows().await;
    let is_of_ben = |row: &String| row.contains("cccccccc-0000-4000-8000-000000000006");
    assert!(rows["workers"].iter().all(is_of_ben), "{:?}", rows["workers"]);
    assert!(rows["users"].iter().any(|row| row.contains("<wiped>#7")), "{:?}", rows["users"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_ended_early_goes_on_where_it_was() {
    for place in [Place::embedded(), Place::database().await] {
        let horde = Horde::start().await;
        horde.grows().await;
        horde.breaks().await;
        place.import(&horde.url, &SALTED).fails(&[
            "run it again",
            "teams and workers did not come over; accounts did",
            "workers cannot be read",
        ]);
        let rows = place.rows().await;
        let count = |table: &str| rows[table].len() as u64;
        assert_eq!(
            (count("users"), count("teams"), count("workers")),
            (9 + MANY, 0, 0),
            "a group comes over as a whole, however many loads of it were written"
        );
        verifies(&place);
        horde.is_mended().await;
        let (report, _) = place.import(&horde.url, &SALTED).succeeds();
        assert_eq!(told(&report, "users"), (12 + MANY, 0, 9 + MANY));
        assert_eq!(told(&report, "teams"), (4, 1, 0));
        assert_eq!(told(&report, "workers"), (9 + MANY, 3 + MANY, 0));
        assert_eq!(told(&report, "styles"), (9, 2, 0));
        let rows = place.rows().await;
        assert_eq!((rows["users"].len() as u64, rows["workers"].len() as u64), (9 + MANY, 3 + MANY));
        verifies(&place);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_salt_that_is_wrong_or_cannot_be_proved_is_refused() {
    let horde = Horde::start().await;
    let place = Place::embedded();
    for (flags, words) in [
        (&[][..], &["give --salt"][..]),
        (&["--salt", "wrong"], &["not the one that keys are hashed with", "secret_key"]),
        (&["--salt", SALT, "--check-key", "nobodys"], &["no account has the key of --check-key"]),
    ] {
        place.import(&horde.url, flags).fails(words);
    }
    assert!(place.rows().await.is_empty(), "nothing was made");
    horde.runs("DELETE FROM users WHERE id = 0").await;
    place.import(&horde.url, &SALTED).fails(&[
        "there is no anonymous account",
        "--check-key",
        "--unverified",
    ]);
    let proofs = [(&["--check-key", "ada-old-key"][..], "known key"), (&["--unverified"], "none")];
    for (flags, proof) in proofs {
        let (report, _) = place.import(&horde.url, &[&SALTED[..], flags, &["--dry-run"]].concat()).succeeds();
        assert_eq!(report["salt_proved_by"], proof);
    }
    let flags = place.flags();
    let mut args = vec!["import", "horde", "--from", horde.url.expose(), "--salt", SALT, "--dry-run"];
    args.extend(flags.iter().map(String::as_str));
    let quiet = command(Path::new("/"), &args).env("GRIDBROKER_IMPORT_CHECK_KEY", "ada-old-key").output();
    let (report, _) = Imported::of(quiet.unwrap(), &[&horde.url]).succeeds();
    assert_eq!(report["salt_proved_by"], "known key", "a key can be given where nobody sees it");
    // Brokers' own setting serves as well, and then nothing has to be said of it.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broker.toml");
    std::fs::write(&file, format!("key_salts = [\"older\", \"{SALT}\"]\n")).unwrap();
    let flags = ["--config", file.to_str().unwrap(), "--check-key", "ada-old-key"];
    let (report, said) = place.import(&horde.url, &flags).succeeds();
    assert_eq!(report["salt_proved_by"], "known key");
    assert!(!said.contains("GRIDBROKER_KEY_SALTS"), "{said}");
    let rows = place.rows().await;
    assert!(
        rows["users"].iter().any(|row| row.starts_with("0|")),
        "there is an anonymous account all the same"
    );
    verifies(&place);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_salt_that_servers_have_when_nobody_sets_one_is_found() {
    let horde = Horde::start().await;
    let hash = KeySalt::new("s0m3s3cr3t").hash(ANONYMOUS.as_bytes());
    let hash: String = hash.0.iter().map(|byte| format!("{byte:02x}")).collect();
    horde.runs(&format!("UPDATE users SET api_key = '{hash}' WHERE id = 0")).await;
    let (report, said) = Place::embedded().import(&horde.url, &["--dry-run"]).succeeds();
    assert_eq!(report["salt_proved_by"], "default salt, anonymous key");
    assert!(said.contains("default salt, \"s0m3s3cr3t\"") && said.contains("GRIDBROKER_KEY_SALTS"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_account_with_the_same_id_stays_and_gets_nothing() {
    let horde = Horde::start().await;
    let place = Place::embedded();
    let flags = place.flags();
    for alias in ["first", "second"] {
        let mut args = vec!["user", "add", alias];
        args.extend(flags.iter().map(String::as_str));
        assert!(gridbroker(Path::new("/"), &args).status.success());
    }
    horde
        .runs("UPDATE users SET id = 2 WHERE id = 7; UPDATE workers SET user_id = 2 WHERE user_id = 7")
        .await;
    let (report, said) = place.import(&horde.url, &SALTED).succeeds();
    let skipped: BTreeMap<_, _> = reasons(&report, "users", "skipped").into_iter().collect();
    assert_eq!(skipped["another account has its ID here"], 2, "{said}");
    // Not what was of the second one there; the name of one of its workers is free for somebody else's.
    assert_eq!(told(&report, "workers").1, 1, "{said}");
    let rows = place.rows().await;
    assert!(
        rows["workers"].len() == 1 && rows["workers"][0].contains("000000000006"),
        "{:?}",
        rows["workers"]
    );
    verifies(&place);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_a_broker_runs_on_is_refused() {
    let horde = Horde::start().await;
    let broker = Broker::over(Home::embedded(), |_| {}).await;
    let data = broker.data().to_str().unwrap().to_owned();
    let from = horde.url.expose();
    let args = ["import", "horde", "--from", from, "--salt", SALT, "--data", &data];
    Imported::of(gridbroker(Path::new("/"), &args), &[&horde.url])
        .fails(&["is in use by another", "stop it first"]);
    broker.stop().await;
    let place = Place::database().await;
    let Place::Database(url, _) = &place else { unreachable!("it is a database") };
    let begun = Store::over(url.clone()).await;
    place.import(&horde.url, &SALTED).fails(&["is used by a broker", "stop all brokers first"]);
    drop(begun);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_that_are_something_else_are_refused() {
    let place = Place::embedded();
    let empty = postgres().url(&postgres().database().await);
    place.import(&empty, &SALTED).fails(&[
        "is not that of an AI Horde server",
        "users.api_key",
        "workers.name",
    ]);
    let horde = Horde::start().await;
    horde.runs("ALTER TABLE user_roles DROP COLUMN value").await;
    place.import(&horde.url, &SALTED).fails(&["the old server's database has no user_roles.value"]);
    // Into itself.
    let itself = Place::Database(horde.url.clone(), Home::embedded());
    itself.import(&horde.url, &SALTED).fails(&["holds tables that are not gridbroker's"]);
    for url in ["mysql://maria:s3cret-word@host/grid", "s3cret-word"] {
        let out = command(Path::new("/"), &["import", "horde", "--from", url]).output().unwrap();
        let said = text(&out.stderr);
        assert!(out.status.code() == Some(2) && said.contains("must begin with postgres://"), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}
