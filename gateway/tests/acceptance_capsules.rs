//! Decisions logged as capsules, and made again on the command line.

#![allow(clippy::expect_used, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use support::QUESTION;
use support::bed::{Bed, Transport};
use support::client::{request, send_raw};
use support::gateway::Setup;

const DENIED: &str = "127.0.0.1";

/// The capsules of a denied and a forwarded request, and the configuration they are of.
async fn recorded(more: &[&str], lines: usize) -> (String, Setup) {
    let setup = Setup::seed().with_policy(DENIED);
    let file = setup.aside("capsules.jsonl", "");
    let path = file.display().to_string();
    let mut bed = Bed::start(Transport::Plain, setup.args(&["--capsule", &path]).args(more)).await;
    assert_eq!(bed.ask("test.com").await.status, 403);
    assert_eq!(
        bed.ask_with([127, 0, 0, 2], "test.com", &[("x-unread", "planted")])
            .await
            .status,
        200
    );
    bed.gateway.signal("TERM");
    assert!(bed.gateway.ends().await.success());
    let text = std::fs::read_to_string(&file).expect("capsules");
    assert_eq!(text.lines().count(), lines, "{text}");
    let again = Setup::seed().with_policy(DENIED).provider_at(&bed.upstream);
    (text, again)
}

#[tokio::test]
async fn decisions_are_logged_and_made_again() {
    let (text, again) = recorded(&[], 2).await;
    assert!(!text.contains("planted"), "{text}");
    let file = again.aside("capsules.jsonl", &text);
    let path = file.display().to_string();
    let said = again.run("explain", &["--capsule", &path]).await;
    assert_eq!(said.code, 0, "{}", said.all());
    assert!(
        said.stdout
            .contains("2 capsules: 2 decided as recorded, 0 otherwise; all by this snapshot"),
        "{}",
        said.stdout
    );

    let first = again.aside("first.jsonl", text.lines().next().unwrap_or_default());
    let said = again.run("explain", &["--capsule", &first.display().to_string()]).await;
    for part in ["verdict    REFUSE with 403", "1 capsule: 1 decided as recorded"] {
        assert!(said.stdout.contains(part), "{}", said.stdout);
    }

    // Recorded where tokens were read and another authorizer asked.
    let claims = r#""request":{"claims":{"iss":"https://i.test/"},"checks":{"gone":{"decision":"deny"}},"#;
    let elsewhere = again.aside("elsewhere.jsonl", &text.replace(r#""request":{"#, claims));
    let said = again
        .run("explain", &["--capsule", &elsewhere.display().to_string()])
        .await;
    assert_eq!(said.code, 0, "{}", said.all());

    let changed = again.edit("authorization-policy.yaml", "- test.com\n", "- other.com\n");
    let said = changed.run("explain", &["--capsule", &path]).await;
    assert_eq!(said.code, 1, "{}", said.all());
    for part in [
        "line 1: request ",
        "decision       \"refuse\" → \"readBody\"",
        "1 decided as recorded, 1 otherwise; 2 recorded by other",
    ] {
        assert!(said.stdout.contains(part), "no {part} in {}", said.stdout);
    }
    let said = changed.run("explain", &["--capsule", &path, "-o", "json"]).await.json();
    assert_eq!((&said["capsules"], &said["ofThisSnapshot"]), (&2.into(), &0.into()));
    assert_eq!(said["differing"][0]["members"][0]["name"], "decision");

    // Whoever wrote the file does not write to the terminal.
    let hostile = text.replace("\"requestId\":\"", "\"requestId\":\"\\u001b[2J");
    assert_ne!(hostile, text);
    let path = changed.aside("hostile.jsonl", &hostile).display().to_string();
    let said = changed.run("explain", &["--capsule", &path]).await;
    assert!(
        said.stdout.contains("[2J") && !said.stdout.contains('\x1b'),
        "{}",
        said.stdout
    );
}

#[tokio::test]
async fn a_request_that_is_over_a_limit_as_it_is_logged_keeps_no_other_from_being_read() {
    let setup = Setup::seed();
    let file = setup.aside("capsules.jsonl", "");
    let path = file.display().to_string();
    let mut bed = Bed::start(Transport::Plain, setup.args(&["--capsule", &path])).await;
    // Each of these stands as `redacted` in the capsule.
    let query = format!("/?{}", "a&".repeat(20_000));
    let answer = send_raw(bed.http(), request("POST", &query, "test.com", &[], QUESTION)).await;
    assert_eq!(answer.expect("an answer").status, 200);
    assert_eq!(bed.ask("test.com").await.status, 200);
    bed.gateway.signal("TERM");
    assert!(bed.gateway.ends().await.success());
    let again = Setup::seed().provider_at(&bed.upstream);
    let said = again.run("explain", &["--capsule", &path]).await;
    assert_eq!(said.code, 0, "{}", said.all());
    assert!(
        said.stdout
            .contains("2 capsules: 1 decided as recorded, 0 otherwise, 1 open"),
        "{}",
        said.stdout
    );
}

#[tokio::test]
async fn only_so_many_are_drawn() {
    let (text, _) = recorded(&["--capsule-sample", "0"], 0).await;
    assert_eq!(text, "");
}

#[tokio::test]
async fn what_is_no_capsule_is_refused_with_its_line() {
    let (text, again) = recorded(&["--capsule-redact", "x-none, Host"], 2).await;
    assert!(
        text.contains(r#"["host","redacted"]"#) && !text.contains("test.com"),
        "{text}"
    );
    for (file, why) in [
        ("", "--capsule: there is no capsule"),
        ("\n{}\n", "--capsule: line 2: no capsule: missing field `apiVersion`"),
        (
            &text.replace("capsule/v1", "capsule/v9"),
            "--capsule: line 1: `apiVersion` is `lockgate.dev/capsule/v9`; this program reads `lockgate.dev/capsule/v1`",
        ),
    ] {
        let path = again.aside("bad.jsonl", file).display().to_string();
        let said = again.run("explain", &["--capsule", &path]).await;
        assert_eq!(said.code, 2);
        assert!(said.stderr.contains(why), "no {why} in {}", said.stderr);
    }
    let said = again.run("explain", &["--capsule", "x.jsonl", "http://test.com"]).await;
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("cannot be used with"), "{}", said.stderr);
    let said = again
        .run("serve", &["--capsule", "x.jsonl", "--capsule-sample", "2"])
        .await;
    assert!(
        said.code == 2 && said.stderr.contains("a number from 0 to 1"),
        "{}",
        said.stderr
    );
}
