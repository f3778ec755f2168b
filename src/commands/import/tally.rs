//! What came over and what did not, and why.

use std::{collections::BTreeMap, fmt};

use serde::{Serialize, Serializer, ser::SerializeMap};

/// Longest example of a reason, in characters.
const LONGEST_EXAMPLE: usize = 200;

/// How a table came over.
#[derive(Serialize, Debug)]
pub struct Line {
    /// Its name there.
    pub table: &'static str,
    /// Its rows.
    pub read: u64,
    /// Those that came over.
    pub copied: u64,
    /// Those that were there already.
    pub already_there: u64,
    /// Those that did not, by why.
    pub skipped: Reasons,
    /// Those among the ones that came over that are not as they were, by why.
    pub changed: Reasons,
}

/// Reasons: how often each, and where first.
#[derive(Default, Debug)]
pub struct Reasons(BTreeMap<&'static str, (u64, String)>);

impl Serialize for Reasons {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Reason<'a> {
            rows: u64,
            first: &'a str,
        }
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (reason, (rows, first)) in &self.0 {
            map.serialize_entry(reason, &Reason { rows: *rows, first })?;
        }
        map.end()
    }
}

impl Reasons {
    fn add(&mut self, reason: &'static str, which: &str) {
        let plain = || which.chars().filter(|c| !c.is_control()).take(LONGEST_EXAMPLE).collect();
        self.0.entry(reason).or_insert_with(|| (0, plain())).0 += 1;
    }

    fn sum(&self) -> u64 {
        self.0.values().map(|(rows, _)| rows).sum()
    }
}

impl Line {
    /// Of a table of which nothing was read yet.
    pub fn of(table: &'static str) -> Self {
        let (skipped, changed) = (Reasons::default(), Reasons::default());
        Self { table, read: 0, copied: 0, already_there: 0, skipped, changed }
    }

    /// A row does not come over.
    pub fn skip(&mut self, reason: &'static str, which: impl fmt::Display) {
        self.skipped.add(reason, &which.to_string());
    }

    /// A row that may come over is not as it was.
    pub fn change(&mut self, reason: &'static str, which: impl fmt::Display) {
        self.changed.add(reason, &which.to_string());
    }

    /// A row comes over, with these changes.
    pub fn copy(&mut self, notes: &[&'static str], which: impl fmt::Display) {
        self.copied += 1;
        if !notes.is_empty() {
            let which = which.to_string();
            notes.iter().for_each(|reason| self.changed.add(reason, &which));
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, read, copied, already_there, skipped, changed } = self;
        let rest = skipped.sum();
        write!(f, "{table:18} {read:>9} read {copied:>9} copied {already_there:>9} there {rest:>9} skipped")?;
        for (what, reasons) in [("skipped", skipped), ("changed", changed)] {
            for (reason, (rows, first)) in &reasons.0 {
                write!(f, "\n    {what} {rows}: {reason} (first: {first})")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_and_told_with_their_first_place() {
        let mut line = Line::of("things");
        line.read = 4;
        line.copy(&[], 1);
        line.copy(&["it was long"], 2);
        line.skip("it is odd", "a\0b");
        line.skip("it is odd", 9);
        let told = serde_json::to_value(&line).unwrap();
        assert_eq!(
            told,
            serde_json::json!({"table": "things", "read": 4, "copied": 2, "already_there": 0,
                "skipped": {"it is odd": {"rows": 2, "first": "ab"}},
                "changed": {"it was long": {"rows": 1, "first": "2"}}})
        );
        assert!(line.to_string().ends_with("changed 1: it was long (first: 2)"), "{line}");
    }
}
