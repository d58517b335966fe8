//! Policies about the body: what a team may ask of which model. `docs/policy.md`.
#![cfg(feature = "yaml")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod support;

use lockgate_core::compile::Compiled;
use lockgate_core::decide::{Body, Known, Scratch, decide};
use lockgate_core::decision::Decision;
use lockgate_core::explain::{Question, Target, Verdict};
use support::Outcome::{Allowed, BadBody, Denied, NeedsBody};
use support::{GET, Sent, compiled_of};

fn lockgate(specs: &[&str]) -> Compiled {
    compiled_of("lockgate.dev/v1", specs)
}

const POST: Sent<'static> = Sent { method: "POST", ..GET };

fn sending(body: &str) -> Sent<'_> {
    Sent {
        body: Some(body),
        ..POST
    }
}

#[track_caller]
fn deny_holds(key: &str, values: &str, bodies: &[(&str, bool)]) {
    for (list, negated) in [("values", false), ("notValues", true)] {
        let policy = lockgate(&[&format!(
            "{{action: DENY, rules: [{{when: [{{key: 'request.llm[{key}]', {list}: {values}}}]}}]}}"
        )]);
        assert_eq!(POST.to(&policy), NeedsBody, "{key} {values}");
        for (body, expected) in bodies {
            let outcome = if *expected == negated { Allowed } else { Denied };
            assert_eq!(sending(body).to(&policy), outcome, "{key} {list} {values} {body}");
        }
    }
}

