//! What was measured, as a table for people and as JSON for programs.

use std::{borrow::Cow, fmt::Write};

use serde::Serialize;

/// One figure of gridbroker beside that of its bare equivalent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Which workload.
    pub workload: &'static str,
    /// Which figure of it.
    pub measure: Cow<'static, str>,
    /// Its unit.
    pub unit: &'static str,
    /// gridbroker's.
    pub gridbroker: f64,
    /// The bare equivalent's, or what else it is compared with.
    pub bare: f64,
    /// What that is.
    pub beside: &'static str,
    /// gridbroker's, divided by the bare one.
    pub ratio: Option<f64>,
    /// What it should be.
    pub budget: Option<Budget>,
    /// Whether it is.
    pub verdict: Option<Verdict>,
}

/// What most figures are compared with.
const BARE: &str = "bare server";

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "limit")]
pub enum Budget {
    /// The ratio is at least this.
    RatioAtLeast(f64),
    /// The ratio is at most this.
    RatioAtMost(f64),
    /// gridbroker's own figure is at most this.
    FigureAtMost(f64),
}

/// Whether a budget is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is.
    Ok,
    /// It is not.
    Missed,
}

impl Row {
    /// A figure without a budget.
    pub fn new(
        workload: &'static str,
        measure: impl Into<Cow<'static, str>>,
        unit: &'static str,
        gridbroker: f64,
        bare: f64,
    ) -> Self {
        let ratio = (bare > 0.0).then(|| gridbroker / bare);
        let (measure, beside) = (measure.into(), BARE);
        Self { workload, measure, unit, gridbroker, bare, beside, ratio, budget: None, verdict: None }
    }

    /// The same beside something else than a bare server.
    pub fn beside(mut self, beside: &'static str) -> Self {
        self.beside = beside;
        self
    }

    /// The same with a budget.
    pub fn within(mut self, budget: Budget) -> Self {
        self.budget = Some(budget);
        self.verdict = match (budget, self.ratio) {
            (Budget::FigureAtMost(most), _) => Some(self.gridbroker <= most),
            (Budget::RatioAtLeast(least), Some(ratio)) => Some(ratio >= least),
            (Budget::RatioAtMost(most), Some(ratio)) => Some(ratio <= most),
            (_, None) => None,
        }
        .map(|kept| if kept { Verdict::Ok } else { Verdict::Missed });
        self
    }
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::RatioAtLeast(least) => format!("≥ {least} ×"),
            Self::RatioAtMost(most) => format!("≤ {most} ×"),
            Self::FigureAtMost(most) => format!("≤ {most}"),
        };
        f.pad(&text)
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Missed => "missed",
        })
    }
}

/// Where and how it was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// Version of this program.
    pub version: &'static str,
    /// `release` or `debug`: figures of the latter mean nothing.
    pub build: &'static str,
    /// Processors that servers and load generator share.
    pub cores: usize,
    /// Their name.
    pub processor: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Median time of one small write with fdatasync where the stores are, in microseconds.
    pub sync_micros: f64,
    /// Length of a window.
    pub window_seconds: f64,
    /// Windows of each side.
    pub windows: usize,
    /// Clients.
    pub clients: usize,
    /// Workers.
    pub workers: usize,
    /// Idle streams.
    pub streams: usize,
    /// How long they idle.
    pub idle_seconds: f64,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where and how.
    pub environment: Environment,
    /// The figures.
    pub rows: Vec<Row>,
    /// What a reader must know.
    pub notes: Vec<String>,
}

