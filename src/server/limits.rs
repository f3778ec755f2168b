//! Calls per key and per address, in fixed windows, as the protos declare them.
//!
//! A window begins with its first call. The same counters serve JSON and gRPC.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use tonic::{Code, Status};

use crate::{
    domain::{Clock, Timestamp, user::ANONYMOUS_KEY},
    rpc::{
        error,
        gate::{ClientAddress, Gate},
        pb::Reason,
        rules::{Limit, LimitKey, MethodRule},
    },
};

/// Windows that are kept at most; past it those that are over go, and if that is not half of them, also
/// those that end soonest.
const MAX_WINDOWS: usize = 200_000;

/// The gate of a broker: counting, or open.
pub fn gate(is_on: bool, clock: Arc<dyn Clock>) -> Arc<dyn Gate> {
    if is_on { Arc::new(Counting { clock, windows: Mutex::default() }) } else { Arc::new(Open) }
}

struct Open;

impl Gate for Open {
    fn admit(
        &self,
        _: &'static MethodRule,
        _: &str,
        _: &HeaderMap,
        _: &Extensions,
    ) -> Result<HeaderMap, Box<(Status, HeaderMap)>> {
        Ok(HeaderMap::new())
    }
}

struct Counting {
    clock: Arc<dyn Clock>,
    /// Guards the counters for the few lines of one call.
    windows: Mutex<HashMap<u64, Window>>,
}

#[derive(Clone, Copy)]
struct Window {
    ends_at: Timestamp,
    calls: u32,
}

/// What became of one limit.
struct Counted {
    limit: Limit,
    remaining: u32,
    ends_at: Timestamp,
    is_over: bool,
}

impl Gate for Counting {
    fn admit(
        &self,
        rule: &'static MethodRule,
        path: &str,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<HeaderMap, Box<(Status, HeaderMap)>> {
        let now = self.clock.now();
        let address =
            extensions.get::<ClientAddress>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.0);
        let key = headers.get("apikey").map(HeaderValue::as_bytes).unwrap_or_default();
        let is_anonymous = key == ANONYMOUS_KEY.as_bytes();
        let mut tightest: Option<Counted> = None;
        for limit in rule.limits {
            let mut hasher = DefaultHasher::new();
            (rule.path, limit.seconds, limit.key).hash(&mut hasher);
            match limit.key {
                LimitKey::Path => (address, path).hash(&mut hasher),
                LimitKey::Address => address.hash(&mut hasher),
                LimitKey::Key if is_anonymous => continue,
                LimitKey::Anonymous if !is_anonymous => continue,
                LimitKey::Key | LimitKey::Anonymous => key.hash(&mut hasher),
            }
            let counted = self.count(hasher.finish(), *limit, now);
            if tightest.as_ref().is_none_or(|known| counted.rank() < known.rank()) {
                tightest = Some(counted);
            }
        }
        let Some(counted) = tightest else { return Ok(HeaderMap::new()) };
        let headers = counted.headers(now);
        if counted.is_over { Err(Box::new((counted.refusal(now), headers))) } else { Ok(headers) }
    }
}

impl Counting {
    fn count(&self, key: u64, limit: Limit, now: Timestamp) -> Counted {
        let mut windows = self.windows.lock();
        if windows.len() >= MAX_WINDOWS {
            sweep(&mut windows, now);
        }
        let fresh = Window { ends_at: now.plus(Duration::from_secs(limit.seconds.into())), calls: 0 };
        let window = windows.entry(key).or_insert(fresh);
        if window.ends_at <= now {
            *window = fresh;
        }
        window.calls = window.calls.saturating_add(1);
        Counted {
            limit,
            remaining: limit.count.saturating_sub(window.calls),
            ends_at: window.ends_at,
            is_over: window.calls > limit.count,
        }
    }
}

/// Makes room for at least as many windows as stay, so that sweeps are rare however many callers come.
fn sweep(windows: &mut HashMap<u64, Window>, now: Timestamp) {
    windows.retain(|_, window| window.ends_at > now);
    if windows.len() > MAX_WINDOWS / 2 {
        let mut ends: Vec<Timestamp> = windows.values().map(|window| window.ends_at).collect();
        let (_, median, _) = ends.select_nth_unstable(windows.len() - MAX_WINDOWS / 2);
        let median = *median;
        windows.retain(|_, window| window.ends_at > median);
    }
}

