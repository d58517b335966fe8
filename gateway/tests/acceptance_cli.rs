//! The command line as scripts rely on it, and an orderly end.

#[cfg(test)]
mod support;

use core::time::Duration;
use std::process::Stdio;
use std::time::Instant;

use support::bed::{Bed, DENIED_TEXT, Transport};
use support::client::{Client, get, post};
use support::gateway::{Said, Setup, run};
use support::upstream::{Answer, Gate, STREAM_HEAD, Step};
use support::wire::{LAST_CHUNK, Part, chunk};
use support::{KEY, PATIENCE, PROVIDER, QUESTION, eventually};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

async fn lockgate(args: &[&str]) -> Said {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    run(&[], &args).await
}

#[tokio::test]
async fn version_is_the_packages() {
    let said = lockgate(&["version"]).await;
    assert_eq!(said.code, 0);
    assert!(said.stdout.contains(env!("CARGO_PKG_VERSION")), "{}", said.stdout);
}

#[tokio::test]
async fn help_names_every_command() {
    let said = lockgate(&["--help"]).await;
    assert_eq!(said.code, 0);
    for command in [
        "serve",
        "check",
        "explain",
        "diff",
        "test",
        "demo",
        "schema",
        "completions",
        "man",
        "version",
    ] {
        assert!(said.stdout.contains(command), "no {command} in {}", said.stdout);
    }
}

#[tokio::test]
async fn schema_of_explanations_is_of_their_version() {
    let said = lockgate(&["schema", "explanation"]).await;
    assert_eq!(said.code, 0);
    let version = &said.json()["properties"]["apiVersion"]["const"];
    let setup = Setup::seed();
    let explained = setup.run("explain", &["-o", "json", "http://test.com"]).await;
    assert_eq!(*version, explained.json()["apiVersion"]);
    let said = lockgate(&["schema", "explanations"]).await;
    assert!(
        said.code == 2 && said.stderr.contains("configuration, explanation"),
        "{}",
        said.stderr
    );
}

#[tokio::test]
async fn schema_is_json_that_knows_the_kinds() {
    let said = lockgate(&["schema"]).await;
    assert_eq!(said.code, 0);
    let schema = said.json();
    assert!(
        schema["$schema"]
            .as_str()
            .is_some_and(|s| s.contains("json-schema.org")),
        "{}",
        schema["$schema"]
    );
    let kinds = [
        "Gateway",
        "AuthorizationPolicy",
        "ServiceEntry",
        "DestinationRule",
        "LLMProvider",
        "LLMRoute",
    ];
    for name in kinds.iter().chain(&["openAIConfig", "providerHost", "ipBlocks"]) {
        assert!(said.stdout.contains(name), "{name} is not in the schema");
    }
}

#[tokio::test]
async fn completions_are_made_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let said = lockgate(&["completions", shell]).await;
        assert_eq!(said.code, 0, "{shell}");
        assert!(
            said.stdout.contains("lockgate") && said.stdout.contains("explain"),
            "{shell}"
        );
    }
}

#[tokio::test]
async fn manual_pages_are_made_for_each_command() {
    let footer = concat!("\" \" \"lockgate ", env!("CARGO_PKG_VERSION"), "\"");
    let help = lockgate(&["--help"]).await.stdout;
    // As the release archive reads them.
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<_> = commands.map_while(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"serve") && commands.contains(&"version"), "{help}");
    let pages = commands
        .iter()
        .map(|name| (vec!["man", name], format!("lockgate-{name}")));
    for (args, title) in pages.chain([(vec!["man"], "lockgate".to_owned())]) {
        let said = lockgate(&args).await;
        assert_eq!(said.code, 0, "{args:?}");
        assert!(
            said.stdout.contains(&format!(".TH {title} 1 {footer}")) && said.stdout.contains(".SH OPTIONS"),
            "{args:?}"
        );
    }
    assert!(lockgate(&["man", "serve"]).await.stdout.contains("drain"));
    let said = lockgate(&["man", "dance"]).await;
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("there is no command `dance`; there are serve,"),
        "{}",
        said.stderr
    );
}

#[tokio::test]
async fn a_time_to_wait_of_nothing_is_refused() {
    for flag in ["--first-byte-timeout", "--stream-idle-timeout"] {
        let said = lockgate(&["serve", "-f", "nowhere", flag, "0s"]).await;
        assert_eq!(said.code, 2, "{}", said.all());
        assert!(said.stderr.contains("nothing would be waited for"), "{}", said.stderr);
    }
}

