//! `corsPolicy`: made up, and read naively.

use lockgate_core::config::resource::{CorsPolicy, StringMatch};

use crate::bytes::Bytes;
use crate::head::values;
use crate::traffic::Sample;
use crate::world::{list, spanned};

/// As clients write it here.
pub const REQUEST_METHOD: &str = "Access-Control-Request-Method";

/// Makes one.
pub fn policy(bytes: &mut Bytes<'_>) -> CorsPolicy {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    CorsPolicy {
        origins: list(bytes, &[1, 1, 2, 0], |bytes| {
            spanned(match bytes.below(8) {
                0..=3 => StringMatch::Exact(bytes.pick(&["https://a.test", "null", "*", "http://a.test:80"]).into()),
                4 | 5 => StringMatch::Prefix(bytes.pick(&["https://", "https://a", "*"]).into()),
                _ => StringMatch::Regex(bytes.pick(&["https?://[a-z.]+", ".*", "null|x"]).into()),
            })
        }),
        methods: texts(bytes.pick(&[&[][..], &["*"], &["GET", "POST"], &["*", "GET"]])),
        headers: texts(bytes.pick(&[&[][..], &["*"], &["x-a", "X-B"]])),
        exposed: texts(bytes.pick(&[&[][..], &["x-a"], &["x-a", "*"]])),
        max_age_s: bytes.pick(&[None, Some(1), Some(86_400)]),
        credentials: bytes.one_in(2),
        forwards_unmatched: !bytes.one_in(3),
    }
}

/// The header fields of a request that a browser sends for a page of another origin.
pub fn fields(bytes: &mut Bytes<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let origin = bytes.pick(&["https://a.test", "null", "http://a.test:80", "https://b.test", ""]);
    let mut fields = vec![("Origin", origin.into())];
    if bytes.one_in(2) {
        fields.push((REQUEST_METHOD, bytes.pick(&["PUT", "", "GET"]).into()));
    }
    if bytes.one_in(2) {
        fields.push(("access-control-request-headers", bytes.pick(&["x-a", "x-a,x-b"]).into()));
    }
    fields
}

/// What is said of a request: the fields of its answer, and whether that is all there is to it.
#[must_use]
pub fn said(policy: Option<&CorsPolicy>, sample: &Sample) -> (Vec<String>, bool) {
    let one = |name| {
        values(sample, name)
            .first()
            .map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let (Some(policy), Some(origin)) = (policy, one("origin").filter(|origin| !origin.is_empty())) else {
        return (Vec::new(), false);
    };
    let takes = |wanted: &StringMatch| {
        let any_of = |test: &dyn Fn(&str) -> bool| test("*") || test(&origin);
        match wanted {
            StringMatch::Exact(text) => any_of(&|value| *value == **text),
            StringMatch::Prefix(text) => any_of(&|value| value.starts_with(&**text)),
            StringMatch::Regex(pattern) => {
                let regex = regex::Regex::new(&format!("^(?:{pattern})$")).expect("checked before");
                any_of(&|value| regex.is_match(value))
            }
            StringMatch::Present => unreachable!("none is made"),
        }
    };
    let is_allowed = policy.origins.iter().any(|origin| takes(&origin.value));
    let method = one("access-control-request-method").filter(|method| !method.is_empty());
    let asked = method.filter(|_| sample.method == "OPTIONS");
    let is_answered = asked.is_some() && (is_allowed || !policy.forwards_unmatched);
    let mut fields = Vec::new();
    let mut add = |name: &str, value: String| fields.push(format!("access-control-{name}={value}"));
    if is_allowed {
        add("allow-origin", origin.clone());
    }
    if policy.credentials && (is_allowed || is_answered) {
        add("allow-credentials", "true".to_owned());
    }
    if let Some(method) = asked.filter(|_| is_answered) {
        let listed = |list: &[String], asked: String| match list.join(",") {
            all if all == "*" => Some(asked),
            all => (!all.is_empty()).then_some(all),
        };
        let headers = one("access-control-request-headers").unwrap_or_default();
        if let Some(methods) = listed(&policy.methods, method) {
            add("allow-methods", methods);
        }
        if let Some(headers) = listed(&policy.headers, headers) {
            add("allow-headers", headers);
        }
        if let Some(seconds) = policy.max_age_s {
            add("max-age", seconds.to_string());
        }
    }
    if is_allowed && !policy.exposed.is_empty() {
        add("expose-headers", policy.exposed.join(","));
    }
    (fields, is_answered)
}
