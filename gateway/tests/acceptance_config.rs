//! Configuration: what is wrong is refused by place, what runs keeps running, what is secret stays so.

#![allow(clippy::panic, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use support::bed::{Bed, Transport, join};
use support::client::{Client, ask, get, post};
use support::findings::{findings, place, places};
use support::gateway::{Gateway, Setup, edit, example, run};
use support::upstream::{Answer, COMPLETION, Gate};
use support::wire::Part;
use support::{KEY, PROVIDER, QUESTION, eventually};

/// Line and column, from 1, of a text that occurs once in a file of the seed.
fn place_in_seed(file: &str, text: &str) -> (u32, u32) {
    let content = example(&format!("seed/{file}"));
    let at = content.find(text).unwrap_or_else(|| panic!("{text} in {file}"));
    let before = content.get(..at).unwrap_or_default();
    let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1) + 1;
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (number(before.matches('\n').count() + 1), number(column))
}

#[tokio::test]
async fn missing_variable_is_refused_by_file_line_and_column() {
    let setup = Setup::seed().without_env("API_KEY");
    for said in [setup.run("check", &[]).await, setup.refused().await] {
        assert_eq!(said.code, 2, "{}", said.all());
        let expected = place_in_seed("llm-provider.yaml", "${API_KEY}");
        assert_eq!(place(&said.stderr, "llm-provider.yaml"), expected, "{}", said.stderr);
        assert!(said.stderr.contains("API_KEY"), "{}", said.stderr);
    }
    let setup = Setup::seed().file("authorization-policy.yaml", &example("seed/authorization-policy.yaml"));
    for said in [setup.run("check", &[]).await, setup.refused().await] {
        assert_eq!(said.code, 2, "{}", said.all());
        let expected = place_in_seed("authorization-policy.yaml", "${YOUR_LOCAL_IP}");
        assert_eq!(
            place(&said.stderr, "authorization-policy.yaml"),
            expected,
            "{}",
            said.stderr
        );
    }
}

#[tokio::test]
async fn missing_variable_is_a_finding_for_machines_too() {
    let said = Setup::seed().without_env("API_KEY").run("check", &["-o", "json"]).await;
    assert_eq!(said.code, 2);
    let found = findings(&said.json());
    let error = found
        .iter()
        .find(|finding| finding["severity"] == "error")
        .expect("an error");
    let (line, column) = place_in_seed("llm-provider.yaml", "${API_KEY}");
    assert_eq!(
        (&error["line"], &error["column"]),
        (&line.into(), &column.into()),
        "{error}"
    );
    assert!(
        error["file"]
            .as_str()
            .is_some_and(|file| file.ends_with("llm-provider.yaml")),
        "{error}"
    );
}

#[tokio::test]
async fn variables_are_put_into_values_and_not_into_yaml() {
    let wild = "k\"e'y:[1]{a}#&b*c,${API_KEY}|>%";
    let (upstream, setup) = join(
        Transport::Plain,
        Setup::seed().without_env("API_KEY").env("API_KEY", wild),
    )
    .await;
    let gateway = setup.start().await;
    assert_eq!(ask(gateway.http, "test.com", QUESTION).await.status, 200);
    assert_eq!(
        upstream.request().await.header("authorization"),
        Some(format!("Bearer {wild}").as_str())
    );
}

#[tokio::test]
async fn doubled_dollar_is_a_literal_one() {
    let (upstream, setup) = join(
        Transport::Plain,
        Setup::seed().edit("llm-provider.yaml", "${API_KEY}", "a-$${API_KEY}"),
    )
    .await;
    let gateway = setup.start().await;
    assert_eq!(ask(gateway.http, "test.com", QUESTION).await.status, 200);
    assert_eq!(
        upstream.request().await.header("authorization"),
        Some("Bearer a-${API_KEY}")
    );
}

