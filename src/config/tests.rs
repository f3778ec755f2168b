//! Precedence, problems and the list of keys.

use std::path::PathBuf;

use super::*;

/// Sources in a directory of their own.
struct Desk {
    dir: tempfile::TempDir,
    sources: Sources,
}

impl Desk {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), sources: Sources::default() }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn file(mut self, text: &str) -> Self {
        self.sources.file = Some(self.write("settings.toml", text));
        self
    }

    fn dotenv(mut self, text: &str) -> Self {
        self.sources.dotenv = Some(self.write(".env", text));
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, key: &'static str, value: &str) -> Self {
        self.sources.flags.push((key, value.into()));
        self
    }

    fn config(self) -> Config {
        self.sources.load().unwrap_or_else(|problems| panic!("{problems}")).config
    }

    fn problems(self) -> String {
        self.sources.load().expect_err("something is wrong").to_string()
    }
}

#[test]
fn each_source_wins_over_those_before_it() {
    let levels = ["default", "file", ".env", "environment", "flag"];
    for (top, level) in levels.iter().enumerate() {
        let mut desk = Desk::new();
        if top >= 1 {
            desk = desk.file("api_key_header = \"file\"\nlog_format = \"json\"");
        }
        if top >= 2 {
            desk = desk.dotenv("GRIDBROKER_API_KEY_HEADER=dotenv\n");
        }
        if top >= 3 {
            desk = desk.variable("GRIDBROKER_API_KEY_HEADER", "environment");
        }
        if top >= 4 {
            desk = desk.flag("api_key_header", "flag");
        }
        let config = desk.config();
        let wanted = ["apikey", "file", "dotenv", "environment", "flag"][top];
        assert_eq!(config.api.api_key_header, wanted, "the highest source is {level}");
        let format = if top >= 1 { LogFormat::Json } else { LogFormat::Text };
        assert_eq!(config.logs.log_format, format, "a key that only the file sets stays, below {level}");
    }
}

#[test]
fn every_kind_of_value_reads_alike_from_a_file_and_a_variable() {
    let config = Desk::new()
        .file(
            "listen = \"0.0.0.0:80\"\nrate_limits = \"off\"\ntest_users = 1\nmax_connections = 7\n\
             cors_origins = [\"https://a.example\", \"https://b.example:8443\"]\nfetch_allow = \"10.0.0.0/8\"",
        )
        .config();
    let same = Desk::new()
        .variable("GRIDBROKER_LISTEN", "0.0.0.0:80")
        .variable("GRIDBROKER_RATE_LIMITS", "0")
        .variable("GRIDBROKER_TEST_USERS", "ON")
        .variable("GRIDBROKER_MAX_CONNECTIONS", "7")
        .variable("GRIDBROKER_CORS_ORIGINS", "https://a.example, https://b.example:8443")
        .variable("GRIDBROKER_FETCH_ALLOW", "10.0.0.0/8,")
        .config();
    assert_eq!(config, same);
    assert!(!config.limits.rate_limits && config.api.test_users);
    assert_eq!(config.api.cors_origins.len(), 2);
}

#[test]
fn an_empty_variable_unsets_what_a_file_set() {
    let desk = Desk::new().file("public_url = \"https://grid.example.org\"");
    assert_eq!(desk.variable("GRIDBROKER_PUBLIC_URL", "").config().server.public_url, None);
}

#[test]
fn names_without_our_prefix_are_passed_over() {
    let desk = Desk::new().variable("LISTEN", "nonsense").variable("DATABASE_URL", "postgres://x");
    assert_eq!(desk.dotenv("REDIS_URL=redis://x\n").config(), Config::default());
}

#[test]
fn a_variable_may_name_the_file() {
    let desk = Desk::new();
    let path = desk.write("named.toml", "drain_seconds = 3");
    let config = desk.variable("GRIDBROKER_CONFIG", path.to_str().unwrap()).config();
    assert_eq!(config.server.drain_seconds, 3);
}

