//! The names of the tools that a body offers, for policies that list them.
//!
//! A tool is named as its API names it: `tools[].function.name` and
//! `tools[].custom.name` (chat), `tools[].name` (responses, messages) and the older
//! `functions[].name`. What a
//! provider runs by itself is known by its type (`web_search_preview`), so the
//! type is a name too, unless it only says that the tool is the client's own. A
//! list that two readers could read differently is [`ToolNames::unclear`]: that
//! refuses nothing by itself, but no policy can be sure of it. So are tools inside
//! of others (`namespace`) and those that a client answers a search for tools with
//! (`input[].tools`): which names they go by is not settled. Members that bring
//! tools without any list of them are [`super::beside`].

use core::fmt;

use heapless::Vec;

use super::key::{self, Spelling};
use crate::limits::{TOOL_NAME_BYTES_MAX, TOOL_NAMES_MAX};
use crate::llm::json::Kind;
use crate::llm::text::Text;

// Positions are kept as u16.
const _: () = assert!(TOOL_NAME_BYTES_MAX <= u16::MAX as usize);

/// The member of a tool, or of an item, that brings more tools.
const MORE: &str = "tools";

/// Types of tools that the client defines itself.
const OWN_TYPES: [&[u8]; 2] = [b"function", b"custom"];

/// Bytes of a tool's type. The longest published one has 26.
const TYPE_BYTES: usize = 64;

/// What is read of the tools.
#[derive(Clone)]
pub(super) struct ToolNames {
    names: Text<TOOL_NAME_BYTES_MAX>,
    /// Where each name ends.
    ends: Vec<u16, TOOL_NAMES_MAX>,
    unclear: bool,
}

impl ToolNames {
    pub(super) const fn new() -> Self {
        Self {
            names: Text::new(),
            ends: Vec::new(),
            unclear: false,
        }
    }

    pub(super) fn clear(&mut self) {
        self.names.clear();
        self.ends.clear();
        self.unclear = false;
    }

    /// `None` when nobody can be sure of them.
    pub(super) fn get(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let mut start = 0;
        let names = self.ends.iter().map(move |end| {
            let end = usize::from(*end);
            let name = self.names.as_bytes().get(start..end).unwrap_or_default();
            start = end;
            name
        });
        (!self.unclear).then_some(names)
    }

    /// Nobody can be sure of them.
    pub(super) fn be_unclear(&mut self) {
        self.unclear = true;
    }

    /// Ends the name that was just written.
    fn end_name(&mut self) {
        let start = self.ends.last().map_or(0, |end| usize::from(*end));
        let end = self.names.as_bytes().len();
        let kept = u16::try_from(end).is_ok_and(|end| self.ends.push(end).is_ok());
        self.unclear |= !kept || end == start || self.names.is_overflown();
    }
}

impl fmt::Debug for ToolNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Some(names) => f.debug_list().entries(names.map(core::str::from_utf8)).finish(),
            None => f.write_str("unclear"),
        }
    }
}

/// A member of a tool that tells what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Name,
    Type,
    Definition,
}

const PARTS: [(Part, &str); 4] = [
    (Part::Name, "name"),
    (Part::Type, "type"),
    (Part::Definition, "function"),
    (Part::Definition, "custom"),
];

/// What a top-level member holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Tools,
    Items,
}

/// Gathers the names while the tokenizer runs. It is told of a list's members only.
#[derive(Debug)]
pub(super) struct ToolReader {
    /// What the top-level member being read may hold.
    open: Option<Holds>,
    /// The part whose value comes next or is being read.
    part: Option<Part>,
    in_definition: bool,
    /// What this tool has already said: its parts, and the name inside its definition.
    seen: Vec<(bool, Part), 4>,
    /// The tool has a name.
    named: bool,
    kind: Text<TYPE_BYTES>,
}

impl ToolReader {
    pub(super) const fn new() -> Self {
        Self {
            open: None,
            part: None,
            in_definition: false,
            seen: Vec::new(),
            named: false,
            kind: Text::new(),
        }
    }

    pub(super) fn close(&mut self) {
        self.open = None;
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// A top-level member with this in it begins.
    pub(super) fn open(&mut self, holds: Holds) {
        self.open = Some(holds);
    }

    /// Whether the text of a key is wanted.
    pub(super) fn wants_key(&mut self, depth: usize) -> bool {
        self.part = None;
        depth == 3 || (depth == 4 && self.in_definition)
    }

    /// A key of a tool, or of its definition; `None` when it is longer than any that tells something.
    pub(super) fn key_end(&mut self, depth: usize, key: Option<&[u8]>, names: &mut ToolNames) {
        let Some(key) = key.filter(|_| depth == 3 || self.in_definition) else {
            return;
        };
        names.unclear |= depth == 3 && key::spelling(key, MORE).is_some();
        if self.open == Some(Holds::Items) {
            return;
        }
        let inner = depth == 4;
        for (part, name) in PARTS.into_iter().filter(|(part, _)| !inner || *part == Part::Name) {
            match key::spelling(key, name) {
                Some(Spelling::Exact) => {
                    names.unclear |= self.seen.contains(&(inner, part)) || self.seen.push((inner, part)).is_err();
                    self.part = Some(part);
                }
                Some(Spelling::OtherCase) => names.unclear = true,
                None => {}
            }
        }
    }

    /// Whether what is inside a value is wanted: its text, or its members.
    pub(super) fn value(&mut self, depth: usize, kind: Kind, names: &mut ToolNames) -> bool {
        if self.open == Some(Holds::Items) {
            return matches!((depth, kind), (1, Kind::Array) | (2, Kind::Object));
        }
        match (depth, self.part, kind) {
            (1, _, Kind::Array) => true,
            (1, _, Kind::Null) => false,
            (2, _, Kind::Object) => {
                self.seen.clear();
                self.named = false;
                self.kind.clear();
                true
            }
            (3 | 4, Some(Part::Name), Kind::String) => true,
            (3, Some(Part::Type), Kind::String) => {
                self.kind.clear();
                true
            }
            (3, Some(Part::Definition), Kind::Object) => {
                self.in_definition = true;
                true
            }
            (3 | 4, None, _) => false,
            _ => {
                names.unclear = true;
                self.part = None;
                false
            }
        }
    }

    pub(super) fn text(&mut self, piece: &[u8], names: &mut ToolNames) {
        match self.part {
            Some(Part::Name) => names.names.push(piece),
            Some(Part::Type) => self.kind.push(piece),
            Some(Part::Definition) | None => {}
        }
    }

    pub(super) fn value_end(&mut self, depth: usize, names: &mut ToolNames) {
        match (depth, self.part.take()) {
            (2, _) if self.open == Some(Holds::Tools) => self.tool_end(names),
            (3 | 4, Some(Part::Name)) => {
                names.end_name();
                self.named = true;
            }
            _ => {}
        }
        if depth <= 3 {
            self.in_definition = false;
        }
    }

    fn tool_end(&mut self, names: &mut ToolNames) {
        let kind = self.kind.as_bytes();
        names.unclear |= self.kind.is_overflown();
        if kind.is_empty() || OWN_TYPES.contains(&kind) {
            names.unclear |= !self.named;
        } else {
            names.names.push(kind);
            names.end_name();
        }
    }
}
