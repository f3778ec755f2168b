//! Which addresses lie on the public Internet.
//!
//! Pure. Of IPv6, only global unicast passes, and of that what stands for an IPv4 address is judged as
//! that one: a translator on the way would call it.
//!
//! Source: the IANA registries of special-purpose addresses for IPv4 and IPv6, and the metadata
//! addresses of clouds that lie outside of those.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::Network;

/// What is not the public Internet: address, leading bits, and what it is.
const V4: &[([u8; 4], u32, &str)] = &[
    ([0, 0, 0, 0], 8, "this network"),
    ([10, 0, 0, 0], 8, "private"),
    ([100, 64, 0, 0], 10, "shared by carriers"),
    ([127, 0, 0, 0], 8, "loopback"),
    ([168, 63, 129, 16], 32, "metadata of a cloud"),
    ([169, 254, 0, 0], 16, "link-local"),
    ([172, 16, 0, 0], 12, "private"),
    ([192, 0, 0, 0], 24, "of protocols"),
    ([192, 0, 2, 0], 24, "documentation"),
    ([192, 31, 196, 0], 24, "of protocols"),
    ([192, 52, 193, 0], 24, "of protocols"),
    ([192, 88, 99, 0], 24, "of protocols"),
    ([192, 168, 0, 0], 16, "private"),
    ([192, 175, 48, 0], 24, "of protocols"),
    ([198, 18, 0, 0], 15, "benchmarking"),
    ([198, 51, 100, 0], 24, "documentation"),
    ([203, 0, 113, 0], 24, "documentation"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([240, 0, 0, 0], 4, "reserved"),
];

/// The same within global unicast of IPv6, by the first two groups.
const V6: &[([u16; 2], u32, &str)] = &[
    // Teredo, ORCHID, benchmarking and others.
    ([0x2001, 0], 23, "of protocols"),
    ([0x2001, 0xdb8], 32, "documentation"),
    ([0x2620, 0x4f], 32, "of protocols"),
    ([0x3fff, 0], 20, "documentation"),
];

/// Whether an address may be called: it is public, or the operator allows its network.
///
/// # Errors
/// What it is instead, for people.
pub fn vet(address: IpAddr, allowed: &[Network]) -> Result<(), &'static str> {
    if allowed.iter().any(|network| network.contains(address)) {
        return Ok(());
    }
    let kind = match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address),
    };
    kind.map_or(Ok(()), Err)
}

fn v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = address.to_bits();
    let is_in = |network: [u8; 4], leading: u32| (bits ^ u32::from_be_bytes(network)) >> (32 - leading) == 0;
    V4.iter().find(|(network, leading, _)| is_in(*network, *leading)).map(|(_, _, kind)| *kind)
}

