//! `timeout`, `retries`, `corsPolicy`, `fault` and mirrors.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::field_path::FieldPath;
use crate::config::resource::{
    CorsPolicy, HttpFault, HttpMirror, Retries, RetryConditions, RouteSettings, Spanned, StringMatch,
};
use crate::config::schema::GRPC_STATUSES;
use crate::config::time::{parse_duration_ms, parse_limit_ms};
use crate::config::tree::{Node, Scalar};
use crate::limits::MIRRORS_MAX;
use crate::tables::{AbortStatus, Chance};

use super::{each, integer, string_match, virtual_service};

/// The settings of a rule, which is at `path`.
pub(super) fn decode(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> RouteSettings {
    RouteSettings {
        timeout_ms: node.get("timeout").and_then(Node::text).and_then(parse_limit_ms),
        retries: node
            .get("retries")
            .map(|node| Box::new(retries(node, &path.field("retries"), diagnostics))),
        cors: node
            .get("corsPolicy")
            .map(|node| Box::new(cors(node, &path.field("corsPolicy"), diagnostics))),
        fault: node
            .get("fault")
            .map(|node| Box::new(fault(node, &path.field("fault"), diagnostics))),
        mirrors: mirrors(node, path, diagnostics),
    }
}

fn fault(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> HttpFault {
    let (delay, abort) = (node.get("delay"), node.get("abort"));
    if delay.is_none() && abort.is_none() {
        diagnostics
            .error("empty-object", node.at, "`fault` says nothing")
            .field(path)
            .help("give it `delay` or `abort`");
    }
    HttpFault {
        delay: delay.and_then(|node| {
            let delay_ms = parse_duration_ms(node.get("fixedDelay")?.text()?)?;
            // What Istio had before `percentage`, and still reads.
            let percent = node.get("percent").and_then(Node::scalar);
            Some((percentage(node).or(percent_of(percent)).unwrap_or(Chance(0)), delay_ms))
        }),
        abort: abort.and_then(|node| {
            let status = abort_status(node, &path.field("abort"), diagnostics)?;
            // As in Istio, one without a percentage never happens.
            Some((percentage(node).unwrap_or(Chance(0)), status))
        }),
    }
}

fn abort_status(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Option<AbortStatus> {
    match (node.get("httpStatus"), node.entry("grpcStatus")) {
        (Some(status), None) => Some(AbortStatus::Http(integer(status)?.value)),
        (None, Some(status)) => {
            let name = status.value.text()?;
            let number = GRPC_STATUSES.iter().position(|known| *known == name)?;
            Some(AbortStatus::Grpc(u8::try_from(number).ok()?))
        }
        (Some(_), Some(status)) => {
            diagnostics
                .error(
                    "conflicting-fields",
                    status.key.at,
                    "`httpStatus` and `grpcStatus` exclude each other",
                )
                .field(path)
                .help("keep one of them");
            None
        }
        (None, None) => {
            diagnostics
                .error("missing-field", node.at, "an abort has no status")
                .field(path)
                .help("give it `httpStatus` or `grpcStatus`");
            None
        }
    }
}

/// `percentage` of a fault or a mirror.
fn percentage(node: &Node) -> Option<Chance> {
    node.get("percentage").and_then(value_of)
}

/// Without a value it is 0, as a number is.
fn value_of(percentage: &Node) -> Option<Chance> {
    Some(percent_of(percentage.get("value").and_then(Node::scalar)).unwrap_or(Chance(0)))
}

fn percent_of(scalar: Option<&Scalar>) -> Option<Chance> {
    scalar?.as_percent().map(Chance)
}

fn mirrors(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Box<[HttpMirror]> {
    // Without a percentage all are copied.
    const ALL: Chance = Chance(1_000_000);
    let listed = node.get("mirrors").map_or(&[][..], Node::items);
    if let (Some(one), Some(_)) = (node.entry("mirror"), listed.first()) {
        diagnostics
            .error(
                "conflicting-fields",
                one.key.at,
                "`mirror` and `mirrors` exclude each other",
            )
            .field(path)
            .help("keep one of them");
    }
    if let Some(beyond) = listed.get(MIRRORS_MAX) {
        diagnostics
            .error("out-of-range", beyond.at, "a rule has too many mirrors")
            .field(alloc::format!("{path}.mirrors"))
            .help(alloc::format!("list at most {MIRRORS_MAX}"));
    }
    let old = || percent_of(node.get("mirrorPercent").and_then(Node::scalar));
    let of_one = || {
        node.get("mirrorPercentage")
            .and_then(value_of)
            .or_else(old)
            .unwrap_or(ALL)
    };
    let one = node.get("mirror").and_then(|to| {
        Some(HttpMirror {
            destination: virtual_service::host_of(to, to.at)?,
            chance: of_one(),
            field: "mirror".into(),
        })
    });
    let listed = listed.iter().enumerate().filter_map(|(index, mirror)| {
        Some(HttpMirror {
            destination: virtual_service::host_of(mirror.get("destination")?, mirror.at)?,
            chance: percentage(mirror).unwrap_or(ALL),
            field: alloc::format!("mirrors[{index}]"),
        })
    });
    one.into_iter().chain(listed).collect()
}

fn no_origin(at: Location, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) {
    diagnostics
        .error("empty-object", at, "an origin is not given")
        .field(path)
        .help("give it `exact`, `prefix` or `regex`; `exact: '*'` is any origin");
}

fn cors(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> CorsPolicy {
    let mut origins: Vec<Spanned<StringMatch>> = Vec::new();
    match node.get("allowOrigins") {
        Some(list) => {
            let path = path.field("allowOrigins");
            for (index, item) in list.items().iter().enumerate() {
                let path = path.index(index);
                match string_match::of_item(item, &path, diagnostics) {
                    Some(Spanned {
                        value: StringMatch::Present,
                        at,
                    }) => no_origin(at, &path, diagnostics),
                    Some(Spanned {
                        value: StringMatch::Exact(text),
                        at,
                    }) if text.is_empty() => no_origin(at, &path, diagnostics),
                    origin => origins.extend(origin),
                }
            }
        }
        None => origins.extend(each(Some(node), "allowOrigin", |item| {
            let value = StringMatch::Exact(item.text()?.into());
            Some(Spanned { value, at: item.at })
        })),
    }
    let list = |name: &str| each(Some(node), name, |item| item.text().map(String::from));
    CorsPolicy {
        origins,
        methods: list("allowMethods"),
        headers: list("allowHeaders"),
        exposed: list("exposeHeaders"),
        max_age_s: node
            .get("maxAge")
            .and_then(Node::text)
            .and_then(parse_duration_ms)
            .map(|milliseconds| milliseconds / 1000),
        credentials: node
            .get("allowCredentials")
            .and_then(Node::scalar)
            .and_then(Scalar::as_bool)
            == Some(true),
        forwards_unmatched: node.get("unmatchedPreflights").and_then(Node::text) != Some("IGNORE"),
    }
}

/// What a rule, or the mesh, tries again.
pub(super) fn retries(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Retries {
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
            .field(path)
            .help("give `attempts`, or leave it alone with `attempts: 0`");
    }
    retries
}
