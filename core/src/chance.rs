//! Several draws out of one request's entropy.
//!
//! A decision is given 64 bits. Their upper half chooses among weighted
//! backends and their lower half among an upstream's endpoints; whatever else
//! is left to chance draws bits of its own, mixed out of all 64 with a number
//! that names the draw. So nothing depends on which other draws there are, and
//! a decision can still be replayed from its 64 bits.

/// What bits are drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Draw {
    /// Whether a request is held up.
    Delay,
    /// Whether it is aborted.
    Abort,
    /// The pause before a retry, by how many there were before.
    Backoff(u32),
    /// Whether a copy goes to a mirror, by its place in the list.
    Mirror(u32),
    /// The endpoint of a retry, by how many there were before.
    Endpoint(u32),
}

impl Draw {
    fn number(self) -> u64 {
        let (kind, index) = match self {
            Self::Delay => (1, 0),
            Self::Abort => (2, 0),
            Self::Backoff(index) => (3, index),
            Self::Endpoint(index) => (4, index),
            Self::Mirror(index) => (5, index),
        };
        (kind << 32) | u64::from(index)
    }
}

/// Bits for `what`: SplitMix64's finalizer over the entropy and the draw's number.
pub(crate) fn draw(entropy: u64, what: Draw) -> u64 {
    mix(entropy
        .wrapping_add(what.number().wrapping_mul(GOLDEN))
        .wrapping_add(GOLDEN))
}

/// What SplitMix64 adds to its state for each number.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finalizer: the number that a state stands for.
pub(crate) fn mix(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_do_not_follow_each_other() {
        // Of 64 bits each, two independent ones differ in 32 on average.
        let draws = [
            Draw::Delay,
            Draw::Abort,
            Draw::Backoff(0),
            Draw::Backoff(1),
            Draw::Endpoint(0),
            Draw::Endpoint(1),
        ];
        for (index, one) in draws.iter().enumerate() {
            for other in draws.iter().skip(index + 1) {
                let differing = |entropy| u64::from((draw(entropy, *one) ^ draw(entropy, *other)).count_ones());
                let mean = (0..1000).map(differing).sum::<u64>() / 1000;
                assert!((30..35).contains(&mean), "{one:?} and {other:?}: {mean}");
            }
        }
    }
}
