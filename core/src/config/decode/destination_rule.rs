//! DestinationRule.

use alloc::format;

use super::{boxed, each, host, labels, text, unique};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{
    ClientTls, ClientTlsMode, ConnectionPool, DestinationRule, Meta, Spanned, Subset, TrafficPolicy,
};
use crate::config::time::parse_duration_ms;
use crate::config::tree::Node;

pub(super) fn decode(spec: &Node, meta: Meta, diagnostics: &mut Diagnostics) -> Option<DestinationRule> {
    let subsets = spec.get("subsets").map(Node::items).unwrap_or_default();
    let mut names = subsets.iter().map(|subset| subset.get("name"));
    let field = |index| format!("spec.subsets[{index}].name");
    unique(&mut names, "subsets of this DestinationRule", &field, diagnostics);
    Some(DestinationRule {
        meta,
        host: host(spec.get("host")?)?,
        policy: policy(spec),
        subsets: each(Some(spec), "subsets", subset),
    })
}

fn subset(node: &Node) -> Option<Subset> {
    Some(Subset {
        name: text(node.get("name")?)?,
        labels: node.get("labels").map(labels).unwrap_or_default(),
        policy: policy(node),
    })
}

fn policy(holder: &Node) -> TrafficPolicy {
    let policy = holder.get("trafficPolicy");
    let pool = policy.and_then(|policy| policy.get("connectionPool"));
    TrafficPolicy {
        tls: policy.and_then(|policy| policy.get("tls")).and_then(tls),
        connection_pool: pool.map(|pool| {
            let tcp = pool.get("tcp");
            let connect_timeout = tcp.and_then(|tcp| tcp.get("connectTimeout"));
            ConnectionPool {
                connect_timeout_ms: connect_timeout.and_then(Node::text).and_then(parse_duration_ms),
            }
        }),
    }
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
