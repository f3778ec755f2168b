//! Writing: one line of ASCII, ended by a newline.

use std::io;

use serde::{Serialize, Serializer};
use serde_json::ser::{CompactFormatter, Formatter};

/// Compact JSON whose non-ASCII characters are escaped, as legacy clients get it.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if fragment.is_ascii() {
            return CompactFormatter.write_string_fragment(writer, fragment);
        }
        for c in fragment.chars() {
            if c.is_ascii() {
                writer.write_all(&[c as u8])?;
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

/// A value as one line.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Ascii);
    value.serialize(&mut serializer).expect("the API's messages have string keys and no failing parts");
    out.push(b'\n');
    out
}

/// An empty list as `null`.
///
/// # Errors
/// Those of the serializer.
pub fn null_when_empty<T: Serialize, S: Serializer>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    if list.is_empty() { serializer.serialize_none() } else { list.serialize(serializer) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_to_ascii_and_reads_back() {
        let text = "ünï \"cödé\" 🦀\n";
        let line = to_vec(text);
        assert!(line.is_ascii() && line.ends_with(b"\n"));
        assert_eq!(serde_json::from_slice::<String>(&line).unwrap(), text);
    }

    #[test]
    fn floats_keep_a_fraction() {
        assert_eq!(to_vec(&10.0_f64), b"10.0\n");
    }
}
