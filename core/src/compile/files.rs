//! Files that resources name and a shell reads: where they are named, for who finds that one is not there.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use super::Compiled;
use crate::config::diagnostic::{Diagnostics, Location, Severity};

/// A file with PEM text that a resource names.
#[derive(Debug, Clone)]
pub struct PemFile {
    /// Its path, as it is written there.
    pub path: Box<str>,
    /// Where that stands.
    pub at: Location,
    /// The field, or what holds it.
    pub field: Box<str>,
    /// What of the configuration needs it, for messages.
    pub of: Box<str>,
}

impl Compiled {
    /// Reports each file that is needed and cannot be read: for `fault` says why. Where nothing is served that is only
    /// a warning: files need not be where a configuration is checked.
    pub fn report_unreadable(
        &self,
        fault: &dyn Fn(&str) -> Option<String>,
        severity: Severity,
        diagnostics: &mut Diagnostics,
    ) {
        for file in &self.files {
            let is_needed = self.snapshot.files().any(|path| *path == *file.path);
            let Some(why) = is_needed.then(|| fault(&file.path)).flatten() else {
                continue;
            };
            let message = format!("{}: cannot read `{}`: {why}", file.of, file.path);
            let report = match severity {
                Severity::Error => diagnostics.error("unreadable-file", file.at, message),
                Severity::Warning => diagnostics.warning("unreadable-file", file.at, message),
            };
            report
                .field(&*file.field)
                .help("it is looked for where `serve` runs, relative to the directory that it runs in");
        }
    }
}
