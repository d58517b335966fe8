//! From configuration text to snapshot in one call, the way every shell does it.

use alloc::string::String;
use alloc::vec::Vec;

use crate::compile::{self, Compiled, Regexes, Settings};
use crate::config::diagnostic::{Diagnostics, Source};
use crate::config::resource::Scenario;
use crate::config::{Document, Kept, LoadOptions, Loaded, load, load_again};

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
    let Loaded {
        mut resources,
        documents,
        mut diagnostics,
    } = load(sources, options);
    let compiled = compile::compile(&resources, sources, settings, &mut diagnostics);
    Built {
        compiled,
        scenarios: core::mem::take(&mut resources.scenarios),
        documents,
        diagnostics,
    }
}

/// What one build of a configuration keeps for the next, which then takes little more time than what changed: what was
/// read of each document, and the automata of regular expressions. What comes of it is the same.
#[derive(Default)]
pub struct Memory {
    kept: Kept,
    regexes: Regexes,
    ignored_kinds: Vec<String>,
}

impl Memory {
    /// [`build`], and the sources that its findings are about: the files cut into documents.
    #[must_use]
    pub fn build(
        &mut self,
        files: Vec<Source>,
        options: &LoadOptions<'_>,
        settings: &Settings,
    ) -> (Built, Vec<Source>) {
        if self.ignored_kinds != options.ignore_kinds {
            *self = Self {
                ignored_kinds: options.ignore_kinds.into(),
                ..Self::default()
            };
        }
        let sources = self.kept.cut(files);
        let Loaded {
            mut resources,
            documents,
            mut diagnostics,
        } = load_again(&sources, options, &mut self.kept);
        let known = &mut self.regexes;
        let compiled = compile::compile_again(&resources, &sources, settings, known, &mut diagnostics);
        let scenarios = core::mem::take(&mut resources.scenarios);
        self.kept.keep(resources, &documents);
        let built = Built {
            compiled,
            scenarios,
            documents,
            diagnostics,
        };
        (built, sources)
    }
}

impl core::fmt::Debug for Memory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}
