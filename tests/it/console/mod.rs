//! The console: its files as they are served, and the page in a real browser against the real program.

mod browser;
mod files;
mod page;
mod story;
