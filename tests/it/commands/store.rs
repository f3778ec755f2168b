//! `gridbroker store copy`: from an embedded store to PostgreSQL, and on with the same people.

use std::path::Path;

use gridbroker::config::SecretUrl;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, SqliteConnection};

use super::{grid, gridbroker, text};
use crate::{
    backend::store::Store,
    harness::{ALICE, BOB, Broker, Home, Json, Redis, postgres},
};

const PAINTER: &str = r#"{"name": "painter", "models": ["stable_diffusion"], "max_pixels": 4194304,
                          "bridge_agent": "AI Horde Worker reGen:13:x"}"#;

/// Exit code, stdout and stderr of a copy.
struct Copied(Option<i32>, String, String);

fn copy(from: &Path, to: &SecretUrl) -> Copied {
    let from = from.to_str().expect("it is UTF-8");
    let out = gridbroker(Path::new("/"), &["store", "copy", "--from", from, "--to", to.expose()]);
    let copied = Copied(out.status.code(), text(&out.stdout), text(&out.stderr));
    let password = to.expose().split(['@', ':']).nth(2).expect("it has a password");
    assert!(
        !copied.1.contains(password) && !copied.2.contains(password),
        "the password is told: {}",
        copied.2
    );
    copied
}

impl Copied {
    #[track_caller]
    fn succeeds(self) -> String {
        assert_eq!(self.0, Some(0), "{}{}", self.1, self.2);
        self.1
    }

    #[track_caller]
    fn fails(self, words: &[&str]) -> String {
        assert_eq!(self.0, Some(1), "{}{}", self.1, self.2);
        words.iter().for_each(|word| assert!(self.2.contains(word), "{word}: {}", self.2));
        self.1
    }
}

/// The rows that a report tells of a table, and whether it is equal.
fn told<'r>(report: &'r str, table: &str) -> (&'r str, &'r str) {
    let line = report.lines().find(|line| line.split_whitespace().next() == Some(table)).expect(table);
    let mut cells = line.split_whitespace().skip(1);
    (cells.next().expect(table), cells.nth(1).expect(table))
}

async fn fresh() -> SecretUrl {
    postgres().url(&postgres().database().await)
}

async fn sqlite(data: &Path) -> SqliteConnection {
    let file = format!("sqlite://{}", data.join("gridbroker.sqlite").display());
    SqliteConnection::connect(&file).await.unwrap()
}

async fn run(connection: &mut PgConnection, statement: &'static str) {
    sqlx::raw_sql(statement).execute(connection).await.unwrap();
}

