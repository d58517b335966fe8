//! The process's own log: what it did, one line an event, on standard error.
//!
//! Requests are not logged here but in the access log ([`crate::access`]).

use std::io::Write;
use std::sync::OnceLock;
use std::time::SystemTime;

use lockgate_core::config::diagnostic::{Diagnostics, Source};

use crate::clock::write_rfc3339;
use crate::config;
use crate::json::write_string;

/// The shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

static FORMAT: OnceLock<Format> = OnceLock::new();

/// Sets the format, once, before the first event. Without it events are text.
pub(crate) fn set_format(format: Format) {
    let _ = FORMAT.set(format);
}

/// Something went as it should.
pub(crate) fn info(message: &str, fields: &[(&str, &str)]) {
    event("info", message, fields);
}

/// Something is wrong, and the process goes on.
pub(crate) fn warning(message: &str, fields: &[(&str, &str)]) {
    event("warning", message, fields);
}

/// What was found in a configuration that is used all the same.
pub(crate) fn findings(diagnostics: &Diagnostics, sources: &[Source]) {
    if format() == Format::Text {
        eprint!("{}", config::render(diagnostics, sources));
        return;
    }
    for finding in diagnostics.as_slice() {
        let placed = finding.placed(sources);
        let at = format!("{}:{}:{}", placed.file, placed.line, placed.column);
        let mut fields = vec![("code", placed.code), ("at", &at)];
        fields.extend((!placed.field.is_empty()).then_some(("field", placed.field)));
        fields.extend(placed.help.map(|help| ("help", help)));
        warning(placed.message, &fields);
    }
    if diagnostics.omitted() > 0 {
        warning(
            "more was found than is told",
            &[("findings", &diagnostics.omitted().to_string())],
        );
    }
}

fn format() -> Format {
    FORMAT.get().copied().unwrap_or(Format::Text)
}

fn event(level: &str, message: &str, fields: &[(&str, &str)]) {
    let mut line = Vec::with_capacity(256);
    match format() {
        Format::Json => json_line(&mut line, level, message, fields),
        Format::Text => text_line(&mut line, level, message, fields),
    }
    line.push(b'\n');
    // Nobody is left to tell when standard error is gone.
    let _ = std::io::stderr().write_all(&line);
}

fn json_line(line: &mut Vec<u8>, level: &str, message: &str, fields: &[(&str, &str)]) {
    line.extend_from_slice(b"{\"time\":\"");
    write_rfc3339(line, SystemTime::now());
    line.extend_from_slice(b"\",\"level\":");
    write_string(line, level.as_bytes());
    line.extend_from_slice(b",\"message\":");
    write_string(line, message.as_bytes());
    for (name, value) in fields {
        line.push(b',');
        write_string(line, name.as_bytes());
        line.push(b':');
        write_string(line, value.as_bytes());
    }
    line.push(b'}');
}

fn text_line(line: &mut Vec<u8>, level: &str, message: &str, fields: &[(&str, &str)]) {
    write_rfc3339(line, SystemTime::now());
    line.push(b' ');
    line.extend_from_slice(level.as_bytes());
    line.push(b' ');
    line.extend_from_slice(message.as_bytes());
    for (name, value) in fields {
        line.push(b' ');
        line.extend_from_slice(name.as_bytes());
        line.push(b'=');
        // Rendered diagnostics span lines on purpose; they come from the operator's own files.
        line.extend_from_slice(value.as_bytes());
    }
}
