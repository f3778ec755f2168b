//! What is known of addresses that a checker was asked about. Networks that the operator lists need no
//! checker.
//!
//! Source: the VPN check of the v2 contract.

use std::{collections::HashMap, net::IpAddr};

use super::Engine;
use crate::domain::{
    Error, Result, Timestamp, UserId,
    user::{Role, User},
};

/// Addresses that are remembered at most.
const MOST: usize = 10_000;

/// Why an address is doubted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doubt {
    /// It hides who is behind it.
    Unsafe,
    /// Nobody could say whether it does.
    Unchecked,
}

/// Addresses that are doubted, and until when.
#[derive(Default)]
pub(super) struct Doubts(HashMap<IpAddr, (Doubt, Timestamp)>);

impl Doubts {
    fn note(&mut self, address: IpAddr, doubt: Option<Doubt>, until: Timestamp, now: Timestamp) {
        self.0.remove(&address);
        let Some(doubt) = doubt else { return };
        if self.0.len() >= MOST {
            self.0.retain(|_, (_, until)| *until > now);
        }
        if self.0.len() >= MOST
            && let Some(oldest) =
                self.0.iter().min_by_key(|(_, (_, until))| *until).map(|(address, _)| *address)
        {
            self.0.remove(&oldest);
        }
        self.0.insert(address, (doubt, until));
    }

    fn of(&self, address: IpAddr, now: Timestamp) -> Option<Doubt> {
        self.0.get(&address).filter(|(_, until)| *until > now).map(|(doubt, _)| *doubt)
    }
}

impl Engine {
    /// Whether a checker is to be asked about a worker's address: its owner is neither trusted nor has the role
    /// vpn, and the operator's networks do not say it already.
    pub fn wants_check(&self, owner: UserId, address: IpAddr) -> bool {
        let is_listed = || self.rules.people.unsafe_networks.iter().any(|network| network.contains(address));
        self.accounts.get(owner).is_some_and(|user| !is_beyond_doubt(user)) && !is_listed()
    }

    /// Takes in what a checker said of an address, for a while.
    pub fn learn_address(&mut self, address: IpAddr, doubt: Option<Doubt>, until: Timestamp, now: Timestamp) {
        self.doubts.note(address, doubt, until, now);
    }

    /// Whether an address hides who is behind it, as far as the operator or a checker says.
    pub fn is_unsafe(&self, address: IpAddr, now: Timestamp) -> bool {
        self.doubts.of(address, now) == Some(Doubt::Unsafe)
            || self.rules.people.unsafe_networks.iter().any(|network| network.contains(address))
    }

    /// Whether a worker may come from here; true: it may, but that is suspect.
    pub(super) fn judge_address(&self, user: &User, address: Option<IpAddr>, now: Timestamp) -> Result<bool> {
        let Some(address) = address else { return Ok(false) };
        self.refuse_timed_out(address, now)?;
        if is_beyond_doubt(user) {
            return Ok(false);
        }
        if self.is_unsafe(address, now) {
            // Who attacks is not told what gives him away.
            return if self.modes().raid { Ok(true) } else { Err(Error::UnsafeIp) };
        }
        match self.doubts.of(address, now) {
            Some(Doubt::Unchecked) => Err(Error::TooManyNewIps),
            _ => Ok(false),
        }
    }
}

fn is_beyond_doubt(user: &User) -> bool {
    user.is(Role::Trusted) || user.is(Role::Vpn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_an_address_holds_until_its_time_is_over_or_something_else_is_said() {
        let mut doubts = Doubts::default();
        let at = |second: i64| Timestamp(second * 1000);
        let address = IpAddr::from([192, 0, 2, 1]);
        doubts.note(address, Some(Doubt::Unchecked), at(10), at(0));
        assert_eq!(doubts.of(address, at(9)), Some(Doubt::Unchecked));
        assert_eq!(doubts.of(address, at(10)), None);
        doubts.note(address, Some(Doubt::Unsafe), at(20), at(5));
        assert_eq!(doubts.of(address, at(12)), Some(Doubt::Unsafe));
        doubts.note(address, None, at(30), at(13));
        assert_eq!(doubts.of(address, at(13)), None);
    }

    #[test]
    fn so_many_addresses_are_remembered_and_the_oldest_is_forgotten_first() {
        let mut doubts = Doubts::default();
        let address = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
        for n in 0..=MOST {
            doubts.note(address(n), Some(Doubt::Unsafe), Timestamp(1_000_000 + n as i64), Timestamp(0));
        }
        assert_eq!(doubts.0.len(), MOST);
        assert_eq!(doubts.of(address(0), Timestamp(0)), None);
        assert_eq!(doubts.of(address(MOST), Timestamp(0)), Some(Doubt::Unsafe));
    }
}
