//! `gridbroker user`, with and without a broker on the data directory.

use std::{os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use gridbroker::{
    backend::embedded,
    domain::{Kudos, UserId, clock::SystemClock, models::ModelReference, user::KeyHash},
    engine::Rules,
    host::{self, Running},
    rpc::admin::AddUserRequest,
    server::admin,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{gridbroker, text};

/// Runs `user add` in a directory and reads its line.
fn add(dir: &Path, args: &[&str]) -> Result<Value, String> {
    let out = gridbroker(dir, &[&["user", "add"], args].concat());
    match out.status.code() {
        Some(0) => {
            let line = text(&out.stdout);
            assert_eq!(line.lines().count(), 1, "one line: {line}");
            Ok(serde_json::from_str(&line).expect("a line of JSON"))
        }
        code => {
            assert_eq!((code, text(&out.stdout).as_str()), (Some(1), ""), "{}", text(&out.stderr));
            Err(text(&out.stderr))
        }
    }
}

/// A broker without a port.
struct Broker {
    running: Running,
    operator: JoinHandle<()>,
    stopping: CancellationToken,
}

impl Broker {
    async fn start(data: &Path) -> Self {
        let stopping = CancellationToken::new();
        let backend = embedded::open(data).await.unwrap();
        let clock = Arc::new(SystemClock);
        let running = host::start(
            backend,
            Rules::default(),
            Arc::new(ModelReference::default()),
            clock,
            stopping.clone(),
        )
        .await
        .unwrap();
        let operator = admin::serve(running.host.clone(), None, data, stopping.clone()).await.unwrap();
        Self { running, operator, stopping }
    }

    async fn knows(&self, key: &str) -> Option<UserId> {
        let key = KeyHash::of(key);
        self.running.host.read(move |engine, _| engine.user_by_key(&key).map(|user| user.id)).await.unwrap()
    }

    async fn stop(self) {
        self.stopping.cancel();
        self.operator.await.unwrap();
        self.running.task.await.unwrap().unwrap();
    }
}

#[test]
fn the_first_account_of_an_empty_store_has_id_1_and_the_next_id_2() {
    let dir = tempfile::tempdir().unwrap();
    let alice = add(dir.path(), &["alice"]).unwrap();
    let key = alice["api_key"].as_str().unwrap().to_owned();
    assert_eq!(
        alice,
        json!({"id": 1, "username": "alice#1", "api_key": key, "kudos": 0, "roles": []}),
        "the store is made in ./data"
    );
    assert_eq!(key.len(), 22);
    assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{key}");
    let bob =
        add(dir.path(), &["bob", "--role", "moderator", "--role", "special", "--kudos", "500"]).unwrap();
    assert_eq!(bob["username"], "bob#2");
    let made = std::fs::metadata(dir.path().join("data")).unwrap();
    assert_eq!(made.permissions().mode() & 0o777, 0o700, "the store is nobody else's to read");
    assert_eq!((&bob["kudos"], &bob["roles"]), (&json!(500), &json!(["moderator", "special"])));
    assert_ne!(bob["api_key"], alice["api_key"]);
}

#[test]
fn the_keys_stand_in_the_order_that_is_promised() {
    let dir = tempfile::tempdir().unwrap();
    let out = gridbroker(dir.path(), &["user", "add", "alice", "--api-key", "alices-own-key"]);
    let wanted =
        r#"{"id":1,"username":"alice#1","api_key":"alices-own-key","kudos":0,"roles":[]}"#.to_owned() + "\n";
    assert_eq!(text(&out.stdout), wanted);
}

#[test]
fn a_key_that_is_taken_and_an_alias_that_is_none_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    add(dir.path(), &["alice", "--api-key", "alices-own-key"]).unwrap();
    let taken = add(dir.path(), &["bob", "--api-key", "alices-own-key"]).unwrap_err();
    assert!(taken.contains("this API key is in use"), "{taken}");
    let anonymous = add(dir.path(), &["bob", "--api-key", "0000000000"]).unwrap_err();
    assert!(anonymous.contains("this API key is in use"), "{anonymous}");
    let alias = add(dir.path(), &["bob#7"]).unwrap_err();
    assert!(alias.contains("an alias has 1 to 100 characters"), "{alias}");
    assert_eq!(add(dir.path(), &["bob"]).unwrap()["id"], 2, "what was refused took no ID");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_made_without_a_broker_is_known_to_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("store");
    let flags = ["alice", "--data", "store", "--kudos", "30", "--concurrency", "3", "--worker-invites", "8"];
    let alice = add(dir.path(), &flags).unwrap();
    let broker = Broker::start(&data).await;
    let id = broker.knows(alice["api_key"].as_str().unwrap()).await.expect("Records hold the account");
    let user = broker.running.host.read(move |engine, _| engine.user(id).cloned()).await.unwrap().unwrap();
    assert_eq!((user.balance, user.concurrency, user.worker_invites), (Kudos::whole(30), 3, 8));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_broker_makes_the_account_and_knows_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let broker = Broker::start(&data).await;
    let socket = std::fs::metadata(data.join("admin.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600, "only the owner may open the socket");

    let at = dir.path().to_owned();
    let alice =
        tokio::task::spawn_blocking(move || add(&at, &["alice", "--kudos", "5"])).await.unwrap().unwrap();
    assert_eq!((&alice["id"], &alice["kudos"]), (&json!(1), &json!(5)));
    let key = alice["api_key"].as_str().unwrap().to_owned();
    assert_eq!(broker.knows(&key).await, Some(UserId(1)));

    let at = dir.path().to_owned();
    let taken = tokio::task::spawn_blocking(move || add(&at, &["bob", "--api-key", &key])).await.unwrap();
    assert!(taken.unwrap_err().contains("this API key is in use"), "the broker's refusal is passed on");

    broker.stop().await;
    assert!(!data.join("admin.sock").exists(), "a broker that stops takes its socket along");
    let bob = tokio::task::block_in_place(|| add(dir.path(), &["bob"])).unwrap();
    assert_eq!(bob["id"], 2, "the store is free again");
}

/// Runs a command and reads its line, while a broker may need its threads.
async fn says(dir: &Path, args: &'static [&'static str]) -> Value {
    let dir = dir.to_owned();
    let out = tokio::task::spawn_blocking(move || gridbroker(&dir, args)).await.unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    serde_json::from_str(&text(&out.stdout)).expect("a line of JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_gets_another_key_and_roles_with_a_broker_and_without() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let at = dir.path().to_owned();
    let alice = tokio::task::spawn_blocking(move || add(&at, &["alice"])).await.unwrap().unwrap();
    let first = alice["api_key"].as_str().unwrap().to_owned();
    let alone = says(dir.path(), &["user", "rotate-key", "alice#1"]).await;
    let second = alone["api_key"].as_str().unwrap().to_owned();
    assert_eq!((&alone["id"], &alone["username"], second.len()), (&json!(1), &json!("alice#1"), 22));
    let roles = says(dir.path(), &["user", "set-role", "1", "moderator"]).await;
    assert_eq!(roles, json!({"id": 1, "username": "alice#1", "roles": ["moderator"]}));
    let broker = Broker::start(&data).await;
    assert_eq!((broker.knows(&first).await, broker.knows(&second).await), (None, Some(UserId(1))));
    let third = says(dir.path(), &["user", "rotate-key", "1"]).await["api_key"].as_str().unwrap().to_owned();
    assert_eq!((broker.knows(&second).await, broker.knows(&third).await), (None, Some(UserId(1))));
    let given = says(dir.path(), &["user", "set-role", "1", "vpn"]).await;
    assert_eq!(given["roles"], json!(["moderator", "vpn"]));
    let taken = says(dir.path(), &["user", "set-role", "1", "moderator", "--off"]).await;
    assert_eq!(taken["roles"], json!(["vpn"]));
    for (args, problem) in [
        (&["user", "rotate-key", "0"][..], "account of your own"),
        (&["user", "rotate-key", "99"], "no user"),
        (&["user", "set-role", "99", "vpn"], "no user"),
        (&["user", "rotate-key", "alice"], "ALIAS#ID"),
        (&["user", "set-role", "1", "emperor"], "possible values"),
    ] {
        let at = dir.path().to_owned();
        let out = tokio::task::spawn_blocking(move || gridbroker(&at, args)).await.unwrap();
        assert!(
            !out.status.success() && text(&out.stderr).contains(problem),
            "{args:?}: {}",
            text(&out.stderr)
        );
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_a_crash_left_behind_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    drop(std::os::unix::net::UnixListener::bind(data.join("admin.sock")).unwrap());
    let alone = tokio::task::block_in_place(|| add(dir.path(), &["alice"])).unwrap();
    assert_eq!(alone["id"], 1);
    let broker = Broker::start(&data).await;
    let at = dir.path().to_owned();
    let served = tokio::task::spawn_blocking(move || add(&at, &["bob"])).await.unwrap().unwrap();
    assert_eq!(broker.knows(served["api_key"].as_str().unwrap()).await, Some(UserId(2)));
    broker.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_with_a_long_path_has_a_socket_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("d".repeat(120));
    let broker = Broker::start(&data).await;
    let mut operator = admin::connect(&data).await.unwrap().expect("the socket is there");
    let request = AddUserRequest { alias: "alice".into(), ..Default::default() };
    assert_eq!(operator.add_user(request).await.unwrap().into_inner().username, "alice#1");
    broker.stop().await;
}

#[tokio::test]
async fn two_brokers_cannot_have_one_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let _first = embedded::open(dir.path()).await.unwrap();
    let second = embedded::open(dir.path()).await.err().expect("the directory is taken").to_string();
    let wanted = format!("is in use by another gridbroker process (pid {})", std::process::id());
    assert!(second.contains(&wanted), "{second}");
}
