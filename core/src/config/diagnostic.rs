//! What is wrong with a configuration, and where: for people and for machines.
//!
//! The loader and the compiler push [`Diagnostic`]s and go on, so that one run
//! reports every problem. Rendering with a source excerpt is
//! [`Diagnostic::render`]'s job and looks the same in the terminal, in the
//! browser and in a reload's log line.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

/// One configuration text: a file, standard input, or an editor tab.
#[derive(Debug, Clone)]
pub struct Source {
    /// What people call it: the path as given, `<stdin>`, the tab's title.
    pub name: String,
    /// The text.
    pub text: String,
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

/// The findings so far.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Adds an error.
    pub fn error(&mut self, code: &'static str, at: Location, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Error, code, at, message.into())
    }

    /// Adds a warning.
    pub fn warning(&mut self, code: &'static str, at: Location, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Warning, code, at, message.into())
    }

    /// Whether any finding refuses the configuration.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// The findings, in the order they were made.
    #[must_use]
    pub fn as_slice(&self) -> &[Diagnostic] {
        &self.0
    }

    #[expect(clippy::expect_used, reason = "the element was pushed on the line before")]
    fn push(&mut self, severity: Severity, code: &'static str, at: Location, message: String) -> &mut Diagnostic {
        self.0.push(Diagnostic {
            severity,
            code,
            message,
            at,
            field: String::new(),
            help: None,
        });
        self.0.last_mut().expect("just pushed")
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
