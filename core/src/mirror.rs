//! `mirror` and `mirrors`: copies of a request whose answers nobody reads.
//!
//! As Envoy sends shadows: each mirror by a draw of its own, the request as its
//! upstream gets it, and `-shadow` behind the host so that whoever reads the
//! copy's log can tell.
//! <https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPMirrorPolicy>

#[cfg(feature = "alloc")]
use alloc::{format, string::String};

#[cfg(feature = "alloc")]
use crate::authority;
use crate::chance::{Draw, draw};
use crate::tables::{Chance, MirrorRow, UpstreamId};

/// The copies of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mirrors<'d> {
    pub(crate) rows: &'d [MirrorRow],
    pub(crate) entropy: u64,
}

impl<'d> Mirrors<'d> {
    /// Where one goes.
    pub fn upstreams(self) -> impl Iterator<Item = UpstreamId> + use<'d> {
        let drawn = (0..)
            .zip(self.rows)
            .filter(move |(index, row)| falls(row.chance, self.entropy, Draw::Mirror(*index)));
        drawn.map(|(_, row)| row.upstream)
    }
}

/// Whether chance has it.
pub(crate) fn falls(chance: Chance, entropy: u64, what: Draw) -> bool {
    // The upper half of the bits scaled to a million.
    let ticket = (draw(entropy, what) >> 32).saturating_mul(1_000_000) >> 32;
    ticket < u64::from(chance.0)
}

/// The Host of a copy whose request has this one.
#[cfg(feature = "alloc")]
#[must_use]
pub fn shadow(authority: &str) -> String {
    let host = authority::host_len(authority.as_bytes()).and_then(|len| authority.split_at_checked(len));
    let (host, port) = host.unwrap_or((authority, ""));
    format!("{host}-shadow{port}")
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;

    #[test]
    fn a_port_stays_behind_the_shadow() {
        for (sent, shadowed) in [
            ("a.test", "a.test-shadow"),
            ("a.test:8080", "a.test-shadow:8080"),
            ("[::1]:80", "[::1]-shadow:80"),
        ] {
            assert_eq!(shadow(sent), shadowed);
        }
    }
}