/// Rows of all tables that data go to.
async fn rows(to: &SecretUrl) -> i64 {
    let mut connection = PgConnection::connect(to.expose()).await.unwrap();
    let tables =
        ["settings", "users", "balances", "postings", "workers", "requests", "attempts", "outcomes", "blobs"];
    let counts = tables.map(|table| format!("(SELECT count(*) FROM {table})")).join(" + ");
    let count = format!("SELECT {counts}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&mut connection).await.unwrap()
}

async fn submits(who: &Json, path: &str, prompt: &str) -> String {
    let body = json!({"prompt": prompt, "params": {"n": 1}});
    who.post(path, body).await.ok()["id"].as_str().expect("it has an ID").to_owned()
}

async fn pops_text(who: &Json) -> Value {
    let job = who.post("/generate/text/pop", json!({"name": "scribe", "models": ["any-model"]})).await.ok();
    assert!(job["id"].is_string(), "{job}");
    job
}

async fn kudos(broker: &Broker) -> Vec<Value> {
    let mut accounts = Vec::new();
    for key in [ALICE, BOB] {
        let mut account = broker.json(key).get("/find_user").await.ok();
        account["account_age"] = Value::Null;
        accounts.push(account);
    }
    accounts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_copy_the_same_people_go_on_over_postgresql_and_redis() {
    let old = Broker::over(Home::embedded(), |_| {}).await;
    let (alice, bob) = (old.json(ALICE), old.json(BOB));
    let painted = submits(&alice, "/generate/async", "a cat").await;
    let job = bob.post("/generate/pop", serde_json::from_str(PAINTER).unwrap()).await.ok();
    let picture: Vec<u8> = webp();
    let put = reqwest::Client::new().put(job["r2_upload"].as_str().unwrap()).body(picture.clone());
    assert_eq!(put.send().await.unwrap().status(), 200);
    bob.post("/generate/submit", json!({"id": job["id"], "generation": "R2", "seed": 1})).await.ok();
    let link = alice.get(&format!("/generate/status/{painted}")).await.ok();
    let link = link["generations"][0]["img"].as_str().expect("a link").to_owned();
    let written = submits(&alice, "/generate/text/async", "first").await;
    let first = pops_text(&bob).await;
    bob.post("/generate/text/submit", json!({"id": first["id"], "generation": "once"})).await.ok();
    let held = submits(&alice, "/generate/text/async", "second").await;
    let second = pops_text(&bob).await;
    let waiting = submits(&alice, "/generate/text/async", "third").await;
    let before = kudos(&old).await;
    let old_url = old.url().to_owned();
    let home = old.stop().await;

    let to = fresh().await;
    let report = copy(home.dir.path(), &to).succeeds();
    for (table, count) in [
        ("settings", "1"),
        ("users", "9"),
        ("workers", "2"),
        ("requests", "4"),
        ("attempts", "3"),
        ("outcomes", "2"),
    ] {
        assert_eq!(told(&report, table), (count, "yes"), "{report}");
    }
    assert_eq!(told(&report, "blobs"), ("1", "yes"), "{report}");
    assert!(report.contains("objects: 1 (") && report.contains("became U+FFFD: 0"), "{report}");
    assert!(report.contains("add up to 0") && report.contains(" as gridbroker in "), "{report}");

    let new = Broker::over(Home::over(to, Redis::start()), |_| {}).await;
    let (alice, bob) = (new.json(ALICE), new.json(BOB));
    assert_eq!(kudos(&new).await, before, "the keys are the same, and so is what the accounts have");
    let third = pops_text(&bob).await;
    assert_eq!(third["payload"]["prompt"], "third", "what waited is served");
    bob.post("/generate/text/submit", json!({"id": third["id"], "generation": "thrice"})).await.ok();
    let reward = bob.post("/generate/text/submit", json!({"id": second["id"], "generation": "twice"})).await;
    assert!(reward.ok()["reward"].as_f64().unwrap() > 0.0, "what was held is accepted");
    for (id, result) in [(&written, "once"), (&held, "twice"), (&waiting, "thrice")] {
        let status = alice.get(&format!("/generate/text/status/{id}")).await.ok();
        assert_eq!(status["generations"][0]["text"], result, "{status}");
    }
    let again = bob.post("/generate/text/submit", json!({"id": first["id"], "generation": "once"})).await;
    assert_eq!(again.rc(), "DuplicateGen", "what was paid is known to be");
    let fetched = reqwest::get(link.replace(&old_url, new.url())).await.unwrap();
    assert_eq!(fetched.status(), 200, "a link that was signed before holds");
    assert_eq!(fetched.bytes().await.unwrap(), picture);
    new.stop().await;
}

fn webp() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8, y as u8, 7]));
    image::DynamicImage::from(image).write_to(&mut bytes, image::ImageFormat::WebP).unwrap();
    bytes.into_inner()
}

