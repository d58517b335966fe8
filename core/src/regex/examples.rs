//! Values that match: what two patterns are told apart by.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use super::{DEAD, Regex};

/// One step of the automaton.
#[derive(Debug, Clone, Copy)]
struct Step {
    from: u32,
    byte: u8,
    to: u32,
}

impl Regex {
    /// Values that match, the shortest first, of letters and digits where they can be. Together they take each step of the
    /// automaton that leads to a match, unless those are more than `max`.
    pub(crate) fn examples(&self, max: usize) -> Vec<String> {
        let steps = self.steps();
        let mut before: BTreeMap<u32, Step> = BTreeMap::new();
        for step in &steps {
            if step.to != self.start {
                before.entry(step.to).or_insert(*step);
            }
        }
        let after = self.ways_to_a_match(&steps);
        let is_match = |row| self.cell(row, self.end) != 0;
        let beginning = |mut row: u32| {
            let mut bytes = Vec::new();
            while let Some(step) = before.get(&row).filter(|_| row != self.start) {
                bytes.push(step.byte);
                row = step.from;
            }
            bytes.reverse();
            bytes
        };
        let rest = |mut row: u32| {
            let mut bytes = Vec::new();
            while !is_match(row) {
                let step = after.get(&row)?;
                bytes.push(step.byte);
                row = step.to;
            }
            Some(bytes)
        };
        let shortest = rest(self.start).into_iter();
        let by_step = steps.iter().filter_map(|step| {
            let mut bytes = beginning(step.from);
            bytes.push(step.byte);
            bytes.extend(rest(step.to)?);
            Some(bytes)
        });
        let mut values: Vec<String> = Vec::new();
        for value in shortest
            .chain(by_step)
            .filter_map(|bytes| String::from_utf8(bytes).ok())
        {
            if values.len() >= max {
                break;
            }
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values
    }

    /// All steps between living rows, nearer to the start first, one for each class of bytes.
    fn steps(&self) -> Vec<Step> {
        let nice = [b'a'..=b'z', b'0'..=b'9', b'A'..=b'Z', b'!'..=b'~', b' '..=b' '];
        let mut bytes: Vec<u8> = Vec::new();
        for byte in nice.into_iter().flatten() {
            if bytes.iter().all(|known| self.class(*known) != self.class(byte)) {
                bytes.push(byte);
            }
        }
        let mut steps = Vec::new();
        let mut known = alloc::collections::BTreeSet::from([self.start]);
        let mut reached = VecDeque::from([self.start]);
        while let Some(from) = reached.pop_front() {
            for byte in &bytes {
                let to = self.cell(from, self.class(*byte));
                if to == DEAD {
                    continue;
                }
                steps.push(Step { from, byte: *byte, to });
                if known.insert(to) {
                    reached.push_back(to);
                }
            }
        }
        steps
    }

    /// From each row that is no match, the first step of a shortest way to one.
    fn ways_to_a_match(&self, steps: &[Step]) -> BTreeMap<u32, Step> {
        let mut into: BTreeMap<u32, Vec<Step>> = BTreeMap::new();
        for step in steps {
            into.entry(step.to).or_default().push(*step);
        }
        let rows = steps.iter().map(|step| step.to).chain([self.start]);
        let mut reached: VecDeque<u32> = rows.filter(|row| self.cell(*row, self.end) != 0).collect();
        let mut ways: BTreeMap<u32, Step> = BTreeMap::new();
        while let Some(row) = reached.pop_front() {
            for step in into.remove(&row).unwrap_or_default() {
                if self.cell(step.from, self.end) == 0 && !ways.contains_key(&step.from) {
                    ways.insert(step.from, step);
                    reached.push_back(step.from);
                }
            }
        }
        ways
    }
}

#[cfg(test)]
mod tests {
    use super::super::compile;

    #[test]
    fn examples_match_and_take_each_step() {
        for (pattern, values) in [
            ("/v[0-9]+/x", &["/v0/x", "/v00/x"][..]),
            ("a|bc?", &["a", "b", "bc"]),
            ("", &[""]),
            ("(ab)*", &["", "ab"]),
            (".*", &["", "a"]),
            ("[^a]", &["b", "0"]),
            ("x{3}", &["xxx"]),
        ] {
            assert_eq!(compile(pattern).unwrap().examples(8), values, "{pattern}");
        }
        for pattern in [
            "(?i)gpt-[0-9.]+(-mini)?",
            "/(?:api|v[12])/.*",
            "[a-z]{2,9}@x",
            "\\d+|red",
        ] {
            let regex = compile(pattern).unwrap();
            let examples = regex.examples(64);
            assert!(!examples.is_empty() && examples.len() <= 64);
            for value in examples {
                assert!(regex.matches(value.as_bytes()), "{pattern} {value}");
            }
        }
    }
}
