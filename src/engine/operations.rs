//! What moderators do about networks: timeouts are looked at, begun and ended.

use std::{collections::HashSet, net::IpAddr, time::Duration};

use super::{Engine, Step};
use crate::{
    config::Network,
    domain::{Error, Result, Timestamp, WorkerId},
};

impl Engine {
    /// Networks in timeout and how long it lasts, in order; single addresses are not among them.
    pub fn networks_in_timeout(&self, now: Timestamp) -> Vec<(Network, Duration)> {
        self.timeouts_where(now, |network| network.single().is_none())
    }

    /// What of an address holds: timeouts of networks that it lies in, and then its own.
    pub fn timeouts_of(&self, address: IpAddr, now: Timestamp) -> Vec<(Network, Duration)> {
        let mut found = self.timeouts_where(now, |network| network.contains(address));
        found.sort_by_key(|(network, _)| network.single().is_some());
        found
    }

    fn timeouts_where(
        &self,
        now: Timestamp,
        is_meant: impl Fn(&Network) -> bool,
    ) -> Vec<(Network, Duration)> {
        let left = |(network, until): (Network, Timestamp)| {
            (until > now && is_meant(&network)).then(|| (network, until.since(now)))
        };
        let mut found: Vec<_> = self.timeouts().filter_map(left).collect();
        found.sort_unstable();
        found
    }

    /// Takes from a network again; of a single address, what it asked for that was blocked is forgotten, too.
    ///
    /// # Errors
    /// As [`Engine::time_out`].
    pub fn end_timeout(&mut self, step: &mut Step<'_>, network: Network) -> Result<()> {
        if let Some(address) = network.single() {
            self.blocked.forget(address);
        }
        self.time_out(step, network, None)
    }

    /// Takes nothing from where a worker last popped from until then; `None`: again from now on.
    ///
    /// # Errors
    /// WorkerNotFound; [`Error::BadRequest`] if it is not known where that is, or there are too many.
    pub fn block_worker(
        &mut self,
        step: &mut Step<'_>,
        id: WorkerId,
        until: Option<Timestamp>,
    ) -> Result<()> {
        let worker = self.fleet.get(id).ok_or_else(|| Error::WorkerNotFound(id.to_string()))?;
        let address = worker.standing.address.ok_or_else(|| {
            Error::BadRequest("it is not known where this worker is: wait until it pops".into())
        })?;
        let network = Network::of_household(address.to_canonical()).plain();
        match until {
            Some(until) => self.time_out(step, network, Some(until)),
            None => self.end_timeout(step, network),
        }
    }

