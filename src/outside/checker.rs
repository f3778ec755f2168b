//! Asks a service of the operator's choice whether an address hides who is behind it.
//!
//! Its answer is a probability as plain text, from 0 to 1, as services of this kind give it. What it said is
//! kept, so that each address is asked about a few times a day at most.
//!
//! Source: the VPN check of the v2 contract.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{Guarded, Schemes};
use crate::config::ADDRESS_PLACE;

/// How long what was said of an address holds. Source: the v2 contract.
pub const HOLDS: Duration = Duration::from_secs(6 * 3600);
/// How long nobody asks again about an address of which nothing was said.
pub const REST: Duration = Duration::from_secs(10);
/// Probability from which on an address counts as unsafe. Source: the v2 contract.
const UNSAFE: f64 = 0.93;
/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(3);
/// Largest answer, in bytes.
const MAX_BYTES: usize = 64;
/// Calls at a time; who comes besides is told to come again.
const CALLS: usize = 16;
/// Addresses whose answers are kept.
const MOST: usize = 10_000;

/// The service.
pub struct Checker {
    outside: Guarded,
    url: String,
    calls: Semaphore,
    /// What was said, if anything, and when.
    said: Mutex<HashMap<IpAddr, (Option<bool>, Instant)>>,
}

impl Checker {
    /// A checker at a URL with [`ADDRESS_PLACE`] in it.
    ///
    /// # Errors
    /// The URL may not be called; why.
    pub fn new(outside: Guarded, url: &str) -> Result<Self, String> {
        let checker =
            Self { outside, url: url.to_owned(), calls: Semaphore::new(CALLS), said: Mutex::default() };
        let example = checker.url.replace(ADDRESS_PLACE, "192.0.2.1");
        checker.outside.target(&example, Schemes::HttpOrHttps)?;
        Ok(checker)
    }

    /// What is known of an address without asking; the outer `None`: nothing, ask.
    pub fn known(&self, address: IpAddr) -> Option<Option<bool>> {
        let said = self.said.lock();
        let (safe, at) = said.get(&address)?;
        let holds = if safe.is_some() { HOLDS } else { REST };
        (at.elapsed() < holds).then_some(*safe)
    }

    /// Whether an address is safe; `None`: it could not be found out.
    pub async fn is_safe(&self, address: IpAddr) -> Option<bool> {
        if let Some(known) = self.known(address) {
            return known;
        }
        // Not noted: it is this broker that is busy.
        let _turn = self.calls.try_acquire().ok()?;
        let safe = self.ask(address).await;
        let mut said = self.said.lock();
        if said.len() >= MOST {
            said.retain(|_, (_, at)| at.elapsed() < HOLDS);
        }
        if said.len() >= MOST {
            said.clear();
        }
        said.insert(address, (safe, Instant::now()));
        safe
    }

    async fn ask(&self, address: IpAddr) -> Option<bool> {
        let url = self.url.replace(ADDRESS_PLACE, &address.to_string());
        let target = self.outside.target(&url, Schemes::HttpOrHttps).ok()?;
        let answer = self.outside.fetch(&target, "text/plain", MAX_BYTES, DEADLINE).await;
        let outcome = answer.as_ref().map_or_else(|trouble| trouble.word(), |_| "answered");
        metrics::counter!("gridbroker_address_checks_total", "outcome" => outcome).increment(1);
        match answer {
            Ok(answer) => read(&answer),
            Err(trouble) => {
                tracing::warn!("the checker of addresses {trouble}");
                None
            }
        }
    }
}

/// Whether a probability stands for a safe address; errors are told as negative numbers.
fn read(answer: &[u8]) -> Option<bool> {
    let probability: f64 = std::str::from_utf8(answer).ok()?.trim().parse().ok()?;
    (0.0..=1.0).contains(&probability).then_some(probability < UNSAFE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_probabilities() {
        for (answer, safe) in [
            ("0", Some(true)),
            ("0.92\n", Some(true)),
            ("0.93", Some(false)),
            ("1", Some(false)),
            ("-2", None),
            ("1.5", None),
            ("NaN", None),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(read(answer.as_bytes()), safe, "{answer:?}");
        }
        assert_eq!(read(&[0xff]), None);
    }
}
