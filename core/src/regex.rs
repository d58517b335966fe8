//! Regular expressions as Envoy applies them: RE2 syntax, the whole value,
//! linear time, and here also without allocation.
//!
//! Each pattern is compiled once to a DFA of bounded size and then only
//! walked. Classes are ASCII as in RE2 (`\d`, `\w`, `\s`, `(?i)`), and values
//! are bytes.

#[cfg(feature = "alloc")]
mod determinize;
#[cfg(feature = "alloc")]
mod examples;
#[cfg(feature = "alloc")]
mod foreign;

#[cfg(feature = "alloc")]
use regex_automata::nfa::thompson::{self, pikevm::PikeVM};

/// Where an automaton's words live: shared by its copies when there is an allocator, otherwise in a `static`.
#[cfg(feature = "alloc")]
type Words = alloc::sync::Arc<[u32]>;
#[cfg(not(feature = "alloc"))]
type Words = &'static [u32];

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Regex {
    /// The class of each byte: bytes of one class lead to the same.
    classes: [u8; 256],
    /// The row to begin with.
    start: u32,
    /// The column, behind those of the classes, that says whether a value may end here.
    end: usize,
    /// Rows of columns. A row is known by where it begins.
    table: Words,
    /// What all values begin with that match.
    #[cfg(feature = "alloc")]
    beginning: alloc::sync::Arc<[u8]>,
}

/// The row that no value comes back from.
const DEAD: u32 = 0;

impl Regex {
    /// Whether the whole of `value` matches.
    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        let mut row = self.start;
        for byte in value {
            row = self.cell(row, self.class(*byte));
            if row == DEAD {
                return false;
            }
        }
        self.cell(row, self.end) != 0
    }

    /// What all values begin with that match.
    #[cfg(feature = "alloc")]
    pub(crate) fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    #[cfg(feature = "alloc")]
    fn found_beginning(&self) -> alloc::vec::Vec<u8> {
        /// How many bytes a class has, and one of them.
        type Members = (u16, u8);
        let mut members: [Members; 256] = [(0, 0); 256];
        for byte in 0..=u8::MAX {
            if let Some((count, one)) = members.get_mut(self.class(byte)) {
                *count += 1;
                *one = byte;
            }
        }
        let mut beginning = alloc::vec::Vec::new();
        let mut row = self.start;
        // A pattern spells no more than it has bytes; what counts by repetition need not be followed to its end.
        while beginning.len() < crate::limits::REGEX_BYTES_MAX && self.cell(row, self.end) == 0 {
            let classes = (0..self.end).zip(&members);
            let mut leading_on = classes.filter(|(class, _)| self.cell(row, *class) != DEAD);
            let (Some((class, (1, byte))), None) = (leading_on.next(), leading_on.next()) else {
                break;
            };
            beginning.push(*byte);
            row = self.cell(row, class);
        }
        beginning
    }

    fn class(&self, byte: u8) -> usize {
        self.classes.get(usize::from(byte)).copied().unwrap_or_default().into()
    }

    fn cell(&self, row: u32, column: usize) -> u32 {
        self.table.get(row as usize + column).copied().unwrap_or(DEAD)
    }
}

/// Compiles a pattern, or says why not.
///
/// # Errors
/// A sentence for the user: bad syntax, a construct RE2 lacks, or an automaton over
/// [`crate::limits::REGEX_DFA_BYTES_MAX`].
#[cfg(feature = "alloc")]
pub(crate) fn compile(pattern: &str) -> Result<Regex, alloc::string::String> {
    foreign::refuse_foreign(pattern)?;
    automaton(pattern)
}

/// The same of whatever the parser reads.
#[cfg(feature = "alloc")]
fn automaton(pattern: &str) -> Result<Regex, alloc::string::String> {
    use alloc::format;

    use crate::limits::REGEX_DFA_BYTES_MAX;

    let regex = determinize::determinize(&nfa(pattern, REGEX_DFA_BYTES_MAX)?, REGEX_DFA_BYTES_MAX);
    let regex = regex.ok_or_else(|| {
        format!(
            "its automaton is larger than {} KiB; write it with fewer or smaller repetitions",
            REGEX_DFA_BYTES_MAX / 1024
        )
    })?;
    Ok(Regex {
        beginning: regex.found_beginning().into(),
        ..regex
    })
}

