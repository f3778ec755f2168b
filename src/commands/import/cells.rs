//! What stands in a row of another server's database, read leniently: numbers may be of several types, and
//! nothing is believed.

use uuid::Uuid;

use crate::{
    backend::distributed::{Ask, Values},
    domain::{Kudos, Timestamp, markup::sanitise},
};

/// Most kudos that any figure may say, either way. More is no figure that an honest server has, and sums stay
/// far from where numbers end.
pub const MOST_KUDOS: i64 = 100_000_000_000;
/// Most jobs, uses, seconds and the like.
pub const MOST: i64 = 1_000_000_000_000_000;

/// A row.
pub struct Cells<'a> {
    ask: &'static Ask,
    values: &'a Values,
}

impl<'a> Cells<'a> {
    /// The answer to a question.
    pub fn of(ask: &'static Ask, values: &'a Values) -> Self {
        Self { ask, values }
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        let place = self.ask.columns.iter().position(|(column, ..)| *column == name);
        self.values.get(place?)?.as_deref()
    }

    /// A whole number; what stands behind a point is dropped.
    pub fn whole(&self, name: &str) -> Option<i64> {
        let text = self.text(name)?.trim();
        text.parse().ok().or_else(|| self.decimal(name).map(|number| number as i64))
    }

    /// A number.
    pub fn decimal(&self, name: &str) -> Option<f64> {
        self.text(name)?.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// An amount of kudos, cut to what figures may say.
    pub fn kudos(&self, name: &str) -> Option<Kudos> {
        let most = Kudos::whole(MOST_KUDOS);
        let text = self.text(name)?.trim();
        let amount = match text.parse::<i64>() {
            Ok(whole) => Kudos::whole(whole),
            Err(_) => Kudos::from_f64(self.decimal(name)?),
        };
        Some(amount.clamp(-most, most))
    }

    /// Yes, or anything else.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.text(name), Some("true" | "t" | "1"))
    }

    /// An instant that was, by now.
    pub fn at(&self, name: &str, now: Timestamp) -> Option<Timestamp> {
        self.whole(name).filter(|at| (0..=now.0).contains(at)).map(Timestamp)
    }

    /// An ID.
    pub fn id(&self, name: &str) -> Option<Uuid> {
        Uuid::try_parse(self.text(name)?).ok().filter(|id| !id.is_nil())
    }
}

