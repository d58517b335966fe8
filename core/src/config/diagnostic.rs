//! What is wrong with a configuration, and where: for people and for machines.
//!
//! The loader and the compiler push [`Diagnostic`]s and go on, so that one run
//! reports every problem. Rendering with a source excerpt is
//! [`Diagnostic::render`]'s job and looks the same in the terminal, in the
//! browser and in a reload's log line; [`Diagnostic::placed`] is the form for
//! machines.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::Serialize;

use crate::limits::DIAGNOSTICS_MAX;

/// One configuration text: a file, standard input, an editor tab, or a part of one.
#[derive(Debug, Clone)]
pub struct Source {
    /// What people call it: the path as given, `<stdin>`, the tab's title.
    pub name: Arc<str>,
    /// The text.
    pub text: String,
    /// Whether it is no file of resources but a MeshConfig by itself.
    pub is_mesh_config: bool,
    /// Lines of the file before the text, when it is a part of one.
    pub(crate) lines_before: u32,
    /// Where it stands among the others; of those of one rank the first comes first.
    pub(crate) rank: u32,
    /// Why its text is not all there.
    pub(crate) flaw: Option<Flaw>,
}

/// Why the text of a source is not all there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// After the text comes a byte that is no UTF-8 there.
    WrongEncoding {
        /// The byte.
        byte: u8,
        /// Whether the file begins as UTF-16 does.
        is_utf16: bool,
    },
    /// It is a directory without a file to read.
    EmptyDirectory,
}

/// Byte order marks of UTF-16.
const UTF16_MARKS: [&[u8]; 2] = [&[0xff, 0xfe], &[0xfe, 0xff]];

impl Source {
    /// A whole file of resources.
    #[must_use]
    pub fn new(name: String, text: String) -> Self {
        Self {
            name: name.into(),
            text,
            is_mesh_config: false,
            lines_before: 0,
            rank: 0,
            flaw: None,
        }
    }

    /// Whether it was read and nothing is in it, not even a comment.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.flaw.is_none() && self.text.trim().is_empty()
    }

    /// A whole file of resources as it was read: its text ends where it is no UTF-8.
    #[must_use]
    pub fn from_bytes(name: String, bytes: Vec<u8>) -> Self {
        let error = match String::from_utf8(bytes) {
            Ok(text) => return Self::new(name, text),
            Err(error) => error,
        };
        let valid = error.utf8_error().valid_up_to();
        let mut bytes = error.into_bytes();
        let flaw = Flaw::WrongEncoding {
            byte: bytes.get(valid).copied().unwrap_or_default(),
            is_utf16: UTF16_MARKS.iter().any(|mark| bytes.starts_with(mark)),
        };
        bytes.truncate(valid);
        let text = String::from_utf8(bytes).unwrap_or_default();
        Self {
            flaw: Some(flaw),
            ..Self::new(name, text)
        }
    }

    /// What was to be read, and could not be.
    #[must_use]
    pub fn without_text(name: String, flaw: Flaw) -> Self {
        Self {
            flaw: Some(flaw),
            ..Self::new(name, String::new())
        }
    }

    /// A whole file that is a MeshConfig by itself.
    #[must_use]
    pub fn mesh_config(name: String, text: String) -> Self {
        Self::new(name, text).as_mesh_config()
    }

    /// The same file, which is a MeshConfig by itself.
    #[must_use]
    pub fn as_mesh_config(self) -> Self {
        Self {
            is_mesh_config: true,
            ..self
        }
    }

    /// Whether it is the rest of the file that the one before it belongs to.
    #[cfg(feature = "yaml")]
    pub(crate) fn goes_on(&self) -> bool {
        self.lines_before > 0
    }
}

/// A byte range in one [`Source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Location {
    /// Index of the source in the slice that was loaded.
    pub source: u32,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Location {
    /// The text that it is in.
    #[must_use]
    pub fn source(self, sources: &[Source]) -> Option<&Source> {
        sources.get(usize::try_from(self.source).ok()?)
    }

    /// What comes first in the files is the lesser.
    pub(crate) fn order(self, sources: &[Source]) -> impl Ord + use<> {
        let rank = self.source(sources).map_or(u32::MAX, |source| source.rank);
        (rank, self.source, self.start)
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Works, but probably not as meant.
    Warning,
    /// The configuration is refused.
    Error,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Stable identifier in kebab case, e.g. `unknown-field`. Listed in `docs/diagnostics.md`.
    pub code: &'static str,
    /// What was found and what is wrong with it: lower case, no full stop, input in backticks.
    pub message: String,
    /// The place the message is about.
    pub at: Location,
    /// Dotted path of the field within its resource, e.g. `spec.rules[0].backendRefs`; empty when there is none.
    pub field: String,
    /// What to do: the nearest right name, the allowed values.
    pub help: Option<String>,
}

/// The findings so far: the first [`DIAGNOSTICS_MAX`] of them, and how many more there were.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    findings: Vec<Diagnostic>,
    /// The latest finding that found no room, for its maker to write into.
    beyond: Option<Diagnostic>,
    omitted: usize,
    errors: usize,
}

impl Diagnostics {
    /// Adds an error.
    pub fn error(&mut self, code: &'static str, at: Location, message: impl Into<String>) -> &mut Diagnostic {
        self.errors += 1;
        self.push(Severity::Error, code, at, message.into())
    }

