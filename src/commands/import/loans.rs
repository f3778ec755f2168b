//! Keys that accounts of an AI Horde server lend, as keys of this one.
//!
//! Source: the source database of the v2 contract.

use super::cells::{Cells, MOST, Notes};
use crate::{
    backend::distributed::{
        Ask,
        Read::{Instant, Plain, Text},
    },
    domain::{Kudos, SharedKeyId, Timestamp, UserId, shared_key::SharedKey},
};

/// Keys.
pub static KEYS: Ask = Ask {
    table: "user_sharedkeys",
    columns: &[
        ("id", Plain, true),
        ("user_id", Plain, true),
        ("kudos", Plain, true),
        ("created", Instant, false),
        ("expiry", Instant, false),
        ("name", Text(255), false),
        ("utilized", Plain, false),
        ("max_image_pixels", Plain, false),
        ("max_image_steps", Plain, false),
        ("max_text_tokens", Plain, false),
    ],
    filter: "",
    order: &["created", "id"],
};

/// A key that is lent.
///
/// # Errors
/// Why it does not come over.
pub fn key(row: &Cells<'_>, now: Timestamp, notes: &mut Notes) -> Result<SharedKey, &'static str> {
    let id = SharedKeyId(row.id("id").ok_or("its ID is none that a key can have")?);
    let owner = row.whole("user_id").filter(|id| *id != UserId::ANONYMOUS.0);
    let owner = UserId(owner.ok_or("nobody lends it")?);
    // Nothing, or -1: not bounded. What else is below nothing, or is no number, allows nothing.
    let mut bound = |name: &str| {
        row.text(name)?;
        let number = row.whole(name).unwrap_or_else(|| {
            notes.add("a bound could not be read, and allows nothing now");
            0
        });
        (number != -1).then(|| notes.within(number, 0, i64::from(i32::MAX)))
    };
    let (max_image_pixels, max_image_steps, max_text_tokens) =
        (bound("max_image_pixels"), bound("max_image_steps"), bound("max_text_tokens"));
    let kudos = row.kudos("kudos").unwrap_or_default();
    Ok(SharedKey {
        id,
        owner,
        name: notes.said(row.text("name"), 255, true),
        budget: (kudos != Kudos::whole(-1)).then(|| notes.gain(Some(kudos))),
        utilized: notes.gain(row.kudos("utilized")),
        expires_at: row.whole("expiry").map(|at| Timestamp(at.clamp(0, MOST))),
        max_image_pixels,
        max_image_steps,
        max_text_tokens,
        created_at: row.at("created", now).unwrap_or(now),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    /// A row of a table with these cells; the others are empty.
    fn values(ask: &Ask, cells: &[(&str, &str)]) -> Vec<Option<String>> {
        for (name, _) in cells {
            assert!(ask.columns.iter().any(|(column, ..)| column == name), "{name}");
        }
        let cell = |name: &str| cells.iter().rev().find(|(column, _)| *column == name);
        ask.columns.iter().map(|(name, ..)| cell(name).map(|(_, value)| (*value).to_owned())).collect()
    }

    #[test]
    fn bounds_of_keys_are_bounds_or_none() {
        let read = |cells: &[(&str, &str)]| {
            let whole = [("id", "aaaaaaaa-0000-4000-8000-000000000001"), ("user_id", "7"), ("kudos", "500")];
            let values = values(&KEYS, &[&whole[..], cells].concat());
            let mut notes = Notes::default();
            key(&Cells::of(&KEYS, &values), NOW, &mut notes).map(|key| (key, notes.0.len()))
        };
        for (kudos, budget) in [("500", Some(500)), ("-1", None), ("0", Some(0)), ("-7", Some(0))] {
            assert_eq!(read(&[("kudos", kudos)]).unwrap().0.budget, budget.map(Kudos::whole), "{kudos}");
        }
        for (bound, most, changes) in [
            ("-1", None, 0),
            ("80", Some(80), 0),
            ("-2", Some(0), 1),
            ("9e18", Some(i64::from(i32::MAX)), 1),
            ("NaN", Some(0), 1),
            ("Infinity", Some(0), 1),
            ("many", Some(0), 1),
            ("", Some(0), 1),
        ] {
            let bounded = |name: &str| read(&[(name, bound)]).unwrap();
            let (pixels, steps, tokens) =
                (bounded("max_image_pixels"), bounded("max_image_steps"), bounded("max_text_tokens"));
            assert_eq!((pixels.0.max_image_pixels, pixels.1), (most, changes), "{bound:?}");
            assert_eq!((steps.0.max_image_steps, steps.1), (most, changes), "{bound:?}");
            assert_eq!((tokens.0.max_text_tokens, tokens.1), (most, changes), "{bound:?}");
        }
        let (plain, changes) = read(&[]).unwrap();
        assert_eq!((plain.max_image_pixels, plain.max_text_tokens, changes), (None, None, 0), "nothing said");
        for (expiry, at) in [("1800000000000", 1_800_000_000_000), ("0", 0), ("-5", 0)] {
            assert_eq!(read(&[("expiry", expiry)]).unwrap().0.expires_at, Some(Timestamp(at)), "{expiry}");
        }
        assert!(read(&[("id", "no-id")]).is_err() && read(&[("user_id", "0")]).is_err());
    }
}
