//! The API over gRPC, as far as it differs from JSON: streams, messages that are none, the services of
//! the protocol itself, gRPC-Web, TLS.

mod callers;
mod health;
mod messages;
mod reflection;
mod streams;
mod tls;
mod watch_status;
mod web;
mod work;
