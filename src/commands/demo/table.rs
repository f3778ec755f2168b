//! The closing table: step, what happened, how long it took.

use std::{fmt, time::Duration};

/// Rows in the order in which they happened.
#[derive(Default)]
pub(super) struct Table(Vec<(String, String, Duration)>);

impl Table {
    /// One more row.
    pub fn add(&mut self, step: &str, what: impl Into<String>, took: Duration) {
        self.0.push((step.to_owned(), what.into(), took));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |cell: fn(&(String, String, Duration)) -> &String, title: &str| {
            self.0.iter().map(|row| cell(row).chars().count()).max().unwrap_or(0).max(title.len())
        };
        let (step, what) = (width(|row| &row.0, "step"), width(|row| &row.1, "what happened"));
        writeln!(f, "{:step$}  {:what$}  {:>9}", "step", "what happened", "ms")?;
        writeln!(f, "{}", "-".repeat(step + what + 13))?;
        for (name, happened, took) in &self.0 {
            writeln!(f, "{name:step$}  {happened:what$}  {:>9.1}", took.as_secs_f64() * 1000.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_in_the_order_of_events() {
        let mut table = Table::default();
        table.add("text done", "60 tokens", Duration::from_micros(1_234_560));
        table.add("a", "é", Duration::from_micros(80));
        let expected = "step       what happened         ms\n\
                        -----------------------------------\n\
                        text done  60 tokens         1234.6\n\
                        a          é                    0.1\n";
        assert_eq!(table.to_string(), expected);
    }
}
