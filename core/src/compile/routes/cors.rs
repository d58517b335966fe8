//! `corsPolicy`: istiod's `TranslateCORSPolicy`.

use alloc::string::String;

use super::conditions;
use crate::compile::rows::{RowWriter, append, number};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::CorsPolicy;
use crate::tables::{CorsRow, Span};

/// An index into `cors`.
pub(super) fn compile(policy: &CorsPolicy, rows: &mut RowWriter<'_>, diagnostics: &mut Diagnostics) -> u32 {
    let mut origins = alloc::vec::Vec::new();
    for origin in &policy.origins {
        origins.extend(conditions::test(origin, rows, diagnostics));
    }
    let row = CorsRow {
        origins: append(&mut rows.rows.cors_origins, origins),
        methods: list(&policy.methods, rows),
        headers: list(&policy.headers, rows),
        exposed: list(&policy.exposed, rows),
        max_age: policy.max_age_s.map(|seconds| rows.text(&alloc::format!("{seconds}"))),
        credentials: policy.credentials,
        forwards_unmatched: policy.forwards_unmatched,
    };
    rows.rows.cors.push(row);
    number(rows.rows.cors.len().saturating_sub(1))
}

fn list(items: &[String], rows: &mut RowWriter<'_>) -> Option<Span> {
    (!items.is_empty()).then(|| rows.text(&items.join(",")))
}
