//! The conditions of a match of VirtualServices, which LLMRoutes of `lockgate.dev` have too.

use alloc::vec::Vec;

use super::conditions;
use crate::claims::PATH_SEPARATOR;
use crate::compile::rows::{RowWriter, number};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{HeaderKey, HttpMatch, Spanned, StringMatch};
use crate::tables::{ConditionRow, MatchedPath, Subject, Test};

/// Adds what the match asks of a request, and says what of its path a rewrite takes the place of. `None` when something in
/// it can never hold, which has been said.
pub(super) fn conditions(
    one: &HttpMatch,
    conditions: &mut Vec<ConditionRow>,
    rows: &mut RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<MatchedPath> {
    let mut writer = Writer {
        rows,
        diagnostics,
        conditions,
    };
    let matched = writer.uri(one)?;
    for (subject, wanted) in [
        (Subject::Method, &one.also.method),
        (Subject::Scheme, &one.also.scheme),
        (Subject::RawAuthority, &one.also.authority),
    ] {
        if let Some(wanted) = wanted {
            writer.push(subject, wanted, false)?;
        }
    }
    for (key, wanted) in &one.also.headers {
        let subject = writer.subject(key);
        writer.push(subject, wanted, false)?;
    }
    for (key, wanted) in &one.also.without_headers {
        let subject = writer.subject(key);
        writer.push(subject, wanted, true)?;
    }
    for (name, wanted) in &one.also.query_params {
        let subject = Subject::QueryParam(writer.rows.text(name));
        writer.push(subject, wanted, false)?;
    }
    Some(matched)
}

struct Writer<'r, 's> {
    rows: &'r mut RowWriter<'s>,
    diagnostics: &'r mut Diagnostics,
    conditions: &'r mut Vec<ConditionRow>,
}

impl Writer<'_, '_> {
    /// Adds the condition on the path. The prefix `/` is none: every path has it.
    fn uri(&mut self, one: &HttpMatch) -> Option<MatchedPath> {
        const EVERY_PATH: MatchedPath = MatchedPath::Prefix(1);
        let Some(uri) = &one.uri else { return Some(EVERY_PATH) };
        let matched = match &uri.value {
            StringMatch::Present => return Some(EVERY_PATH),
            StringMatch::Prefix(prefix) if **prefix == *"/" => return Some(EVERY_PATH),
            StringMatch::Prefix(prefix) => MatchedPath::Prefix(number(prefix.len())),
            StringMatch::Exact(_) | StringMatch::Regex(_) => MatchedPath::Whole,
        };
        let test = match conditions::test(uri, self.rows, self.diagnostics)? {
            Test::Exact(path) if one.ignore_uri_case => Test::ExactAnyCase(path),
            Test::Prefix(prefix) if one.ignore_uri_case => Test::PrefixAnyCase(prefix),
            test => test,
        };
        self.conditions.push(ConditionRow {
            subject: Subject::Path,
            test,
            negated: false,
        });
        Some(matched)
    }

    fn push(&mut self, subject: Subject, wanted: &Spanned<StringMatch>, negated: bool) -> Option<()> {
        let test = conditions::test(wanted, self.rows, self.diagnostics)?;
        self.conditions.push(ConditionRow { subject, test, negated });
        Some(())
    }

    fn subject(&mut self, key: &HeaderKey) -> Subject {
        match key {
            HeaderKey::Field(name) => Subject::Header(self.rows.text(name)),
            HeaderKey::Authority => Subject::RawAuthority,
            HeaderKey::Method => Subject::Method,
            HeaderKey::Scheme => Subject::Scheme,
            HeaderKey::Claim(names) => {
                let mut separator = [0; 4];
                Subject::Claim(self.rows.text(&names.join(PATH_SEPARATOR.encode_utf8(&mut separator))))
            }
        }
    }
}
