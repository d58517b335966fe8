//! RequestAuthentication, with what Istio's validation says about it as a whole.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::{boxed, each, target, text};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{ClaimToHeader, JwtKeys, JwtRule, Meta, RequestAuthentication, TokenPlace};
use crate::config::secret::Secret;
use crate::config::time::parse_duration_ms;
use crate::config::tree::Node;

const DRY_RUN: &str = "istio.io/dry-run";

/// Time for one fetch of keys: Istio's.
const TIMEOUT_MS: u32 = 5_000;

pub(super) fn decode(document: &Node, meta: Meta, diagnostics: &mut Diagnostics) -> Option<RequestAuthentication> {
    refuse_dry_run(document, diagnostics);
    let spec = document.get("spec");
    let mut index = 0_usize;
    let rules = each(spec, "jwtRules", |node| {
        let path = format!("spec.jwtRules[{index}]");
        index = index.saturating_add(1);
        rule(node, &path, diagnostics)
    });
    Some(RequestAuthentication {
        target: target::decode(spec, &meta, diagnostics),
        meta,
        rules,
    })
}

fn rule(node: &Node, path: &str, diagnostics: &mut Diagnostics) -> Option<JwtRule> {
    let issuer = node.get("issuer").and_then(boxed);
    let forwards = node.get("forwardOriginalToken");
    let forwards = forwards.filter(|node| node.scalar().and_then(|scalar| scalar.as_bool()) == Some(true));
    Some(JwtRule {
        at: node.at,
        keys: keys(node, issuer.as_deref().map(|issuer| &**issuer), path, diagnostics)?,
        issuer,
        audiences: each(Some(node), "audiences", text),
        places: places(node),
        forwards: forwards.map(|node| node.at),
        payload_header: node.get("outputPayloadToHeader").and_then(lower),
        claim_headers: each(Some(node), "outputClaimToHeaders", claim_to_header),
        timeout_ms: node
            .get("timeout")
            .and_then(Node::text)
            .and_then(parse_duration_ms)
            .unwrap_or(TIMEOUT_MS),
        split: each(Some(node), "spaceDelimitedClaims", text),
    })
}

fn keys(node: &Node, issuer: Option<&str>, path: &str, diagnostics: &mut Diagnostics) -> Option<JwtKeys> {
    let (inline, url) = (node.get("jwks"), node.get("jwksUri"));
    if let (Some(_), Some(url)) = (inline, url) {
        diagnostics
            .warning(
                "unused-key-source",
                url.at,
                "`jwks` holds the keys, so they are never fetched",
            )
            .field(format!("{path}.jwksUri"))
            .help("keep one of `jwks` and `jwksUri`");
    }
    if let Some(inline) = inline {
        return Some(JwtKeys::Inline(Secret::new(inline.text()?.into())));
    }
    if let Some(url) = url {
        return Some(JwtKeys::Url(url.text()?.into()));
    }
    let Some(issuer) = issuer else {
        diagnostics
            .error(
                "missing-field",
                node.at,
                "a rule needs `issuer`, `jwksUri` or `jwks`: nothing says whose keys verify its tokens",
            )
            .field(path);
        return None;
    };
    if !issuer.starts_with("https://") && !issuer.starts_with("http://") {
        diagnostics
            .error(
                "missing-field",
                node.at,
                "without `jwks` and `jwksUri` the issuer must be a URL, under which its OpenID configuration is",
            )
            .field(path)
            .help("add `jwks` or `jwksUri`");
        return None;
    }
    Some(JwtKeys::Issuer(issuer.into()))
}

/// The places that are named, or else Istio's two.
fn places(node: &Node) -> Vec<TokenPlace> {
    let header = |node: &Node| {
        Some(TokenPlace::Header {
            name: lower(node.get("name")?)?,
            prefix: node.get("prefix").and_then(Node::text).unwrap_or("").into(),
        })
    };
    let mut places = each(Some(node), "fromHeaders", header);
    places.extend(each(Some(node), "fromParams", |name| {
        Some(TokenPlace::Param(name.text()?.into()))
    }));
    places.extend(each(Some(node), "fromCookies", |name| {
        Some(TokenPlace::Cookie(name.text()?.into()))
    }));
    if places.is_empty() {
        places.push(TokenPlace::Header {
            name: "authorization".into(),
            prefix: "Bearer ".into(),
        });
        places.push(TokenPlace::Param(TokenPlace::PARAM_DEFAULT.into()));
    }
    places
}

fn claim_to_header(node: &Node) -> Option<ClaimToHeader> {
    Some(ClaimToHeader {
        header: lower(node.get("header")?)?,
        claim: node.get("claim")?.text()?.into(),
    })
}

fn lower(node: &Node) -> Option<Box<str>> {
    Some(node.text()?.to_ascii_lowercase().into())
}

/// Istio has dry runs for authorization only; a token that is only looked at would be taken for a checked one.
fn refuse_dry_run(document: &Node, diagnostics: &mut Diagnostics) {
    let annotations = document
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"));
    if let Some(annotation) = annotations.and_then(|annotations| annotations.entry(DRY_RUN)) {
        diagnostics
            .error(
                "conflicting-fields",
                annotation.key.at,
                format!("`{DRY_RUN}` is for AuthorizationPolicy only"),
            )
            .field(format!("metadata.annotations[\"{DRY_RUN}\"]"))
            .help("remove the annotation, or the resource");
    }
}