    /// Adds a warning.
    pub fn warning(&mut self, code: &'static str, at: Location, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Warning, code, at, message.into())
    }

    /// Whether any finding, also an omitted one, refuses the configuration.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// How many errors there were, omitted ones included.
    #[must_use]
    pub fn error_count(&self) -> usize {
        self.errors
    }

    /// The findings, in the order they were made.
    #[must_use]
    pub fn as_slice(&self) -> &[Diagnostic] {
        &self.findings
    }

    /// How many findings there were beyond those of [`Self::as_slice`].
    #[must_use]
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// How many findings there were, omitted ones included.
    #[cfg(feature = "yaml")]
    pub(crate) fn count(&self) -> usize {
        self.findings.len().saturating_add(self.omitted)
    }

    /// Whether all errors but the first `before` have the code.
    #[cfg(feature = "yaml")]
    pub(crate) fn has_only_since(&self, before: usize, code: &str) -> bool {
        let errors = self
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error);
        self.errors == before || !self.is_full() && errors.skip(before).all(|finding| finding.code == code)
    }

    /// Whether further findings are only counted, so that their details need no work.
    pub(crate) fn is_full(&self) -> bool {
        self.findings.len() >= DIAGNOSTICS_MAX
    }

    /// Puts the findings in the order of the text they are about.
    ///
    /// `sources` is the slice that was loaded.
    pub fn sort_by_place(&mut self, sources: &[Source]) {
        let place = |finding: &Diagnostic| finding.at.order(sources);
        let mut sorted: Vec<Diagnostic> = Vec::with_capacity(self.findings.len());
        // There are few (`DIAGNOSTICS_MAX`) and a sort of their own would be 4 KB of the simulator.
        for finding in core::mem::take(&mut self.findings) {
            let index = sorted.partition_point(|before| place(before) <= place(&finding));
            sorted.insert(index, finding);
        }
        self.findings = sorted;
    }

    #[expect(clippy::expect_used, reason = "the element was pushed on the line before")]
    fn push(&mut self, severity: Severity, code: &'static str, at: Location, message: String) -> &mut Diagnostic {
        let finding = Diagnostic {
            severity,
            code,
            message,
            at,
            field: String::new(),
            help: None,
        };
        if self.is_full() {
            self.omitted += 1;
            return self.beyond.insert(finding);
        }
        self.findings.push(finding);
        self.findings.last_mut().expect("just pushed")
    }
}

impl Diagnostic {
    /// Adds what to do about it.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Names the field within its resource.
    pub fn field(&mut self, field: impl Into<String>) -> &mut Self {
        self.field = field.into();
        self
    }
}

/// A [`Diagnostic`] with its place in lines and columns, as `check -o json` and editors want it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlacedDiagnostic<'d> {
    /// Error or warning.
    pub severity: Severity,
    /// As [`Diagnostic::code`].
    pub code: &'static str,
    /// As [`Diagnostic::message`].
    pub message: &'d str,
    /// Name of the source.
    pub file: &'d str,
    /// Line of the first character, from 1.
    pub line: u32,
    /// Column of the first character, from 1, in characters.
    pub column: u32,
    /// Line of the end.
    pub end_line: u32,
    /// Column one past the last character.
    pub end_column: u32,
    /// As [`Diagnostic::field`].
    #[serde(skip_serializing_if = "str::is_empty")]
    pub field: &'d str,
    /// As [`Diagnostic::help`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<&'d str>,
}

impl Diagnostic {
    /// The finding with lines and columns. `sources` is the slice that was loaded.
    #[must_use]
    pub fn placed<'d>(&'d self, sources: &'d [Source]) -> PlacedDiagnostic<'d> {
        let source = self.at.source(sources);
        let place = |offset| source.map_or((1, 1), |source| line_column(source, offset));
        let (line, column) = place(self.at.start);
        let (end_line, end_column) = place(self.at.end.max(self.at.start));
        PlacedDiagnostic {
            severity: self.severity,
            code: self.code,
            message: &self.message,
            file: source.map_or("", |source| &source.name),
            line,
            column,
            end_line,
            end_column,
            field: &self.field,
            help: self.help.as_deref(),
        }
    }
}

/// Line in the file and column of a byte offset, both from 1, columns in characters. Offsets past the end are the end's.
#[must_use]
pub fn line_column(source: &Source, offset: u32) -> (u32, u32) {
    let (line_start, offset) = line_start(&source.text, offset);
    let before = source.text.get(..line_start).unwrap_or_default();
    let lines = memchr::memchr_iter(b'\n', before.as_bytes()).count();
    let column = source.text.get(line_start..offset).unwrap_or_default().chars().count() + 1;
    let line = u32::try_from(lines)
        .ok()
        .and_then(|lines| lines.checked_add(source.lines_before)?.checked_add(1));
    (line.unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// First byte of the line that holds `offset`, and `offset` itself moved onto a character of the text.
pub(crate) fn line_start(text: &str, offset: u32) -> (usize, usize) {
    let mut offset = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = text.get(..offset).unwrap_or_default();
    let start = memchr::memrchr(b'\n', before.as_bytes()).map_or(0, |newline| newline + 1);
    (start, offset)
}
