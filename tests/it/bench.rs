//! `gridbroker bench` from end to end, with counts too small to mean anything. What it measures is
//! not tested here: a figure is no promise.

use std::{
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::harness::{Redis, postgres};

const FIGURES: [(&str, &str); 42] = [
    ("grpc-cycle", "cycles"),
    ("grpc-cycle", "server CPU per cycle"),
    ("grpc-cycle", "cycle, p50"),
    ("grpc-cycle", "cycle, p99"),
    ("grpc-cycle", "load generator CPU per cycle"),
    ("twin-cycle", "cycles"),
    ("twin-cycle", "server CPU per cycle"),
    ("twin-cycle", "cycle, p50"),
    ("twin-cycle", "cycle, p99"),
    ("twin-cycle", "load generator CPU per cycle"),
    ("json-cycle", "cycles"),
    ("json-cycle", "server CPU per cycle"),
    ("json-cycle", "cycle, p50"),
    ("json-cycle", "cycle, p99"),
    ("json-cycle", "load generator CPU per cycle"),
    ("json-call", "GET check, calls"),
    ("json-call", "GET check, server CPU"),
    ("json-call", "GET check, p50"),
    ("json-call", "GET check, p99"),
    ("json-call", "POST dry run, calls"),
    ("json-call", "POST dry run, server CPU"),
    ("json-call", "POST dry run, p50"),
    ("json-call", "POST dry run, p99"),
    ("dispatch", "jobs, one at a time"),
    ("dispatch", "server CPU per job"),
    ("dispatch", "submit to worker, p50"),
    ("dispatch", "submit to worker, p99"),
    ("dispatch-idle", "jobs, one at a time"),
    ("dispatch-idle", "server CPU per job"),
    ("dispatch-idle", "submit to worker, p50"),
    ("dispatch-idle", "submit to worker, p99"),
    ("dispatch-idle", "jobs, own connections"),
    ("dispatch-idle", "server CPU per job, own"),
    ("dispatch-idle", "submit to worker, p50, own"),
    ("dispatch-idle", "submit to worker, p99, own"),
    ("idle-streams", "memory, shared connection"),
    ("idle-streams", "CPU of 10,000, shared"),
    ("idle-streams", "memory, own connection"),
    ("idle-streams", "CPU of 10,000, own"),
    ("queue-length", "submit"),
    ("queue-length", "pop with a job"),
    ("queue-length", "pop without a job"),
];

const GRID_FIGURES: [(&str, &str); 17] = [
    ("grid-cycle", "cycles"),
    ("grid-cycle", "brokers' CPU per cycle"),
    ("grid-cycle", "cycle, p50"),
    ("grid-cycle", "cycle, p99"),
    ("grid-cycle", "load generator CPU per cycle"),
    ("grid-cycle", "Redis CPU per job"),
    ("grid-cycle", "Redis commands per job"),
    ("grid-cycle", "Redis commands, by scripts"),
    ("grid-cycle", "cycles, three brokers"),
    ("grid-cycle", "cycles, one broker"),
    ("grid-cycle", "PostgreSQL commits per job"),
    ("grid-dispatch", "jobs, one at a time"),
    ("grid-dispatch", "submit to worker, p50"),
    ("grid-dispatch", "submit to worker, p99"),
    ("grid-claims", "jobs, Redis work alone"),
    ("grid-claims", "Redis commands per job"),
    ("grid-claims", "cycles with PostgreSQL, one"),
];

/// Runs `bench` in small and returns its report and its table.
fn bench(flags: &[&str]) -> (Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gridbroker"))
        .args(["bench", "--smoke", "--seconds", "1", "--clients", "4", "--workers", "2", "--streams", "20"])
        .args(["--json", "-"])
        .args(flags)
        .stdin(Stdio::null())
        .output()
        .expect("the program can be started");
    let table = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{table}");
    let report = serde_json::from_slice(&output.stdout).expect("JSON alone on the standard output");
    (report, table)
}

fn rows(report: &Value) -> &[Value] {
    report["rows"].as_array().expect("rows")
}

fn name(row: &Value) -> (&str, &str) {
    (row["workload"].as_str().unwrap_or("?"), row["measure"].as_str().unwrap_or("?"))
}

/// The row of a figure.
fn row<'a>(report: &'a Value, figure: (&str, &str)) -> &'a Value {
    let row = rows(report).iter().find(|row| name(row) == figure);
    row.unwrap_or_else(|| panic!("{figure:?} is missing in {report}"))
}

fn figures(row: &Value) -> [f64; 2] {
    ["gridbroker", "bare"].map(|side| row[side].as_f64().expect("a figure is a number"))
}

