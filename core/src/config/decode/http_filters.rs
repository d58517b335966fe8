//! `filters` of an HTTPRoute's rules and backends.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::http_route::backend_object;
use super::{each, integer};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::field_path::FieldPath;
use crate::config::quote::quoted;
use crate::config::resource::HeaderChanges;
use crate::config::resource::http_route::{Filters, Match, Mirror, PathMatch, PathModifier, Redirect, Rewrite};
use crate::config::secret::Secret;
use crate::config::tree::{Entry, Node};
use crate::limits::MIRRORS_MAX;
use crate::request::Scheme;
use crate::tables::Chance;
use crate::text_map::TextSet;

/// Whose filters are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum FiltersOf<'n> {
    /// A rule's, of a route in this namespace.
    Rule { namespace: &'n str },
    /// One backend's.
    Backend,
}

/// Reads `filters`. `matches` are the rule's.
pub(super) fn filters(
    node: Option<&Node>,
    path: &FieldPath<'_>,
    matches: &[Match],
    of: FiltersOf<'_>,
    diagnostics: &mut Diagnostics,
) -> Filters {
    let mut filters = Filters::default();
    let mut seen = TextSet::default();
    for (index, node) in node.map(Node::items).unwrap_or_default().iter().enumerate() {
        let path = path.index(index);
        let Some((form, given)) = given(node, &path, diagnostics) else {
            continue;
        };
        let kind = form.value.text().unwrap_or_default();
        let excluded = match kind {
            "URLRewrite" => "RequestRedirect",
            "RequestRedirect" => "URLRewrite",
            _ => "",
        };
        if !seen.insert(kind) && kind != "RequestMirror" {
            refuse(form, &format!("a second {kind} filter"), &path, diagnostics).help("put both into one");
        } else if seen.contains(excluded) {
            refuse(form, "a redirect beside a rewrite", &path, diagnostics).help("keep one of them");
        } else if let ("RequestRedirect", FiltersOf::Backend) = (kind, of) {
            refuse(form, "a redirect of one backend", &path, diagnostics)
                .help("redirect in a rule without `backendRefs`");
        } else if let ("RequestMirror", FiltersOf::Backend) = (kind, of) {
            refuse(form, "a mirror of one backend", &path, diagnostics).help("give it to the rule, as in Istio");
        } else if kind == "RequestMirror" && filters.mirrors.len() == MIRRORS_MAX {
            diagnostics
                .error("out-of-range", form.value.at, "a rule has too many mirrors")
                .field(&path)
                .help(format!("list at most {MIRRORS_MAX}"));
        }
        let inner = path.field(&given.key.value);
        let node = &given.value;
        match kind {
            "RequestHeaderModifier" => filters.request = changes(node, &inner, diagnostics),
            "ResponseHeaderModifier" => filters.response = changes(node, &inner, diagnostics),
            "RequestRedirect" => filters.redirect = Some(redirect(node, &inner, matches, diagnostics)),
            "URLRewrite" => {
                filters.rewrite = Rewrite {
                    hostname: hostname(node),
                    path: path_modifier(node, &inner, matches, diagnostics),
                }
            }
            _ => {
                if let FiltersOf::Rule { namespace } = of {
                    filters
                        .mirrors
                        .extend(mirror(node, &inner, index, namespace, diagnostics));
                }
            }
        }
    }
    filters
}

