//! LLMRoute: ASM's, and what `lockgate.dev` adds to it.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::string_match::{by_header, of_field};
use super::virtual_service::{by_key, conditions, operations, refuse_two_hosts, rewrite_of};
use super::{boxed, each, host, integer, route_settings, text};
use crate::config::diagnostic::Diagnostics;
use crate::config::field_path::FieldPath;
use crate::config::resource::{BackendRef, HeaderKey, LlmMatch, LlmRoute, LlmRule, Meta, Spanned, StringMatch};
use crate::config::schema::LOCKGATE;
use crate::config::tree::{Node, Scalar};

pub(super) fn decode(document: &Node, meta: Meta, diagnostics: &mut Diagnostics) -> Option<LlmRoute> {
    let spec = document.get("spec")?;
    let api_version = document.get("apiVersion").and_then(Node::text).unwrap_or_default();
    let mut decoder = Decoder {
        is_lockgate: api_version.split('/').next() == Some(LOCKGATE),
        diagnostics,
    };
    let rules = spec.get("rules").map(Node::items).unwrap_or_default();
    let rules = rules.iter().enumerate();
    let path = FieldPath::SPEC.field("rules");
    Some(LlmRoute {
        meta,
        host: host(spec.get("host")?)?,
        gateways: each(Some(spec), "gateways", text),
        rules: rules
            .map(|(index, node)| decoder.rule(node, &path.index(index)))
            .collect(),
    })
}

struct Decoder<'d> {
    is_lockgate: bool,
    diagnostics: &'d mut Diagnostics,
}

impl Decoder<'_> {
    fn rule(&mut self, node: &Node, path: &FieldPath<'_>) -> LlmRule {
        let matches = node.get("matches").map(Node::items).unwrap_or_default();
        let matches = matches
            .iter()
            .enumerate()
            .map(|(index, node)| self.request_match(node, &path.field("matches").index(index)))
            .collect();
        let rewrite = node.get("rewrite");
        let rewrite = rewrite.and_then(|rewrite| rewrite_of(rewrite, &path.field("rewrite"), self.diagnostics));
        let rule = LlmRule {
            at: node.at,
            name: node.get("name").and_then(boxed),
            matches,
            backend_refs: each(Some(node), "backendRefs", backend_ref),
            rewrite: rewrite.unwrap_or_default().into(),
            headers: operations(node.get("headers"), &path.field("headers"), self.diagnostics),
            settings: route_settings::decode(node, path, self.diagnostics),
        };
        refuse_two_hosts(&rule.rewrite, &rule.headers, path, self.diagnostics);
        rule
    }

    fn request_match(&mut self, node: &Node, path: &FieldPath<'_>) -> LlmMatch {
        let at_headers = path.field("headers");
        let named = by_header(node.get("headers"), &at_headers, self.diagnostics);
        let (claims, headers): (Vec<_>, Vec<_>) = named.into_iter().partition(|(name, _)| name.starts_with('@'));
        if let (Some((name, _)), false) = (claims.first(), self.is_lockgate) {
            self.diagnostics
                .error(
                    "lockgate-field",
                    name.at,
                    format!("`{}` is a condition of Lockgate's own here", **name),
                )
                .field(&at_headers)
                .help("it belongs under `apiVersion: lockgate.dev/v1`");
        }
        let claims = self.claims(node);
        LlmMatch {
            at: node.at,
            headers,
            more: conditions(node, claims, path, self.diagnostics),
            models: self.models(node, &path.field("model")),
            stream: node.get("stream").and_then(Node::scalar).and_then(Scalar::as_bool),
        }
    }

    /// The conditions on claims, whose names keep their case.
    fn claims(&mut self, node: &Node) -> Vec<(Spanned<HeaderKey>, Spanned<StringMatch>)> {
        let headers = node.get("headers").map(Node::entries).unwrap_or_default();
        let claims = headers.iter().filter(|entry| entry.key.value.starts_with('@'));
        // What is wrong with a match has been reported with the other headers.
        let mut known = Diagnostics::default();
        let holder = node.get("headers");
        let named = claims.filter_map(|entry| {
            let wanted = of_field(holder?, &entry.key.value, &FieldPath::Root, &mut known)?;
            Some((entry.key.clone(), wanted))
        });
        by_key(named.collect())
    }

    fn models(&mut self, node: &Node, path: &FieldPath<'_>) -> Vec<Spanned<StringMatch>> {
        let Some(model) = node.get("model") else {
            return Vec::new();
        };
        if let [_, second, ..] = model.entries() {
            self.diagnostics
                .error("conflicting-fields", second.key.at, "a model is matched in one way")
                .field(path)
                .help("keep one of `exact`, `prefix`, `regex` and `in`; alternatives are matches of their own");
            return Vec::new();
        }
        if model.get("in").is_some() {
            return each(Some(model), "in", |name| {
                let Spanned { value, at } = boxed(name)?;
                Some(Spanned {
                    value: StringMatch::Exact(value),
                    at,
                })
            });
        }
        of_field(node, "model", path, self.diagnostics).into_iter().collect()
    }
}

fn backend_ref(node: &Node) -> Option<BackendRef> {
    Some(BackendRef {
        at: node.at,
        provider_host: host(node.get("providerHost")?)?,
        weight: node.get("weight").and_then(integer),
        host_rewrite: node.get("hostRewrite").and_then(text).map(Box::new),
    })
}
