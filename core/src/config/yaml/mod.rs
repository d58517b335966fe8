//! Text to trees: YAML events become [`Node`]s, one tree per document.
//!
//! What two readers of one file could understand differently is refused here:
//! duplicate keys, merge keys, keys that are not text, custom tags. Nesting and
//! what aliases expand to are bounded. A document that does not parse is
//! reported and left; reading goes on at the next `---`.

mod builder;
#[cfg(test)]
mod tests;

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle, Tag};

use super::diagnostic::{Diagnostics, Location, Source};
use super::mask::{is_masked, line_at};
use super::quote::{REDACTED, quoted};
use super::resource::Spanned;
use super::tree::{Entry, Meaning, Node, Scalar, Value};
use builder::{Builder, Content, Frame, Sized};

use crate::limits::{SOURCE_BYTES_MAX, YAML_ALIAS_NODES_MAX, YAML_DEPTH_MAX};

/// The documents of one source, one after the other; empty ones are left out, broken ones are reported and left out.
///
/// `alias_budget` is what aliases of the file may still expand to.
pub(crate) fn documents<'s>(
    source: &'s Source,
    index: u32,
    alias_budget: &'s mut usize,
    diagnostics: &mut Diagnostics,
) -> Documents<'s> {
    let mut text = source.text.as_str();
    if source.text.len() > SOURCE_BYTES_MAX {
        let at = Location {
            source: index,
            ..Location::default()
        };
        diagnostics.error(
            "source-too-large",
            at,
            format!(
                "the file has {} bytes, at most {SOURCE_BYTES_MAX} are read",
                source.text.len()
            ),
        );
        text = "";
    }
    Documents::new(text, Places::of_source(index, source.lines_before), alias_budget)
}

/// The documents of a text that may be a part of a source.
pub(crate) fn parse_at(text: &str, places: Places, diagnostics: &mut Diagnostics) -> Vec<Node> {
    let mut alias_budget = YAML_ALIAS_NODES_MAX;
    let mut documents = Documents::new(text, places, &mut alias_budget);
    core::iter::from_fn(|| documents.next(diagnostics)).collect()
}

/// What is still to be read of a text. One document is read at a time, so that no more than one tree is there at once.
pub(crate) struct Documents<'s> {
    parser: Parser<'s, StrInput<'s>>,
    places: Places,
    text: &'s str,
    /// Where lines end in YAML 1.1 only, unless it is between quotes.
    old_breaks: Vec<usize>,
    /// What aliases of this file may still expand to.
    alias_budget: &'s mut usize,
}

impl<'s> Documents<'s> {
    fn new(text: &'s str, places: Places, alias_budget: &'s mut usize) -> Self {
        let mut options = Options::default();
        // A missing anchor is reported with the advice it needs, and the rest of the document still read.
        options.emit_unresolved_aliases = true;
        options.block_nesting_limit = YAML_DEPTH_MAX;
        options.flow_nesting_limit = YAML_DEPTH_MAX;
        Self {
            parser: Parser::new_from_str_with_options(text, options),
            places,
            text,
            old_breaks: old_breaks(text),
            alias_budget,
        }
    }

    /// The next document; what is wrong with it or before it is reported.
    pub(crate) fn next(&mut self, diagnostics: &mut Diagnostics) -> Option<Node> {
        let reader = Reader {
            parser: &mut self.parser,
            places: self.places,
            text: self.text,
            old_breaks: &mut self.old_breaks,
            alias_budget: self.alias_budget,
            diagnostics,
        };
        reader.document()
    }
}

fn old_breaks(text: &str) -> Vec<usize> {
    if text.is_ascii() {
        return Vec::new();
    }
    let breaks = text.match_indices(['\u{85}', '\u{2028}', '\u{2029}']);
    breaks.map(|(at, _)| at).collect()
}

/// The key that YAML 1.1 readers replace by the fields of its value. It is reported and left out, quoted or not.
const MERGE_KEY: &str = "<<";

/// The document cannot be read further; why has been reported.
struct Abandoned;

struct Reader<'s, 'd> {
    parser: &'d mut Parser<'s, StrInput<'s>>,
    places: Places,
    text: &'s str,
    old_breaks: &'d mut Vec<usize>,
    alias_budget: &'d mut usize,
    diagnostics: &'d mut Diagnostics,
}

/// Spans of the parser to places.
#[derive(Clone, Copy)]
pub(crate) struct Places {
    source: u32,
    /// Lines of the file before the text.
    lines_before: u32,
    /// Where everything stands, when the text is not in the source as it is.
    all: Option<Location>,
}