#[test]
fn smoke_run_prints_every_figure_of_every_workload() {
    let (report, table) = bench(&[]);
    let found: Vec<_> = rows(&report).iter().map(name).collect();
    assert_eq!(found, FIGURES);
    for row in rows(&report) {
        let is_quotient = name(row).1.ends_with("cycles");
        for figure in figures(row) {
            assert!(figure >= 0.0 && (figure > 0.0 || !is_quotient), "{row}");
        }
        let beside = match name(row).0 {
            "twin-cycle" => "PopStream and calls",
            "dispatch-idle" => "few workers",
            "queue-length" => "short queue",
            _ => "bare server",
        };
        assert_eq!(row["beside"], beside);
    }
    for (workload, figure) in FIGURES {
        let has_line = table.lines().any(|line| line.starts_with(workload) && line.contains(figure));
        assert!(has_line, "the table lacks {workload}, {figure}:\n{table}");
    }
    assert!(table.contains("--private-servers"), "how to get the grid workloads is said:\n{table}");
    assert!(report["environment"]["cores"].as_u64().is_some_and(|cores| cores > 0), "{report}");
}

#[test]
fn grid_workloads_run_over_private_servers_and_count_what_a_job_costs() {
    let directory = tempfile::tempdir().unwrap();
    // PostgreSQL runs as somebody else than root, who has to get there.
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let dir = directory.path().to_str().expect("it is UTF-8");
    let only = ["--only", "grid-cycle", "--only", "grid-dispatch", "--only", "grid-claims"];
    let (report, table) = bench(&[&only[..], &["--private-servers", "--dir", dir]].concat());
    for figure in GRID_FIGURES {
        let row = row(&report, figure);
        assert!(figures(row).iter().all(|value| *value > 0.0), "{row}");
        assert!(table.contains(figure.1), "the table lacks {figure:?}:\n{table}");
    }
    // What cannot be done with less: rows for a request, its attempt and its result; and a job is added to
    // its stream, claimed, and taken out of it once, whoever counts.
    let inserts = figures(row(&report, ("grid-cycle", "PostgreSQL inserts per job")));
    assert!(inserts.iter().all(|rows| *rows >= 3.0), "{inserts:?}");
    for (workload, sides) in [("grid-cycle", 2), ("grid-claims", 1)] {
        for (command, least) in [("XADD", 3.0), ("XCLAIM", 1.0), ("XACK", 1.0), ("XDEL", 1.0), ("ZADD", 1.0)]
        {
            let calls = figures(row(&report, (workload, &format!("Redis {command} per job"))));
            assert!(
                calls[..sides].iter().all(|calls| *calls > 0.9 * least),
                "{workload}, {command}: {calls:?}"
            );
        }
    }
    let raw = figures(row(&report, ("grid-claims", "Redis commands per job")))[1];
    assert!((3.9..4.5).contains(&raw), "a raw job is four commands, not {raw}");
    let budget = row(&report, ("grid-claims", "jobs, Redis work alone"));
    assert_eq!(budget["budget"]["limit"], 0.3);
    assert!(budget["ratio"].is_number(), "{budget}");
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), 0, "nothing is left");
}

#[tokio::test]
async fn grid_workloads_leave_nothing_behind_in_servers_that_are_given() {
    let (postgres, redis) = (postgres(), Redis::start());
    let database = postgres.database().await;
    let (url, settings) = (postgres.url(&database), redis.settings());
    let redis_url = settings.redis_url.expect("it has one");
    let urls = ["--database-url", url.expose(), "--redis-url", redis_url.expose()];
    let (report, _) = bench(&[&["--only", "grid-dispatch"], &urls[..]].concat());
    let [across, within] = figures(row(&report, ("grid-dispatch", "submit to worker, p50")));
    assert!(across > 0.0 && within > 0.0, "{report}");
    assert_eq!(redis.says(&["DBSIZE"]), "0");
    let query = "SELECT count(*) FROM pg_database WHERE datname LIKE 'gridbroker_bench_%'";
    let mut connection = postgres.connection(&database).await;
    let left: i64 = sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap();
    assert_eq!(left, 0);
    let query = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let tables: i64 = sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap();
    assert_eq!(tables, 0, "the database that was given is not touched");
}

#[test]
fn grid_workloads_without_servers_say_what_they_need() {
    let output = Command::new(env!("CARGO_BIN_EXE_gridbroker"))
        .args(["bench", "--smoke", "--only", "grid-claims"])
        .output()
        .expect("the program can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("--private-servers"), "{said}");
}
