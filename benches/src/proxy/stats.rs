//! The middle of a few measurements and how far they spread.

/// A median and the quartiles beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) low: f64,
    pub(super) median: f64,
    pub(super) high: f64,
}

impl Spread {
    /// Of these values; all zero if there are none.
    pub(super) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share| quantile(&values, share);
        Self {
            low: at(0.25),
            median: at(0.5),
            high: at(0.75),
        }
    }

    /// Of each of `ones` over its neighbour in `others`.
    pub(super) fn of_ratios(ones: &[f64], others: &[f64]) -> Self {
        Self::of(ones.iter().zip(others).map(|(one, other)| one / other).collect())
    }
}

/// The value below which `share` of the sorted values lie, between two of them by proportion.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = sorted.len().saturating_sub(1) as f64 * share;
    let value = |place: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place within a slice, floored or ceiled"
        )]
        let index = place as usize;
        sorted.get(index).copied().unwrap_or_default()
    };
    let (below, above) = (value(place.floor()), value(place.ceil()));
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let sorted = [1.0, 2.0, 3.0, 5.0];
        for (share, value) in [(0.0, 1.0), (0.5, 2.5), (0.75, 3.5), (1.0, 5.0)] {
            assert!((quantile(&sorted, share) - value).abs() < 1e-9, "{share}");
        }
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let spread = Spread::of_ratios(&[2.0, 20.0, 200.0], &[1.0, 10.0, 100.0]);
        assert_eq!((spread.low, spread.median, spread.high), (2.0, 2.0, 2.0));
    }
}