impl Counted {
    /// Smaller is tighter: what is over first, then what is nearly used up.
    fn rank(&self) -> (bool, u32, std::cmp::Reverse<Timestamp>) {
        (!self.is_over, self.remaining, std::cmp::Reverse(self.ends_at))
    }

    fn wait(&self, now: Timestamp) -> Duration {
        self.ends_at.since(now).max(Duration::from_millis(1))
    }

    fn headers(&self, now: Timestamp) -> HeaderMap {
        let wait = self.wait(now).as_millis().div_ceil(1000);
        let reset = self.ends_at.0.div_euclid(1000) + 1;
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-ratelimit-limit", i128::from(self.limit.count)),
            ("x-ratelimit-remaining", i128::from(self.remaining)),
            ("x-ratelimit-reset", i128::from(reset)),
            ("retry-after", i128::try_from(wait).unwrap_or(1)),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        headers
    }

    /// The limit in words, as legacy clients get it.
    fn refusal(&self, now: Timestamp) -> Status {
        let unit = match self.limit.seconds {
            1 => "second",
            60 => "minute",
            _ => "hour",
        };
        let message = format!("{} per 1 {unit}", self.limit.count);
        let wait = Some(self.wait(now));
        error::with_reason(Code::ResourceExhausted, Reason::RateLimited, message, HashMap::new(), wait)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::rpc::{pb::SubmitImageRequest, rules::Rule};

    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::Relaxed))
        }
    }

    fn ask(gate: &dyn Gate, path: &str, key: &'static str) -> Result<HeaderMap, String> {
        let headers =
            HeaderMap::from_iter([(HeaderName::from_static("apikey"), HeaderValue::from_static(key))]);
        let admitted = gate.admit(SubmitImageRequest::METHOD, path, &headers, &Extensions::new());
        admitted.map_err(|refusal| refusal.0.message().to_owned())
    }

    #[test]
    fn the_third_call_of_a_second_is_refused_in_words_and_the_next_window_is_free() {
        let clock = Arc::new(Hand(AtomicI64::new(5_000)));
        let gate = gate(true, clock.clone());
        let first = ask(&*gate, "/a", "one").expect("the first call passes");
        assert_eq!(first["x-ratelimit-remaining"], "1");
        assert_eq!(first["retry-after"], "1");
        assert!(ask(&*gate, "/a", "one").is_ok());
        assert_eq!(ask(&*gate, "/a", "one").unwrap_err(), "2 per 1 second");
        clock.0.store(6_000, Ordering::Relaxed);
        assert!(ask(&*gate, "/a", "one").is_ok(), "a new window begins");
    }

    #[test]
    fn a_flood_of_callers_takes_bounded_room_and_the_latest_windows_stay() {
        let mut windows = HashMap::new();
        for i in 0..MAX_WINDOWS {
            windows.insert(i as u64, Window { ends_at: Timestamp(i as i64), calls: 1 });
        }
        sweep(&mut windows, Timestamp(1000));
        assert!(windows.len() <= MAX_WINDOWS / 2 && windows.len() >= MAX_WINDOWS / 2 - 1);
        assert!(windows.contains_key(&(MAX_WINDOWS as u64 - 1)) && !windows.contains_key(&1001));
    }

    #[test]
    fn a_key_is_limited_over_all_paths_and_the_anonymous_one_less() {
        let gate = gate(true, Arc::new(Hand(AtomicI64::new(0))));
        let paths = ["/a", "/b", "/c"];
        let named = paths.map(|path| ask(&*gate, path, "one").is_ok());
        assert_eq!(named, [true, true, false]);
        let paths = ["/d", "/e", "/f"];
        let anonymous = paths.map(|path| ask(&*gate, path, ANONYMOUS_KEY).is_ok());
        assert_eq!(anonymous, [true, true, true]);
    }
}