fn v6(address: Ipv6Addr) -> Option<&'static str> {
    let groups = address.segments();
    let v4_of = |high: u16, low: u16| v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match groups {
        // IPv4-mapped, and NAT64 of the well-known prefix.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4_of(high, low),
        // 6to4.
        [0x2002, high, low, ..] => v4_of(high, low),
        [first, second, ..] if first >> 13 == 1 => {
            let bits = u32::from(first) << 16 | u32::from(second);
            let is_in = |network: [u16; 2], leading: u32| {
                let network = u32::from(network[0]) << 16 | u32::from(network[1]);
                (bits ^ network) >> (32 - leading) == 0
            };
            V6.iter().find(|(network, leading, _)| is_in(*network, *leading)).map(|(_, _, kind)| *kind)
        }
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        [first, ..] if first >> 8 == 0xff => Some("multicast"),
        [first, ..] if first >> 6 == 0xfe80 >> 6 => Some("link-local"),
        [first, ..] if first >> 9 == 0xfc00 >> 9 => Some("private"),
        _ => Some("reserved"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_public_addresses_pass() {
        for (address, kind) in [
            ("1.1.1.1", None),
            ("8.8.8.8", None),
            ("9.255.255.255", None),
            ("11.0.0.0", None),
            ("100.63.255.255", None),
            ("100.128.0.0", None),
            ("126.255.255.255", None),
            ("128.0.0.0", None),
            ("168.63.129.15", None),
            ("169.253.255.255", None),
            ("172.15.255.255", None),
            ("172.32.0.0", None),
            ("192.0.1.0", None),
            ("192.167.255.255", None),
            ("192.169.0.0", None),
            ("198.17.255.255", None),
            ("198.20.0.0", None),
            ("223.255.255.255", None),
            ("2606:4700:4700::1111", None),
            ("2001:4860:4860::8888", None),
            ("2a00::1", None),
            ("0.0.0.0", Some("this network")),
            ("0.1.2.3", Some("this network")),
            ("10.0.0.0", Some("private")),
            ("10.255.255.255", Some("private")),
            ("100.64.0.0", Some("shared by carriers")),
            ("100.100.100.200", Some("shared by carriers")),
            ("100.127.255.255", Some("shared by carriers")),
            ("127.0.0.1", Some("loopback")),
            ("127.255.255.255", Some("loopback")),
            ("168.63.129.16", Some("metadata of a cloud")),
            ("169.254.169.254", Some("link-local")),
            ("172.16.0.0", Some("private")),
            ("172.31.255.255", Some("private")),
            ("192.0.0.192", Some("of protocols")),
            ("192.0.2.1", Some("documentation")),
            ("192.88.99.1", Some("of protocols")),
            ("192.168.0.0", Some("private")),
            ("192.168.255.255", Some("private")),
            ("198.18.0.0", Some("benchmarking")),
            ("198.19.255.255", Some("benchmarking")),
            ("198.51.100.7", Some("documentation")),
            ("203.0.113.7", Some("documentation")),
            ("224.0.0.1", Some("multicast")),
            ("239.255.255.255", Some("multicast")),
            ("240.0.0.1", Some("reserved")),
            ("255.255.255.255", Some("reserved")),
            ("::", Some("unspecified")),
            ("::1", Some("loopback")),
            ("::7f00:1", Some("reserved")),
            ("::808:808", Some("reserved")),
            ("::ffff:127.0.0.1", Some("loopback")),
            ("::ffff:10.0.0.1", Some("private")),
            ("::ffff:169.254.169.254", Some("link-local")),
            ("::ffff:8.8.8.8", None),
            ("::ffff:0:127.0.0.1", Some("reserved")),
            ("64:ff9b::127.0.0.1", Some("loopback")),
            ("64:ff9b::192.168.1.1", Some("private")),
            ("64:ff9b::8.8.8.8", None),
            ("64:ff9b:1::8.8.8.8", Some("reserved")),
            ("64:ff9b:0:1::8.8.8.8", Some("reserved")),
            ("100::1", Some("reserved")),
            ("2001::1", Some("of protocols")),
            ("2001:2::1", Some("of protocols")),
            ("2001:10::1", Some("of protocols")),
            ("2001:20::1", Some("of protocols")),
            ("2001:db8::1", Some("documentation")),
            ("2002:7f00:1::", Some("loopback")),
            ("2002:a00:1::1", Some("private")),
            ("2002:a9fe:a9fe::", Some("link-local")),
            ("2002:808:808::1", None),
            ("3fff::1", Some("documentation")),
            ("3fff:fff::1", Some("documentation")),
            ("4000::1", Some("reserved")),
            ("5f00::1", Some("reserved")),
            ("fc00::1", Some("private")),
            ("fd00:ec2::254", Some("private")),
            ("fe80::1", Some("link-local")),
            ("febf::1", Some("link-local")),
            ("fec0::1", Some("reserved")),
            ("ff02::1", Some("multicast")),
        ] {
            assert_eq!(vet(address.parse().unwrap(), &[]).err(), kind, "{address}");
        }
    }

    #[test]
    fn what_the_operator_allows_passes_and_nothing_else_does() {
        let allowed = ["10.1.0.0/16", "::1"].map(|network| network.parse().unwrap());
        for (address, may) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.0", false),
            ("127.0.0.1", false),
            ("::1", true),
            ("64:ff9b::10.1.2.3", false),
            ("8.8.8.8", true),
        ] {
            assert_eq!(vet(address.parse().unwrap(), &allowed).is_ok(), may, "{address}");
        }
    }

    proptest! {
        #[test]
        fn what_stands_for_an_ipv4_address_is_judged_as_that_one(bits in any::<u32>()) {
            let [high, low] = [(bits >> 16) as u16, bits as u16];
            let plain = vet(Ipv4Addr::from_bits(bits).into(), &[]);
            for other in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 1, 2, 3, 4, 5),
            ] {
                prop_assert_eq!(vet(other.into(), &[]), plain);
            }
        }
    }
}
