//! So many rules of one VirtualService that they are not tried one after the other, with conditions that overlap.

use lockgate_core::config::diagnostic::Location;
use lockgate_core::config::resource::{
    HeaderKey, HeaderOperations, HttpAction, HttpDirectResponse, HttpMatch, HttpRewrite, HttpRoute, RouteDestination,
    RouteSettings, StringMatch, UriRewrite,
};

use crate::bytes::Bytes;
use crate::world::{spanned, text, value_match};

/// Makes them. Nothing in them is refused.
pub fn rules(bytes: &mut Bytes<'_>) -> Vec<HttpRoute> {
    bytes.some(12, 40, |bytes, _| HttpRoute {
        at: Location::default(),
        name: None,
        matches: bytes.some(1, 2, |bytes, _| one_match(bytes)),
        action: action(bytes),
        headers: HeaderOperations::default(),
        settings: RouteSettings::default(),
    })
}

fn one_match(bytes: &mut Bytes<'_>) -> HttpMatch {
    let mut one = HttpMatch {
        uri: (!bytes.one_in(6)).then(|| spanned(path(bytes))),
        ignore_uri_case: bytes.one_in(3),
        ..HttpMatch::default()
    };
    // A rule without any condition would take everything from all others.
    let least = usize::from(one.uri.is_none());
    for _ in 0..bytes.pick(&[0, 1, 0, 2]).max(least) {
        let field = spanned(HeaderKey::Field(
            bytes.pick(&["x-a", "x-b", "user-type", "x-a"]).to_owned(),
        ));
        match bytes.below(8) {
            0 => one.also.method = Some(spanned(exact(bytes, &["POST", "GET", "PUT"]))),
            1 => one.also.authority = Some(spanned(exact(bytes, &["a.test", "p.test", "A.Test"]))),
            2 => one.also.query_params = vec![(text("x"), spanned(exact(bytes, &["1", "red"])))],
            3 => one.also.without_headers = vec![(field, spanned(value(bytes)))],
            _ => one.also.headers = vec![(field, spanned(value(bytes)))],
        }
    }
    one
}

fn exact(bytes: &mut Bytes<'_>, values: &[&str]) -> StringMatch {
    StringMatch::Exact(bytes.pick(values).into())
}

/// Paths that nest, by segments and by bytes, in either case.
fn path(bytes: &mut Bytes<'_>) -> StringMatch {
    const PATHS: [&str; 16] = [
        "/a", "/a/b", "/admin", "/b", "/v1", "/A", "/aDmin", "/a/", "/ab", "/a/bb", "/ad", "/v", "/v1/", "/a/a",
        "/A/b", "/b/a",
    ];
    const PATTERNS: [&str; 8] = [
        "/a.*",
        "/[a-z]+",
        "/(a|b)(/.*)?",
        "/a/[a-z]+",
        "(?i)/ADMIN",
        "/v1/?",
        "/admin|/b.*",
        "/ad+min",
    ];
    match bytes.below(8) {
        0..=2 => StringMatch::Exact(bytes.pick(&PATHS).into()),
        3..=5 => StringMatch::Prefix(bytes.pick(&PATHS).into()),
        _ => StringMatch::Regex(bytes.pick(&PATTERNS).into()),
    }
}

fn value(bytes: &mut Bytes<'_>) -> StringMatch {
    match value_match(bytes) {
        StringMatch::Regex(_) => StringMatch::Regex("re.*".into()),
        other => other,
    }
}

fn action(bytes: &mut Bytes<'_>) -> HttpAction {
    if bytes.one_in(3) {
        return HttpAction::DirectResponse(Box::new(HttpDirectResponse {
            status: 200,
            body: Vec::new(),
        }));
    }
    HttpAction::Route {
        destinations: vec![RouteDestination {
            at: Location::default(),
            host: text("one.test"),
            port: None,
            subset: None,
            weight: None,
            headers: HeaderOperations::default(),
        }],
        // What is replaced tells which of two matches of a rule it was.
        rewrite: HttpRewrite {
            uri: bytes.one_in(2).then(|| UriRewrite::Matched(text("/x"))),
            authority: None,
        }
        .into(),
    }
}