    /// Of addresses whose timeout another broker ended early, what was blocked is forgotten here, too.
    pub(super) fn forgive(&mut self, before: Vec<(Network, Timestamp)>, now: Timestamp) {
        let still: HashSet<Network> = self.timeouts().map(|(network, _)| network).collect();
        let ended = before.into_iter().filter(|(network, until)| *until > now && !still.contains(network));
        for address in ended.filter_map(|(network, _)| network.single()) {
            self.blocked.forget(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::board::Board,
        engine::stage::{Stage, text_profile},
    };

    const HOUR: Duration = Duration::from_secs(3600);

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn shown(found: Vec<(Network, Duration)>) -> Vec<(String, u64)> {
        found.into_iter().map(|(network, left)| (network.to_string(), left.as_secs())).collect()
    }

    #[test]
    fn networks_are_listed_and_of_an_address_all_that_holds_is_told() {
        let mut stage = Stage::new();
        let now = stage.now;
        for (written, hours) in
            [("203.0.113.7", 1), ("203.0.113.0/24", 2), ("203.0.0.0/16", 3), ("2001:db8::/64", 4)]
        {
            stage
                .act(|engine, step| engine.time_out(step, network(written), Some(now.plus(HOUR * hours))))
                .unwrap();
        }
        assert_eq!(
            shown(stage.engine.networks_in_timeout(now)),
            [
                ("203.0.0.0/16".into(), 3 * 3600),
                ("203.0.113.0/24".into(), 2 * 3600),
                ("2001:db8::/64".into(), 4 * 3600)
            ]
        );
        let of = |stage: &Stage, address: &str| {
            let found = shown(stage.engine.timeouts_of(address.parse().unwrap(), stage.now));
            found.into_iter().map(|(network, _)| network).collect::<Vec<_>>()
        };
        assert_eq!(of(&stage, "203.0.113.7"), ["203.0.0.0/16", "203.0.113.0/24", "203.0.113.7/32"]);
        assert_eq!(of(&stage, "::ffff:203.0.1.1"), ["203.0.0.0/16"]);
        assert_eq!(of(&stage, "198.51.100.1"), [] as [&str; 0]);
        stage.now = now.plus(HOUR * 2);
        assert_eq!(of(&stage, "203.0.113.7"), ["203.0.0.0/16"], "what is over is not told");
        stage.act(|engine, step| engine.end_timeout(step, network("203.0.0.0/16"))).unwrap();
        assert_eq!(of(&stage, "203.0.113.7"), [] as [&str; 0]);
    }

    #[test]
    fn of_a_worker_its_household_is_blocked() {
        let mut stage = Stage::new();
        stage.stream("writer", text_profile(1), 1, &[]);
        let id = stage.engine.worker_by_name("writer").unwrap().id;
        let until = Some(stage.now.plus(HOUR));
        let outcome = stage.act(|engine, step| engine.block_worker(step, id, until));
        assert!(matches!(outcome, Err(Error::BadRequest(_))), "nobody knows where it is: {outcome:?}");
        let nobody = WorkerId(uuid::Uuid::nil());
        let outcome = stage.act(|engine, step| engine.block_worker(step, nobody, until));
        assert!(matches!(outcome, Err(Error::WorkerNotFound(_))), "{outcome:?}");
        for (address, blocked) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::9:7", "2001:db8::/64"),
            ("::ffff:192.0.2.9", "192.0.2.9/32"),
        ] {
            let mut worker = stage.engine.worker(id).unwrap().clone();
            worker.standing.address = Some(address.parse().unwrap());
            stage.engine.fleet.insert(worker);
            stage.act(|engine, step| engine.block_worker(step, id, until)).unwrap();
            let timeouts = shown(stage.engine.timeouts_of(address.parse().unwrap(), stage.now));
            assert_eq!(timeouts, [(blocked.into(), 3600)]);
            assert!(stage.engine.refuse_timed_out(address.parse().unwrap(), stage.now).is_err());
            stage.act(|engine, step| engine.block_worker(step, id, None)).unwrap();
            assert!(stage.engine.refuse_timed_out(address.parse().unwrap(), stage.now).is_ok());
        }
    }

    #[test]
    fn what_was_blocked_of_an_address_is_forgotten_when_its_timeout_is_ended_anywhere() {
        let mut stage = Stage::new();
        let (now, address): (_, IpAddr) = (stage.now, "203.0.113.7".parse().unwrap());
        let alone = Network::from(address);
        let count = |stage: &mut Stage| stage.engine.blocked.count(address, now, HOUR);
        let begin = |stage: &mut Stage| {
            stage.act(|engine, step| engine.time_out(step, alone, Some(now.plus(HOUR)))).unwrap();
        };
        begin(&mut stage);
        assert_eq!([count(&mut stage), count(&mut stage)], [0, 1]);
        stage.act(|engine, step| engine.end_timeout(step, alone)).unwrap();
        assert_eq!(count(&mut stage), 0, "ended here");
        begin(&mut stage);
        let same = Board { timeouts: vec![(alone.to_string(), now.plus(HOUR))], ..Board::default() };
        stage.act(|engine, step| engine.learn_board(step, same));
        assert_eq!(count(&mut stage), 1, "it goes on");
        stage.act(|engine, step| engine.learn_board(step, Board::default()));
        assert_eq!(count(&mut stage), 0, "ended elsewhere");
    }
}
