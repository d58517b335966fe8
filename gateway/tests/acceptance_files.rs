//! The files that a configuration is made of: what becomes of them is noticed, and none is left out without a word.

#![allow(clippy::panic, clippy::expect_used, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use std::path::Path;

use support::bed::{Bed, Transport, join};
use support::client::ask;
use support::findings::findings;
use support::gateway::{Gateway, Setup, example};
use support::{QUESTION, eventually};

/// Waits until a host is answered with a status.
async fn until(gateway: &Gateway, host: &str, status: u16) {
    eventually(&format!("{host} answers {status}"), || async {
        (ask(gateway.http, host, QUESTION).await.status == status).then_some(())
    })
    .await;
}

/// Changes files as people do.
fn shell(directory: &Path, script: &str) {
    let status = std::process::Command::new("sh")
        .args(["-ec", script])
        .current_dir(directory)
        .status();
    assert!(status.expect("running sh").success(), "{script}");
}

#[tokio::test]
async fn what_cannot_be_read_in_a_directory_is_refused_and_not_left_out() {
    for (what, make) in [
        ("a link to nothing", "ln -s gone.yaml deny.yaml"),
        ("a link to itself", "ln -s deny.yaml deny.yaml"),
        ("a link to a file below a file", "ln -s gateway.yaml/x.yaml deny.yaml"),
        ("a pipe", "mkfifo deny.yaml"),
    ] {
        let setup = Setup::seed();
        shell(&setup.config(), make);
        for said in [setup.run("check", &["--strict"]).await, setup.refused().await] {
            assert_eq!(said.code, 2, "{what}: {}", said.all());
            assert!(said.stderr.contains("deny.yaml"), "{what}: {}", said.stderr);
        }
    }
    let setup = Setup::seed();
    shell(&setup.config(), "mkdir nested.yaml && ln -s nested.yaml link.yaml");
    let said = setup.run("check", &[]).await;
    assert_eq!(said.code, 0, "directories are not read: {}", said.all());
}

#[tokio::test]
async fn policy_whose_file_goes_stays_in_force() {
    let setup = Setup::seed();
    let policy = example("seed/authorization-policy.yaml").replace("${YOUR_LOCAL_IP}", "127.0.0.1");
    let aside = setup.aside("policy.yaml", &policy);
    shell(&setup.config(), "ln -s ../policy.yaml deny.yaml");
    let bed = Bed::start(Transport::Plain, setup).await;
    assert_eq!(bed.ask("test.com").await.status, 403);
    std::fs::remove_file(&aside).expect("removing the policy");
    bed.gateway.signal("HUP");
    let refused = "configuration refused, the last good one stays";
    let stderr = eventually("the reload is refused in the log", || async {
        Some(bed.gateway.read("stderr")).filter(|text| text.contains(refused))
    })
    .await;
    assert!(stderr.contains("deny.yaml"), "{stderr}");
    assert_eq!(bed.ask("test.com").await.status, 403, "the last good configuration");
}

/// A directory as Kubernetes mounts a ConfigMap: each file leads through `..data`, which is swapped.
#[tokio::test]
async fn mounted_file_that_is_taken_away_is_gone_once_its_link_is() {
    let setup = Setup::seed();
    let policy = example("seed/authorization-policy.yaml").replace("${YOUR_LOCAL_IP}", "127.0.0.1");
    let setup = setup.file("policy.yaml", &policy);
    let (_upstream, setup) = join(Transport::Plain, setup).await;
    shell(
        &setup.config(),
        "mkdir ..1 && mv *.yaml ..1 && ln -s ..1 ..data && for file in ..1/*; do ln -s ..data/${file#..1/} .; done",
    );
    let gateway = setup.start().await;
    until(&gateway, "test.com", 403).await;
    shell(
        &gateway.config(),
        "cp -r ..1 ..2 && rm ..2/policy.yaml && ln -s ..2 ..data_tmp && mv -T ..data_tmp ..data && rm -r ..1",
    );
    eventually("the link that leads nowhere is refused", || async {
        gateway.read("stderr").contains("policy.yaml").then_some(())
    })
    .await;
    assert_eq!(ask(gateway.http, "test.com", QUESTION).await.status, 403);
    shell(&gateway.config(), "rm policy.yaml");
    until(&gateway, "test.com", 200).await;
}

