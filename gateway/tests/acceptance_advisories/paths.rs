//! Part A: paths that policy and the provider could read differently.

use std::time::Instant;

use crate::case::Is::{Denied, Refused, Sent};
use crate::case::{check, deny, deny_paths, get, mesh, open};
use crate::support::bed::{Bed, Transport};
use crate::support::client::{Client, post, send_raw};
use crate::support::gateway::Setup;
use crate::support::upstream::Answer;
use crate::support::{PATIENCE, QUESTION};

#[tokio::test]
async fn a_path_is_resolved_once_for_policy_and_provider() {
    let bed = open(&[&deny_paths("/private, /admin")]).await;
    for (row, target, is) in [
        ("1", "/info/../private", Denied),
        ("1", "/./private", Denied),
        ("1", "/../private", Denied),
        ("1", "/%70rivate", Denied),
        ("1", "/info/%2e%2E/private", Denied),
        ("1", "/info\\..\\private", Denied),
        ("1", "/info/./x/../y?a=/../b", Sent("GET /info/y?a=/../b HTTP/1.1")),
        ("14", "/%2561dmin", Sent("GET /%2561dmin HTTP/1.1")),
        ("14", "/%252e%252e/admin", Sent("GET /%252e%252e/admin HTTP/1.1")),
        ("14", "/%%36%31dmin", Refused(400)),
    ] {
        check(&bed, &format!("row {row}: {target}"), get(target, &[]), is).await;
    }
}

#[tokio::test]
async fn slashes_are_merged_and_decoded_where_the_mesh_says_so() {
    let policy = deny_paths("/admin, /admin/*");
    let base = open(&[&policy]).await;
    let merge = open(&[&policy, &mesh("{pathNormalization: {normalization: MERGE_SLASHES}}")]).await;
    let decode = open(&[
        &policy,
        &mesh("{pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}}"),
    ])
    .await;
    for (row, target, in_base, in_merge) in [
        ("2", "//admin", Sent("GET //admin HTTP/1.1"), Denied),
        (
            "2",
            "/x%2f..%2fadmin",
            Sent("GET /x%2f..%2fadmin HTTP/1.1"),
            Sent("GET /x%2f..%2fadmin HTTP/1.1"),
        ),
        (
            "2",
            "/%5cadmin",
            Sent("GET /%5cadmin HTTP/1.1"),
            Sent("GET /%5cadmin HTTP/1.1"),
        ),
        (
            "2",
            "/%2Fadmin",
            Sent("GET /%2Fadmin HTTP/1.1"),
            Sent("GET /%2Fadmin HTTP/1.1"),
        ),
        // A URL parser would take `admin` for a host and judge `/secret`.
        ("9", "//admin/secret", Sent("GET //admin/secret HTTP/1.1"), Denied),
    ] {
        let what = format!("row {row}: {target}");
        check(&base, &what, get(target, &[]), in_base).await;
        check(&merge, &what, get(target, &[]), in_merge).await;
        check(&decode, &what, get(target, &[]), Denied).await;
    }
}

#[tokio::test]
async fn fragment_and_query_are_no_part_of_a_path() {
    let login = "{from: [{source: {notRequestPrincipals: ['*']}}], to: [{operation: {paths: [/a]}}]}";
    let bed = open(&[&deny(&format!(
        "{login}, {{to: [{{operation: {{paths: [/user/profile]}}}}]}}"
    ))])
    .await;
    for (row, target, is) in [
        ("3", "/user/profile#x", Denied),
        ("3", "/user/profile#/../..", Denied),
        ("3", "/user#/profile", Sent("GET /user HTTP/1.1")),
        ("4", "/a", Denied),
        ("4", "/a?", Denied),
        ("4", "/a#", Denied),
        ("4", "/a?b=/c", Denied),
        ("4", "/b?/a", Sent("GET /b?/a HTTP/1.1")),
    ] {
        check(&bed, &format!("row {row}: {target}"), get(target, &[]), is).await;
    }
}

#[tokio::test]
async fn parameters_do_not_hide_dot_segments() {
    let bed = open(&[&deny_paths("/admin")]).await;
    for (row, target, is) in [
        ("5", "/x/..;/admin", Denied),
        ("5", "/x/..;a=b/admin", Denied),
        ("5", "/x/%2e%2e;a/admin", Denied),
        ("6", "/.;/admin", Denied),
        ("6", "/x/.;/../admin", Denied),
        ("6", "/x/..%3b/admin", Sent("GET /x/..%3b/admin HTTP/1.1")),
    ] {
        check(&bed, &format!("row {row}: {target}"), get(target, &[]), is).await;
    }
}

