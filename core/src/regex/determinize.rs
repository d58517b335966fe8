//! The subset construction: an NFA to the table of a DFA that is asked about whole values.
//!
//! `regex-automata` has one too, which also searches within values, tells which
//! of several patterns matched, minimizes and accelerates; that is a twelfth of
//! the simulator. The tests hold this one against it.
//!
//! A state of the DFA is a set of states of the NFA. An assertion, such as `$`
//! or `\b`, waits in the set until the byte behind it is known.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use regex_automata::nfa::thompson::{NFA, State};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;

use super::{DEAD, Regex};

/// The DFA of `nfa`; `None` when its table, or the sets that it stands for, would have more than `bytes_max` bytes.
pub(super) fn determinize(nfa: &NFA, bytes_max: usize) -> Option<Regex> {
    let classes = core::array::from_fn(|byte| u8::try_from(byte).map_or(0, |byte| nfa.byte_classes().get(byte)));
    let last = classes.iter().copied().max().unwrap_or_default();
    let mut builder = Builder {
        nfa,
        asks_before: !nfa.look_set_any().remove(Look::Start).remove(Look::End).is_empty(),
        columns: usize::from(last) + 2,
        table: Vec::new(),
        rows: BTreeMap::new(),
        pending: Vec::new(),
        sets_bytes: 0,
        bytes_max,
        visited: vec![0; nfa.states().len()],
        round: 0,
    };
    builder.row(Set::default())?;
    let start = builder.closed(vec![nfa.start_anchored()], None);
    let start = builder.row(start)?;
    let first_of_class = |class: u8| (0..=u8::MAX).find(|byte| classes.get(usize::from(*byte)) == Some(&class));
    let bytes: Vec<u8> = (0..=last).filter_map(first_of_class).collect();
    while let Some((row, set)) = builder.pending.pop() {
        let mut columns = Vec::with_capacity(builder.columns);
        for byte in &bytes {
            let next = builder.next(&set, *byte);
            columns.push(builder.row(next)?);
        }
        columns.push(u32::from(builder.accepts(&set)));
        let cells = builder.table.iter_mut().skip(row as usize);
        cells.zip(columns).for_each(|(cell, column)| *cell = column);
    }
    Some(Regex {
        classes,
        start,
        end: usize::from(last) + 1,
        table: builder.table.into(),
        beginning: [].into(),
    })
}

/// What a state of the DFA stands for.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Set {
    /// The byte before, as far as assertions of the set ask for it; `None` at the beginning.
    before: Option<u8>,
    /// Those that read a byte, match, or assert something; sorted.
    states: Vec<StateID>,
}

struct Builder<'n> {
    nfa: &'n NFA,
    /// Whether there are assertions about the byte before, other than that there is none.
    asks_before: bool,
    columns: usize,
    table: Vec<u32>,
    /// Where in the table each set has its row.
    rows: BTreeMap<Set, u32>,
    /// Rows that are not filled yet.
    pending: Vec<(u32, Set)>,
    sets_bytes: usize,
    bytes_max: usize,
    /// By state of the NFA: the round of [`Builder::follow`] that came by it last.
    visited: Vec<usize>,
    round: usize,
}

