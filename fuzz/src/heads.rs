//! Requests' heads: authorities, paths, address blocks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lockgate_core::cidr::Cidr;
use lockgate_core::fuzzing;

/// An authority is read in one way only.
pub fn authority(input: &[u8]) {
    if let Ok(raw) = core::str::from_utf8(input) {
        fuzzing::authority(raw);
    }
}

/// A path has one normal form.
pub fn path(input: &[u8]) {
    if let Ok(target) = core::str::from_utf8(input) {
        fuzzing::path(target);
    }
}

/// An address block contains what a comparison of bits, one by one, says it does.
///
/// Input: 16 bytes of an address, a zero byte for v4, the text of the block.
pub fn cidr(input: &[u8]) {
    let Some((bits, rest)) = input.split_first_chunk::<16>() else {
        return;
    };
    let Some((&family, text)) = rest.split_first() else {
        return;
    };
    let Ok(text) = core::str::from_utf8(text) else {
        return;
    };
    let bits = u128::from_be_bytes(*bits);
    let address = match family {
        0 => IpAddr::V4(Ipv4Addr::from_bits((bits >> 96) as u32)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    };
    if let Ok(block) = text.parse::<Cidr>() {
        assert_eq!(
            block.contains(address),
            contains_naively(text, address),
            "{text} and {address}"
        );
        assert_eq!(block.to_string().parse::<Cidr>(), Ok(block), "{text}");
    }
}

fn contains_naively(block: &str, address: IpAddr) -> bool {
    let (network, length) = block.split_once('/').unwrap_or((block, "128"));
    let length: usize = length.parse().expect("the engine took it");
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => format!("4{:032b}", address.to_bits()),
        IpAddr::V6(address) => format!("6{:0128b}", address.to_bits()),
    };
    let network = bits(network.parse().expect("the engine took it"));
    // One more than the length, for the family in front.
    network
        .chars()
        .zip(bits(address).chars())
        .take(length + 1)
        .all(|(a, b)| a == b)
}
