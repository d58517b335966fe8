//! Where in a resource the check or the decoder is: `spec.rules[0].backendRefs`.

use alloc::string::{String, ToString};
use core::fmt;

use super::mask::is_hidden;
use super::quote::escaped;

/// A path from the resource's root, each step on the stack of the walk, so that only a finding makes a text of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FieldPath<'p> {
    Root,
    Field(&'p Self, &'p str),
    Index(&'p Self, usize),
}

impl<'p> FieldPath<'p> {
    /// What most kinds have their fields under.
    pub(crate) const SPEC: Self = Self::Field(&Self::Root, "spec");

    pub(crate) fn field(&'p self, name: &'p str) -> Self {
        Self::Field(self, name)
    }

    pub(crate) fn index(&'p self, index: usize) -> Self {
        Self::Index(self, index)
    }

    /// The last name in it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Root => "",
            Self::Field(_, name) => name,
            Self::Index(parent, _) => parent.name(),
        }
    }
}

impl From<&FieldPath<'_>> for String {
    fn from(path: &FieldPath<'_>) -> Self {
        path.to_string()
    }
}

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            // A key may stand where a name belongs.
            Self::Field(parent, name) if is_hidden(name) => write!(f, "{parent}[«redacted»]"),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(parent, name)
                if name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') =>
            {
                write!(f, "{parent}.{name}")
            }
            Self::Field(parent, name) => write!(f, "{parent}[\"{}\"]", escaped(name)),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}
