//! Streams that people can trust: with readers who do not read, peers who fall silent, proxies that lose
//! patience, and news for whoever waits.

mod nginx;
mod outlooks;
mod silent;
mod slow;
