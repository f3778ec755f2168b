//! Precedence, problems and the list of keys.
