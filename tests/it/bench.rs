//! `gridbroker bench` from end to end, with counts too small to mean anything. What it measures is
//! not tested here: a figure is no promise.

use std::process::{Command, Stdio};

use serde_json::Value;

const FIGURES: [(&str, &str); 26] = [
    ("grpc-cycle", "cycles"),
    ("grpc-cycle", "server CPU per cycle"),
    ("grpc-cycle", "cycle, p50"),
    ("grpc-cycle", "cycle, p99"),
    ("grpc-cycle", "load generator CPU per cycle"),
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
    ("idle-streams", "memory, shared connection"),
    ("idle-streams", "CPU of 10,000, shared"),
    ("idle-streams", "memory, own connection"),
    ("idle-streams", "CPU of 10,000, own"),
];

#[test]
fn smoke_run_prints_every_figure_of_every_workload() {
    let output = Command::new(env!("CARGO_BIN_EXE_gridbroker"))
        .args(["bench", "--smoke", "--seconds", "1", "--clients", "4", "--workers", "2", "--streams", "20"])
        .args(["--json", "-"])
        .stdin(Stdio::null())
        .output()
        .expect("the program can be started");
    let table = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{table}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON alone on the standard output");
    let rows = report["rows"].as_array().expect("rows");
    let found: Vec<_> = rows
        .iter()
        .map(|row| (row["workload"].as_str().unwrap_or("?"), row["measure"].as_str().unwrap_or("?")))
        .collect();
    assert_eq!(found, FIGURES);
    for row in rows {
        let is_quotient = row["measure"].as_str().is_some_and(|measure| measure.ends_with("cycles"));
        for side in ["gridbroker", "bare"] {
            let figure = row[side].as_f64().expect("a figure is a number");
            assert!(figure >= 0.0 && (figure > 0.0 || !is_quotient), "{row}");
        }
    }
    for (workload, figure) in FIGURES {
        let has_line = table.lines().any(|line| line.starts_with(workload) && line.contains(figure));
        assert!(has_line, "the table lacks {workload}, {figure}:\n{table}");
    }
    assert!(report["environment"]["cores"].as_u64().is_some_and(|cores| cores > 0), "{report}");
}
