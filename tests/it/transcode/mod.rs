//! The API as JSON: what is refused and how, what is answered and in which form.

mod alchemy;
mod bodies;
mod cors;
mod cursors;
mod directory;
mod fields;
mod figures;
mod forms;
mod golden;
mod limits;
mod management;
mod masks;
mod modes;
mod objects;
mod params;
mod people;
mod plain;
mod routes;
mod states;
mod submits;
mod waits;
mod watch_status;
