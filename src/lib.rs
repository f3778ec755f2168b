//! gridbroker: a gRPC job broker with HTTP/JSON transcoding for distributed AI generation.
//!
//! People submit image and text requests; workers who own GPUs hold an offer open, and fitting jobs
//! are pushed to them; tokens, progress and results stream back. One binary that starts with no
//! other service.
//!
//! # The life of a call
//!
//! ```text
//!  gRPC ─────┐
//!  gRPC-Web ─┼─► server ─────────► rpc ────► host ───────► engine
//!  JSON, SSE ┘   (front, limits)   (proto    (one task,    (a state machine
//!                   └─ transcode ─►⇄ domain)  group commit) without I/O)
//!                                              └──────────► backend: Records, Claims, Signals,
//!                                                           Peers, Leadership, Blobs
//! ```
//!
//! # The rooms, from the top down
//!
//! A room uses those below it, never one above; `tests/tidy.rs` checks that.
//!
//! | room | is about |
//! |---|---|
//! | [`commands`] | the command line, a file per subcommand |
//! | [`server`] | one listener, one tower stack, graceful stop; the only place that names a back end |
//! | [`transcode`] | HTTP/JSON ⇄ gRPC, generated from the protos' options; knows no job |
//! | [`rpc`] | the gRPC services: proto ⇄ domain, no decisions |
//! | [`host`] | runs the engine: commands in, effects out, answers when they are on disk |
//! | [`engine`] | the verbs: submit, queue, match, lease, settle; handed its time and chance |
//! | [`backend`] | the seam to storage, and its keepers: embedded (SQLite, files, this process), distributed (PostgreSQL, Redis) |
//! | [`outside`] | what the broker itself calls: source images and webhooks, through one guarded client, and the old server |
//! | [`worker`] | a worker over the public gRPC API, and its mock model |
//! | `console/` | the page at `/`: its sources, and what `console/build` makes of them; no Rust |
//! | [`config`] | settings, a struct per concern |
//! | [`domain`] | the nouns: plain data and pure rules |
//! | [`telemetry`] | logs and metrics |
//!
//! To read along with one job: `rpc/generate.rs` → `engine/submit.rs` → `engine/queue/mod.rs` →
//! `engine/offer` → `engine/matching` → `engine/lease.rs` → `engine/result.rs`, and
//! `host/owner.rs` for how effects are carried out. What other brokers have to do with it:
//! `engine/peers`, `host/peers` and `backend/distributed`.
//!
//! # What is deliberately absent
//!
//! - No verbs from many threads: one task changes the engine, everybody else posts verbs, or looks.
//! - No dynamic protobuf messages: JSON is read into and written from prost's own structs.
//! - No clock, randomness or I/O below [`host`].

pub mod backend;
pub mod commands;
pub mod config;
pub mod domain;
pub mod engine;
pub mod host;
pub mod outside;
pub mod rpc;
pub mod server;
pub mod telemetry;
pub mod transcode;
pub mod worker;