/// Compiles a pattern that is searched for anywhere in a value and whose groups count, or says why not. Such a search
/// allocates.
///
/// # Errors
/// As [`compile`].
#[cfg(feature = "alloc")]
pub(crate) fn searcher(pattern: &str) -> Result<PikeVM, alloc::string::String> {
    use alloc::string::ToString;

    foreign::refuse_foreign(pattern)?;
    let nfa = nfa(pattern, crate::limits::SUBSTITUTION_NFA_BYTES_MAX)?;
    PikeVM::new_from_nfa(nfa).map_err(|error| error.to_string())
}

/// The automaton that a pattern stands for.
#[cfg(feature = "alloc")]
fn nfa(pattern: &str, bytes_max: usize) -> Result<thompson::NFA, alloc::string::String> {
    use alloc::format;
    use alloc::string::ToString;

    use regex_automata::util::syntax;

    use crate::limits::REGEX_BYTES_MAX;

    if pattern.len() > REGEX_BYTES_MAX {
        return Err(format!(
            "it has {} bytes, at most {REGEX_BYTES_MAX} are allowed",
            pattern.len()
        ));
    }
    let ascii = syntax::Config::new().unicode(false).utf8(false);
    let parsed = syntax::parse_with(pattern, &ascii).map_err(|error| reason(&error))?;
    thompson::Compiler::new()
        .configure(thompson::Config::new().utf8(false).nfa_size_limit(Some(bytes_max)))
        .build_from_hir(&parsed)
        .map_err(|error| error.to_string())
}

/// The last line of a syntax error, without its label: the lines before it repeat the pattern.
#[cfg(feature = "alloc")]
fn reason(error: &impl alloc::string::ToString) -> alloc::string::String {
    let text = error.to_string();
    let last = text.lines().next_back().unwrap_or_default();
    last.trim_start_matches("error: ").into()
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;

    #[test]
    fn the_whole_value_must_match() {
        for (pattern, value, expected) in [
            ("2|20", "20", true),
            ("a.c", "abc", true),
            ("a.c", "xabc", false),
            ("a.c", "abcx", false),
            ("a.c", "a\nc", false),
            ("(?i)test\\.com", "TEST.com", true),
            ("gpt-.*", "gpt-4", true),
            ("", "", true),
            ("", "x", false),
            ("a$", "a", true),
            (r"\d+", "\u{0661}", false),
        ] {
            let regex = compile(pattern).unwrap();
            assert_eq!(regex.matches(value.as_bytes()), expected, "{pattern} on {value}");
        }
    }

    #[test]
    fn what_every_match_begins_with_is_known() {
        for (pattern, beginning) in [
            ("/api/v[0-9]+/users", "/api/v"),
            ("/a\\.json", "/a.json"),
            ("^/a$", "/a"),
            ("/ab*", "/a"),
            ("/ab?c", "/a"),
            ("/a|/b", "/"),
            ("/a|b", ""),
            ("(?i)/a", "/"),
            ("(/x(a|b))+", "/x"),
            ("a*", ""),
            ("", ""),
            (".*", ""),
            (r"\ba", "a"),
            ("a{3}.", "aaa"),
        ] {
            let regex = compile(pattern).unwrap();
            assert_eq!(regex.beginning(), beginning.as_bytes(), "{pattern}");
        }
    }

    #[test]
    fn what_re2_refuses_or_no_bounded_automaton_holds_is_refused() {
        let long = "a".repeat(crate::limits::REGEX_BYTES_MAX + 1);
        for pattern in [
            "(",
            "a)|(b",
            r"(a)\1",
            "(?=a)",
            "*",
            "[b-a]",
            "(a|b)*a(a|b){30}",
            "[a&&b]",
            &long,
        ] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }
}
