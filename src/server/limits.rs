//! Calls per key and per address, in fixed windows, as the protos declare them.
//!
//! A window begins with its first call. The same counters serve JSON and gRPC.
//!
//! Several brokers count together: each tells the others, every 100 ms, what it let in, and they add it to
//! windows of their own, which end with its window. No call waits for that, so a limit may be exceeded by
//! what the other brokers let in during the last 100 ms or so; by more only while Redis is away, or while
//! more callers come than a message can tell of. Nobody is held to less than the limit.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tonic::{Code, Status};

use crate::{
    backend::Peers,
    domain::{
        Clock, Timestamp,
        tally::{Tallies, Tally},
        user::ANONYMOUS_KEY,
    },
    rpc::{
        error,
        gate::{Gate, address_of},
        pb::Reason,
        rules::{Limit, LimitKey, MethodRule},
    },
};

/// Windows that are kept at most; past it those that are over go, and if that is not half of them, also
/// those that end soonest.
const MAX_WINDOWS: usize = 200_000;

/// Windows whose calls may wait to be told; past it calls of others are not told.
const MAX_UNTOLD: usize = 20_000;

/// How long an address is known good after an account that is beyond doubt asked for something from there.
/// Each broker knows those that asked it.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Addresses that are known good at most.
const MAX_KNOWN: usize = 100_000;

/// The gate of a broker: open, or counting, together with its peers if there may be any. The secret is one
/// that all of them share.
pub fn gate(is_on: bool, clock: Arc<dyn Clock>, secret: [u8; 32], peers: &dyn Peers) -> Arc<dyn Gate> {
    if !is_on {
        return Arc::new(Open);
    }
    let counting = Arc::new(Counting::new(clock, secret, peers.are_possible()));
    if counting.is_shared {
        peers.count_together(counting.clone());
    }
    counting
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
    /// Addresses that are known good, and until when.
    known: Mutex<HashMap<Ipv6Addr, Timestamp>>,
    clock: Arc<dyn Clock>,
    /// What names of windows begin with.
    keyed: Sha256,
    /// Whether anybody wants to be told.
    is_shared: bool,
    /// Guards the counters for the few lines of one call, or of one message.
    counters: Mutex<Counters>,
}

#[derive(Default)]
struct Counters {
    /// By name.
    windows: HashMap<u64, Window>,
    /// What was let in here and has not been told.
    untold: HashMap<u64, Window>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
        let address = address_of(rule, extensions).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let address = uniform(address);
        let key = headers.get("apikey").map(HeaderValue::as_bytes).unwrap_or_default();
        let is_anonymous = key == ANONYMOUS_KEY.as_bytes();
        let has_known = rule.limits.iter().any(|limit| limit.key == LimitKey::Known);
        let is_known = has_known && self.is_known(address, now);
        let mut tightest: Option<Counted> = None;
        for limit in rule.limits {
            let (by, rest) = match limit.key {
                LimitKey::Path | LimitKey::Key if is_known => continue,
                LimitKey::Known if !is_known => continue,
                LimitKey::Path => (b'p', path.as_bytes()),
                LimitKey::Known => (b'w', path.as_bytes()),
                LimitKey::Address => (b'a', &[][..]),
                LimitKey::Group(group) => (b'g', group.as_bytes()),
                LimitKey::Key if is_anonymous => continue,
                LimitKey::Anonymous if !is_anonymous && !is_known => continue,
                LimitKey::Key | LimitKey::Anonymous => (b'k', key),
            };
            let mut name = self.keyed.clone();
            // No path of a method has a zero in it, and of what comes then only the rest may be of any length.
            let whole = if by == b'g' { "a group of them" } else { rule.path };
            name.update(whole);
            name.update([0, by]);
            name.update(limit.seconds.to_le_bytes());
            if by != b'k' {
                name.update(address.octets());
            }
            name.update(rest);
            let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(name.finalize());
            let counted = self.count(u64::from_le_bytes([a, b, c, d, e, f, g, h]), *limit, now);
            if tightest.as_ref().is_none_or(|known| counted.rank() < known.rank()) {
                tightest = Some(counted);
            }
        }
        let Some(counted) = tightest else { return Ok(HeaderMap::new()) };
        let headers = counted.headers(now);
        if counted.is_over { Err(Box::new((counted.refusal(now), headers))) } else { Ok(headers) }
    }

    fn welcome(&self, address: IpAddr) {
        let now = self.clock.now();
        let mut known = self.known.lock();
        if known.len() >= MAX_KNOWN {
            known.retain(|_, until| *until > now);
        }
        // Whoever finds no room is limited as everybody else.
        if known.len() < MAX_KNOWN {
            known.insert(uniform(address), now.plus(KNOWN_FOR));
        }
    }
}

