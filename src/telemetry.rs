//! Logs and metrics: how they are set up, and every metric with its unit.

use std::{
    io::{self, IsTerminal},
    sync::OnceLock,
};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, fmt, prelude::*, registry};

use crate::config::{LogFormat, Logs};

/// The one recorder of this process.
static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Bounds of the buckets of batch sizes, in records.
const BATCH: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0, 1000.0];

/// Begins to log to standard error. A second call changes nothing.
pub fn start(logs: &Logs) {
    let filter = EnvFilter::new(&logs.log);
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let begun = match logs.log_format {
        LogFormat::Text => registry().with(filter).with(lines.with_target(false)).try_init(),
        LogFormat::Json => registry().with(filter).with(lines.json()).try_init(),
    };
    // Whoever embeds the broker may have set up logging before us; theirs stays.
    let _ = begun;
}

/// Sets up the metrics of this process; once is enough, more do no harm.
pub fn install_metrics() {
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full("gridbroker_batch_records".into()), &BATCH)
            .ok()?;
        let handle = builder.install_recorder().ok()?;
        metrics::describe_gauge!("gridbroker_jobs_waiting", "Jobs that wait, by kind; alike on all brokers.");
        metrics::describe_gauge!("gridbroker_jobs_held", "Jobs that workers of this broker hold, by kind.");
        metrics::describe_gauge!("gridbroker_offers_open", "Held pops and pop streams.");
        metrics::describe_histogram!("gridbroker_batch_records", "Records written in one commit.");
        metrics::describe_counter!(
            "gridbroker_deeds_refused_total",
            "Changes not written because another broker was faster."
        );
        metrics::describe_counter!(
            "gridbroker_webhook_calls_total",
            "Webhooks called, by outcome: delivered, or why it failed."
        );
        metrics::describe_counter!(
            "gridbroker_webhooks_dropped_total",
            "Webhooks that are called no more although they never succeeded."
        );
        metrics::describe_counter!(
            "gridbroker_source_fetches_total",
            "Source images fetched by URL, by outcome: fetched, or why it failed."
        );
        metrics::describe_counter!(
            "gridbroker_problem_jobs_total",
            "Results that workers called of the worst kind (csam)."
        );
        metrics::describe_gauge!("gridbroker_kudos_balances", "Kudos that accounts have; of the leader.");
        metrics::describe_gauge!(
            "gridbroker_kudos_put_aside",
            "Kudos that are put aside until accounts are trusted; of the leader."
        );
        metrics::describe_gauge!(
            "gridbroker_kudos_held",
            "Kudos that are set aside for requests; of the leader."
        );
        metrics::describe_gauge!(
            "gridbroker_ledger_findings",
            "What the last check of the books found here; absent until there is one."
        );
        metrics::describe_counter!(
            "gridbroker_legacy_calls_total",
            "Calls passed on to the old server, by the path that decided and by outcome: the class of its status, or why there is none."
        );
        Some(handle)
    });
}

/// All metrics, in Prometheus' text format.
pub fn metrics() -> String {
    match RECORDER.get() {
        Some(Some(handle)) => {
            handle.run_upkeep();
            handle.render()
        }
        _ => String::new(),
    }
}