impl Places {
    /// The text is that of the source, at the same places.
    pub(crate) fn of_source(source: u32, lines_before: u32) -> Self {
        Self {
            source,
            lines_before,
            all: None,
        }
    }

    /// The text stands somewhere within `at`, written in another way.
    pub(crate) fn all_at(at: Location) -> Self {
        Self {
            source: at.source,
            lines_before: 0,
            all: Some(at),
        }
    }

    fn of(self, span: Span) -> Location {
        if let Some(all) = self.all {
            return all;
        }
        let offset = |marker: granit_parser::Marker| {
            marker
                .byte_offset()
                .and_then(|offset| u32::try_from(offset).ok())
                .unwrap_or(0)
        };
        Location {
            source: self.source,
            start: offset(span.start),
            end: offset(span.end),
        }
    }
}

impl Reader<'_, '_> {
    fn document(mut self) -> Option<Node> {
        let mut builder = Builder::default();
        loop {
            let step = match self.parser.next_event() {
                None => {
                    self.refuse_old_break();
                    return None;
                }
                Some(Ok((event, span))) => self.step(&mut builder, event, span),
                Some(Err(error)) => {
                    self.syntax_error(&error);
                    Err(Abandoned)
                }
            };
            match step {
                Ok(None) => {}
                Ok(Some(document)) => {
                    builder = Builder::default();
                    if !document.is_null() {
                        return Some(document);
                    }
                }
                Err(Abandoned) => {
                    builder = Builder::default();
                    if !matches!(self.parser.proceed_next_document(), Ok(true)) {
                        return None;
                    }
                }
            }
        }
    }

