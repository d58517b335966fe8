//! Configuration texts: whatever is in them, they load or they are refused with reasons that can be shown.

use std::net::Ipv4Addr;

use lockgate_core::build;
use lockgate_core::compile::Settings;
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::decide::Known;
use lockgate_core::explain::explain;
use lockgate_core::fuzzing;
use lockgate_core::request::{Connection, Request};

/// What `${NAME}` stands for; it must never be shown.
const SECRET: &str = "sk-never-shown-6d1f";

/// A text is refused with at least one error, or it compiles and decides; what is said about it shows no secret.
pub fn resource_load(input: &[u8]) {
    fuzzing::resource_load(input);
    let Ok(text) = core::str::from_utf8(input) else {
        return;
    };
    let sources = [Source::new("input.yaml".to_owned(), text.to_owned())];
    let env = |_: &str| Some(SECRET.to_owned());
    let built = build(
        &sources,
        &LoadOptions {
            env: &env,
            ignore_kinds: &[],
        },
        &Settings::default(),
    );
    for finding in built.diagnostics.as_slice() {
        let (rendered, placed) = (finding.render(&sources, false), finding.placed(&sources));
        assert!(placed.line >= 1 && placed.column >= 1 && !finding.message.is_empty());
        assert!(!rendered.contains(SECRET), "{rendered}");
    }
    assert_eq!(built.compiled.is_none(), built.diagnostics.has_errors());
    let Some(compiled) = built.compiled else {
        return;
    };
    for host in ["test.com", "dashscope.aliyuncs.com", "a.b"] {
        let headers: &[(&str, &[u8])] = &[("host", host.as_bytes())];
        let request = Request {
            method: "POST",
            authority: None,
            target: "/v1/chat/completions?x=1",
            headers: &headers,
            connection: Connection::plain(Ipv4Addr::new(203, 0, 113, 9).into(), 80),
        };
        let explanation = explain(&compiled.snapshot, &request, Known::NOTHING, 0).to_string();
        assert!(!explanation.contains(SECRET), "{explanation}");
    }
}
