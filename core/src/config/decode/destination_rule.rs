//! DestinationRule, with what istiod's `validateTLS` refuses of its TLS.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::{boxed, each, exactly, host, integer, labels, text, unique};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{
    ClientTls, ClientTlsSettings, ConnectionPool, Credential, DestinationRule, Meta, PortPolicy, ServerRoots, Subset,
    TrafficPolicy,
};
use crate::config::time::parse_duration_ms;
use crate::config::tree::Node;

pub(super) fn decode(spec: &Node, meta: Meta, diagnostics: &mut Diagnostics) -> Option<DestinationRule> {
    let subsets = spec.get("subsets").map(Node::items).unwrap_or_default();
    let mut names = subsets.iter().map(|subset| subset.get("name"));
    let field = |index| format!("spec.subsets[{index}].name");
    unique(&mut names, "subsets of this DestinationRule", &field, diagnostics);
    let subset = |(index, node)| subset(node, &format!("spec.subsets[{index}]"), diagnostics);
    Some(DestinationRule {
        meta,
        host: host(spec.get("host")?)?,
        subsets: exactly(subsets.iter().enumerate().filter_map(subset)),
        policy: policy(spec, "spec", diagnostics),
    })
}

fn subset(node: &Node, field: &str, diagnostics: &mut Diagnostics) -> Option<Subset> {
    Some(Subset {
        name: text(node.get("name")?)?,
        labels: node.get("labels").map(labels).unwrap_or_default(),
        policy: policy(node, field, diagnostics),
    })
}

/// `field` is that of the holder.
fn policy(holder: &Node, field: &str, diagnostics: &mut Diagnostics) -> TrafficPolicy {
    let Some(node) = holder.get("trafficPolicy") else {
        return TrafficPolicy::default();
    };
    let field = format!("{field}.trafficPolicy");
    let items = node.get("portLevelSettings").map(Node::items).unwrap_or_default();
    let mut ports: Vec<(u16, PortPolicy)> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let field = format!("{field}.portLevelSettings[{index}]");
        let number = item.get("port").and_then(|port| port.get("number"));
        let Some(number) = number.and_then(integer::<u16>) else {
            continue;
        };
        if ports.iter().any(|(known, _)| *known == number.value) {
            diagnostics
                .error(
                    "duplicate-name",
                    number.at,
                    format!("port {} is given twice", number.value),
                )
                .field(format!("{field}.port.number"));
            continue;
        }
        ports.push((number.value, port_policy(item, &field, diagnostics)));
    }
    TrafficPolicy {
        usual: port_policy(node, &field, diagnostics),
        ports,
    }
}

fn port_policy(node: &Node, field: &str, diagnostics: &mut Diagnostics) -> PortPolicy {
    let tls = node.get("tls");
    PortPolicy {
        tls: tls.and_then(|tls| client_tls(tls, &format!("{field}.tls"), diagnostics)),
        connection_pool: node.get("connectionPool").map(connection_pool),
    }
}

fn connection_pool(node: &Node) -> ConnectionPool {
    let tcp = |name| node.get("tcp").and_then(|tcp| tcp.get(name));
    let http = |name| node.get("http").and_then(|http| http.get(name));
    ConnectionPool {
        connect_timeout_ms: tcp("connectTimeout").and_then(Node::text).and_then(parse_duration_ms),
        upgrades_to_h2: http("h2UpgradePolicy").and_then(Node::text) == Some("UPGRADE"),
        uses_client_protocol: is_true(http("useClientProtocol")),
        streams_max: http("maxConcurrentStreams").and_then(integer).map(|most| most.value),
    }
}

fn is_true(node: Option<&Node>) -> bool {
    node.and_then(Node::scalar).and_then(|scalar| scalar.as_bool()) == Some(true)
}

