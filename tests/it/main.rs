//! Black-box tests; the `mod` list is the contents page.

mod alien;
mod backend;
mod bench;
mod commands;
mod connections;
mod console;
mod crash;
mod cuts;
mod flow;
mod harness;
mod protocol;
mod regression;
mod rpc;
mod several;
mod simulation;
mod streams;
mod transcode;