    /// Takes one event in. The value is the document that it completed.
    fn step(&mut self, builder: &mut Builder, event: Event<'_>, span: Span) -> Result<Option<Node>, Abandoned> {
        let at = self.places.of(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = self.is_plain(style, tag.as_deref(), at);
                if matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) {
                    let offset = |marker: granit_parser::Marker| marker.byte_offset().unwrap_or(0);
                    let quoted = offset(span.start)..offset(span.end);
                    self.old_breaks.retain(|at| !quoted.contains(at));
                }
                let scalar = Scalar {
                    text: text.into_owned(),
                    plain,
                    written: None,
                };
                let node = Node {
                    at,
                    value: Value::Scalar(scalar),
                };
                self.place(builder, Sized::leaf(node), anchor)?;
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.collection_tag(tag, at);
                self.open(builder, Frame::new(at, anchor, style, Content::List(Vec::new())))?;
            }
            Event::MappingStart(style, anchor, tag) => {
                self.collection_tag(tag, at);
                self.open(builder, Frame::new(at, anchor, style, Content::Map(Vec::new())))?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(mut frame) = builder.open.pop() {
                    // A block's end event stands at whatever comes next.
                    if frame.style == StructureStyle::Flow {
                        frame.at.end = frame.at.end.max(at.end);
                    }
                    self.duplicate_keys(&frame);
                    let anchor = frame.anchor;
                    self.place(builder, frame.close(), anchor)?;
                }
            }
            Event::Alias(id) => {
                let node = self.expand(builder, id, at)?;
                self.place(builder, node, 0)?;
            }
            Event::UnresolvedAlias(name) => {
                self.unknown_anchor(&name, at);
                let nothing = Scalar {
                    text: format!("*{name}"),
                    plain: false,
                    written: None,
                };
                let node = Node {
                    at,
                    value: Value::Scalar(nothing),
                };
                self.place(builder, Sized::leaf(node), 0)?;
            }
            Event::DocumentEnd => return Ok(builder.root.take()),
            _ => {}
        }
        Ok(None)
    }

    /// Readers of YAML 1.1 find a field where others still see a comment.
    fn refuse_old_break(&mut self) {
        let Some(&start) = self.old_breaks.first() else { return };
        let character = self.text.get(start..).and_then(|rest| rest.chars().next());
        let end = start + character.map_or(0, char::len_utf8);
        let offset = |offset| u32::try_from(offset).unwrap_or_default();
        let at = self.places.all.unwrap_or(Location {
            source: self.places.source,
            start: offset(start),
            end: offset(end),
        });
        self.diagnostics
            .error(
                "old-line-break",
                at,
                "U+0085, U+2028 or U+2029 ends a line for some readers, and for others not",
            )
            .help("remove it, or write it between quotes");
    }

    fn open(&mut self, builder: &mut Builder, frame: Frame) -> Result<(), Abandoned> {
        if builder.open.last().is_some_and(Frame::wants_key) {
            let help = foreign_help(self.text, frame.at.start);
            let message = "a key must be text, found a list or a map";
            let finding = self.diagnostics.error("invalid-key", frame.at, message);
            if let Some(help) = help {
                finding.help(help);
            }
            return Err(Abandoned);
        }
        if builder.open.len() >= YAML_DEPTH_MAX {
            self.depth_error(frame.at);
            return Err(Abandoned);
        }
        builder.open.push(frame);
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, builder: &mut Builder, node: Sized, anchor: usize) -> Result<(), Abandoned> {
        if builder.open.len() + node.height > YAML_DEPTH_MAX {
            self.depth_error(node.node.at);
            return Err(Abandoned);
        }
        if anchor != 0 {
            builder.set_anchor(anchor, node.clone());
        }
        let Some(frame) = builder.open.last_mut() else {
            builder.root = Some(node.node);
            return Ok(());
        };
        if frame.wants_key() {
            let key = self.key(node.node)?;
            frame.key = Some(key);
        } else {
            frame.push(node);
        }
        Ok(())
    }

    fn expand(&mut self, builder: &Builder, id: usize, at: Location) -> Result<Sized, Abandoned> {
        let Some(anchored) = builder.anchor(id) else {
            self.diagnostics
                .error("alias-limit", at, "the alias stands inside the value that it repeats");
            return Err(Abandoned);
        };
        match self.alias_budget.checked_sub(anchored.cost) {
            Some(rest) => *self.alias_budget = rest,
            None => {
                self.diagnostics
                    .error(
                        "alias-limit",
                        at,
                        format!("the aliases of this file expand to more than {YAML_ALIAS_NODES_MAX} values"),
                    )
                    .help("write the values out, or split the file");
                return Err(Abandoned);
            }
        }
        Ok(anchored.clone())
    }

    fn key(&mut self, node: Node) -> Result<Spanned<String>, Abandoned> {
        let at = node.at;
        let Value::Scalar(scalar) = node.value else {
            self.diagnostics
                .error("invalid-key", at, "a key must be text, found a list or a map");
            return Err(Abandoned);
        };
        if scalar.text == MERGE_KEY {
            self.diagnostics
                .error("merge-key", at, "merge keys (`<<`) are not supported")
                .help("write the fields out; Kubernetes does not know merge keys either");
        } else {
            let found = match scalar.meaning() {
                Meaning::Text => None,
                Meaning::Number if scalar.as_integer().is_some() => None,
                Meaning::Null => Some("nothing"),
                Meaning::Bool(_) => Some("a boolean"),
                Meaning::Number => Some("a number"),
            };
            if let Some(found) = found {
                self.diagnostics
                    .error("invalid-key", at, format!("a key must be text, found {found}"))
                    .help("put the key in quotes");
            }
        }
        Ok(Spanned { value: scalar.text, at })
    }

    fn duplicate_keys(&mut self, frame: &Frame) {
        let Content::Map(entries) = &frame.content else {
            return;
        };
        if entries.len() < 2 {
            return;
        }
        let mut sorted: Vec<&Entry> = entries.iter().collect();
        // Of equal keys the one that stands first stays first.
        sorted.sort_unstable_by_key(|entry| (&*entry.key.value, entry.key.at.start));
        for pair in sorted.windows(2) {
            if let [first, second] = pair
                && first.key.value == second.key.value
            {
                // Counting lines for findings that nobody sees would make a file of equal keys slow to refuse.
                let line = if self.diagnostics.is_full() {
                    0
                } else {
                    line_of(self.text, first.key.at.start) + self.places.lines_before as usize
                };
                let shown = self.quoted(&second.key.value, second.key.at);
                self.diagnostics
                    .error("duplicate-key", second.key.at, format!("{shown} is given twice"))
                    .help(format!("the first is on line {line}; keep one of them"));
            }
        }
    }

    /// Whether the scalar may mean something else than text.
    fn is_plain(&mut self, style: ScalarStyle, tag: Option<&Tag>, at: Location) -> bool {
        let plain = matches!(style, ScalarStyle::Plain);
        match tag.map(|tag| (tag, tag.core_suffix())) {
            None => plain,
            Some((_, Some("str"))) => false,
            Some((_, Some("int" | "float" | "bool" | "null"))) => true,
            Some((tag, _)) => {
                self.unknown_tag(tag, at);
                plain
            }
        }
    }

    fn collection_tag(&mut self, tag: Option<Cow<'_, Tag>>, at: Location) {
        if let Some(tag) = tag
            && !matches!(tag.core_suffix(), Some("map" | "seq"))
        {
            self.unknown_tag(&tag, at);
        }
    }

    fn unknown_tag(&mut self, tag: &Tag, at: Location) {
        let shown = self.quoted(&tag.original(), at);
        self.diagnostics
            .error("unknown-tag", at, format!("the tag {shown} is not supported"))
            .help("remove the tag; put text that begins with `!` in quotes");
    }

    fn unknown_anchor(&mut self, name: &str, at: Location) {
        let shown = self.quoted(&format!("*{name}"), at);
        let help = format!(
            "in YAML a leading `*` is an alias; quote the `*`: '{}'",
            shown.trim_matches('`')
        );
        self.diagnostics
            .error(
                "unknown-anchor",
                at,
                format!("{shown} refers to an anchor that does not exist"),
            )
            .help(help);
    }

    /// As a message shows it, and never what an excerpt would not.
    fn quoted(&self, text: &str, at: Location) -> String {
        // Where the text that is read is not in the file as it is, it says nothing about a place there.
        match self.places.all.is_some() || self.diagnostics.is_full() || is_masked(self.text, at) {
            true => REDACTED.into(),
            false => quoted(text),
        }
    }

    fn depth_error(&mut self, at: Location) {
        self.diagnostics
            .error("depth-limit", at, format!("nested deeper than {YAML_DEPTH_MAX} levels"));
    }

    fn syntax_error(&mut self, error: &ScanError) {
        let start = error
            .marker()
            .byte_offset()
            .and_then(|offset| u32::try_from(offset).ok())
            .unwrap_or(0);
        let at = self.places.all.unwrap_or(Location {
            source: self.places.source,
            start,
            end: start,
        });
        let kind = error.kind();
        if matches!(kind, ErrorKind::RecursionLimitExceeded) {
            return self.depth_error(at);
        }
        let finding = self.diagnostics.error("yaml-syntax", at, format!("{kind}"));
        if let Some(help) = syntax_help(kind, self.text, start) {
            finding.help(help);
        }
    }
}