fn client_tls(node: &Node, field: &str, diagnostics: &mut Diagnostics) -> Option<ClientTls> {
    let is_mutual = match node.get("mode")?.text()? {
        "DISABLE" => return Some(ClientTls::Disable),
        "SIMPLE" => false,
        "MUTUAL" => true,
        // The check has refused it.
        _ => return None,
    };
    let mut reader = TlsReader {
        node,
        field,
        diagnostics,
    };
    reader.refuse_conflicts();
    reader.refuse_to_skip();
    let credential = reader.credential(is_mutual);
    let secret = node.get("credentialName").and_then(boxed);
    Some(ClientTls::Speak(Box::new(ClientTlsSettings {
        at: node.at,
        field: field.into(),
        sni: node.get("sni").and_then(host),
        roots: match (secret, node.get("caCertificates").and_then(boxed)) {
            (Some(secret), _) => ServerRoots::Credential(secret),
            (None, Some(path)) => ServerRoots::File(path),
            (None, None) => ServerRoots::System,
        },
        crl: node.get("caCrl").and_then(boxed),
        subject_alt_names: each(Some(node), "subjectAltNames", boxed),
        credential,
    })))
}

/// Reads `tls` of mode `SIMPLE` or `MUTUAL` at `field`.
struct TlsReader<'r> {
    node: &'r Node,
    field: &'r str,
    diagnostics: &'r mut Diagnostics,
}

impl TlsReader<'_> {
    /// What mode `MUTUAL` shows.
    fn credential(&mut self, is_mutual: bool) -> Option<Credential> {
        let get = |name: &str| self.node.get(name).and_then(boxed);
        let (certificate, key) = (get("clientCertificate"), get("privateKey"));
        if !is_mutual {
            self.warn_of_unshown();
            return None;
        }
        if let Some(secret) = get("credentialName") {
            return Some(Credential::Secret(secret));
        }
        match (certificate, key) {
            (Some(certificate), Some(key)) => Some(Credential::Files { certificate, key }),
            (certificate, _) => {
                let missing = match certificate {
                    Some(_) => "privateKey",
                    None => "clientCertificate",
                };
                self.diagnostics
                    .error(
                        "missing-field",
                        self.node.at,
                        format!("the field `{missing}` is missing"),
                    )
                    .field(format!("{}.{missing}", self.field))
                    .help("mode `MUTUAL` needs `clientCertificate` and `privateKey`, or `credentialName`");
                None
            }
        }
    }

    fn refuse_conflicts(&mut self) {
        if self.node.get("credentialName").is_none() {
            return;
        }
        for other in ["clientCertificate", "privateKey", "caCertificates", "caCrl"] {
            if let Some(node) = self.node.get(other) {
                self.diagnostics
                    .error(
                        "conflicting-fields",
                        node.at,
                        format!("`{other}` does not go with `credentialName`: the Secret has it"),
                    )
                    .field(format!("{}.{other}", self.field))
                    .help(format!("remove `{other}` or `credentialName`"));
            }
        }
    }

    fn refuse_to_skip(&mut self) {
        if let Some(node) = self.node.get("insecureSkipVerify").filter(|node| is_true(Some(node))) {
            self.diagnostics
                .error(
                    "unsupported-value",
                    node.at,
                    "`insecureSkipVerify` is refused: keys and tokens would go to whoever answers",
                )
                .field(format!("{}.insecureSkipVerify", self.field))
                .help("name the authority by `caCertificates`, and another name by `subjectAltNames`");
        }
    }

    /// In mode `SIMPLE` a certificate only looks as if it were shown.
    fn warn_of_unshown(&mut self) {
        for name in ["clientCertificate", "privateKey"] {
            if let Some(node) = self.node.get(name) {
                let message = format!("`{name}` means nothing: no certificate is shown");
                self.diagnostics
                    .warning("client-certificate-not-shown", node.at, message)
                    .field(format!("{}.{name}", self.field))
                    .help("use mode `MUTUAL`, or remove it");
            }
        }
    }
}
