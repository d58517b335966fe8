//! The nearest right name for a wrong one: "did you mean `ipBlocks`?".

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::limits::SUGGESTION_BYTES_MAX;

/// The candidate that `wrong` was probably meant to be, if one is near enough.
///
/// Near enough is a third of the length in edits, letter case aside: closer
/// and slips are missed, wider and the guess is noise.
pub(crate) fn nearest<'c>(wrong: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    closest(wrong, candidates, |length| (length / 3).max(1))
}

/// The candidate that `wrong` is with a slip or two.
#[cfg(feature = "yaml")]
pub(crate) fn slip_for<'c>(wrong: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    closest(wrong, candidates, |length| (length / 3).min(2))
}

fn closest<'c>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'c str>,
    allowed: fn(usize) -> usize,
) -> Option<&'c str> {
    if wrong.len() > SUGGESTION_BYTES_MAX {
        return None;
    }
    let wrong = folded(wrong);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= SUGGESTION_BYTES_MAX)
        .filter_map(|candidate| {
            let right = folded(candidate);
            let edits = distance(&wrong, &right);
            let allowed = allowed(wrong.len().max(right.len()));
            (edits <= allowed && edits < right.len()).then_some((edits, candidate))
        })
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// [`nearest`] as the help of a diagnostic.
pub(crate) fn did_you_mean<'c>(wrong: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    nearest(wrong, candidates).map(|right| format!("did you mean `{right}`?"))
}

fn folded(text: &str) -> Vec<char> {
    text.chars().map(|c| c.to_ascii_lowercase()).collect()
}

/// Optimal string alignment: insertions, deletions, replacements, and swaps of neighbours, one each.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous_a = None;
    for (row, &ca) in a.iter().enumerate() {
        let mut current = Vec::with_capacity(b.len() + 1);
        current.push(row + 1);
        let mut left = row + 1;
        let mut previous_b = None;
        for (column, &cb) in b.iter().enumerate() {
            let at = |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, column) + usize::from(ca != cb);
            let mut edits = replaced.min(at(&last, column + 1) + 1).min(left + 1);
            if previous_a == Some(cb) && previous_b == Some(ca) {
                edits = edits.min(at(&before_last, column.wrapping_sub(1)) + 1);
            }
            current.push(edits);
            left = edits;
            previous_b = Some(cb);
        }
        before_last = core::mem::replace(&mut last, current);
        previous_a = Some(ca);
    }
    last.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(a: &str, b: &str) -> usize {
        distance(&folded(a), &folded(b))
    }

    #[test]
    fn distances_are_those_of_optimal_string_alignment() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("kitten", "sitting", 3),
            ("ipBlock", "ipBlocks", 1),
            ("slector", "selector", 1),
            ("hsot", "host", 1),
            ("ca", "abc", 3),
            ("apikey", "apiKey", 0),
        ] {
            assert_eq!(edits(a, b), expected, "{a} {b}");
            assert_eq!(edits(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn the_nearest_name_wins() {
        let fields = ["ipBlocks", "notIpBlocks", "principals"];
        assert_eq!(nearest("ipBlock", fields), Some("ipBlocks"));
        assert_eq!(nearest("notIPBlocks", fields), Some("notIpBlocks"));
        assert_eq!(nearest("ipblocks", fields), Some("ipBlocks"));
    }

    #[test]
    fn far_names_are_not_suggested() {
        assert_eq!(nearest("timeout", ["host", "path"]), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest("", ["a"]), None);
        assert_eq!(nearest(&"a".repeat(100_000), ["host"]), None);
    }
}