/// `path` is that of the `requestMirror`, of the filter at `index`.
fn mirror(
    node: &Node,
    path: &FieldPath<'_>,
    index: usize,
    namespace: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Mirror> {
    const ALL: u64 = 1_000_000;
    let number = |node: &Node, name: &str| Some(integer::<u32>(node.get(name)?)?.value);
    let percent = number(node, "percent").map(|percent| u64::from(percent).saturating_mul(ALL / 100));
    let fraction = node.entry("fraction");
    let of_fraction = fraction.and_then(|fraction| {
        let (numerator, denominator) = (
            number(&fraction.value, "numerator")?,
            number(&fraction.value, "denominator").unwrap_or(100),
        );
        if numerator > denominator {
            diagnostics
                .error("out-of-range", fraction.value.at, "the fraction is more than all")
                .field(format!("{path}.fraction"))
                .help("`numerator` is at most `denominator`, which is 100 when absent");
        }
        u64::from(numerator).saturating_mul(ALL).checked_div(denominator.into())
    });
    if let (Some(fraction), Some(_)) = (fraction, percent) {
        diagnostics
            .error(
                "conflicting-fields",
                fraction.key.at,
                "`percent` and `fraction` exclude each other",
            )
            .field(path)
            .help("keep one of them");
    }
    let chance = percent.or(of_fraction).unwrap_or(ALL).min(ALL);
    Some(Mirror {
        backend: backend_object(
            node.get("backendRef")?,
            &path.field("backendRef"),
            namespace,
            diagnostics,
        )?,
        chance: Chance(u32::try_from(chance).ok()?),
        field: format!("filters[{index}].requestMirror.backendRef"),
    })
}

/// The `type` and the one field that it names.
fn given<'n>(node: &'n Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Option<(&'n Entry, &'n Entry)> {
    let form = node.entry("type")?;
    let name = match form.value.text()? {
        "RequestHeaderModifier" => "requestHeaderModifier",
        "ResponseHeaderModifier" => "responseHeaderModifier",
        "RequestRedirect" => "requestRedirect",
        "URLRewrite" => "urlRewrite",
        "RequestMirror" => "requestMirror",
        // Which has been refused by name.
        _ => return None,
    };
    for other in node.entries() {
        if other.key.value != "type" && other.key.value != name {
            diagnostics
                .error(
                    "conflicting-fields",
                    other.key.at,
                    format!("{} is not of this `type`", quoted(&other.key.value)),
                )
                .field(path)
                .help(format!("this filter has `{name}` only"));
        }
    }
    let given = node.entry(name);
    if given.is_none() {
        diagnostics
            .error("missing-field", form.key.at, format!("the field `{name}` is missing"))
            .field(format!("{path}.{name}"))
            .help("its `type` names it");
    }
    Some((form, given?))
}

fn refuse<'d>(form: &Entry, what: &str, path: &FieldPath<'_>, diagnostics: &'d mut Diagnostics) -> &'d mut Diagnostic {
    diagnostics
        .error("conflicting-fields", form.value.at, format!("{what} is not possible"))
        .field(path)
}

fn changes(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> HeaderChanges {
    let mut listed = |name: &str| {
        let mut seen = TextSet::default();
        let mut read: Vec<(String, Secret)> = Vec::new();
        for (index, node) in node.get(name).map(Node::items).unwrap_or_default().iter().enumerate() {
            let (Some(header), Some(value)) = (node.get("name"), node.get("value").and_then(Node::text)) else {
                continue;
            };
            let lower = header.text().unwrap_or_default().to_ascii_lowercase();
            if !seen.insert(&lower) {
                diagnostics
                    .error(
                        "duplicate-name",
                        header.at,
                        format!("the header {} is given twice", quoted(&lower)),
                    )
                    .field(format!("{path}.{name}[{index}].name"))
                    .help("header names are compared without regard to case; keep one of them");
            }
            read.push((lower, Secret::new(value.into())));
        }
        read
    };
    HeaderChanges {
        set: listed("set"),
        add: listed("add"),
        remove: each(Some(node), "remove", |name| name.text().map(str::to_ascii_lowercase)),
        authority: None,
    }
}

fn redirect(node: &Node, path: &FieldPath<'_>, matches: &[Match], diagnostics: &mut Diagnostics) -> Redirect {
    const FOUND: u16 = 302;
    let status = node.get("statusCode").and_then(integer::<u16>);
    // Those outside of the schema's bounds have been reported.
    if let Some(code) = &status
        && (300..400).contains(&code.value)
        && !matches!(code.value, 301 | 302 | 303 | 307 | 308)
    {
        diagnostics
            .error(
                "unknown-value",
                code.at,
                format!("`{}` is not the status of a redirect", code.value),
            )
            .field(format!("{path}.statusCode"))
            .help("use `301`, `302`, `303`, `307` or `308`");
    }
    Redirect {
        scheme: node.get("scheme").and_then(Node::text).map(|scheme| match scheme {
            "https" => Scheme::Https,
            _ => Scheme::Http,
        }),
        hostname: hostname(node),
        path: path_modifier(node, path, matches, diagnostics),
        port: node.get("port").and_then(integer).map(|port| port.value),
        status: status.map_or(FOUND, |status| status.value),
    }
}

fn hostname(node: &Node) -> Option<String> {
    node.get("hostname").and_then(Node::text).map(String::from)
}

fn path_modifier(
    node: &Node,
    path: &FieldPath<'_>,
    matches: &[Match],
    diagnostics: &mut Diagnostics,
) -> Option<PathModifier> {
    let node = node.get("path")?;
    let path = &path.field("path");
    let form = node.entry("type")?;
    let (name, other) = match form.value.text()? {
        "ReplaceFullPath" => ("replaceFullPath", "replacePrefixMatch"),
        _ => ("replacePrefixMatch", "replaceFullPath"),
    };
    let given = node.get(name).and_then(Node::text);
    let (Some(text), None) = (given, node.entry(other)) else {
        diagnostics
            .error(
                if given.is_none() {
                    "missing-field"
                } else {
                    "conflicting-fields"
                },
                form.value.at,
                format!("this `type` needs `{name}`, and it alone"),
            )
            .field(path);
        return None;
    };
    if name == "replaceFullPath" {
        return Some(PathModifier::Full(if text.is_empty() { "/" } else { text }.into()));
    }
    if !matches!(matches, [Match { path, .. }] if matches!(path.value, PathMatch::Prefix(_))) {
        diagnostics
            .error(
                "conflicting-fields",
                form.value.at,
                "a prefix is replaced in a rule with exactly one match, on a `PathPrefix`",
            )
            .field(path)
            .help("give the rule one such match, or use `ReplaceFullPath`");
    }
    Some(PathModifier::Prefix(text.strip_suffix('/').unwrap_or(text).into()))
}