#[test]
fn all_problems_are_reported_at_once_with_their_sources() {
    let problems = Desk::new()
        .file("max_conections = 5\nlong_poll_timeout = -1\nlog_format = \"xml\"\n[server]\nport = 1")
        .dotenv("GRIDBROKER_RATE_LIMITS=maybe\n")
        .variable("GRIDBROKER_FETCH_ALLOW", "10.0.0.0/99")
        .flag("listen", "localhost")
        .flag("tls_cert", "cert.pem")
        .problems();
    for wanted in [
        "max_conections in ",
        "did you mean max_connections?",
        "long_poll_timeout in ",
        "write text or json",
        "keys stand at the top, without tables",
        "GRIDBROKER_RATE_LIMITS in .env: \"maybe\" is neither on nor off",
        "GRIDBROKER_FETCH_ALLOW: \"10.0.0.0/99\" is no network",
        "--listen: \"localhost\" is no address",
        "--tls-cert: set without tls_key",
        "8 settings need attention",
    ] {
        assert!(problems.contains(wanted), "{wanted:?} is missing in:\n{problems}");
    }
}

#[test]
fn a_slip_in_a_variable_is_noted_and_stops_nothing() {
    let desk = Desk::new().variable("GRIDBROKER_LISTN", "0.0.0.0:1").variable("GRIDBROKER_SERVICE_HOST", "x");
    let loaded = desk.sources.load().unwrap();
    assert_eq!(loaded.notes, ["GRIDBROKER_LISTN: no such setting; did you mean GRIDBROKER_LISTEN?"]);
    let desk =
        Desk::new().variable("GRIDBROKER_DATABSE_URL", "x").variable("GRIDBROKER_REDIS_URL", "redis://c");
    let problems = desk.problems();
    assert!(
        problems.contains("did you mean GRIDBROKER_DATABASE_URL?"),
        "it may explain a problem: {problems}"
    );
}

#[test]
fn a_dotenv_that_is_missing_is_no_problem_and_one_that_cannot_be_read_is() {
    let mut desk = Desk::new();
    desk.sources.dotenv = Some(desk.dir.path().join("missing"));
    assert_eq!(desk.config(), Config::default());
    let mut desk = Desk::new();
    desk.sources.dotenv = Some(desk.dir.path().to_owned());
    let problems = desk.problems();
    assert!(problems.contains("the file cannot be read"), "{problems}");
}

#[test]
fn half_of_a_distributed_store_is_refused() {
    let (database, redis) = (("database_url", "postgres://u:pw@db/grid"), ("redis_url", "redis://cache"));
    let one = Desk::new().flag(database.0, database.1).problems();
    assert!(one.contains("--database-url: set without redis_url"), "{one}");
    let other = Desk::new().flag(redis.0, redis.1).problems();
    assert!(other.contains("--redis-url: set without database_url"), "{other}");
    let both = Desk::new().flag(database.0, database.1).flag(redis.0, redis.1).config();
    assert!(both.store.database_url.is_some() && both.store.redis_url.is_some());
}

#[test]
fn secrets_are_never_printed() {
    for (url, printed) in [
        ("postgres://grid:s3cret@db:5432/grid", "postgres://grid:***@db:5432/grid"),
        ("postgres://grid:s3/c@ret@db/grid?sslmode=require", "postgres://grid:***@db/grid?***"),
        ("redis://:s3cret@cache/0", "redis://:***@cache/0"),
        ("redis://s3cret@cache/0", "redis://***@cache/0"),
        ("redis://cache/0?password=s3cret", "redis://cache/0?***"),
        ("s3cret", "***"),
    ] {
        assert_eq!(SecretUrl::new(url).to_string(), printed);
    }
    let config = Config {
        store: Store {
            database_url: Some(SecretUrl::new("postgres://u:s3cret@db/grid")),
            redis_url: Some(SecretUrl::new("redis://:s3cret@cache")),
            ..Store::default()
        },
        api: Api {
            webhook_secret: Some(Secret::new("s3cret s3cret s3cret")),
            key_salts: vec![Secret::new("s3cret")],
            ..Api::default()
        },
        ..Config::default()
    };
    let shown: Vec<_> = KEYS.iter().filter_map(|key| key.show(&config)).collect();
    assert!(!format!("{config:?} {shown:?}").contains("s3cret"));
    let broken = Desk::new().file("database_url = \"postgres://u:s3cret@db").problems();
    assert!(broken.contains("is no TOML near line 1") && !broken.contains("s3cret"), "{broken}");
    let broken = Desk::new().dotenv("GRIDBROKER_REDIS_URL='redis://:s3cret@cache\n").problems();
    assert!(broken.contains("NAME=value") && !broken.contains("s3cret"), "{broken}");
}