/// The script puts a configuration in place that serves `HOST` alone.
async fn serves_in_turn(gateway: &Gateway, directory: &Path, script: &str) {
    // Twice: the watch of what was there at first is of no use for the second.
    for host in ["second.example.com", "third.example.com"] {
        shell(directory, &script.replace("HOST", host));
        until(gateway, host, 200).await;
    }
    assert_eq!(ask(gateway.http, "test.com", QUESTION).await.status, 404);
    assert_eq!(ask(gateway.http, "second.example.com", QUESTION).await.status, 404);
}

/// Makes `next` of what `config` was at first, with another host.
const NEXT: &str = "rm -rf next && cp -r first next && sed -i 's/test.com/HOST/' next/llm-route.yaml";

#[tokio::test]
async fn directory_that_is_replaced_is_watched_on() {
    let bed = Bed::seed().await;
    let around = bed.gateway.config().with_file_name("");
    shell(&around, "cp -r config first");
    let swap = "rm -rf old && mv config old && mv next config";
    serves_in_turn(&bed.gateway, &around, &format!("{NEXT} && {swap}")).await;
    shell(&around, "sed -i 's/third/fourth/' config/llm-route.yaml");
    until(&bed.gateway, "fourth.example.com", 200).await;
}

#[tokio::test]
async fn directory_that_is_replaced_further_up_is_watched_on() {
    let (_upstream, setup) = join(Transport::Plain, Setup::seed()).await;
    let config = setup.config();
    shell(&config, "mkdir -p up/in && mv *.yaml up/in && cp -r up first");
    let gateway = setup.within("up/in").start().await;
    let next = "rm -rf next && cp -r first next && sed -i 's/test.com/HOST/' next/in/llm-route.yaml";
    serves_in_turn(
        &gateway,
        &config,
        &format!("{next} && rm -rf old && mv up old && mv next up"),
    )
    .await;
}

#[tokio::test]
async fn directory_that_is_removed_and_made_again_is_watched_on() {
    let bed = Bed::seed().await;
    let around = bed.gateway.config().with_file_name("");
    shell(&around, "cp -r config first");
    for host in ["second.example.com", "third.example.com"] {
        let refused = bed.gateway.read("stderr").matches("configuration refused").count();
        shell(&around, "rm -r config");
        eventually("a directory that is gone is refused", || async {
            let said = bed.gateway.read("stderr");
            (said.matches("configuration refused").count() > refused).then_some(())
        })
        .await;
        shell(&around, &format!("{NEXT} && mv next config").replace("HOST", host));
        until(&bed.gateway, host, 200).await;
    }
    shell(&around, "sed -i 's/third/fourth/' config/llm-route.yaml");
    until(&bed.gateway, "fourth.example.com", 200).await;
}

/// As git-sync and others deploy: each version in a directory of its own, and a link to the one in use.
#[tokio::test]
async fn link_that_is_pointed_elsewhere_is_watched_on() {
    let (_upstream, setup) = join(Transport::Plain, Setup::seed()).await;
    let config = setup.config();
    shell(
        &config,
        "mkdir -p rel/test.com && mv *.yaml rel/test.com && ln -s rel/test.com cur",
    );
    let gateway = setup.within("cur").start().await;
    let next = "cp -r rel/test.com rel/HOST && sed -i 's/test.com/HOST/' rel/HOST/llm-route.yaml";
    serves_in_turn(&gateway, &config, &format!("{next} && ln -sfn rel/HOST cur")).await;
    shell(&config, "sed -i 's/third/fourth/' rel/third.example.com/llm-route.yaml");
    until(&gateway, "fourth.example.com", 200).await;
}

