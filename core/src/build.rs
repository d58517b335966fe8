//! From configuration text to snapshot in one call, the way every shell does it.

use alloc::vec::Vec;

use crate::compile::{self, Compiled, Settings};
use crate::config::diagnostic::{Diagnostics, Source};
use crate::config::resource::Scenario;
use crate::config::{Document, LoadOptions, load};

/// What came of a set of configuration texts.
#[derive(Debug)]
pub struct Built {
    /// What to serve; `None` when a diagnostic is an error.
    pub compiled: Option<Compiled>,
    /// The tests of it, for [`crate::scenario::run`].
    pub scenarios: Vec<Scenario>,
    /// The documents, redacted, for dumps.
    pub documents: Vec<Document>,
    /// Everything that is wrong or probably not meant.
    pub diagnostics: Diagnostics,
}

/// Loads and compiles `sources`.
#[must_use]
pub fn build(sources: &[Source], options: &LoadOptions<'_>, settings: &Settings) -> Built {
    let loaded = load(sources, options);
    let mut diagnostics = loaded.diagnostics;
    let compiled = compile::compile(&loaded.resources, sources, settings, &mut diagnostics);
    Built {
        compiled,
        scenarios: loaded.resources.scenarios,
        documents: loaded.documents,
        diagnostics,
    }
}
