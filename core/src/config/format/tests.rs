//! Each format by what it takes and what it does not.

use super::*;

#[track_caller]
fn table(format: Format, good: &[&str], bad: &[&str]) {
    for text in good {
        assert!(format.check(text).is_ok(), "{format:?} {text:?}");
    }
    for text in bad {
        assert!(format.check(text).is_err(), "{format:?} {text:?}");
    }
}

#[test]
fn names() {
    let long = "a".repeat(254);
    table(
        Format::ResourceName,
        &["a", "ingress-gw", "a.b-c", "9"],
        &["", "-a", "a-", "A", "a_b", "a..b", ".a", "a/b", &long],
    );
    let long = "a".repeat(64);
    table(
        Format::Namespace,
        &["istio-system", "default"],
        &["a.b", "A", "-", &long],
    );
    table(
        Format::LabelKey,
        &["app", "app.kubernetes.io/name", "A_b"],
        &["", "*", "a/b/c", "/a", "a/"],
    );
    table(
        Format::LabelValue,
        &["", "v1", "ingressgateway", "A.b_c"],
        &["*", "-a", "a b"],
    );
}

#[test]
fn hosts() {
    table(
        Format::DnsName,
        &["localhost", "test.com", "Test.COM", "a-b.c", "127.0.0.1"],
        &[
            "*",
            "*.a.com",
            "a.com:80",
            "https://a.com",
            "a.com/",
            "a..com",
            "a.com.",
            "-a.com",
            "a_b.com",
            "::1",
            "a b",
            "ä.de",
        ],
    );
    table(
        Format::RouteHost,
        &["*", "*.a.com", "a.com"],
        &["*a.com", "*.*", "*.", "a.*.com", "**"],
    );
    table(
        Format::GatewayHost,
        &["*", "*/*", "./a.com", "ns/*.a.com"],
        &["NS/a.com", "a/b/c", "/a.com", "https://a.com"],
    );
    table(
        Format::GatewayReference,
        &["mesh", "gw", "ns/gw", "ns/gw.v1"],
        &["ns/", "/gw", "a/b/c", "GW"],
    );
    table(
        Format::EndpointAddress,
        &["::1", "10.0.0.1", "a.internal"],
        &["10.0.0.1:80", "unix:///x"],
    );
}

#[test]
fn what_requests_carry() {
    table(
        Format::LlmHeader,
        &["host", "X-Team", "user-type"],
        &["uri", "Method", ":authority", "a b", "a:b", "ä"],
    );
    table(
        Format::RequestPath,
        &["/", "/v1/chat?api-version=1"],
        &["v1", "/a b", "/a#b", "/ä"],
    );
    table(
        Format::PolicyPath,
        &[
            "/v1/*",
            "*/chat",
            "*",
            "/a",
            "/v1/{*}",
            "/{**}",
            "/{*}/x/{**}/chat",
            "/v1/{*}/",
        ],
        &[
            "/{x}",
            "/a b",
            "/{**}/{*}",
            "/a{*}",
            "/a//{*}",
            "v1/{*}",
            "/*/{*}",
            "/{**}/{**}",
            "//{*}",
            "/[/{*}",
            "{*}",
        ],
    );
    table(Format::Secret, &["sk-1"], &["", "a b", "a\n", "ä"]);
    table(Format::Regex, &["a+"], &["", &"a".repeat(1025)]);
}

#[test]
fn patterns_that_cannot_match_are_linted() {
    for (format, text, code) in [
        (Format::PolicyPath, "/v1/*/chat", Some("literal-star")),
        (Format::PolicyHost, "*a*", Some("literal-star")),
        (Format::PolicyPath, "v1", Some("never-matches")),
        (Format::PolicyPath, "/v1?x", Some("never-matches")),
        (Format::PolicyMethod, "post", Some("never-matches")),
        (Format::PolicyMethod, "GETX", Some("never-matches")),
        (Format::PolicyMethod, "CONNECT", Some("never-matches")),
        (Format::PolicyMethod, "PROPFIND", None),
        (Format::PolicyMethod, "GETX*", None),
        (Format::Cidr, "::ffff:10.0.0.1", Some("never-matches")),
        (Format::Cidr, "::ffff:10.0.0.0/104", Some("never-matches")),
        (Format::Cidr, "::ffff:0:0/16", None),
        (Format::Cidr, "10.0.0.1", None),
        (Format::Cidr, "::1/128", None),
        (Format::PolicyHost, "http://a.com", Some("never-matches")),
        (Format::PolicyPath, "/v1/*", None),
        (Format::PolicyHost, "*.a.com", None),
        (Format::PolicyHost, "*", None),
        (Format::PolicyMethod, "POST", None),
    ] {
        assert_eq!(format.lint(text).map(|fault| fault.code), code, "{text}");
    }
}