fn syntax_help(kind: &ErrorKind, text: &str, offset: u32) -> Option<&'static str> {
    if let Some(help) = foreign_help(text, offset) {
        return Some(help);
    }
    match kind {
        ErrorKind::MissingAnchorOrAliasName => {
            Some("in YAML a leading `*` is an alias and `&` an anchor; quote the `*`: '*'")
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
            Some("put a value that holds `: ` in quotes, and check the indentation")
        }
        ErrorKind::UnexpectedCharacter {
            character: '`' | '@' | '%',
        } => Some("put a value that begins with this character in quotes"),
        ErrorKind::UnclosedQuotedScalar => Some("close the quote"),
        _ if is_after_dollar(text, offset) => Some("inside `{ }` and `[ ]`, put `${NAME}` in quotes"),
        _ if line_is_indented_by_tab(text, offset) => Some("indent with spaces: YAML does not allow tabs there"),
        _ => None,
    }
}

/// What is no YAML because it was to become some first, on the line of the offset or the one above.
fn foreign_help(text: &str, offset: u32) -> Option<&'static str> {
    let (start, line) = line_at(text, offset);
    let (_, above) = line_at(text, u32::try_from(start).ok()?.saturating_sub(1));
    [line, above].into_iter().find_map(|line| {
        let is = |mark: &str| line.trim_start().starts_with(mark);
        if line.contains("{{") {
            Some("`{{ }}` is not read: render the template first")
        } else if is("<<<<<<<") || is("=======") || is(">>>>>>>") {
            Some("a conflict of git's is not resolved here")
        } else {
            is("```").then_some("remove the Markdown around the document")
        }
    })
}

/// Whether the text before the offset ends with `$`: a variable in a flow collection, where `{` opens a map.
fn is_after_dollar(text: &str, offset: u32) -> bool {
    let (_, offset) = super::diagnostic::line_start(text, offset);
    text.get(..offset).is_some_and(|before| before.ends_with('$'))
}

fn line_is_indented_by_tab(text: &str, offset: u32) -> bool {
    let (start, _) = super::diagnostic::line_start(text, offset);
    text.get(start..)
        .unwrap_or_default()
        .chars()
        .take_while(|c| c.is_whitespace() && *c != '\n')
        .any(|c| c == '\t')
}

/// The line of the offset, from 1.
fn line_of(text: &str, offset: u32) -> usize {
    let (start, _) = super::diagnostic::line_start(text, offset);
    let before = text.get(..start).unwrap_or_default();
    memchr::memchr_iter(b'\n', before.as_bytes()).count() + 1
}