/// Explains the seed's question under a host, from an address, with more arguments.
async fn explain(host: &str, peer: &str, more: &[&str]) -> Said {
    let host = format!("host: {host}");
    let fixed = [
        "-X",
        "POST",
        "-H",
        &host,
        "-H",
        "content-type: application/json",
        "--peer",
        peer,
        "-d",
        QUESTION,
    ];
    let args = [&fixed[..], more, &["/"]].concat();
    let said = Setup::seed().with_policy(DENIED_TEXT).run("explain", &args).await;
    assert_eq!(said.code, 0, "a refusal is an answer: {}", said.all());
    assert!(!said.all().contains(KEY), "{}", said.all());
    said
}

#[tokio::test]
async fn explain_shows_the_rule_the_rewrite_and_the_places() {
    let said = explain("test.com", "127.0.0.2", &[]).await;
    for part in [
        "ingress-route",
        "dashscope-qwen",
        PROVIDER,
        "/compatible-mode/v1/chat/completions",
    ] {
        assert!(said.stdout.contains(part), "no {part} in\n{}", said.stdout);
    }
    support::findings::place(&said.stdout, "llm-route.yaml");
}

#[tokio::test]
async fn explain_agrees_with_the_seeds_cases() {
    for (host, peer, status) in [
        ("test.com", DENIED_TEXT, "403"),
        ("unknown.example.com", DENIED_TEXT, "404"),
        (PROVIDER, "192.0.2.1", "/compatible-mode"),
        ("test.com:80", DENIED_TEXT, "/compatible-mode"),
    ] {
        for output in ["text", "json"] {
            let said = explain(host, peer, &["-o", output]).await;
            assert!(
                said.stdout.contains(status),
                "{host} from {peer}: no {status} in\n{}",
                said.stdout
            );
            if output == "json" {
                assert!(said.json().is_object());
            }
        }
    }
}

#[tokio::test]
async fn explain_refuses_a_head_that_the_gateway_answers_with_400() {
    for (field, why) in [
        ("x-team : red", "`x-team ` is no name of a header field"),
        (" x-team: red", "` x-team` is no name of a header field"),
        ("x-q: a\u{1}", "`x-q` has a control character in its value"),
        ("x-q: a\r\nx-team: red", "`x-q` has a control character in its value"),
        ("x-q: a\r", "`x-q` has a control character in its value"),
    ] {
        let args = ["-H", "host: test.com", "-H", field, "/"];
        let said = Setup::seed().run("explain", &args).await;
        assert_ne!(said.code, 0, "{field:?}: {}", said.all());
        assert!(said.stderr.contains(why), "{field:?}: {}", said.all());
    }
    let args = ["-H", "host: \t test.com ", "-H", "x-q:a\tb", "/"];
    let said = Setup::seed().run("explain", &args).await;
    assert!(
        said.code == 0 && said.stdout.contains("host test.com"),
        "{}",
        said.all()
    );
}