#[tokio::test]
async fn file_that_cannot_be_read_is_told_beside_what_is_wrong_with_others() {
    let setup = Setup::seed().edit("llm-route.yaml", "exact: test.com", "exakt: test.com");
    shell(
        &setup.config(),
        "printf '\\377\\376k\\0' > utf16.yaml; printf 'a: b\\n# f\\374r' > latin.yaml; ln -s gone link.yaml",
    );
    let said = setup.run("check", &["-o", "json"]).await;
    assert_eq!(said.code, 2, "{}", said.all());
    let found = findings(&said.json());
    for (file, code, line, column, hint) in [
        ("utf16.yaml", "wrong-encoding", 1, 1, "UTF-16"),
        ("latin.yaml", "wrong-encoding", 2, 4, "UTF-8"),
        ("link.yaml", "unreadable-file", 1, 1, "it is a link to `gone`"),
        ("llm-route.yaml", "unknown-field", 17, 11, "exact"),
    ] {
        let of_file = found
            .iter()
            .find(|finding| finding["file"].as_str().is_some_and(|name| name.ends_with(file)))
            .unwrap_or_else(|| panic!("nothing of {file} in {found:?}"));
        assert_eq!(
            (&of_file["code"], &of_file["line"], &of_file["column"]),
            (&code.into(), &line.into(), &column.into()),
            "{of_file}"
        );
        assert!(of_file.to_string().contains(hint), "{of_file}");
    }
    assert_eq!(found.iter().filter(|finding| finding["severity"] == "error").count(), 4);
}

#[tokio::test]
async fn directory_without_a_file_of_configuration_is_warned_of() {
    let setup = Setup::empty().file("notes.txt", "").file("policy.yaml.bak", "");
    let said = setup.run("check", &[]).await;
    assert_eq!(said.code, 0, "{}", said.all());
    assert!(said.stderr.contains("warning[empty-directory]"), "{}", said.stderr);
    assert!(said.stderr.contains(".yaml, .yml or .json"), "{}", said.stderr);
    assert_eq!(setup.run("check", &["--strict"]).await.code, 1);
}

#[tokio::test]
async fn endings_of_files_are_read_in_any_case() {
    let setup = Setup::seed().with_policy("127.0.0.1");
    shell(&setup.config(), "mv authorization-policy.yaml POLICY.YAML");
    let bed = Bed::start(Transport::Plain, setup).await;
    assert_eq!(bed.ask("test.com").await.status, 403);
    shell(&bed.gateway.config(), "rm POLICY.YAML");
    until(&bed.gateway, "test.com", 200).await;
}

