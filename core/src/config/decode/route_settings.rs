//! `timeout` and `retries`.

use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{Retries, RetryConditions, RouteSettings};
use crate::config::time::{parse_duration_ms, parse_limit_ms};
use crate::config::tree::{Node, Scalar};

use super::integer;

/// The settings of a rule; `field` is the rule.
pub(super) fn decode(node: &Node, field: &str, diagnostics: &mut Diagnostics) -> RouteSettings {
    RouteSettings {
        timeout_ms: node.get("timeout").and_then(Node::text).and_then(parse_limit_ms),
        retries: node
            .get("retries")
            .map(|node| retries(node, &alloc::format!("{field}.retries"), diagnostics)),
    }
}

/// What a rule, or the mesh, tries again.
pub(super) fn retries(node: &Node, field: &str, diagnostics: &mut Diagnostics) -> Retries {
    let duration = |name: &str| node.get(name).and_then(Node::text).and_then(parse_duration_ms);
    let flag = |name: &str| node.get(name).and_then(Node::scalar).and_then(Scalar::as_bool);
    let attempts = node.get("attempts");
    let retries = Retries {
        attempts: attempts.and_then(integer).map_or(0, |attempts| attempts.value),
        per_try_timeout_ms: duration("perTryTimeout"),
        on: node
            .get("retryOn")
            .and_then(Node::text)
            .and_then(|text| RetryConditions::parse(text).ok()),
        backoff_ms: duration("backoff"),
        ignore_previous_hosts: flag("retryIgnorePreviousHosts"),
    };
    let mut of_retries = ["perTryTimeout", "retryOn", "retryRemoteLocalities"].into_iter();
    let is_off = attempts.is_none_or(|attempts| integer::<u32>(attempts).is_some_and(|attempts| attempts.value == 0));
    if is_off && let Some(entry) = of_retries.find_map(|name| node.entry(name)) {
        diagnostics
            .error(
                "conflicting-fields",
                entry.key.at,
                alloc::format!("`{}` is about retries, and there are none", entry.key.value),
            )
            .field(field)
            .help("give `attempts`, or leave it alone with `attempts: 0`");
    }
    retries
}