/// An embedded store that a broker has left behind.
async fn left_behind() -> Home {
    let broker = Broker::over(Home::embedded(), |_| {}).await;
    submits(&broker.json(ALICE), "/generate/text/async", "first").await;
    let job = pops_text(&broker.json(BOB)).await;
    broker.json(BOB).post("/generate/text/submit", json!({"id": job["id"], "generation": "once"})).await.ok();
    broker.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_broker_had_not_moved_into_its_file_comes_along() {
    let dir = tempfile::tempdir().unwrap();
    let (mut broker, url) = grid::serve(dir.path(), "127.0.0.1:0");
    let id = reqwest::Client::new()
        .post(format!("{url}/api/v2/generate/text/async"))
        .header("apikey", "0000000000")
        .json(&json!({"prompt": "a lighthouse"}))
        .send();
    let id = id.await.unwrap().json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let (data, to) = (dir.path().join("data"), fresh().await);
    copy(&data, &to).fails(&[&format!("pid {}", broker.child.id()), "stop it first"]);
    broker.child.kill().unwrap();
    broker.child.wait().unwrap();
    assert!(std::fs::metadata(data.join("gridbroker.sqlite-wal")).unwrap().len() > 0);
    let report = copy(&data, &to).succeeds();
    assert_eq!((told(&report, "requests"), told(&report, "users")), (("1", "yes"), ("1", "yes")), "{report}");
    let store = Store::over(to).await;
    assert_eq!(store.rows("SELECT id::TEXT FROM requests").await, [[json!(id)]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_rows_odd_values_and_large_objects_come_over_as_they_are() {
    const POSTINGS: i64 = 25_000;
    let home = left_behind().await;
    let data = home.dir.path();
    let mut connection = sqlite(data).await;
    let odd = format!(
        "INSERT INTO postings SELECT 'grant:' || value, -1, -2, value, value FROM \
           (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < {POSTINGS}) \
            SELECT value FROM n); \
         INSERT INTO balances SELECT * FROM (SELECT -1, -sum(value) FROM \
           (SELECT amount AS value FROM postings WHERE debit = -1 AND credit = -2)) WHERE true \
           ON CONFLICT (account) DO UPDATE SET amount = amount + excluded.amount; \
         INSERT INTO balances SELECT * FROM (SELECT -2, sum(value) FROM \
           (SELECT amount AS value FROM postings WHERE debit = -1 AND credit = -2)) WHERE true \
           ON CONFLICT (account) DO UPDATE SET amount = amount + excluded.amount; \
         UPDATE workers SET maintenance = 'back' || char(0) || 'soon', things = 1.0 / 3; \
         UPDATE attempts SET model = char(0) || 'model', seed = {seed}; \
         UPDATE users SET alias = 'ünïcödé \\N \t \\. ''\"', requested_image_things = 9e999 WHERE id = 1; \
         UPDATE users SET requested_image_things = 4.9e-324, requested_text_things = 0.1 WHERE id = 2",
        seed = u32::MAX
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(odd)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let objects: Vec<(&str, Vec<u8>)> = vec![
        ("a.webp", vec![]),
        ("b.webp", vec![7; 256 * 1024]),
        ("c.webp", (0..3_000_000u32).map(|i| (i % 251) as u8).collect()),
    ];
    let blobs = gridbroker::backend::embedded::FileBlobs::open(&data.join("objects")).await.unwrap();
    for (name, content) in &objects {
        gridbroker::backend::Blobs::put(&blobs, name, content.clone().into()).await.unwrap();
    }
    // Nobody would find it there.
    let stray = data.join("objects/00/stray.webp");
    std::fs::create_dir_all(stray.parent().unwrap()).unwrap();
    std::fs::write(stray, "x").unwrap();
    let to = fresh().await;
    let report = copy(data, &to).succeeds();
    assert!(told(&report, "postings").0.parse::<i64>().unwrap() > POSTINGS, "{report}");
    assert!(report.contains("objects: 3 (3262144 bytes)"), "{report}");
    assert!(report.contains("became U+FFFD: 2"), "{report}");
    let store = Store::over(to).await;
    for (name, content) in &objects {
        assert_eq!(store.blobs.get(name).await.unwrap().as_deref(), Some(content.as_slice()), "{name}");
    }
    let look = "SELECT maintenance, things::TEXT FROM workers";
    assert_eq!(store.rows(look).await, [[json!("back\u{fffd}soon"), json!(1.0 / 3.0)]]);
    assert_eq!(store.rows("SELECT model FROM attempts").await, [["\u{fffd}model"]]);
    let look = "SELECT alias, requested_image_things::TEXT FROM users WHERE id = 1";
    assert_eq!(store.rows(look).await, [["ünïcödé \\N \t \\. '\"", "Infinity"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_fails_or_differs_leaves_nothing_and_can_be_started_again() {
    let home = left_behind().await;
    let to = fresh().await;
    let mut connection = PgConnection::connect(to.expose()).await.unwrap();
    sqlx::migrate!("migrations/postgres").run(&mut connection).await.unwrap();
    run(
        &mut connection,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; \
         CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN NEW.alias = upper(NEW.alias); RETURN NEW; END $$; \
         CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; \
         CREATE TRIGGER odd BEFORE INSERT ON outcomes FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    .await;
    copy(home.dir.path(), &to).fails(&["outcomes could not be written", "SQLSTATE P0001"]);
    assert_eq!(rows(&to).await, 0);
    run(
        &mut connection,
        "DROP TRIGGER odd ON outcomes; \
         CREATE TRIGGER odd BEFORE INSERT ON postings FOR EACH ROW EXECUTE FUNCTION lose()",
    )
    .await;
    copy(home.dir.path(), &to).fails(&["postings took 0 of "]);
    assert_eq!(rows(&to).await, 0);
    run(
        &mut connection,
        "DROP TRIGGER odd ON postings; \
         CREATE TRIGGER odd BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION shout()",
    )
    .await;
    let report = copy(home.dir.path(), &to).fails(&["differs from the store", "nothing was left"]);
    assert_eq!((told(&report, "users"), told(&report, "requests")), (("9", "no:"), ("1", "yes")), "{report}");
    assert_eq!(rows(&to).await, 0);
    run(&mut connection, "DROP TRIGGER odd ON users").await;
    copy(home.dir.path(), &to).succeeds();
    assert!(rows(&to).await > 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_that_do_not_balance_are_not_copied() {
    let home = left_behind().await;
    let to = fresh().await;
    for (break_, mend, words) in [
        (
            "UPDATE balances SET amount = amount + 5 WHERE account = 1",
            "UPDATE balances SET amount = amount - 5 WHERE account = 1",
            &["sum of their postings: 1", "hold 5 millionths"][..],
        ),
        // The system's own accounts are added up anew, and differ.
        (
            "UPDATE balances SET amount = amount + 5 WHERE account < 0",
            "UPDATE balances SET amount = amount - 5 WHERE account < 0",
            &["differs from the store"],
        ),
    ] {
        let mut connection = sqlite(home.dir.path()).await;
        sqlx::raw_sql(break_).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        copy(home.dir.path(), &to).fails(words);
        assert_eq!(rows(&to).await, 0);
        let mut connection = sqlite(home.dir.path()).await;
        sqlx::raw_sql(mend).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
    copy(home.dir.path(), &to).succeeds();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_holds_anything_is_refused_and_left_as_it_is() {
    let home = left_behind().await;
    let to = fresh().await;
    copy(home.dir.path(), &to).succeeds();
    let before = rows(&to).await;
    copy(home.dir.path(), &to).fails(&["holds data already (settings, users,", "copy to an empty one"]);
    assert_eq!(rows(&to).await, before);
    let strange = fresh().await;
    let mut connection = PgConnection::connect(strange.expose()).await.unwrap();
    run(&mut connection, "CREATE TABLE users (name TEXT)").await;
    copy(home.dir.path(), &strange).fails(&["holds other tables (users)"]);
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    let count: i64 = sqlx::query_scalar(tables).fetch_one(&mut connection).await.unwrap();
    assert_eq!(count, 1, "it was left alone");
    // A broker that failed at its very start leaves no more than the anonymous account.
    let begun = fresh().await;
    drop(Store::over(begun.clone()).await);
    crate::harness::eventually(async || copy(home.dir.path(), &begun).0 == Some(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_a_broker_runs_on_is_refused() {
    let home = left_behind().await;
    let to = fresh().await;
    let broker = Broker::over(Home::over(to.clone(), Redis::start()), |_| {}).await;
    copy(home.dir.path(), &to).fails(&["holds data already"]);
    broker.stop().await;
    // One that has just begun, and made nothing yet.
    let to = fresh().await;
    let begun = Store::over(to.clone()).await;
    copy(home.dir.path(), &to).fails(&["is used by a broker"]);
    drop(begun);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_opened_is_told_in_plain_words() {
    let home = left_behind().await;
    let data = home.dir.path();
    let nowhere = SecretUrl::new("postgres://maria:s3cret-word@127.0.0.1:1/grid");
    copy(data, &nowhere).fails(&["127.0.0.1:1/grid as maria", "connection refused"]);
    let stranger =
        SecretUrl::new(format!("postgres://maria:s3cret-word@127.0.0.1:{}/grid", postgres().port()));
    copy(data, &stranger).fails(&["28P01"]);
    let to = fresh().await;
    let missing = data.join("missing");
    copy(&missing, &to).fails(&["there is no store in", "gridbroker.sqlite"]);
    assert!(!missing.exists(), "nothing is made");
    for url in
        ["mysql://maria:s3cret-word@host/grid", "s3cret-word", "postgres://maria:s3cret-word@host:port/grid"]
    {
        let flags = ["store", "copy", "--from", data.to_str().unwrap(), "--to", url];
        let out = gridbroker(Path::new("/"), &flags);
        let said = text(&out.stderr);
        assert!(
            !out.status.success() && said.contains("postgres://user:password@host:5432/database"),
            "{said}"
        );
        assert!(!said.contains("s3cret"), "{said}");
    }
    let mut connection = sqlite(data).await;
    sqlx::raw_sql("DELETE FROM _sqlx_migrations").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    copy(data, &to).fails(&["was made by an older version", "gridbroker serve"]);
}
