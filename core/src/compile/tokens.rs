//! RequestAuthentications that select this gateway to token rules, ordered by issuer.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::rows::{RowWriter, append, number};
use super::targets::Targets;
use crate::claims::PATH_SEPARATOR;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{JwtKeys, JwtRule, RequestAuthentication, Resources, Spanned, TokenPlace};
use crate::snapshot::{KeySource, KeysFrom};
use crate::tables::{ClaimHeaderRow, KeySourceId, PlaceRow, Rows, Span, TokenRuleRow};
use crate::text_map::TextSet;

/// Where the keys come from; the rules go to `rows`.
pub(super) fn compile(
    resources: &Resources,
    targets: &Targets<'_>,
    rows: &mut RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<KeySource> {
    let mut rules: Vec<(&RequestAuthentication, usize, &JwtRule)> = Vec::new();
    for resource in selected(resources, targets) {
        for (index, rule) in resource.rules.iter().enumerate() {
            rules.push((resource, index, rule));
        }
    }
    rules.sort_by_key(|&(_, _, rule)| rule.issuer.as_ref().map(|issuer| &*issuer.value));
    let prefixes = prefixes(&rules);
    let mut sources = Vec::new();
    let mut written = Vec::new();
    for (resource, index, rule) in rules {
        refuse_repeated_headers(rule, index, diagnostics);
        warn_of_unforwarded(resources, rule, index, diagnostics);
        let row = compile_rule(resource, index, rule, &prefixes, &mut sources, rows);
        written.extend(row.payload_header);
        written.extend(
            row.claim_headers
                .of(&rows.rows.claim_headers)
                .iter()
                .map(|row| row.header),
        );
        rows.rows.token_rules.push(row);
    }
    written.sort_unstable();
    written.dedup();
    rows.rows.token_headers = written;
    sources
}

/// The resources that apply to this gateway.
fn selected<'c>(resources: &'c Resources, targets: &Targets<'_>) -> impl Iterator<Item = &'c RequestAuthentication> {
    let all = resources.request_authentications.iter();
    all.filter(|resource| targets.applies(&resource.meta, &resource.target))
}

fn compile_rule(
    resource: &RequestAuthentication,
    index: usize,
    rule: &JwtRule,
    prefixes: &[(&str, &str)],
    sources: &mut Vec<KeySource>,
    rows: &mut RowWriter<'_>,
) -> TokenRuleRow {
    let claim_headers: Vec<ClaimHeaderRow> = rule
        .claim_headers
        .iter()
        .map(|entry| ClaimHeaderRow {
            header: rows.text(&entry.header),
            claim: rows.text(&entry.claim.replace('.', &PATH_SEPARATOR.to_string())),
        })
        .collect();
    TokenRuleRow {
        issuer: rule.issuer.as_ref().map(|issuer| rows.text(issuer)),
        audiences: texts(&rule.audiences, rows),
        places: places(&rule.places, prefixes, rows),
        keys: keys(rule, sources, rows),
        payload_header: rule.payload_header.as_ref().map(|name| rows.text(name)),
        claim_headers: append(&mut rows.rows.claim_headers, claim_headers),
        split: texts(&rule.split, rows),
        forwards: rule.forwards.is_some(),
        label: rows.text(&format!("{}/{}", resource.meta.namespace, *resource.meta.name)),
        origin: rows.origin(&resource.meta, &format_args!("spec.jwtRules[{index}]"), rule.at),
    }
}

fn texts(list: &[Spanned<String>], rows: &mut RowWriter<'_>) -> Rows {
    let spans: Vec<Span> = list.iter().map(|text| rows.text(text)).collect();
    append(&mut rows.rows.token_texts, spans)
}

/// The names and prefixes of all fields where tokens are looked for, each once.
fn prefixes<'r>(rules: &[(&RequestAuthentication, usize, &'r JwtRule)]) -> Vec<(&'r str, &'r str)> {
    let places = rules.iter().flat_map(|(_, _, rule)| &rule.places);
    let mut prefixes: Vec<(&str, &str)> = places
        .filter_map(|place| match place {
            TokenPlace::Header { name, prefix } => Some((&**name, &**prefix)),
            TokenPlace::Param(_) | TokenPlace::Cookie(_) => None,
        })
        .collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}