#[tokio::test]
async fn key_that_is_no_header_value_is_refused_without_showing_it() {
    for key in ["sk-line\r\nx-injected: 1", "sk-nul\0byte", "sk-new\nline"] {
        let setup = Setup::seed().edit(
            "llm-provider.yaml",
            "${API_KEY}",
            &serde_json::Value::from(key).to_string(),
        );
        let said = setup.run("check", &[]).await;
        assert_eq!(said.code, 2, "{key:?}: {}", said.all());
        assert_eq!(setup.refused().await.code, 2, "{key:?}");
    }
}

/// Edits of the seed that a person would want to be told about: file, from, to, line of the finding, what it mentions.
const MISTAKES: &[(&str, &str, &str, u32, &str)] = &[
    (
        "llm-provider.yaml",
        "openAIConfig:",
        "openAiConfig:",
        14,
        "openAIConfig",
    ),
    (
        "llm-provider.yaml",
        "  host: dashscope",
        "  hosts: dashscope",
        10,
        "host",
    ),
    ("llm-provider.yaml", "stream: false", "stream: nope", 16, "stream"),
    (
        "llm-provider.yaml",
        "kind: LLMProvider",
        "kind: LLMProvidr",
        2,
        "LLMProvider",
    ),
    (
        "llm-route.yaml",
        "- providerHost: dashscope",
        "- providerHost: dashcope",
        19,
        PROVIDER,
    ),
    (
        "llm-route.yaml",
        "istio-system/ingress-gw",
        "istio-system/ingres-gw",
        8,
        "ingress-gw",
    ),
    ("llm-route.yaml", "exact: test.com", "exakt: test.com", 17, "exact"),
    ("llm-route.yaml", "exact: test.com", "regex: '('", 17, "regex"),
    ("gateway.yaml", "number: 80", "number: 80000", 14, "80000"),
    ("gateway.yaml", "protocol: HTTP", "protocol: HTPT", 15, "HTTP"),
    (
        "gateway.yaml",
        "apiVersion: networking.istio.io/v1beta1",
        "apiVersion: networking.istio.io/v9",
        1,
        "v9",
    ),
];

#[tokio::test]
async fn mistakes_are_refused_with_their_place_and_a_way_out() {
    for &(file, from, to, line, mention) in MISTAKES {
        let said = Setup::seed().edit(file, from, to).run("check", &[]).await;
        assert_eq!(said.code, 2, "{to}: {}", said.all());
        let found = places(&said.stderr, file);
        let there = found.iter().any(|place| place.0 == line && place.1 > 0);
        assert!(there, "{to}: at {found:?} rather than line {line}\n{}", said.stderr);
        assert!(
            said.stderr.contains(mention),
            "{to}: no {mention:?} in\n{}",
            said.stderr
        );
    }
}

#[tokio::test]
async fn all_mistakes_are_told_at_once() {
    let setup = Setup::seed()
        .edit("llm-provider.yaml", "openAIConfig:", "openAiConfig:")
        .edit("gateway.yaml", "number: 80", "number: many")
        .edit("llm-route.yaml", "exact: test.com", "exakt: test.com");
    let said = setup.run("check", &[]).await;
    assert_eq!(said.code, 2);
    for file in ["llm-provider.yaml", "gateway.yaml", "llm-route.yaml"] {
        place(&said.stderr, file);
    }
}