#[tokio::test]
async fn explain_reads_the_body_as_the_gateway_does() {
    let args = [
        "-X",
        "POST",
        "-H",
        "host: test.com",
        "-d",
        r#"{"model":"a","model":"b"}"#,
        "/",
    ];
    let said = Setup::seed().run("explain", &args).await;
    assert_eq!(said.code, 0, "{}", said.all());
    assert!(said.stdout.contains("400"), "{}", said.stdout);
    let args = ["-X", "POST", "-H", "host: test.com", "-d", r#"{"messages":[]}"#, "/"];
    let said = Setup::seed().run("explain", &args).await;
    assert!(said.stdout.contains("qwen1.5-72b-chat"), "{}", said.stdout);
}

#[tokio::test]
async fn demo_prints_three_requests_that_answer_200_404_and_403() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .arg("demo")
        .env_remove("API_KEY")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("starting the demo");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut commands: Vec<String> = Vec::new();
    let mut open = false;
    let deadline = Instant::now() + PATIENCE;
    while commands.len() < 3 || open {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(Ok(Some(line))) = tokio::time::timeout(left, lines.next_line()).await else {
            let mut stderr = String::new();
            let _ = child.start_kill();
            let _ = child.stderr.take().expect("stderr").read_to_string(&mut stderr).await;
            panic!("the demo printed {commands:?} and no more:\n{stderr}");
        };
        let text = line.trim().trim_start_matches("$ ");
        if open {
            let last = commands.last_mut().expect("an open command");
            last.push('\n');
            last.push_str(text);
        } else if text.starts_with("curl ") {
            commands.push(text.to_owned());
        } else {
            continue;
        }
        open = text.ends_with('\\');
    }
    let mut statuses = Vec::new();
    for command in &commands {
        let with_status = command.replacen("curl ", "curl -s -o /dev/null --max-time 10 -w '\\n%{http_code}' ", 1);
        let output = Command::new("sh")
            .args(["-c", &with_status])
            .output()
            .await
            .expect("running curl");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        statuses.push(text.lines().last().unwrap_or_default().to_owned());
    }
    assert_eq!(statuses, ["200", "404", "403"], "{commands:#?}");
    let pid = child.id().expect("a running demo").to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("kill")
            .success()
    );
    let status = tokio::time::timeout(PATIENCE, child.wait())
        .await
        .expect("the demo ends")
        .expect("its status");
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn termination_lets_a_stream_finish_and_exits_0() {
    for signal in ["TERM", "INT"] {
        let (mut bed, gate) = (Bed::seed().await, Gate::new());
        bed.upstream
            .answer(Answer::gated_stream(&["data: 1\n\n", "data: 2\n\n"], &gate));
        let mut client = Client::connect(bed.http()).await;
        client
            .send(post("test.com", &[], r#"{"messages":[],"stream":true}"#))
            .await;
        assert_eq!(client.head().await.status, 200);
        assert_eq!(client.text(9).await, "data: 1\n\n");
        bed.gateway.signal(signal);
        eventually("new connections are refused", || async {
            Client::try_connect_from([127, 0, 0, 1], bed.http())
                .await
                .is_err()
                .then_some(())
        })
        .await;
        gate.open();
        assert_eq!(client.text(9).await, "data: 2\n\n");
        gate.open();
        assert_eq!(client.part().await, Part::End);
        assert_eq!(bed.gateway.ends().await.code(), Some(0), "{signal}");
        let line = bed.gateway.log_of(1).await.remove(0);
        assert_eq!(
            support::outputs::field(&line, "response_code"),
            "200",
            "the last line is written: {line}"
        );
    }
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    let mut bed = Bed::seed().await;
    let mut idle = Client::connect(bed.http()).await;
    assert_eq!(idle.ask("test.com", QUESTION).await.status, 200);
    let _silent = Client::connect(bed.http()).await;
    let asked = Instant::now();
    bed.gateway.signal("TERM");
    assert_eq!(bed.gateway.ends().await.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(idle.closes().await);
}

#[tokio::test]
async fn drain_timeout_ends_what_would_never_end() {
    let setup = Setup::seed().args(&["--drain-timeout", "1s"]);
    let mut bed = Bed::start(Transport::Plain, setup).await;
    let event = chunk(b"data: 1\n\n");
    bed.upstream.answer(Answer(vec![
        Step::Send([STREAM_HEAD, &event].concat()),
        Step::Wait(Gate::new()),
    ]));
    let mut client = Client::connect(bed.http()).await;
    client
        .send(post("test.com", &[], r#"{"messages":[],"stream":true}"#))
        .await;
    assert_eq!(client.head().await.status, 200);
    client.text(9).await;
    let asked = Instant::now();
    bed.gateway.signal("TERM");
    bed.gateway.ends().await;
    let took = asked.elapsed();
    assert!(
        took > Duration::from_millis(900) && took < Duration::from_secs(6),
        "{took:?}"
    );
    assert_eq!(client.part().await, Part::Cut, "half an answer must not look whole");
    let line = &bed.gateway.log_of(1).await[0];
    assert_eq!(
        (&line["response_flags"], &line["response_code_details"]),
        (&"LR".into(), &"drain_timeout".into())
    );
    assert_eq!((&line["response_code"], &line["bytes_sent"]), (&200.into(), &9.into()));
}

#[tokio::test]
async fn readiness_ends_when_the_drain_begins() {
    let (mut bed, gate) = (Bed::seed().await, Gate::new());
    let rest = Step::Send(LAST_CHUNK.to_vec());
    bed.upstream.answer(Answer(vec![
        Step::Send(STREAM_HEAD.to_vec()),
        Step::Wait(gate.clone()),
        rest,
    ]));
    let mut client = Client::connect(bed.http()).await;
    client
        .send(post("test.com", &[], r#"{"messages":[],"stream":true}"#))
        .await;
    assert_eq!(client.head().await.status, 200);
    bed.gateway.signal("TERM");
    eventually("not ready", || async {
        (get(bed.gateway.admin, "/healthz/ready").await.status == 503).then_some(())
    })
    .await;
    assert_eq!(get(bed.gateway.admin, "/healthz/live").await.status, 200);
    gate.open();
    assert_eq!(client.part().await, Part::End);
    assert_eq!(bed.gateway.ends().await.code(), Some(0));
}

/// A scenario of one answer, in a file of its own.
fn scenario_file(name: &str, expect: &str) -> std::io::Result<std::path::PathBuf> {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("scenarios");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    let text = format!(
        "apiVersion: lockgate.dev/v1\nkind: Scenario\nmetadata: {{name: routes}}\nspec:\n  cases:\n    # Stays.\n    - name: health & <co>\n      expect:{expect}\n      request: {{url: 'http://shop.example.com/healthz'}} # Stays too.\n    - name: one line\n      request: {{url: 'http://shop.example.com/'}}\n      expect: {{decision: forward}}\n"
    );
    std::fs::write(&path, text)?;
    Ok(path)
}

async fn tested(path: &std::path::Path, more: &[&str]) -> Said {
    let routing = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/routing");
    let path = path.to_string_lossy();
    lockgate(&[&["test", "-f", routing, &path], more].concat()).await
}

#[tokio::test]
async fn scenarios_pass_or_say_what_came() {
    let path = scenario_file("passes.yaml", " {status: 200, body: \"ok\\n\"}").expect("a file");
    let said = tested(&path, &[]).await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(
        said.stdout.contains("2 passed, 0 failed; 2 of 8 rules reached"),
        "{}",
        said.stdout
    );
    assert_eq!(tested(&path, &["--strict"]).await.code, 1);

    let path = scenario_file("fails.yaml", "\n        decision: refuse\n        status: 404").expect("a file");
    let said = tested(&path, &[]).await;
    assert_eq!(said.code, 1);
    assert!(
        said.stdout.contains("status: expected 404, found 200"),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains("fails.yaml:10:17"), "{}", said.stdout);

    let json = tested(&path, &["-o", "json"]).await.json();
    assert_eq!(json["apiVersion"], "lockgate.dev/test/v1");
    assert_eq!(json["cases"][0]["failures"][1]["expected"], "404");

    let junit = tested(&path, &["-o", "junit"]).await.stdout;
    assert!(
        junit.contains("<testsuites name=\"lockgate\" tests=\"2\" failures=\"1\">"),
        "{junit}"
    );
    assert!(junit.contains("name=\"health &amp; &lt;co&gt;\""), "{junit}");
}

#[tokio::test]
async fn failed_cases_are_updated_and_nothing_else() {
    let path = scenario_file(
        "updated.yaml",
        "\n        decision: refuse # Goes.\n        status: 404",
    )
    .expect("a file");
    let before = std::fs::read_to_string(&path).expect("the file");
    let said = tested(&path, &["--update"]).await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("updated.yaml: 1 updated"), "{}", said.stderr);
    let after = std::fs::read_to_string(&path).expect("the file");
    assert_eq!(after, before.replace("refuse # Goes.", "respond").replace("404", "200"));

    std::fs::write(&path, before.replace('\n', "\r\n")).expect("a file");
    assert_eq!(tested(&path, &["--update"]).await.code, 0);
    let with_crlf = std::fs::read_to_string(&path).expect("the file");
    assert_eq!(with_crlf, after.replace('\n', "\r\n"));

    let path = scenario_file("told.yaml", " {}").expect("a file");
    assert_eq!(tested(&path, &["--update"]).await.code, 0);
    let after = std::fs::read_to_string(&path).expect("the file");
    let told = "expect:\n        decision: respond\n        status: 200\n        body: \"ok\\n\"\n        rule: istio-system/shop/health\n      request";
    assert!(after.contains(told), "{after}");
}

#[tokio::test]
async fn scenarios_that_cannot_be_tried_say_why() {
    let routing = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/routing");
    let said = lockgate(&["test", "-f", routing]).await;
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("the configuration holds no Scenario"),
        "{}",
        said.stderr
    );

    let path = scenario_file("misspelt.yaml", " {staus: 200}").expect("a file");
    let said = tested(&path, &[]).await;
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("did you mean `status`?"), "{}", said.stderr);

    let shared = scenario_file("shared.yaml", " &e {status: 404}").expect("a file");
    let text = std::fs::read_to_string(&shared).expect("the file");
    let said = tested(&shared, &["--update"]).await;
    assert_eq!(said.code, 2, "{}", said.stdout);
    assert!(said.stderr.contains("has an anchor"), "{}", said.stderr);
    assert_eq!(std::fs::read_to_string(&shared).expect("the file"), text);

    let used = "\n        status: &status 404\n        decision: forward";
    let within = scenario_file("within.yaml", used).expect("a file");
    let text = std::fs::read_to_string(&within).expect("the file");
    let said = tested(&within, &["--update"]).await;
    assert_eq!(said.code, 2, "{}", said.stdout);
    assert!(said.stderr.contains("has an anchor"), "{}", said.stderr);
    assert_eq!(std::fs::read_to_string(&within).expect("the file"), text);

    let one_line = scenario_file("one-line.yaml", " {status: 200}").expect("a file");
    let text = std::fs::read_to_string(&one_line).expect("the file");
    let text = text
        .replace("- name: one line\n      request:", "- {name: one line, request:")
        .replace(
            "'http://shop.example.com/'}\n      expect: {decision: forward}",
            "'http://shop.example.com/'}, expect: {decision: refuse}}",
        );
    std::fs::write(&one_line, &text).expect("a file");
    let said = tested(&one_line, &["--update"]).await;
    assert_eq!(said.code, 2, "{}", said.stdout);
    assert!(said.stderr.contains("write the case in block style"), "{}", said.stderr);
    assert_eq!(std::fs::read_to_string(&one_line).expect("the file"), text);
}

/// A file with a policy that denies a path, for the gateway of the example.
fn policy_file(name: &str, path: &str) -> std::io::Result<String> {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("diff");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(name);
    let text = format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: it, namespace: istio-system}}\nspec: {{action: DENY, rules: [{{to: [{{operation: {{paths: ['{path}']}}}}]}}]}}\n"
    );
    std::fs::write(&file, text)?;
    Ok(file.display().to_string())
}

#[tokio::test]
async fn a_request_that_two_configurations_decide_differently_is_shown_and_explained() {
    let routing = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/routing");
    let old = policy_file("old's.yaml", "/nowhere").expect("a file");
    let new = policy_file("new's.yaml", "/healthz").expect("a file");
    let diff = async |more: &[&str]| lockgate(&[&["diff", "-f", routing], more].concat()).await;

    let said = diff(&[&old, &new]).await;
    assert_eq!(said.code, 1, "{}", said.all());
    let shown = "GET /healthz\n  host: shop.example.com\n  old  answered 200 by rule ";
    assert!(said.stdout.contains(shown), "{}", said.stdout);
    let because = "  new  403: denied by rules[0] of AuthorizationPolicy `istio-system/it`  (";
    assert!(said.stdout.contains(because), "{}", said.stdout);

    // What it says to ask can be asked, quotes in names and all.
    let why = said
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("  why  lockgate "));
    let command = format!("{} {}", support::gateway::BINARY, why.expect("a command"));
    let explained = Command::new("sh")
        .args(["-c", &command])
        .output()
        .await
        .expect("a shell");
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(explained.contains("REFUSE with 403"), "{command}\n{explained}");

    let said = diff(&["-o", "json", "--limit", "1", &old, &new]).await.json();
    assert_eq!(said["apiVersion"], "lockgate.dev/diff/v1");
    let found = &said["differences"][0];
    assert_eq!(found["old"]["verdict"]["status"], 200);
    assert_eq!(found["new"]["verdict"]["status"], 403);
    assert_eq!(found["new"]["request"]["url"], "/healthz");

    let same = diff(&[&new, &new]).await;
    assert_eq!(same.code, 0, "{}", same.all());
    assert!(
        same.stdout.contains("they decide every request alike"),
        "{}",
        same.stdout
    );
    // Standard input can be what both share, and is one of them at most.
    let of_routing = format!("cat {routing}/*.yaml | {} diff", support::gateway::BINARY);
    let piped = async |args: String| {
        let shell = Command::new("sh")
            .args(["-c", &format!("{of_routing} {args}")])
            .output();
        shell.await.expect("a shell")
    };
    let shared = piped(format!("-f - \"{old}\" \"{new}\"")).await;
    let shown = String::from_utf8_lossy(&shared.stdout);
    assert!(
        shown.contains("GET /healthz\n") && shared.status.code() == Some(1),
        "{shown}"
    );
    for twice in ["- -", "-f - - x.yaml"] {
        let refused = piped(twice.to_owned()).await;
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(why.contains("standard input can be read only once"), "{twice}: {why}");
        assert_eq!(refused.status.code(), Some(2));
    }
    let missing = diff(&[&old, "/nowhere.yaml"]).await;
    assert_eq!(missing.code, 2);
    assert!(
        missing.stderr.contains("cannot read `/nowhere.yaml`"),
        "{}",
        missing.stderr
    );
}