/// What was made of a row that came over otherwise than it was.
#[derive(Default, Debug)]
pub struct Notes(pub Vec<&'static str>);

impl Notes {
    /// Notes a reason once.
    pub fn add(&mut self, reason: &'static str) {
        if !self.0.contains(&reason) {
            self.0.push(reason);
        }
    }

    /// A number within bounds; outside of them the nearest one.
    pub fn within(&mut self, number: i64, least: i64, most: i64) -> i64 {
        if !(least..=most).contains(&number) {
            self.add("a number was out of bounds");
        }
        number.clamp(least, most)
    }

    /// A count: nothing, or more.
    pub fn count(&mut self, number: Option<i64>) -> i64 {
        self.within(number.unwrap_or(0), 0, MOST)
    }

    /// Kudos that are not negative.
    pub fn gain(&mut self, amount: Option<Kudos>) -> Kudos {
        Kudos(self.within(amount.unwrap_or_default().0, 0, i64::MAX))
    }

    /// A text as people may be shown it: without what nobody can see or store, of so many characters at most, and
    /// [`Notes::safe`]. `None`: nothing is left.
    pub fn said(&mut self, text: Option<&str>, most: usize, is_one_line: bool) -> Option<String> {
        let text = text?;
        let is_fit = |c: &char| !c.is_control() || (!is_one_line && matches!(c, '\n' | '\t' | '\r'));
        let plain: String = text.chars().filter(is_fit).collect();
        if plain.len() != text.len() {
            self.add("control characters were taken out of a text");
        }
        let cut: String = plain.chars().take(most).collect();
        if cut.len() != plain.len() {
            self.add("a text was too long, and cut");
        }
        Some(self.safe(&cut)).filter(|safe| !safe.is_empty())
    }

    /// A text whose markup is text, trimmed: clients show it as HTML, and what is stored there may be older than the
    /// rules of its API. What those made of it stays as it is.
    pub fn safe(&mut self, text: &str) -> String {
        let safe = sanitise(text);
        if safe != text.trim() {
            self.add("markup was turned into text");
        }
        safe
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::distributed::Read;

    static ASK: Ask = Ask {
        table: "t",
        columns: &[("a", Read::Plain, true), ("b", Read::Plain, false)],
        filter: "",
        order: &[],
    };

    #[test]
    fn numbers_are_read_whatever_type_they_were_of() {
        for (text, whole, kudos) in [
            ("12", Some(12), Some(12_000_000)),
            ("-3", Some(-3), Some(-3_000_000)),
            ("12.75", Some(12), Some(12_750_000)),
            ("1e3", Some(1000), Some(1_000_000_000)),
            ("9223372036854775807", Some(i64::MAX), Some(MOST_KUDOS * 1_000_000)),
            ("-9223372036854775808", Some(i64::MIN), Some(-MOST_KUDOS * 1_000_000)),
            ("1e300", Some(i64::MAX), Some(MOST_KUDOS * 1_000_000)),
            ("NaN", None, None),
            ("Infinity", None, None),
            ("many", None, None),
            ("", None, None),
        ] {
            let values = vec![Some(text.to_owned()), None];
            let cells = Cells::of(&ASK, &values);
            assert_eq!(cells.whole("a"), whole, "{text}");
            assert_eq!(cells.kudos("a"), kudos.map(Kudos), "{text}");
            assert_eq!((cells.whole("b"), cells.kudos("b"), cells.text("c")), (None, None, None));
        }
    }

    #[test]
    fn instants_are_in_the_past_and_ids_are_somebodys() {
        let now = Timestamp(1000);
        for (text, at) in [("0", Some(0)), ("1000", Some(1000)), ("1001", None), ("-1", None), ("x", None)] {
            let values = vec![Some(text.to_owned())];
            assert_eq!(Cells::of(&ASK, &values).at("a", now), at.map(Timestamp), "{text}");
        }
        for (text, is_id) in [
            ("3f2504e0-4f89-41d3-9a0c-0305e82c3301", true),
            ("00000000-0000-0000-0000-000000000000", false),
            ("3f2504e0", false),
        ] {
            let values = vec![Some(text.to_owned())];
            assert_eq!(Cells::of(&ASK, &values).id("a").is_some(), is_id, "{text}");
        }
    }

    #[test]
    fn texts_are_cut_and_say_nothing_that_nobody_sees() {
        for (text, one_line, said, notes) in [
            ("plain &amp; <b>simple</b>", true, Some("plain &amp; <b>simple</b>"), 0),
            ("a & b <i onclick=\"x\">", true, Some("a &amp; b &lt;i onclick=\"x\"&gt;"), 1),
            ("<script>x</script>", false, Some("&lt;script&gt;x&lt;/script&gt;"), 1),
            ("<img src=x", true, Some("&lt;img src=x"), 1),
            (" &lt;b&gt; ", true, Some("&lt;b&gt;"), 0),
            ("1 & <b>34</b>67890123456789012345", true, Some("1 &amp; <b>34</b>67890123456789012"), 2),
            ("a\0b\u{1b}c", true, Some("abc"), 1),
            ("a\nb", true, Some("ab"), 1),
            ("a\nb", false, Some("a\nb"), 0),
            ("é234567890123456789012345678901", true, Some("é23456789012345678901234567890"), 1),
            ("12345678901234567890123456789 1", true, Some("12345678901234567890123456789"), 1),
            (" \t ", false, None, 0),
            ("", true, None, 0),
            ("\0", true, None, 1),
        ] {
            let mut found = Notes::default();
            assert_eq!(found.said(Some(text), 30, one_line).as_deref(), said, "{text:?}");
            assert_eq!(found.0.len(), notes, "{text:?}: {found:?}");
        }
        assert_eq!(Notes::default().said(None, 30, true), None);
    }
}
