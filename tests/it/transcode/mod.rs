//! The API as JSON: what is refused and how, what is answered and in which form.

mod alchemy;
mod bodies;
mod conformance;
mod cors;
mod cursors;
mod directory;
mod figures;
mod filters;
mod forms;
mod golden;
mod kudos;
mod limits;
mod management;
mod masks;
mod modes;
mod objects;
mod params;
mod people;
mod plain;
mod routes;
mod shared_keys;
mod skipped;
mod states;
mod submits;
mod waits;
mod watch_status;