#[test]
fn the_default_file_is_the_default_and_lists_every_key() {
    assert_eq!(Desk::new().file(DEFAULT_TOML).config(), Config::default());
    let unset = Config::default();
    for key in KEYS {
        let is_optional = (key.to_toml)(&unset).is_none();
        let line = if is_optional { format!("# {} = ", key.name) } else { format!("{} = ", key.name) };
        let lines = DEFAULT_TOML.lines().filter(|text| text.starts_with(&line)).count();
        assert_eq!(lines, 1, "{} has its line in default.toml", key.name);
        assert!(key.help().ends_with('.'), "{} is explained above its line: {:?}", key.name, key.help());
    }
}

#[test]
fn links_begin_with_the_setting_or_else_with_the_bound_address() {
    let bound = SocketAddr::from(([127, 0, 0, 1], 4711));
    let mut config = Config::for_testing();
    assert_eq!(config.public_url(bound), "http://127.0.0.1:4711");
    config.server.tls_cert = Some("cert.pem".into());
    config.server.tls_key = Some("key.pem".into());
    assert_eq!(config.public_url(bound), "https://127.0.0.1:4711");
    config.server.public_url = Some("https://grid.example.org/".into());
    assert_eq!(config.public_url(bound), "https://grid.example.org");
}

#[test]
fn where_people_sign_in_the_public_url_is_the_root_of_a_host() {
    let github = [("github_client_id", "ours"), ("github_client_secret", "s3cret")];
    let captcha = [("recaptcha_site_key", "ours"), ("recaptcha_secret_key", "s3cret")];
    let (here, everywhere) = ("127.0.0.1:7001", "0.0.0.0:7001");
    let desk = |set: &[(&'static str, &str)], listen: &str, public_url: Option<&str>| {
        let public_url = public_url.map(|url| ("public_url", url));
        let flags = set.iter().copied().chain([("listen", listen)]).chain(public_url);
        flags.fold(Desk::new(), |desk, (key, value)| desk.flag(key, value))
    };
    let (root, below) = (Some("https://grid.example.org/"), Some("https://grid.example.org/below"));
    for (set, listen, public_url, told) in [
        (&github, everywhere, None, "public_url: is needed, as github_client_id is set; "),
        (&github, "10.0.0.7:7001", None, "public_url: is needed"),
        (&github, everywhere, below, "--public-url: must have no path, as github_client_id is set: "),
        (&captcha, here, below, "--public-url: must have no path, as recaptcha_site_key is set: "),
        (&github, everywhere, Some("https://grid.example.org:99999"), "--public-url: cannot be read"),
    ] {
        let problems = desk(set, listen, public_url).problems();
        assert!(problems.starts_with(told), "{told} / {problems}");
    }
    for (set, listen, public_url, noted) in [
        (&github[..], everywhere, root, None),
        (&captcha, everywhere, Some("https://grid.example.org:8443"), None),
        (&[], everywhere, below, None),
        (&[], here, None, None),
        (&github, here, None, Some("github_client_id without public_url: ")),
        (&captcha, "10.0.0.7:7001", None, None),
    ] {
        let loaded = desk(set, listen, public_url).sources.load();
        let notes = loaded.unwrap_or_else(|problems| panic!("{listen} {public_url:?}: {problems}")).notes;
        assert_eq!(notes.len(), usize::from(noted.is_some()), "{notes:?}");
        assert!(notes.iter().zip(noted).all(|(note, begin)| note.starts_with(begin)), "{notes:?}");
    }
}

#[test]
fn values_that_make_no_sense_together_or_alone_are_refused() {
    for (key, value) in [
        ("public_url", "grid.example.org"),
        ("public_url", "https://"),
        ("public_url", "https://grid.example.org:99999"),
        ("public_url", "https://[::1"),
        ("public_url", "https://grid.example.org\\below"),
        ("api_key_header", "api key"),
        ("cors_origins", "https://a.example/path"),
        ("max_body_bytes", "10"),
        ("max_body_bytes", "67108865"),
        ("max_connections", "0"),
        ("database_connections", "7"),
        ("max_waiting_jobs", "many"),
        ("long_poll_timeout", "90000"),
        ("job_stream_text", "jobs:image"),
        ("stream_prefix", ""),
        ("log", "info,=x=y"),
        ("data", ""),
        ("webhook_secret", "too short"),
        ("key_salts", "1,2,3,4,5,6,7,8,9"),
    ] {
        let problems = Desk::new().flag(key, value).problems();
        let place = format!("--{}: ", Key::named(key).unwrap().flag());
        assert!(problems.starts_with(&place), "{key} = {value:?} gives {problems}");
    }
    assert!(Config::default().validate().is_ok() && Config::for_testing().validate().is_ok());
}
