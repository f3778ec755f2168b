//! Networks in CIDR notation.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A network: an address and how many of its leading bits count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The /64 of an IPv6 address: what one subscriber has. Of IPv4 the address alone.
    pub fn of_household(address: IpAddr) -> Self {
        Self { bits: if address.is_ipv4() { 32 } else { 64 }, address }
    }

    /// The address, if it is a single one.
    pub fn single(&self) -> Option<IpAddr> {
        let all = if self.address.is_ipv4() { 32 } else { 128 };
        (self.bits == all).then_some(self.address)
    }

    /// The same network, written without bits beyond its prefix, and IPv4 in its IPv6 form as IPv4.
    pub fn plain(&self) -> Self {
        match (self.address, self.address.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(address)) if self.bits >= 96 => {
                Self { address: address.into(), bits: self.bits - 96 }.plain()
            }
            (IpAddr::V4(address), _) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                Self { address: Ipv4Addr::from_bits(address.to_bits() & mask).into(), bits: self.bits }
            }
            (IpAddr::V6(address), _) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                Self { address: Ipv6Addr::from_bits(address.to_bits() & mask).into(), bits: self.bits }
            }
        }
    }

    /// Whether it was written with bits beyond its prefix: more likely a slip than meant.
    pub fn has_host_bits(&self) -> bool {
        let plain = self.plain();
        plain.address.to_canonical() != self.address.to_canonical()
    }

    /// Whether an address lies in it. IPv4 addresses in their IPv6 form count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl From<IpAddr> for Network {
    /// An address alone.
    fn from(address: IpAddr) -> Self {
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Network {
    type Err = String;

    /// Reads `10.0.0.0/8`, `fd00::/8`, or a single address.
    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || format!("{text:?} is no network; write it as 10.0.0.0/8 or fd00::/8");
        let (address, bits) = match text.trim().split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| problem())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(problem)?,
            None => most,
        };
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_the_addresses_that_share_its_leading_bits() {
        for (network, address, is_inside) in [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::/0", "10.0.0.1", false),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.contains(address.parse().unwrap()), is_inside, "{address} in {network}");
        }
    }

    #[test]
    fn a_network_is_plain_without_bits_beyond_its_prefix() {
        for (written, plain, has_host_bits) in [
            ("10.0.0.0/8", "10.0.0.0/8", false),
            ("10.1.2.3/8", "10.0.0.0/8", true),
            ("203.0.113.7", "203.0.113.7/32", false),
            ("203.0.113.7/0", "0.0.0.0/0", true),
            ("2001:db8::/64", "2001:db8::/64", false),
            ("2001:db8::7/64", "2001:db8::/64", true),
            ("::/0", "::/0", false),
            ("::ffff:203.0.113.7", "203.0.113.7/32", false),
            ("::ffff:10.1.0.0/104", "10.0.0.0/8", true),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8", false),
        ] {
            let network: Network = written.parse().unwrap();
            assert_eq!(network.plain().to_string(), plain, "{written}");
            assert_eq!(network.has_host_bits(), has_host_bits, "{written}");
        }
        let single =
            |text: &str| text.parse::<Network>().unwrap().single().map(|address| address.to_string());
        assert_eq!(single("203.0.113.7/32").as_deref(), Some("203.0.113.7"));
        assert_eq!((single("203.0.113.0/31"), single("2001:db8::/127")), (None, None));
    }

    #[test]
    fn what_is_no_network_is_refused_with_an_example() {
        for text in ["10.0.0.0/33", "fd00::/129", "10.0.0/8", "10.0.0.0/", "example.org", "10.0.0.0/-1", ""] {
            let problem = text.parse::<Network>().unwrap_err();
            assert!(problem.contains("10.0.0.0/8"), "{text}: {problem}");
        }
    }
}
