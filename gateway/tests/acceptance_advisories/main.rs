//! What went wrong in other gateways, sent to this one as bytes.
//!
//! One test per behaviour, its cases marked with the rows of `docs/advisories.md`,
//! which names for each row the test that shows it; a module per part of that page.

#![allow(clippy::panic, reason = "a helper of tests fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

#[cfg(test)]
mod authorization;
#[cfg(test)]
mod floods;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod page;
#[cfg(test)]
mod parsing;
#[cfg(test)]
mod paths;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod tls;

#[cfg(test)]
mod case {
    use crate::support::bed::{Bed, OPEN, Transport};
    use crate::support::client::{Response, send_raw};
    use crate::support::gateway::Setup;

    /// A gateway to such a provider, with more resources.
    pub(crate) async fn open(resources: &[&str]) -> Bed {
        let mut setup = Setup::empty().file("open.yaml", OPEN);
        for (index, text) in resources.iter().enumerate() {
            setup = setup.file(&format!("more-{index}.yaml"), text);
        }
        Bed::start(Transport::Plain, setup).await
    }

    /// A DENY policy with one rule.
    pub(crate) fn deny(rule: &str) -> String {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: deny, namespace: \
             istio-system}}\nspec: {{action: DENY, rules: [{rule}]}}\n"
        )
    }

    /// A DENY policy on paths.
    pub(crate) fn deny_paths(paths: &str) -> String {
        deny(&format!("{{to: [{{operation: {{paths: [{paths}]}}}}]}}"))
    }

    /// A MeshConfig with this `spec`.
    pub(crate) fn mesh(spec: &str) -> String {
        format!(
            "apiVersion: lockgate.dev/v1\nkind: MeshConfig\nmetadata: {{name: mesh, namespace: istio-system}}\nspec: \
             {spec}\n"
        )
    }

    /// What has to come of a request.
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum Is<'e> {
        /// Istio's 403, and the provider sees nothing.
        Denied,
        /// An answer of this status, and the provider sees nothing.
        Refused(u16),
        /// 200, and the provider sees this request line.
        Sent(&'e str),
    }

    /// Sends `bytes` and asserts what comes of them.
    pub(crate) async fn check(bed: &Bed, what: &str, bytes: impl AsRef<[u8]>, is: Is<'_>) {
        let before = bed.upstream.request_count();
        let answer = send_raw(bed.http(), bytes).await;
        let Response {
            status,
            fields: _,
            body,
            end: _,
        } = answer.unwrap_or_else(|| panic!("{what}: no answer"));
        let text = String::from_utf8_lossy(&body);
        match is {
            Is::Denied => assert_eq!((status, &*text), (403, "RBAC: access denied"), "{what}"),
            Is::Refused(wanted) => assert_eq!(status, wanted, "{what}: {text}"),
            Is::Sent(line) => {
                assert_eq!(status, 200, "{what}: {text}");
                assert_eq!(bed.upstream.request().await.request_line, line, "{what}");
                return;
            }
        }
        assert_eq!(
            bed.upstream.request_count(),
            before,
            "{what}: the provider was contacted"
        );
    }

    /// A GET of `target` under `test.com` with these header lines.
    pub(crate) fn get(target: &str, lines: &[&str]) -> Vec<u8> {
        head(&[&[&*format!("GET {target} HTTP/1.1"), "host: test.com"], lines].concat())
    }

    /// Lines as a head, one character one byte.
    pub(crate) fn head(lines: &[&str]) -> Vec<u8> {
        let text = format!("{}\r\n\r\n", lines.join("\r\n"));
        text.chars().map(|c| u8::try_from(c).expect("one byte")).collect()
    }
}
