//! Address blocks: `10.0.0.0/8`, `2001:db8::/32`, or a single address.
//!
//! Istio's semantics (`ipBlocks`): host bits are masked away, the two families
//! never match each other, `/0` is the whole of its family. A peer that a
//! dual-stack socket reports as `::ffff:a.b.c.d` is made v4 by the shell before
//! it gets here ([`canonical`]), or a v4 block could be walked around.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// One address block, host bits zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    network: IpAddr,
    prefix_bits: u8,
}

/// Why a text is not a [`Cidr`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CidrError {
    /// The part before the slash is no IP address.
    Address,
    /// The part after the slash is no number from 0 to 32 (v4) or 128 (v6).
    PrefixBits,
}

impl Cidr {
    /// Whether `address` lies in the block. An address of the other family never does.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => mask_v4(address, self.prefix_bits) == network,
            (IpAddr::V6(network), IpAddr::V6(address)) => mask_v6(address, self.prefix_bits) == network,
            _ => false,
        }
    }

    /// Its first address. Blocks sort by it, a wider one before those that begin where it does.
    pub(crate) fn network(&self) -> IpAddr {
        self.network
    }

    /// The first address behind it; `None` when it is up to the last one.
    #[cfg(feature = "alloc")]
    pub(crate) fn behind(&self) -> Option<IpAddr> {
        match self.network {
            IpAddr::V4(network) => {
                let size = 1_u32.checked_shl(32_u32.checked_sub(self.prefix_bits.into())?)?;
                network
                    .to_bits()
                    .checked_add(size)
                    .map(|bits| Ipv4Addr::from_bits(bits).into())
            }
            IpAddr::V6(network) => {
                let size = 1_u128.checked_shl(128_u32.checked_sub(self.prefix_bits.into())?)?;
                network
                    .to_bits()
                    .checked_add(size)
                    .map(|bits| Ipv6Addr::from_bits(bits).into())
            }
        }
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| CidrError::Address)?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match bits {
            None => whole,
            // `u8::from_str` would take `+8` and `008`.
            Some(bits)
                if bits.len() <= 3
                    && bits.bytes().all(|b| b.is_ascii_digit())
                    && (bits == "0" || !bits.starts_with('0')) =>
            {
                bits.parse().map_err(|_| CidrError::PrefixBits)?
            }
            Some(_) => return Err(CidrError::PrefixBits),
        };
        if prefix_bits > whole {
            return Err(CidrError::PrefixBits);
        }
        let network = match address {
            IpAddr::V4(address) => IpAddr::V4(mask_v4(address, prefix_bits)),
            IpAddr::V6(address) => IpAddr::V6(mask_v6(address, prefix_bits)),
        };
        Ok(Self { network, prefix_bits })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix_bits)
    }
}

/// The address a policy means: a v4-mapped v6 address is the v4 one.
#[must_use]
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn mask_v4(address: Ipv4Addr, prefix_bits: u8) -> Ipv4Addr {
    let mask = u32::MAX
        .checked_shl(32_u32.saturating_sub(prefix_bits.into()))
        .unwrap_or(0);
    Ipv4Addr::from_bits(address.to_bits() & mask)
}

fn mask_v6(address: Ipv6Addr, prefix_bits: u8) -> Ipv6Addr {
    let mask = u128::MAX
        .checked_shl(128_u32.saturating_sub(prefix_bits.into()))
        .unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(block: &str, address: &str) -> bool {
        block.parse::<Cidr>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn host_bits_are_masked() {
        assert!(contains("127.0.0.3/30", "127.0.0.1"));
        assert!(!contains("127.0.0.3/30", "127.0.0.4"));
        assert_eq!("10.1.2.3/8".parse::<Cidr>(), "10.0.0.0/8".parse());
    }

    #[test]
    #[cfg(feature = "alloc")]
    fn what_is_behind_a_block_is_the_next_address() {
        for (block, behind) in [
            ("10.0.0.0/16", Some("10.1.0.0")),
            ("10.0.0.7", Some("10.0.0.8")),
            ("255.0.0.0/8", None),
            ("0.0.0.0/0", None),
            ("fe80::/10", Some("fec0::")),
            ("::/0", None),
        ] {
            let found = block.parse::<Cidr>().unwrap().behind();
            assert_eq!(found, behind.map(|address| address.parse().unwrap()), "{block}");
        }
    }

    #[test]
    fn a_bare_address_is_a_block_of_one() {
        assert!(contains("10.0.0.1", "10.0.0.1"));
        assert!(!contains("10.0.0.1", "10.0.0.2"));
        assert!(contains("2001:db8::1", "2001:db8::1"));
    }

    #[test]
    fn families_never_cross() {
        assert!(!contains("::/0", "127.0.0.1"));
        assert!(!contains("0.0.0.0/0", "::1"));
        assert!(!contains("::ffff:127.0.0.1", "127.0.0.1"));
        assert!(contains("0.0.0.0/0", "255.255.255.255"));
        assert!(contains("::/0", "::1"));
    }

    #[test]
    fn canonical_unmaps_v4() {
        assert_eq!(
            canonical("::ffff:1.2.3.4".parse().unwrap()),
            "1.2.3.4".parse::<IpAddr>().unwrap()
        );
    }

    #[test]
    fn what_is_no_block() {
        for text in [
            "",
            "bogus",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "::/129",
            "10.0.0/8",
            "010.0.0.1",
            "10.0.0.0/8/8",
            "::/999",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