#[tokio::test]
async fn what_is_found_at_the_start_and_at_a_reload_is_a_line_of_the_log() {
    let foreign = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: x\n";
    let gateway = Setup::seed().file("foreign.yaml", foreign).start().await;
    let found = || {
        let said = gateway.read("stderr");
        let line = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON ({e}): {line}"));
        let lines: Vec<serde_json::Value> = said.lines().map(line).collect();
        lines
            .into_iter()
            .filter(|line| line["code"] == "foreign-kind")
            .collect::<Vec<_>>()
    };
    assert_eq!(found().len(), 1);
    assert_eq!(found()[0]["level"], "warning");
    assert!(
        found()[0]["message"]
            .as_str()
            .is_some_and(|text| text.contains("Deployment"))
    );
    assert!(
        found()[0]["at"]
            .as_str()
            .is_some_and(|at| at.ends_with("foreign.yaml:2:7")),
        "{:?}",
        found()
    );
    gateway.signal("HUP");
    eventually("the finding is told again", || async {
        (found().len() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn file_that_is_emptied_leaves_what_it_held_in_force() {
    let policy = example("seed/authorization-policy.yaml").replace("${YOUR_LOCAL_IP}", "127.0.0.1");
    let setup = Setup::seed().file("deny.yaml", &policy).file("nothing.yaml", "");
    let mesh = "pathNormalization: {normalization: NONE}\n";
    let mesh_config = setup.aside("mesh", mesh);
    let setup = setup.args(&["--mesh-config", mesh_config.to_str().expect("a path in UTF-8")]);
    let bed = Bed::start(Transport::Plain, setup).await;
    let deny = bed.gateway.config().join("deny.yaml");
    let mut refused = 0;
    for (file, text) in [(&deny, &*policy), (&mesh_config, mesh)] {
        for blank in ["", " \n\n"] {
            std::fs::write(file, blank).expect("emptying a file");
            refused = eventually("it is refused", || async {
                let said = bed.gateway.read("stderr");
                let now = said.matches("which held something when it was loaded last").count();
                (now > refused).then_some(now)
            })
            .await;
            assert_eq!(bed.ask("test.com").await.status, 403);
            std::fs::write(file, text).expect("writing the file again");
        }
    }
    // Said by what is written, it is meant; and `nothing.yaml`, which never held anything, may be as it is.
    std::fs::write(&deny, "---\n").expect("writing a file");
    until(&bed.gateway, "test.com", 200).await;
}

#[tokio::test]
async fn pipe_is_read_once_and_kept() {
    let setup = Setup::empty();
    let from = setup.aside("from.yaml", &example("seed/gateway.yaml"));
    let around = from.with_file_name("");
    shell(&around, "mkfifo pipe");
    let mut writer = std::process::Command::new("sh")
        .args(["-c", "exec cat from.yaml >pipe"])
        .current_dir(&around)
        .spawn()
        .expect("running sh");
    let pipe = from.with_file_name("pipe");
    let gateway = setup
        .args(&["-f", pipe.to_str().expect("a path in UTF-8")])
        .start()
        .await;
    assert!(writer.wait().expect("the end of the writer").success());
    gateway.signal("HUP");
    eventually("it is loaded again", || async {
        let said = gateway.read("stderr");
        (said.matches("configuration loaded").count() == 2).then_some(())
    })
    .await;
    assert_eq!(ask(gateway.http, "test.com", QUESTION).await.status, 404);
}

#[tokio::test]
async fn what_becomes_a_pipe_is_not_waited_for() {
    let setup = Setup::seed();
    let given = setup.aside("given.yaml", "# nothing\n");
    let mesh_config = setup.aside("mesh", "pathNormalization: {normalization: NONE}\n");
    let args = [("-f", &given), ("--mesh-config", &mesh_config)];
    let setup = args.iter().fold(setup, |setup, (flag, path)| {
        setup.args(&[flag, path.to_str().expect("a path in UTF-8")])
    });
    let gateway = setup.start().await;
    for path in [given, mesh_config] {
        let text = std::fs::read(&path).expect("reading");
        std::fs::remove_file(&path).expect("removing");
        support::make_pipe(&path);
        gateway.signal("HUP");
        let told = format!("`{}`: it is no regular file", path.display());
        eventually("it is told", || async {
            gateway.read("stderr").contains(&told).then_some(())
        })
        .await;
        std::fs::remove_file(&path).expect("removing");
        std::fs::write(&path, text).expect("writing");
    }
    assert_eq!(ask(gateway.http, "unknown.example.com", QUESTION).await.status, 404);
}

#[tokio::test]
async fn a_pipe_in_the_place_of_a_certificate_is_told_and_not_waited_for() {
    let setup = Setup::seed();
    let pipe = setup.aside("ca.pem", "").with_file_name("pipe");
    support::make_pipe(&pipe);
    let rule = format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: ca, namespace: istio-system}}\nspec: {{host: dashscope.aliyuncs.com, trafficPolicy: {{tls: {{mode: SIMPLE, caCertificates: {}}}}}}}\n",
        pipe.display()
    );
    let setup = setup.file("rule.yaml", &rule);
    let said = setup.run("check", &[]).await;
    assert!(said.all().contains("it is no regular file"), "{}", said.all());
    let said = setup.refused().await;
    assert!(said.all().contains("it is no regular file"), "{}", said.all());
}