#[tokio::test]
async fn hostile_yaml_is_refused_in_time() {
    let bomb: String = (1..40)
        .map(|n| format!("a{n}: &a{n} [*a{0},*a{0},*a{0},*a{0}]\n", n - 1))
        .collect();
    let deep = format!(
        "apiVersion: v1\nkind: List\nitems: {}{}\n",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for (what, text) in [
        ("alias bomb", format!("a0: &a0 x\n{bomb}")),
        ("depth", deep),
        ("tab", "apiVersion: v1\n\tkind: List\n".to_owned()),
        ("binary", "\u{1}\u{2}\u{3}".to_owned()),
        ("open quote", "apiVersion: \"v1\nkind: List\n".to_owned()),
        ("key twice", "apiVersion: v1\napiVersion: v1\nkind: List\n".to_owned()),
        ("scalar document", "hello\n".to_owned()),
    ] {
        let said = Setup::seed().file("hostile.yaml", &text).run("check", &[]).await;
        assert_eq!(said.code, 2, "{what}: {}", said.all());
        place(&said.stderr, "hostile.yaml");
        assert!(!said.stderr.contains("panicked"), "{what}: {}", said.stderr);
        assert!(
            said.stderr.len() < 20_000,
            "{what}: a diagnostic of {} bytes",
            said.stderr.len()
        );
    }
}

#[tokio::test]
async fn foreign_kind_is_skipped_with_a_warning_and_known_group_refused() {
    let foreign = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: x\nspec:\n  anything: 1\n";
    let said = Setup::seed().file("foreign.yaml", foreign).run("check", &[]).await;
    assert_eq!(said.code, 0, "{}", said.all());
    assert!(said.stderr.contains("Deployment"), "{}", said.stderr);
    let known = "apiVersion: networking.istio.io/v1\nkind: EnvoyFilter\nmetadata:\n  name: x\nspec: {}\n";
    let said = Setup::seed().file("known.yaml", known).run("check", &[]).await;
    assert_eq!(said.code, 2, "{}", said.all());
    assert!(said.stderr.contains("EnvoyFilter"), "{}", said.stderr);
}

#[tokio::test]
async fn strict_turns_warnings_into_status_1() {
    let foreign = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: x\n";
    let setup = Setup::seed().file("foreign.yaml", foreign);
    assert_eq!(setup.run("check", &[]).await.code, 0);
    assert_eq!(setup.run("check", &["--strict"]).await.code, 1);
    let wrong = setup.edit("gateway.yaml", "number: 80", "number: many");
    assert_eq!(
        wrong.run("check", &["--strict"]).await.code,
        2,
        "errors are still errors"
    );
}

#[tokio::test]
async fn files_are_taken_as_kubectl_takes_them() {
    let setup = Setup::seed();
    let env = [("API_KEY".to_owned(), KEY.to_owned())];
    let file = |name: &str| setup.config().join(name).display().to_string();
    let one_by_one = ["llm-provider.yaml", "gateway.yaml", "llm-route.yaml"].map(file);
    let mut args = vec!["check".to_owned()];
    one_by_one
        .iter()
        .for_each(|path| args.extend(["-f".to_owned(), path.clone()]));
    assert_eq!(run(&env, &args).await.code, 0);
    let together = ["llm-provider.yaml", "gateway.yaml", "llm-route.yaml"].map(|f| example(&format!("seed/{f}")));
    let all = Setup::empty().file("all.yaml", &together.join("---\n"));
    assert_eq!(all.run("check", &[]).await.code, 0, "several documents in one file");
    let other_names = all.file("notes.txt", "not: [yaml").file("README.md", "# hello");
    assert_eq!(
        other_names.run("check", &[]).await.code,
        0,
        "other files of a directory are not read"
    );
    let missing = run(
        &env,
        &["check".to_owned(), "-f".to_owned(), "does-not-exist.yaml".to_owned()],
    )
    .await;
    assert_eq!(missing.code, 2);
    assert!(missing.stderr.contains("does-not-exist.yaml"), "{}", missing.stderr);
}

#[tokio::test]
async fn wrong_arguments_are_status_2() {
    for args in [
        &["serve"][..],
        &["chekc"],
        &["check"],
        &["serve", "-f", ".", "--listen", "eighty=127.0.0.1:1"],
        &[
            "serve",
            "-f",
            ".",
            "--listen",
            "80=127.0.0.1:1",
            "--listen",
            "80=127.0.0.1:2",
        ],
        &["serve", "-f", ".", "--no-such-option"],
        &["explain", "-f", "."],
        &["completions", "tcsh-9"],
    ] {
        let owned: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let said = run(&[], &owned).await;
        assert_eq!(said.code, 2, "{args:?}: {}", said.all());
        assert!(!said.stderr.is_empty(), "{args:?}");
    }
}

/// Waits until a host is answered with a status.
async fn until(gateway: &Gateway, host: &str, status: u16) {
    eventually(&format!("{host} answers {status}"), || async {
        (ask(gateway.http, host, QUESTION).await.status == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn changed_file_is_loaded_by_itself() {
    let bed = Bed::seed().await;
    assert_eq!(bed.ask("new.example.com").await.status, 404);
    edit(
        &bed.gateway.config().join("llm-route.yaml"),
        "exact: test.com",
        "exact: new.example.com",
    );
    until(&bed.gateway, "new.example.com", 200).await;
    assert_eq!(bed.ask("test.com").await.status, 404);
}

#[tokio::test]
async fn changed_file_is_loaded_by_itself_whatever_it_is_called_from_where_the_gateway_runs() {
    for files in ["config", ".", "all.yaml"] {
        let setup = Setup::seed();
        let text = ["llm-provider.yaml", "gateway.yaml", "llm-route.yaml"].map(|file| example(&format!("seed/{file}")));
        let setup = match files {
            "all.yaml" => setup
                .file(files, &text.join("---\n"))
                .args(&["-f", "local-provider.yaml"]),
            _ => setup,
        };
        let bed = Bed::start(Transport::Plain, setup.within(files)).await;
        let file = match files {
            "all.yaml" => files,
            _ => "llm-route.yaml",
        };
        let path = bed.gateway.config().join(file);
        edit(&path, "exact: test.com", "exact: new.example.com");
        until(&bed.gateway, "new.example.com", 200).await;
        assert_eq!(bed.ask("test.com").await.status, 404);
    }
}

#[tokio::test]
async fn added_and_removed_files_are_loaded_by_themselves() {
    let bed = Bed::seed().await;
    let policy = example("seed/authorization-policy.yaml").replace("${YOUR_LOCAL_IP}", "127.0.0.1");
    let path = bed.gateway.config().join("policy.yaml");
    std::fs::write(&path, policy).expect("writing a policy");
    until(&bed.gateway, "test.com", 403).await;
    std::fs::remove_file(&path).expect("removing the policy");
    until(&bed.gateway, "test.com", 200).await;
}

#[tokio::test]
async fn hangup_loads_again() {
    let bed = Bed::seed().await;
    let route = bed.gateway.config().join("llm-route.yaml");
    // A change through another name of the same file: nobody who watches the directory is told.
    let aside = bed.gateway.config().with_file_name("route-by-another-name");
    std::fs::hard_link(&route, &aside).expect("a second name");
    let text = std::fs::read_to_string(&aside).expect("the route");
    std::fs::write(&aside, text.replace("exact: test.com", "exact: new.example.com")).expect("changing the route");
    bed.gateway.signal("HUP");
    until(&bed.gateway, "new.example.com", 200).await;
    assert_eq!(bed.ask("test.com").await.status, 404);
}

#[tokio::test]
async fn config_that_cannot_be_loaded_leaves_the_running_one() {
    let bed = Bed::seed().await;
    let route = bed.gateway.config().join("llm-route.yaml");
    edit(&route, "    backendRefs:", "    backendRef:");
    bed.gateway.signal("HUP");
    let stderr = eventually("the reload is refused in the log", || async {
        Some(bed.gateway.read("stderr")).filter(|text| text.contains("backendRef"))
    })
    .await;
    assert!(
        places(&stderr, "llm-route.yaml").iter().any(|place| place.0 == 18),
        "{stderr}"
    );
    assert_eq!(bed.ask("test.com").await.status, 200, "the last good configuration");
    assert_eq!(get(bed.gateway.admin, "/healthz/ready").await.status, 200);
    edit(&route, "    backendRef:", "    backendRefs:");
    edit(&route, "exact: test.com", "exact: new.example.com");
    until(&bed.gateway, "new.example.com", 200).await;
}

#[tokio::test]
async fn running_stream_survives_a_reload_that_removes_its_route() {
    let (bed, gate) = (Bed::seed().await, Gate::new());
    bed.upstream
        .answer(Answer::gated_stream(&["data: 1\n\n", "data: 2\n\n"], &gate));
    let mut client = Client::connect(bed.http()).await;
    client
        .send(post("test.com", &[], r#"{"messages":[],"stream":true}"#))
        .await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.text(9).await, "data: 1\n\n");
    edit(
        &bed.gateway.config().join("llm-route.yaml"),
        "exact: test.com",
        "exact: new.example.com",
    );
    until(&bed.gateway, "test.com", 404).await;
    gate.open();
    assert_eq!(client.text(9).await, "data: 2\n\n");
    gate.open();
    assert_eq!(client.part().await, Part::End);
}

#[tokio::test]
async fn snapshot_id_changes_with_the_configuration_and_is_in_the_log() {
    let bed = Bed::seed().await;
    let snapshot = |line: &serde_json::Value| {
        let fields = line.as_object().expect("an object");
        let found = fields
            .iter()
            .find(|(name, _)| name.contains("snapshot"))
            .unwrap_or_else(|| panic!("{line}"));
        found.1.to_string()
    };
    assert_eq!(bed.ask("test.com").await.status, 200);
    let first = snapshot(&bed.gateway.log_of(1).await[0]);
    edit(
        &bed.gateway.config().join("llm-route.yaml"),
        "exact: test.com",
        "exact: new.example.com",
    );
    until(&bed.gateway, "new.example.com", 200).await;
    // Workers write on their own, so that a line of the old snapshot may follow one of the new.
    let second = eventually("a line with another snapshot", || async {
        bed.gateway.log().iter().map(&snapshot).find(|id| *id != first)
    })
    .await;
    let page = get(bed.gateway.admin, "/snapshot").await.text();
    assert!(page.contains(second.trim_matches('"')), "{second} in {page}");
}

#[tokio::test]
async fn key_is_in_no_output() {
    let bed = Bed::start(Transport::Plain, Setup::seed().with_policy("127.0.0.2")).await;
    assert_eq!(bed.ask("test.com").await.text(), COMPLETION);
    for host in ["unknown.example.com", "test.com:80"] {
        bed.ask(host).await;
    }
    bed.ask_body("test.com", "[").await;
    bed.upstream.answer(Answer::raw(b"garbage"));
    bed.ask("test.com").await;
    // A client that guesses the key learns nothing and leaves no trace either.
    bed.ask_with(
        [127, 0, 0, 1],
        "test.com",
        &[("authorization", &format!("Bearer {KEY}"))],
    )
    .await;
    edit(
        &bed.gateway.config().join("llm-provider.yaml"),
        "apiKey: ${API_KEY}",
        "apiKey: [\"${API_KEY}\"]",
    );
    bed.gateway.signal("HUP");
    eventually("the reload is refused", || async {
        bed.gateway.read("stderr").contains("llm-provider.yaml").then_some(())
    })
    .await;
    bed.gateway.log_of(6).await;
    bed.gateway.assert_keeps_the_key().await;
    let dump = get(bed.gateway.admin, "/config_dump").await.text();
    for name in [
        "dashscope-qwen",
        "ingress-gw",
        "dashscope-route",
        "auth-policy",
        PROVIDER,
    ] {
        assert!(dump.contains(name), "{name} in the dump: {dump}");
    }
}

#[tokio::test]
async fn key_is_in_no_diagnostic() {
    for (from, to) in [
        ("apiKey: ${API_KEY}", format!("apiKey: [{KEY}]")),
        ("apiKey: ${API_KEY}", format!("apikey: {KEY}")),
        ("apiKey: ${API_KEY}", format!("apiKey: {KEY}\n        apiKey: {KEY}")),
        ("apiKey: ${API_KEY}", format!("apiKey: {KEY}\n        modle: x")),
        ("apiKey: ${API_KEY}", format!("apiKey: {KEY}: x")),
        ("apiKey: ${API_KEY}", "apiKey: {a: \"${API_KEY}\"}".to_owned()),
        ("apiKey: ${API_KEY}", format!("apiKey: \"{KEY}")),
    ] {
        let setup = Setup::seed().edit("llm-provider.yaml", from, &to);
        for args in [&[][..], &["-o", "json"]] {
            let said = setup.run("check", args).await;
            assert_eq!(said.code, 2, "{to}: {}", said.all());
            assert!(!said.all().contains(KEY), "the key is shown:\n{}", said.all());
        }
    }
    let setup = Setup::seed().edit("llm-provider.yaml", "${API_KEY}", KEY);
    for (command, args) in [
        ("check", &[][..]),
        ("check", &["-o", "json"]),
        ("explain", &["-H", "host: test.com", "-X", "POST", "/"]),
    ] {
        let said = setup.run(command, args).await;
        assert_eq!(said.code, 0, "{}", said.all());
        assert!(!said.all().contains(KEY), "{command} shows the key:\n{}", said.all());
    }
}

#[tokio::test]
async fn admin_port_answers_what_it_promises() {
    let bed = Bed::seed().await;
    for (path, status) in [
        ("/healthz/ready", 200),
        ("/healthz/live", 200),
        ("/metrics", 200),
        ("/stats/prometheus", 200),
        ("/config_dump", 200),
        ("/snapshot", 200),
        ("/playground", 308),
        ("/playground/", 200),
        ("/playground/live.json", 200),
        ("/no-such-page", 404),
    ] {
        assert_eq!(get(bed.gateway.admin, path).await.status, status, "{path}");
    }
    let dump = get(bed.gateway.admin, "/config_dump").await;
    assert!(dump.json().is_object(), "the dump is JSON");
}

#[tokio::test]
async fn port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let setup = Setup::seed();
    let admin = support::ports::Port::lease();
    let listen = format!("80={address}");
    let said = setup
        .run(
            "serve",
            &["--listen", &listen, "--admin", &format!("127.0.0.1:{}", admin.number)],
        )
        .await;
    assert_ne!(said.code, 0);
    assert!(said.stderr.contains(&address), "{}", said.stderr);
}

/// A DENY on `/admin`, which `//admin` passes as long as slashes are not merged.
const DENY_ADMIN: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: deny-admin, namespace: istio-system }
spec: { action: DENY, rules: [{ to: [{ operation: { paths: [/admin] } }] }] }
";

async fn status_of(gateway: &Gateway, target: &str) -> u16 {
    let head = format!("GET {target} HTTP/1.1\r\nhost: nowhere.test\r\n\r\n");
    let mut client = Client::connect(gateway.http).await;
    client.send(head).await;
    client.head().await.status
}

#[tokio::test]
async fn mesh_config_is_read_from_its_own_file_and_again_when_it_changes() {
    let setup = Setup::seed().file("deny-admin.yaml", DENY_ADMIN);
    let folder = std::env::temp_dir().join(format!("lockgate-mesh-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let mesh = folder.join("mesh.yaml");
    std::fs::write(&mesh, "pathNormalization: { normalization: MERGE_SLASH }\n").expect("write");
    let flag = ["--mesh-config", mesh.to_str().expect("a path")];

    let said = setup.run("check", &flag).await;
    assert_eq!(said.code, 2, "{}", said.all());
    assert_eq!(place(&said.stderr, "mesh.yaml"), (1, 37), "{}", said.stderr);
    assert!(said.stderr.contains("did you mean `MERGE_SLASHES`"), "{}", said.stderr);

    std::fs::write(&mesh, "pathNormalization: { normalization: BASE }\n").expect("write");
    let gateway = setup.args(&flag).start().await;
    assert_eq!(
        (
            status_of(&gateway, "/admin").await,
            status_of(&gateway, "//admin").await
        ),
        (403, 404)
    );
    std::fs::write(&mesh, "pathNormalization: { normalization: MERGE_SLASHES }\n").expect("write");
    eventually("merged slashes", || async {
        (status_of(&gateway, "//admin").await == 403).then_some(())
    })
    .await;
    std::fs::remove_dir_all(folder).expect("remove");
}