#[tokio::test]
async fn parameters_are_kept_stripped_or_refused_as_the_mesh_says() {
    let policy = deny_paths("/admin/*");
    let keep = open(&[&policy]).await;
    let strip = open(&[&policy, &mesh("{pathNormalization: {pathParameters: STRIP}}")]).await;
    let refuse = open(&[&policy, &mesh("{pathNormalization: {pathParameters: REFUSE}}")]).await;
    let bytes = get("/admin;x/keys", &[]);
    check(&keep, "row 7: kept", &bytes, Sent("GET /admin;x/keys HTTP/1.1")).await;
    check(&strip, "row 7: stripped", &bytes, Denied).await;
    check(&refuse, "row 7: refused", &bytes, Refused(400)).await;
    let elsewhere = get("/open;x/keys;y", &[]);
    check(&strip, "row 7: stripped", &elsewhere, Sent("GET /open/keys HTTP/1.1")).await;
}

#[tokio::test]
async fn templates_take_any_byte_and_no_time() {
    let bed = open(&[&deny_paths("'/admin/{**}', '/{*}/a/{*}/a/{**}/end'")]).await;
    for target in ["/admin/a[b", "/admin/a]b", "/admin/a|b", "/admin/", "/admin/x/y"] {
        check(&bed, &format!("row 102: {target}"), get(target, &[]), Denied).await;
    }
    let start = Instant::now();
    let long = format!("/{}", "a/".repeat(30_000));
    check(&bed, "row 8: 60 KB", get(&long, &[]), Refused(414)).await;
    let short = format!("/{}", "a/".repeat(4000));
    let line = format!("GET {short} HTTP/1.1");
    check(&bed, "row 8: 8 KB", get(&short, &[]), Sent(&line)).await;
    assert!(start.elapsed() < PATIENCE / 4, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_path_in_a_header_is_not_the_path() {
    let bed = open(&[&deny_paths("/secret")]).await;
    let named = [
        "x-envoy-original-path",
        "x-original-url",
        "x-rewrite-url",
        "x-forwarded-path",
    ];
    for name in named {
        let line = format!("{name}: /public");
        check(&bed, &format!("row 10: {name}"), get("/secret", &[&line]), Denied).await;
    }
    let answer = send_raw(bed.http(), get("/open", &["x-envoy-original-path: /public"])).await;
    assert_eq!(answer.expect("an answer").status, 200);
    assert_eq!(
        bed.upstream.request().await.header("x-envoy-original-path"),
        None,
        "row 10"
    );
}

#[tokio::test]
async fn a_providers_redirect_goes_to_the_client_and_nowhere_else() {
    let bed = open(&[]).await;
    for status in ["303 See Other", "302 Found", "307 Temporary Redirect"] {
        let fields = [("location", "http://test.com/elsewhere")];
        bed.upstream.answer(Answer::whole(status, &fields, ""));
        let answer = send_raw(bed.http(), get("/a", &[])).await.expect("an answer");
        assert!(status.starts_with(&answer.status.to_string()), "rows 11 and 12");
        assert_eq!(answer.header("location"), Some(fields[0].1));
    }
    assert_eq!(bed.upstream.request_count(), 3, "one for each");
}

#[tokio::test]
async fn any_byte_of_a_value_is_matched() {
    let deny = deny(
        "{when: [{key: 'request.headers[x-role]', values: ['a*']}, {key: 'request.headers[x-any]', values: ['*']}]}",
    );
    let bed = open(&[&deny]).await;
    for value in ["a\u{ff}", "a\u{80}\u{fe}", "a"] {
        let role = format!("x-role: {value}");
        let any = format!("x-any: {}", value.trim_start_matches('a'));
        check(&bed, "row 13", get("/", &[&role, &any]), Denied).await;
    }
    // A route whose rule asks for a header by a regular expression: a GET that matches it is 405, any other 404.
    let regex = "    matches:\n    - headers: {host: {exact: test.com}, x-a: {regex: 'a.*'}}\n    - headers: {host: {exact: \
                 dashscope.aliyuncs.com}}\n";
    let route = "apiVersion: istio.alibabacloud.com/v1beta1\nkind: LLMRoute\nmetadata: {name: r, namespace: \
                 istio-system}\nspec:\n  host: '*'\n  gateways: [istio-system/ingress-gw]\n  rules:\n  - backendRefs: \
                 [{providerHost: dashscope.aliyuncs.com}]\n";
    let setup = Setup::seed().file("llm-route.yaml", &format!("{route}{regex}"));
    let bed = Bed::start(Transport::Plain, setup).await;
    for (value, status) in [("a\u{ff}", 405), ("a\u{c3}\u{28}b", 405), ("\u{ff}a", 404)] {
        check(&bed, "row 13", get("/", &[&format!("x-a: {value}")]), Refused(status)).await;
    }
    let mut client = Client::connect(bed.http()).await;
    client.send(post("test.com", &[("x-a", "abc")], QUESTION)).await;
    assert_eq!(client.response().await.status, 200);
}