/// Of one address, one form.
fn uniform(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

impl Counting {
    fn new(clock: Arc<dyn Clock>, secret: [u8; 32], is_shared: bool) -> Self {
        // Whoever reads what brokers tell each other learns no key and no address by trying some.
        let keyed = Sha256::new_with_prefix(secret);
        Self { known: Mutex::default(), clock, keyed, is_shared, counters: Mutex::default() }
    }

    fn is_known(&self, address: Ipv6Addr, now: Timestamp) -> bool {
        self.known.lock().get(&address).is_some_and(|until| *until > now)
    }

    fn count(&self, name: u64, limit: Limit, now: Timestamp) -> Counted {
        let mut counters = self.counters.lock();
        let window = counters.add(name, 1, Duration::from_secs(limit.seconds.into()), now);
        // Refused calls are nothing to the others: what was let in makes them refuse as well.
        if self.is_shared && window.calls <= limit.count {
            counters.note(name, window.ends_at);
        }
        drop(counters);
        Counted {
            limit,
            remaining: limit.count.saturating_sub(window.calls),
            ends_at: window.ends_at,
            is_over: window.calls > limit.count,
        }
    }
}

impl Tallies for Counting {
    fn take(&self, most: usize) -> Vec<Tally> {
        let untold = std::mem::take(&mut self.counters.lock().untold);
        let now = self.clock.now();
        // What is over here is over there.
        let mut untold: Vec<_> = untold.into_iter().filter(|(_, window)| window.ends_at > now).collect();
        if untold.len() > most {
            // Those left out would be counted too late; next time they may be among the others.
            untold.select_nth_unstable_by_key(most, |(_, window)| Reverse(window.calls));
            untold.truncate(most);
        }
        let tally = |(name, window): (u64, Window)| {
            let left = window.ends_at.since(now);
            Tally { window: name, calls: window.calls, left }
        };
        untold.into_iter().map(tally).collect()
    }

    fn add(&self, heard: &[Tally]) {
        let now = self.clock.now();
        for tally in heard {
            // Calls come in between.
            self.counters.lock().add(tally.window, tally.calls, tally.left, now);
        }
    }
}

impl Counters {
    /// Adds calls to a window; begins one that lasts for so long if there is none.
    fn add(&mut self, name: u64, calls: u32, left: Duration, now: Timestamp) -> Window {
        if self.windows.len() >= MAX_WINDOWS {
            sweep(&mut self.windows, now);
        }
        let fresh = Window { ends_at: now.plus(left), calls: 0 };
        let window = self.windows.entry(name).or_insert(fresh);
        if window.ends_at <= now {
            *window = fresh;
        }
        window.calls = window.calls.saturating_add(calls);
        *window
    }

    /// Notes that a call is to be told.
    fn note(&mut self, name: u64, ends_at: Timestamp) {
        if self.untold.len() >= MAX_UNTOLD && !self.untold.contains_key(&name) {
            return;
        }
        let fresh = Window { ends_at, calls: 0 };
        let untold = self.untold.entry(name).or_insert(fresh);
        if untold.ends_at != ends_at {
            *untold = fresh;
        }
        untold.calls = untold.calls.saturating_add(1);
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
    fn rank(&self) -> (bool, u32, Reverse<Timestamp>) {
        (!self.is_over, self.remaining, Reverse(self.ends_at))
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

    fn counting(clock: &Arc<Hand>, secret: u8, is_shared: bool) -> Counting {
        Counting::new(clock.clone(), [secret; 32], is_shared)
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
        let gate = counting(&clock, 1, false);
        let first = ask(&gate, "/a", "one").expect("the first call passes");
        assert_eq!(first["x-ratelimit-remaining"], "1");
        assert_eq!(first["retry-after"], "1");
        assert!(ask(&gate, "/a", "one").is_ok());
        assert_eq!(ask(&gate, "/a", "one").unwrap_err(), "2 per 1 second");
        clock.0.store(6_000, Ordering::Relaxed);
        assert!(ask(&gate, "/a", "one").is_ok(), "a new window begins");
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
        let gate = counting(&Arc::new(Hand(AtomicI64::new(0))), 1, false);
        let paths = ["/a", "/b", "/c"];
        let named = paths.map(|path| ask(&gate, path, "one").is_ok());
        assert_eq!(named, [true, true, false]);
        let paths = ["/d", "/e", "/f"];
        let anonymous = paths.map(|path| ask(&gate, path, ANONYMOUS_KEY).is_ok());
        assert_eq!(anonymous, [true, true, true]);
    }

    #[test]
    fn brokers_that_tell_each_other_let_in_as_much_as_one_and_their_windows_end_together() {
        let clock = Arc::new(Hand(AtomicI64::new(5_000)));
        let [a, b] = [(); 2].map(|()| counting(&clock, 1, true));
        assert!(ask(&a, "/a", "one").is_ok());
        clock.0.store(5_400, Ordering::Relaxed);
        b.add(&a.take(10));
        let second = ask(&b, "/a", "one").expect("two a second");
        assert_eq!(
            (&second["x-ratelimit-remaining"], &second["retry-after"]),
            (&"0".parse().unwrap(), &"1".parse().unwrap())
        );
        a.add(&b.take(10));
        for broker in [&a, &b] {
            assert_eq!(ask(broker, "/a", "one").unwrap_err(), "2 per 1 second");
            assert!(ask(broker, "/b", "other").is_ok(), "another caller is not affected");
        }
        clock.0.store(5_999, Ordering::Relaxed);
        assert!(ask(&b, "/a", "one").is_err());
        clock.0.store(6_000, Ordering::Relaxed);
        for broker in [&b, &a] {
            assert!(ask(broker, "/a", "one").is_ok(), "a new window begins for all");
        }
    }

    #[test]
    fn what_was_let_in_is_told_once_and_neither_refused_calls_nor_those_of_windows_that_are_over() {
        let clock = Arc::new(Hand(AtomicI64::new(0)));
        let gate = counting(&clock, 1, true);
        for _ in 0..5 {
            let _ = ask(&gate, "/a", "one");
        }
        let mut told: Vec<_> =
            gate.take(10).into_iter().map(|tally| (tally.calls, tally.left.as_secs())).collect();
        told.sort_unstable();
        assert_eq!(told, [(2, 1), (2, 1), (5, 60)], "of five calls two a second, and ninety a minute");
        assert_eq!(gate.take(10), []);
        clock.0.store(59_000, Ordering::Relaxed);
        assert!(ask(&gate, "/a", "one").is_ok());
        clock.0.store(60_000, Ordering::Relaxed);
        assert_eq!(gate.take(10), [], "the minute and the second are over");
        let alone = counting(&clock, 1, false);
        assert!(ask(&alone, "/a", "one").is_ok());
        assert_eq!(alone.take(10), [], "nobody wants to know");
    }

    #[test]
    fn the_busiest_are_told_and_of_a_flood_no_more_than_fits() {
        let clock = Arc::new(Hand(AtomicI64::new(0)));
        let gate = counting(&clock, 1, true);
        let ends_at = Timestamp(60_000);
        for name in 0..MAX_UNTOLD as u64 + 5 {
            for _ in 0..=u32::from(name < 3) {
                gate.counters.lock().note(name, ends_at);
            }
        }
        assert_eq!(gate.counters.lock().untold.len(), MAX_UNTOLD);
        let mut told: Vec<_> = gate.take(3).into_iter().map(|tally| (tally.window, tally.calls)).collect();
        told.sort_unstable();
        assert_eq!(told, [(0, 2), (1, 2), (2, 2)]);
        assert_eq!(gate.take(3), [], "what was left out is left out for good");
    }

    #[test]
    fn a_window_has_the_same_name_on_every_broker_of_this_secret_and_another_under_another() {
        let names = |secret: u8, key: &'static str| {
            let gate = counting(&Arc::new(Hand(AtomicI64::new(0))), secret, true);
            assert!(ask(&gate, "/a", key).is_ok());
            let mut names: Vec<_> = gate.take(10).into_iter().map(|tally| tally.window).collect();
            names.sort_unstable();
            names
        };
        // Brokers of this version and of the next must mean the same.
        assert_eq!(
            names(1, "one"),
            [1_158_016_502_474_337_921, 2_836_176_866_753_190_066, 4_035_323_102_979_983_969]
        );
        let of_another = names(2, "one");
        assert!(names(1, "one").iter().all(|name| !of_another.contains(name)));
        let of_another_key = names(1, "two");
        let shared = names(1, "one").into_iter().filter(|name| of_another_key.contains(name)).count();
        assert_eq!(shared, 2, "the path's two are the address's, not the key's");
    }
}