impl Builder<'_> {
    /// The row of `set`, which is new or known.
    fn row(&mut self, set: Set) -> Option<u32> {
        if let Some(row) = self.rows.get(&set) {
            return Some(*row);
        }
        let row = u32::try_from(self.table.len()).ok()?;
        self.table.resize(self.table.len() + self.columns, DEAD);
        self.sets_bytes += size_of::<Set>() + size_of_val(set.states.as_slice());
        if self.table.len() * size_of::<u32>() > self.bytes_max || self.sets_bytes > self.bytes_max {
            return None;
        }
        self.pending.push((row, set.clone()));
        self.rows.insert(set, row);
        Some(row)
    }

    /// Where `byte` leads from `set`.
    fn next(&mut self, set: &Set, byte: u8) -> Set {
        let states = self.asserted(set, Some(byte));
        let next = states.iter().filter_map(|id| match self.nfa.state(*id) {
            State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
            State::Sparse(transitions) => transitions.matches_byte(byte),
            State::Dense(transitions) => transitions.matches_byte(byte),
            _ => None,
        });
        self.closed(next.collect(), Some(byte))
    }

    /// Whether a value may end at `set`.
    fn accepts(&mut self, set: &Set) -> bool {
        let states = self.asserted(set, None);
        states
            .iter()
            .any(|id| matches!(self.nfa.state(*id), State::Match { .. }))
    }

    /// The set of `states` and of all that they lead to without a byte.
    fn closed(&mut self, states: Vec<StateID>, before: Option<u8>) -> Set {
        let states = self.follow(states, &|_| false);
        let before = before.map(|byte| if self.asks_before { byte } else { 0 });
        Set {
            before: before.filter(|_| self.asserts(&states)),
            states,
        }
    }

    /// The states of `set` and of all that its assertions lead to, now that the byte behind them is known; `None` is
    /// the end.
    fn asserted(&mut self, set: &Set, byte: Option<u8>) -> Vec<StateID> {
        if !self.asserts(&set.states) {
            return set.states.clone();
        }
        let around: Vec<u8> = set.before.into_iter().chain(byte).collect();
        let place = usize::from(set.before.is_some());
        let looks = self.nfa.look_matcher();
        self.follow(set.states.clone(), &|look| looks.matches(look, &around, place))
    }

    fn asserts(&self, states: &[StateID]) -> bool {
        states
            .iter()
            .any(|id| matches!(self.nfa.state(*id), State::Look { .. }))
    }

    /// `states` and all that they lead to without a byte, through assertions that hold; those that do not are kept.
    fn follow(&mut self, mut open: Vec<StateID>, holds: &dyn Fn(Look) -> bool) -> Vec<StateID> {
        let mut reached = Vec::new();
        self.round += 1;
        while let Some(id) = open.pop() {
            match self.visited.get_mut(id.as_usize()) {
                Some(visited) if *visited != self.round => *visited = self.round,
                _ => continue,
            }
            match self.nfa.state(id) {
                State::Union { alternates } => open.extend(alternates.iter()),
                State::BinaryUnion { alt1, alt2 } => open.extend([alt1, alt2]),
                State::Capture { next, .. } => open.push(*next),
                State::Look { look, next } if holds(*look) => open.push(*next),
                State::Fail => {}
                _ => reached.push(id),
            }
        }
        reached.sort_unstable();
        reached
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use proptest::prelude::*;
    use regex_automata::dfa::{Automaton, StartKind, dense};
    use regex_automata::nfa::thompson;
    use regex_automata::util::syntax;
    use regex_automata::{Anchored, Input, MatchKind};

    use crate::regex::automaton;

    /// Whether `value` as a whole matches, as `regex-automata`'s own construction has it.
    fn expected(pattern: &str, value: &[u8]) -> bool {
        let dfa = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .match_kind(MatchKind::All)
                    .start_kind(StartKind::Anchored),
            )
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(thompson::Config::new().utf8(false))
            .build(&format!(r"\A(?:{pattern})\z"))
            .unwrap();
        let input = Input::new(value).anchored(Anchored::Yes);
        dfa.try_search_fwd(&input).unwrap().is_some()
    }

    /// Patterns of few letters, so that values match, with all that decides by what stands beside it.
    fn patterns() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            6 => "[ab_ ]".prop_map(String::from),
            1 => prop::sample::select(std::vec![".", "[^a]", r"\w", r"\W", r"\s", "[a-z]", r"\n", r"\r", r"\xff", "é"])
                .prop_map(String::from),
            1 => prop::sample::select(std::vec![
                "^", "$", r"\A", r"\z", r"\b", r"\B", r"\b{start}", r"\b{end}", r"\b{start-half}", r"\b{end-half}",
            ])
            .prop_map(String::from),
        ];
        leaf.prop_recursive(5, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
                prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("(?:{})", parts.join("|"))),
                (
                    inner.clone(),
                    prop::sample::select(std::vec!["*", "+", "?", "*?", "{2}", "{0,2}"])
                )
                    .prop_map(|(inner, times)| format!("(?:{inner}){times}")),
                (inner, prop::sample::select(std::vec!["i", "m", "s", "R", "mR", "U"]))
                    .prop_map(|(inner, flags)| format!("(?{flags}:{inner})")),
            ]
        })
    }

    fn values() -> impl Strategy<Value = Vec<u8>> {
        let bytes: &[u8] = b"aaabbbAB__  \n\r\xff\xc3\xa9";
        prop::collection::vec(prop::sample::select(bytes), 0..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn matches_what_the_library_s_own_automaton_matches(
            pattern in patterns(),
            values in prop::collection::vec(values(), 1..24),
        ) {
            let regex = automaton(&pattern).unwrap();
            for value in values {
                prop_assert_eq!(regex.matches(&value), expected(&pattern, &value), "{:?} on {:?}", pattern, value);
            }
        }
    }
}