impl Report {
    /// For programs.
    ///
    /// # Errors
    /// Never in practice; a figure that is no number becomes null.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// For people.
    pub fn table(&self) -> String {
        let e = &self.environment;
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "gridbroker {} ({}), {} cores ({}), Linux {}, one small synced write {:.0} µs\n\
             {} windows of {} s for each side in turn, medians; {} clients, {} workers, {} idle streams\n",
            e.version,
            e.build,
            e.cores,
            e.processor,
            e.kernel,
            e.sync_micros,
            e.windows,
            e.window_seconds,
            e.clients,
            e.workers,
            e.streams,
        );
        let _ = writeln!(
            text,
            "{:<13} {:<30} {:<10} {:>10} {:>10} {:<12} {:>8}  {:<8} verdict",
            "workload", "figure", "unit", "gridbroker", "beside", "which is", "ratio", "budget"
        );
        for row in &self.rows {
            let _ = writeln!(
                text,
                "{:<13} {:<30} {:<10} {:>10} {:>10} {:<12} {:>8}  {:<8} {}",
                row.workload,
                row.measure,
                row.unit,
                number(row.gridbroker),
                number(row.bare),
                row.beside,
                row.ratio.map_or_else(|| "–".into(), |ratio| format!("{ratio:.2} ×")),
                row.budget.map_or_else(String::new, |budget| budget.to_string()),
                row.verdict.map_or_else(String::new, |verdict| verdict.to_string()),
            );
        }
        for note in &self.notes {
            let _ = writeln!(text, "\n{note}");
        }
        text
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        small if small < 0.0005 => "0".into(),
        small if small < 1.0 => format!("{value:.3}"),
        small if small < 10.0 => format!("{value:.2}"),
        small if small < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(gridbroker: f64, bare: f64) -> Row {
        Row::new("w", "m", "u", gridbroker, bare)
    }

    #[test]
    fn verdict_compares_the_ratio_or_the_figure() {
        let table = [
            (row(6.0, 10.0).within(Budget::RatioAtLeast(0.6)), Some(Verdict::Ok), "just enough"),
            (row(5.0, 10.0).within(Budget::RatioAtLeast(0.6)), Some(Verdict::Missed), "too little"),
            (row(14.0, 10.0).within(Budget::RatioAtMost(1.4)), Some(Verdict::Ok), "just little enough"),
            (row(15.0, 10.0).within(Budget::RatioAtMost(1.4)), Some(Verdict::Missed), "too much"),
            (
                row(12.5, 1.0).within(Budget::FigureAtMost(12.0)),
                Some(Verdict::Missed),
                "whatever the bare one is",
            ),
            (row(11.0, 0.0).within(Budget::FigureAtMost(12.0)), Some(Verdict::Ok), "without a bare figure"),
            (row(1.0, 0.0).within(Budget::RatioAtMost(1.4)), None, "no ratio, no verdict"),
            (row(1.0, 1.0), None, "no budget, no verdict"),
        ];
        for (row, verdict, why) in table {
            assert_eq!(row.verdict, verdict, "{why}");
        }
    }

    fn report() -> Report {
        Report {
            environment: Environment {
                version: "0.0.0",
                build: "release",
                cores: 2,
                processor: "a processor".into(),
                kernel: "6.0".into(),
                sync_micros: 321.4,
                window_seconds: 5.0,
                windows: 3,
                clients: 64,
                workers: 16,
                streams: 1000,
                idle_seconds: 10.0,
            },
            rows: vec![
                row(1234.5, 2469.0).within(Budget::RatioAtLeast(0.6)),
                Row::new("idle-streams", "memory, shared connection", "KiB/stream", 6.543, 0.0),
            ],
            notes: vec!["A note.".into()],
        }
    }

    #[test]
    fn table_has_a_line_for_each_figure() {
        let table = report().table();
        let line = table.lines().find(|line| line.starts_with("w ")).unwrap();
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        assert_eq!(
            words,
            ["w", "m", "u", "1234", "2469", "bare", "server", "0.50", "×", "≥", "0.6", "×", "missed"]
        );
        assert!(table.contains("6.54 "), "{table}");
        assert!(table.contains("2 cores"), "{table}");
        assert!(table.ends_with("A note.\n"), "{table}");
    }

    #[test]
    fn json_has_the_environment_and_each_figure() {
        let json: serde_json::Value = serde_json::from_str(&report().json().unwrap()).unwrap();
        assert_eq!(json["environment"]["cores"], 2);
        assert_eq!(json["rows"][0]["ratio"], 0.5);
        assert_eq!(json["rows"][0]["budget"], serde_json::json!({"is": "ratio_at_least", "limit": 0.6}));
        assert_eq!(json["rows"][0]["verdict"], "missed");
        assert_eq!(json["rows"][1]["ratio"], serde_json::Value::Null);
    }

    #[test]
    fn numbers_keep_three_digits() {
        let table = [(0.0, "0"), (0.12345, "0.123"), (6.543, "6.54"), (65.43, "65.4"), (6543.2, "6543")];
        for (value, text) in table {
            assert_eq!(number(value), text);
        }
    }
}
