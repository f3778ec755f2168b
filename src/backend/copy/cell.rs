//! Values as both databases have them, and the checksum of a table.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A value of a row.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// A decimal number.
    Decimal(f64),
    /// Yes or no.
    Flag(bool),
    /// An ID.
    Id(Uuid),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Cell {
    /// Adds the value to a digest, such that no two different rows give the same bytes. Decimal numbers
    /// go by their bits.
    fn digest(&self, digest: &mut Sha256) {
        let mut add = |kind: u8, value: &[u8]| {
            digest.update([kind]);
            digest.update((value.len() as u64).to_be_bytes());
            digest.update(value);
        };
        match self {
            Self::Null => add(0, &[]),
            Self::Text(text) => add(1, text.as_bytes()),
            Self::Number(number) => add(2, &number.to_be_bytes()),
            Self::Decimal(decimal) => add(3, &decimal.to_bits().to_be_bytes()),
            Self::Flag(flag) => add(4, &[u8::from(*flag)]),
            Self::Id(id) => add(5, id.as_bytes()),
            Self::Bytes(bytes) => add(6, bytes),
        }
    }
}

/// The SHA-256 of each row, added up: the rows may come in any order, so no database has to sort them
/// and no two collations have to agree.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Checksum {
    rows: u64,
    lanes: [u64; 4],
}

impl Checksum {
    /// Adds a row.
    pub(in crate::backend) fn add(&mut self, row: &[Cell]) {
        let mut digest = Sha256::new();
        row.iter().for_each(|cell| cell.digest(&mut digest));
        let bytes: [u8; 32] = digest.finalize().into();
        for (lane, bytes) in self.lanes.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *lane = lane.wrapping_add(u64::from_be_bytes(*bytes));
        }
        self.rows += 1;
    }

    /// How many rows were added.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Twelve hexadecimal digits of it.
    pub fn short(&self) -> String {
        format!("{:016x}", self.lanes[0])[..12].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[&[Cell]]) -> Checksum {
        let mut sum = Checksum::default();
        rows.iter().for_each(|row| sum.add(row));
        sum
    }

    #[test]
    fn the_order_of_rows_does_not_matter_and_all_else_does() {
        let text = |text: &str| Cell::Text(text.into());
        let (one, two) = ([text("a"), Cell::Number(1)], [text("b"), Cell::Null]);
        let known = sum(&[&one, &two]);
        assert_eq!(known, sum(&[&two, &one]));
        let id = Uuid::from_u128(7);
        for (other, what) in [
            (sum(&[&one]), "a row is missing"),
            (sum(&[&one, &two, &two]), "a row is there twice"),
            (sum(&[&one, &one]), "a row for another"),
            (sum(&[&[Cell::Number(1), text("a")], &two]), "cells change places"),
            (sum(&[&[text("a1"), Cell::Null], &two]), "cells run together"),
            (sum(&[&one, &[text("b"), text("")]]), "an empty text is not nothing"),
        ] {
            assert_ne!(known, other, "{what}");
        }
        for (one, other, what) in [
            (Cell::Decimal(0.0), Cell::Decimal(-0.0), "decimal numbers go by their bits"),
            (Cell::Number(0), Cell::Flag(false), "a number is no flag"),
            (Cell::Id(id), Cell::Text(id.to_string()), "an ID is no text"),
        ] {
            assert_ne!(sum(&[&[one]]), sum(&[&[other]]), "{what}");
        }
    }
}
