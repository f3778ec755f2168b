//! What becomes of the filters that moderators keep: decided from those that there are.

use super::{Filter, FilterChange, FilterId, Pattern};
use crate::domain::{Error, Result, UserId};

/// Filters that may be kept.
pub const MOST_KEPT: usize = 5_000;
/// Bytes that their texts may have together.
pub const MOST_BYTES: usize = 2 << 20;

/// What a moderator wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// One more filter.
    Add(Pattern),
    /// A filter says something else.
    Edit(FilterId, Amendment),
    /// A filter goes.
    Drop(FilterId),
}

/// What is to change of a filter. What is `None` stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Amendment {
    /// What it matches.
    pub regex: Option<String>,
    /// Its type.
    pub filter_type: Option<i64>,
    /// What it is for.
    pub description: Option<String>,
    /// What stands in the place of what it matches.
    pub replacement: Option<String>,
}

/// What a wish comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Granted {
    /// There is such a filter already.
    Already(Filter),
    /// This is to be done.
    Change(FilterChange),
}

/// What a wish comes to beside the filters that there are. Whether its pattern can be used is asked elsewhere.
///
/// # Errors
/// [`Error::FilterNotFound`]; [`Error::NoFilterModSelected`]; [`Error::BadRequest`] if there are too many, or
/// another one has this regex and type.
pub fn grant(kept: &[Filter], wish: &Wish, editor: UserId) -> Result<Granted> {
    let known = |id: &FilterId| {
        let found = kept.iter().find(|filter| filter.id == *id);
        found.ok_or_else(|| Error::FilterNotFound(id.to_string()))
    };
    let alike = |pattern: &Pattern| {
        let is_alike = |filter: &&Filter| {
            (&filter.pattern.regex, filter.pattern.filter_type) == (&pattern.regex, pattern.filter_type)
        };
        kept.iter().find(is_alike)
    };
    let change = match wish {
        Wish::Add(pattern) => {
            if let Some(filter) = alike(pattern) {
                return Ok(Granted::Already(filter.clone()));
            }
            if kept.len() >= MOST_KEPT {
                return Err(Error::BadRequest(format!(
                    "there are {MOST_KEPT} filters already: delete some first"
                )));
            }
            let last = kept.iter().map(|filter| filter.id.0).max().unwrap_or(0);
            FilterChange::Added(Filter {
                id: FilterId(last.saturating_add(1)),
                pattern: pattern.clone(),
                editor,
                version: 1,
            })
        }
        Wish::Edit(id, amendment) => {
            let filter = known(id)?;
            if *amendment == Amendment::default() {
                return Err(Error::NoFilterModSelected);
            }
            let pattern = amended(&filter.pattern, amendment);
            if let Some(other) = alike(&pattern).filter(|other| other.id != *id) {
                return Err(Error::BadRequest(format!(
                    "filter {} has this regex and type already: change that one, or delete it first",
                    other.id
                )));
            }
            FilterChange::Edited(Filter { id: *id, pattern, editor, version: filter.version + 1 })
        }
        Wish::Drop(id) => FilterChange::Dropped(known(id)?.id),
    };
    let bytes: usize = applied(kept, &change).iter().map(|filter| filter.pattern.size_bytes()).sum();
    if bytes > MOST_BYTES && !matches!(change, FilterChange::Dropped(_)) {
        return Err(Error::BadRequest(format!(
            "all filters together may have {MOST_BYTES} bytes, and would have {bytes}: delete some first"
        )));
    }
    Ok(Granted::Change(change))
}

fn amended(pattern: &Pattern, amendment: &Amendment) -> Pattern {
    let Amendment { regex, filter_type, description, replacement } = amendment.clone();
    Pattern {
        regex: regex.unwrap_or_else(|| pattern.regex.clone()),
        filter_type: filter_type.unwrap_or(pattern.filter_type),
        description: description.or_else(|| pattern.description.clone()),
        replacement: replacement.unwrap_or_else(|| pattern.replacement.clone()),
    }
}