/// Rules that look in the same place share its row, since a request has one token there. Of two prefixes that fit a line
/// the longer one takes it; if that is longer by blanks alone the token is the same, and the shorter one's rules see it.
fn places(list: &[TokenPlace], prefixes: &[(&str, &str)], rows: &mut RowWriter<'_>) -> Rows {
    let own = list.iter().map(|place| match place {
        TokenPlace::Header { name, prefix } => PlaceRow::Header {
            name: rows.text(name),
            prefix: rows.text(prefix),
        },
        TokenPlace::Param(name) => PlaceRow::Param(rows.text(name)),
        TokenPlace::Cookie(name) => PlaceRow::Cookie(rows.text(name)),
    });
    let mut places: Vec<PlaceRow> = own.collect();
    let with_blanks = |(name, longer): &&(&str, &str)| {
        list.iter().any(|place| match place {
            TokenPlace::Header { name: own, prefix } => {
                **own == **name && longer.strip_prefix(&**prefix).is_some_and(is_blank)
            }
            TokenPlace::Param(_) | TokenPlace::Cookie(_) => false,
        })
    };
    places.extend(
        prefixes
            .iter()
            .filter(with_blanks)
            .map(|(name, prefix)| PlaceRow::Header {
                name: rows.text(name),
                prefix: rows.text(prefix),
            }),
    );
    let ids: Vec<u32> = places
        .into_iter()
        .map(|row| {
            let known = rows.rows.token_places.iter().position(|known| *known == row);
            number(known.unwrap_or_else(|| {
                rows.rows.token_places.push(row);
                rows.rows.token_places.len().saturating_sub(1)
            }))
        })
        .collect();
    append(&mut rows.rows.token_place_ids, ids)
}

fn is_blank(text: &str) -> bool {
    !text.is_empty() && text.trim_ascii().is_empty()
}

/// Rules with the same source share it, so that it is fetched once.
fn keys(rule: &JwtRule, sources: &mut Vec<KeySource>, rows: &mut RowWriter<'_>) -> KeySourceId {
    let source = KeySource {
        from: match &rule.keys {
            JwtKeys::Inline(set) => KeysFrom::Inline(rows.secret(set)),
            JwtKeys::Url(url) => KeysFrom::Url(url.clone()),
            JwtKeys::Issuer(issuer) => KeysFrom::Issuer(issuer.clone()),
        },
        timeout_ms: rule.timeout_ms,
    };
    let known = sources.iter().position(|known| *known == source);
    KeySourceId(number(known.unwrap_or_else(|| {
        sources.push(source);
        sources.len().saturating_sub(1)
    })))
}

fn refuse_repeated_headers(rule: &JwtRule, index: usize, diagnostics: &mut Diagnostics) {
    let mut seen = TextSet::default();
    let names = rule.claim_headers.iter().map(|entry| &*entry.header);
    for name in names.chain(rule.payload_header.as_deref()) {
        if !seen.insert(name) {
            diagnostics
                .error(
                    "duplicate-name",
                    rule.at,
                    format!("two claims are written to the header `{name}`"),
                )
                .field(format!("spec.jwtRules[{index}].outputClaimToHeaders"))
                .help("give each a header of its own");
        }
    }
}

/// `forwardOriginalToken` is for plain hosts, and for tokens in header fields.
fn warn_of_unforwarded(resources: &Resources, rule: &JwtRule, index: usize, diagnostics: &mut Diagnostics) {
    let Some(at) = rule.forwards else { return };
    let is_named = |place: &TokenPlace| match place {
        TokenPlace::Header { .. } => false,
        TokenPlace::Param(name) => &**name != TokenPlace::PARAM_DEFAULT,
        TokenPlace::Cookie(_) => true,
    };
    let message = if !resources.llm_providers.is_empty() {
        "a model provider never gets a client's token, whatever this says"
    } else if rule.places.iter().any(is_named) {
        "a token in a parameter or a cookie never goes on, whatever this says"
    } else {
        return;
    };
    diagnostics
        .warning("token-not-forwarded", at, message)
        .field(format!("spec.jwtRules[{index}].forwardOriginalToken"))
        .help("to tell the upstream who asks, use `outputClaimToHeaders` or `outputPayloadToHeader`");
}