#[test]
fn models_are_compared_as_the_client_names_them() {
    deny_holds(
        "model",
        "[qwen-turbo, 'gpt-*']",
        &[
            (r#"{"model":"qwen-turbo"}"#, true),
            (r#"{"model":"gpt-5"}"#, true),
            (r#"{"model":"gpt\u002d5"}"#, true),
            (r#"{"model":"GPT-5"}"#, false),
            (r#"{"model":null}"#, false),
            ("{}", false),
        ],
    );
    deny_holds("model", "['*']", &[(r#"{"model":"x"}"#, true), ("{}", false)]);
}

#[test]
fn stream_is_true_false_or_absent() {
    deny_holds(
        "stream",
        "['true']",
        &[
            (r#"{"stream":true}"#, true),
            (r#"{"stream":false}"#, false),
            ("{}", false),
        ],
    );
    deny_holds(
        "stream",
        "['*']",
        &[(r#"{"stream":false}"#, true), (r#"{"stream":null}"#, false)],
    );
}

#[test]
fn of_several_token_limits_the_largest_counts() {
    deny_holds(
        "max_tokens",
        "['>4096']",
        &[
            (r#"{"max_tokens":4097}"#, true),
            (r#"{"max_tokens":4096}"#, false),
            (r#"{"max_completion_tokens":5000}"#, true),
            (r#"{"max_tokens":1,"max_completion_tokens":5000}"#, true),
            (r#"{"max_completion_tokens":1,"max_tokens":5000}"#, true),
            (r#"{"max_output_tokens":5000}"#, true),
            ("{}", false),
        ],
    );
    deny_holds(
        "max_tokens",
        "['<=10', '100', '>=1000']",
        &[
            (r#"{"max_tokens":10}"#, true),
            (r#"{"max_tokens":11}"#, false),
            (r#"{"max_tokens":100}"#, true),
            (r#"{"max_tokens":18446744073709551615}"#, true),
        ],
    );
}

#[test]
fn a_deny_matches_one_tool_and_an_allow_covers_them_all() {
    let body = |tools: &str| format!(r#"{{"tools":[{tools}]}}"#);
    const SEARCH: &str = r#"{"type":"web_search"}"#;
    const MINE: &str = r#"{"type":"function","function":{"name":"mine"}}"#;
    let both = format!("{SEARCH},{MINE}");
    deny_holds(
        "tools",
        "['web_*']",
        &[
            (&body(SEARCH), true),
            (&body(&both), true),
            (&body(MINE), false),
            (&body(""), false),
            ("{}", false),
        ],
    );
    for (condition, allowed) in [
        ("values: [mine]", [false, false, true, false]),
        ("values: [mine, web_search]", [true, true, true, false]),
        ("values: ['*']", [true, true, true, false]),
        ("notValues: [web_search]", [false, false, true, true]),
        ("notValues: ['*']", [false, false, false, true]),
    ] {
        let policy = lockgate(&[&format!(
            "{{rules: [{{when: [{{key: 'request.llm[tools]', {condition}}}]}}]}}"
        )]);
        for (tools, allowed) in [SEARCH, &both, MINE, ""].into_iter().zip(allowed) {
            let expected = if allowed { Allowed } else { Denied };
            assert_eq!(sending(&body(tools)).to(&policy), expected, "{condition} {tools}");
        }
        // A list that two readers could read differently is refused where a policy asks for it.
        let unclear = body(r#"{"name":"mine","name":"web_search"}"#);
        assert_eq!(sending(&unclear).to(&policy), BadBody(400), "{condition}");
        assert_eq!(sending(&unclear).to(&lockgate(&["{rules: [{}]}"])), Allowed);
    }
}

#[test]
fn a_custom_tool_is_known_by_the_name_in_its_definition() {
    let deny = lockgate(&["{action: DENY, rules: [{when: [{key: 'request.llm[tools]', values: [b]}]}]}"]);
    let allow = lockgate(&["{rules: [{when: [{key: 'request.llm[tools]', values: [a]}]}]}"]);
    for (tool, denied, allowed) in [
        (r#"{"type":"custom","custom":{"name":"a"}}"#, Allowed, Allowed),
        (
            r#"{"custom":{"format":{"name":"b"},"name":"a"},"type":"custom"}"#,
            Allowed,
            Allowed,
        ),
        (r#"{"type":"custom","custom":{"name":"b"}}"#, Denied, Denied),
        (r#"{"type":"custom","name":"a","custom":{"name":"b"}}"#, Denied, Denied),
        (r#"{"type":"custom","name":"a"}"#, Allowed, Allowed),
        (
            r#"{"type":"custom","custom":{"name":"a"},"function":{"name":"a"}}"#,
            BadBody(400),
            BadBody(400),
        ),
        (r#"{"type":"custom","Custom":{"name":"a"}}"#, BadBody(400), BadBody(400)),
    ] {
        let body = format!(r#"{{"tools":[{tool}]}}"#);
        assert_eq!(sending(&body).to(&deny), denied, "{tool}");
        assert_eq!(sending(&body).to(&allow), allowed, "{tool}");
    }
}

#[test]
fn tools_that_nobody_names_pass_no_policy_on_tools() {
    let deny = lockgate(&["{action: DENY, rules: [{when: [{key: 'request.llm[tools]', values: ['*']}]}]}"]);
    let allow = lockgate(&["{rules: [{when: [{key: 'request.llm[tools]', values: [a]}]}]}"]);
    let model = lockgate(&["{action: DENY, rules: [{when: [{key: 'request.llm[model]', values: [large]}]}]}"]);
    for member in [
        r#""mcp_servers":[{"type":"url","url":"https://a.test","name":"m"}]"#,
        r#""web_search_options":{}"#,
        r#""enable_search":true"#,
    ] {
        let body = format!(r#"{{"model":"small","tools":[{{"name":"a"}}],{member}}}"#);
        assert_eq!(sending(&body).to(&deny), BadBody(400), "{member}");
        assert_eq!(sending(&body).to(&allow), BadBody(400), "{member}");
        assert_eq!(sending(&body).to(&model), Allowed, "{member}");
    }
    for member in [
        r#""mcp_servers":[]"#,
        r#""web_search_options":null"#,
        r#""enable_search":false"#,
    ] {
        let body = format!(r#"{{"tools":[{{"name":"a"}}],{member}}}"#);
        assert_eq!(sending(&body).to(&allow), Allowed, "{member}");
        assert_eq!(sending(&format!("{{{member}}}")).to(&deny), Allowed, "{member}");
    }
}

#[test]
fn what_other_members_decide_passes_no_policy_on_it() {
    let policies = |key: &str, values: &str| {
        let rule = |field: &str| format!("rules: [{{when: [{{key: 'request.llm[{key}]', {field}: [{values}]}}]}}]");
        let deny = format!("{{action: DENY, {}}}", rule("values"));
        [
            deny,
            format!("{{{}}}", rule("values")),
            format!("{{{}}}", rule("notValues")),
        ]
    };
    for (key, values, unclear, other) in [
        ("model", "small", r#""models":["large"]"#, r#""max_tokens":-1"#),
        (
            "model",
            "'*'",
            r#""fallbacks":[{"model":"large"}]"#,
            r#""plugins":[{"id":"web"}]"#,
        ),
        ("max_tokens", "'<=4096'", r#""max_tokens":-1"#, r#""models":["large"]"#),
        ("max_tokens", "'>4096'", r#""n_predict":9000"#, r#""mcp_servers":[{}]"#),
        (
            "max_tokens",
            "'>4096'",
            r#""parameters":{"max_tokens":9000}"#,
            r#""fallbacks":[0]"#,
        ),
        (
            "tools",
            "'*'",
            r#""parameters":{"enable_search":true}"#,
            r#""n_predict":1"#,
        ),
        ("tools", "a", r#""prompt":{"id":"p"}"#, r#""prompt":"text""#),
    ] {
        for policy in policies(key, values) {
            let gateway = lockgate(&[&policy]);
            let body = format!(r#"{{"model":"small",{unclear}}}"#);
            assert_eq!(sending(&body).to(&gateway), BadBody(400), "{policy} {body}");
            let body = format!(r#"{{"model":"small",{other}}}"#);
            assert_ne!(sending(&body).to(&gateway), BadBody(400), "{policy} {body}");
        }
    }
}

const TEAM_RED_MAY_USE_MINE: &str =
    "{rules: [{when: [{key: 'request.headers[x-team]', values: [red]}, {key: 'request.llm[model]', values: [mine]}]}]}";

fn of_red<'s>(body: Option<&'s str>) -> Sent<'s> {
    Sent {
        headers: &[("x-team", "red")],
        body,
        ..POST
    }
}

#[test]
fn the_body_is_read_only_if_the_outcome_depends_on_it() {
    const DENY_MINE: &str = "{action: DENY, rules: [{when: [{key: 'request.llm[model]', values: [mine]}]}]}";
    const DENY_A: &str = "{action: DENY, rules: [{to: [{operation: {paths: [/a]}}]}]}";
    let at_a = Sent { target: "/a", ..POST };
    for (specs, sent, expected) in [
        // An ALLOW that cannot hold whatever the body says refuses at once.
        (&[TEAM_RED_MAY_USE_MINE][..], POST, Denied),
        (&[TEAM_RED_MAY_USE_MINE], of_red(None), NeedsBody),
        (&[TEAM_RED_MAY_USE_MINE], of_red(Some(r#"{"model":"mine"}"#)), Allowed),
        (&[TEAM_RED_MAY_USE_MINE], of_red(Some(r#"{"model":"other"}"#)), Denied),
        // An ALLOW that holds anyway asks for nothing.
        (&[TEAM_RED_MAY_USE_MINE, "{rules: [{}]}"], of_red(None), Allowed),
        // A DENY that holds anyway does not wait for another.
        (&[DENY_MINE, DENY_A], at_a, Denied),
        (&[DENY_MINE, DENY_A], POST, NeedsBody),
        (&[DENY_MINE, TEAM_RED_MAY_USE_MINE], POST, Denied),
        // Without a body there is nothing to wait for.
        (&[DENY_MINE], GET, Allowed),
        (
            &[TEAM_RED_MAY_USE_MINE],
            Sent {
                headers: &[("x-team", "red")],
                ..GET
            },
            Denied,
        ),
    ] {
        assert_eq!(sent.to(&lockgate(specs)), expected, "{specs:?} {sent:?}");
    }
}

#[test]
fn a_body_that_cannot_be_read_is_never_let_through() {
    const DENY_OTHERS: &str = "{action: DENY, rules: [{when: [{key: 'request.llm[model]', notValues: [mine]}]}]}";
    for body in [
        "",
        "[]",
        "{",
        r#"{"model":"mine","model":"other"}"#,
        r#"{"model":"mine","Model":"other"}"#,
        r#"{"model":7}"#,
        r#"{"max_tokens":"9","model":"mine"}"#,
        r#"{"model":"mine","models":["other"]}"#,
        r#"{"model":"mine","fallbacks":["other"]}"#,
        r#"{"model":"mine","prompt":{"id":"pmpt_1"}}"#,
    ] {
        for specs in [
            &[DENY_OTHERS][..],
            &[TEAM_RED_MAY_USE_MINE],
            &[DENY_OTHERS, TEAM_RED_MAY_USE_MINE],
        ] {
            assert_eq!(
                of_red(Some(body)).to(&lockgate(specs)),
                BadBody(400),
                "{specs:?} {body}"
            );
        }
        // Where the outcome does not depend on it, the body is not policy's business.
        assert_eq!(of_red(Some(body)).to(&lockgate(&["{rules: [{}]}"])), Allowed);
    }
}

#[test]
fn methods_that_might_carry_a_body_are_asked_for_it() {
    let policy = lockgate(&["{action: DENY, rules: [{when: [{key: 'request.llm[model]', values: [bad]}]}]}"]);
    for (method, expected) in [
        ("POST", NeedsBody),
        ("PUT", NeedsBody),
        ("PATCH", NeedsBody),
        ("REPORT", NeedsBody),
        ("SEARCH", NeedsBody),
        ("GET", Allowed),
        ("HEAD", Allowed),
        ("DELETE", Allowed),
        ("OPTIONS", Allowed),
    ] {
        let sent = Sent { method, ..GET };
        assert_eq!(sent.to(&policy), expected, "{method}");
        // Content that is there all the same is judged.
        let stray = sent.ask(|request, known| {
            let body = Body::unread(method, true);
            let (tables, known) = (policy.snapshot.tables(), Known { body, ..known });
            matches!(
                decide(tables, request, known, 0, &mut Scratch::new()),
                Decision::ReadBody
            )
        });
        assert!(stray, "{method}");
        for (body, is_denied) in [(r#"{"model":"bad"}"#, true), (r#"{"model":"good"}"#, false)] {
            let body = Some(body);
            assert_eq!(Sent { body, ..sent }.to(&policy) == Denied, is_denied, "{method}");
        }
        let garbage = Sent {
            body: Some("{"),
            ..sent
        };
        assert_eq!(garbage.to(&policy), BadBody(400), "{method}");
    }
}

#[test]
fn a_question_with_content_is_judged_whatever_its_method() {
    let policy = lockgate(&["{action: DENY, rules: [{when: [{key: 'request.llm[model]', values: [bad]}]}]}"]);
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "POST"] {
        for (body, status) in [(r#"{"model":"bad"}"#, 403), (r#"{"model":"good"}"#, 404), ("{", 400)] {
            let question = Question {
                method: Some(method.to_owned()),
                target: Target::parse("http://test.com/").unwrap(),
                body: Some(body.to_owned()),
                ..Question::default()
            };
            let verdict = question.verdict(&policy.snapshot).unwrap();
            let told = matches!(&verdict, Verdict::Refuse(refused) if refused.status == status);
            assert!(told, "{method} {body}: {verdict:?}");
        }
    }
}

#[test]
fn explain_says_that_a_rule_waits_for_the_body() {
    let policy = lockgate(&[TEAM_RED_MAY_USE_MINE]);
    let waiting = of_red(None).explained_by(&policy);
    let failed = waiting.policies[0].rules[0].failed.as_ref().unwrap();
    assert!(failed.needs_body && failed.seen.is_none() && !waiting.policies[0].matched);
    assert!(
        waiting
            .to_string()
            .contains("request.llm[model]: the body must be known"),
        "{waiting}"
    );
    let refused = of_red(Some(r#"{"model":"other"}"#)).explained_by(&policy);
    let failed = refused.policies[0].rules[0].failed.as_ref().unwrap();
    assert_eq!((failed.needs_body, failed.seen.as_deref()), (false, Some("other")));
}
