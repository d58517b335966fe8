//! DestinationRule.

use super::{boxed, each, host, text};
use crate::config::resource::{ClientTls, ClientTlsMode, DestinationRule, Meta, Spanned};
use crate::config::time::parse_duration_ms;
use crate::config::tree::Node;

pub(super) fn decode(spec: &Node, meta: Meta) -> Option<DestinationRule> {
    let policy = spec.get("trafficPolicy");
    let connect_timeout = policy
        .and_then(|policy| policy.get("connectionPool"))
        .and_then(|pool| pool.get("tcp"))
        .and_then(|tcp| tcp.get("connectTimeout"));
    Some(DestinationRule {
        meta,
        host: host(spec.get("host")?)?,
        tls: policy.and_then(|policy| policy.get("tls")).and_then(tls),
        connect_timeout_ms: connect_timeout.and_then(Node::text).and_then(parse_duration_ms),
    })
}

fn tls(node: &Node) -> Option<ClientTls> {
    let mode = node.get("mode")?;
    let value = match mode.text()? {
        "DISABLE" => ClientTlsMode::Disable,
        "SIMPLE" => ClientTlsMode::Simple,
        _ => return None,
    };
    Some(ClientTls {
        mode: Spanned { value, at: mode.at },
        sni: node.get("sni").and_then(host),
        ca_certificates: node.get("caCertificates").and_then(text),
        subject_alt_names: each(Some(node), "subjectAltNames", boxed),
    })
}