/// The filters that there are once a change is done.
pub fn applied(kept: &[Filter], change: &FilterChange) -> Vec<Filter> {
    let mut after = kept.to_vec();
    match change {
        FilterChange::Added(filter) => after.push(filter.clone()),
        FilterChange::Edited(filter) => {
            after.iter_mut().filter(|other| other.id == filter.id).for_each(|other| *other = filter.clone());
        }
        FilterChange::Dropped(id) => after.retain(|filter| filter.id != *id),
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONA: UserId = UserId(4);

    fn pattern(regex: &str, filter_type: i64) -> Pattern {
        Pattern { regex: regex.into(), filter_type, replacement: "x".into(), description: Some("why".into()) }
    }

    fn filter(id: i64, regex: &str, filter_type: i64) -> Filter {
        Filter { id: FilterId(id), pattern: pattern(regex, filter_type), editor: UserId(1), version: 3 }
    }

    fn edit(id: i64, amendment: Amendment) -> Wish {
        Wish::Edit(FilterId(id), amendment)
    }

    #[test]
    fn wishes_are_granted_beside_the_filters_that_there_are() {
        let kept = [filter(2, "cub", 10), filter(5, "cub", 20)];
        let none = Amendment::default;
        let to = |regex: &str| Amendment { regex: Some(regex.into()), ..none() };
        let change = |change| Ok(Granted::Change(change));
        let mine = |filter: Filter| Filter { editor: MONA, ..filter };
        let edited = |pattern| {
            change(FilterChange::Edited(Filter { pattern, editor: MONA, version: 4, ..filter(5, "", 0) }))
        };
        for (wish, granted, rule) in [
            (
                Wish::Add(pattern("cub", 11)),
                change(FilterChange::Added(Filter { version: 1, ..mine(filter(6, "cub", 11)) })),
                "a new one gets the next ID",
            ),
            (
                Wish::Add(Pattern { replacement: "else".into(), ..pattern("cub", 20) }),
                Ok(Granted::Already(kept[1].clone())),
                "one with this regex and type stays as it is",
            ),
            (edit(5, to("den")), edited(pattern("den", 20)), "what is left out stays"),
            (
                edit(5, Amendment { filter_type: Some(29), description: Some("else".into()), ..none() }),
                edited(Pattern { description: Some("else".into()), ..pattern("cub", 29) }),
                "or what is said",
            ),
            (edit(5, to("cub")), edited(pattern("cub", 20)), "it may say what it said"),
            (edit(5, none()), Err("NoFilterModSelected"), "something is to change"),
            (edit(7, none()), Err("FilterNotFound"), "of one that is there"),
            (
                edit(5, Amendment { filter_type: Some(10), ..none() }),
                Err("BadRequest"),
                "no two have the same regex and type",
            ),
            (Wish::Drop(FilterId(2)), change(FilterChange::Dropped(FilterId(2))), "one goes"),
            (Wish::Drop(FilterId(7)), Err("FilterNotFound"), "that is there"),
        ] {
            let told = grant(&kept, &wish, MONA).map_err(|error| {
                let text = format!("{error:?}");
                text.split(['(', ' ']).next().unwrap_or_default().to_owned()
            });
            assert_eq!(told, granted.map_err(str::to_owned), "{rule}");
        }
    }

    #[test]
    fn filters_are_bounded_in_number_and_in_size() {
        let many: Vec<_> = (0..MOST_KEPT as i64).map(|id| filter(id, &format!("x{id}"), 10)).collect();
        let add = |regex: &str| Wish::Add(pattern(regex, 10));
        assert!(grant(&many[1..], &add("y"), MONA).is_ok());
        assert!(grant(&many, &add("x7"), MONA).is_ok(), "it is there already");
        let why = grant(&many, &add("y"), MONA).unwrap_err().to_string();
        assert!(why.contains("5000"), "{why}");
        let large = "x".repeat(20_000);
        let full: Vec<_> = (0..104).map(|id| filter(id, &large, 10 + id)).collect();
        for wish in [
            add(&large.replace('x', "y")),
            edit(
                7,
                Amendment {
                    regex: Some(large.clone() + "yyyy"),
                    filter_type: Some(500),
                    replacement: Some(large.clone()),
                    ..Amendment::default()
                },
            ),
        ] {
            let why = grant(&full, &wish, MONA).unwrap_err().to_string();
            assert!(why.contains("2097152"), "{why}");
        }
        assert!(grant(&full, &Wish::Drop(FilterId(7)), MONA).is_ok(), "what makes room may always be done");
    }
}
