//! Found by attacking it: a file each.

mod objects;
mod sizes;
