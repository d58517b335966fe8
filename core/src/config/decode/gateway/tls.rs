//! `tls` of a Gateway's server, with what istiod's `validateTLSOptions` refuses.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::{boxed, each};
use crate::config::diagnostic::{Diagnostic, Diagnostics, Location};
use crate::config::resource::{
    ClientCertificates, ClientRoots, Credential, ServerProtocol, ServerTls, Spanned, TlsVersion,
};
use crate::config::tree::Node;

/// `tls` of a server in plain text: nothing but a redirect.
pub(super) fn of_http(server: &Node, field: &str, diagnostics: &mut Diagnostics) -> ServerProtocol {
    let Some(tls) = server.get("tls") else {
        return ServerProtocol::Http { https_redirect: false };
    };
    if let Some(other) = tls.entries().iter().find(|entry| entry.key.value != "httpsRedirect") {
        let name = &other.key.value;
        diagnostics
            .error(
                "conflicting-fields",
                other.key.at,
                format!("`{name}` is of TLS, and the server's protocol is plain text"),
            )
            .field(format!("{field}.tls.{name}"))
            .help("use protocol `HTTPS`, or nothing but `httpsRedirect`");
    }
    ServerProtocol::Http {
        https_redirect: is_true(tls.get("httpsRedirect")),
    }
}

/// `tls` of an HTTPS server.
pub(super) fn of_https(server: &Node, field: &str, diagnostics: &mut Diagnostics) -> Option<ServerTls> {
    let mut faults = Faults {
        field: format!("{field}.tls"),
        diagnostics,
    };
    let Some(tls) = server.get("tls") else {
        faults
            .add("missing-field", server.at, "the field `tls` is missing", "")
            .help("an HTTPS server needs `mode` and a certificate, such as `{mode: SIMPLE, credentialName: NAME}`");
        return None;
    };
    if is_true(tls.get("httpsRedirect")) {
        faults
            .add(
                "conflicting-fields",
                tls.at,
                "an HTTPS server has nothing to redirect to",
                "httpsRedirect",
            )
            .help("set it on the HTTP server");
    }
    let mode = faults.mode(tls)?;
    let credentials = faults.credentials(tls)?;
    let clients = match mode {
        "SIMPLE" => {
            faults.warn_of_unasked(tls);
            ClientCertificates::NotAsked
        }
        mode => faults.clients(tls, &credentials, mode == "MUTUAL")?,
    };
    let (min_version, max_version) = faults.versions(tls)?;
    Some(ServerTls {
        credentials,
        clients,
        min_version,
        max_version,
        cipher_suites: each(Some(tls), "cipherSuites", boxed),
    })
}

fn is_true(node: Option<&Node>) -> bool {
    node.and_then(Node::scalar).and_then(|scalar| scalar.as_bool()) == Some(true)
}

/// What is wrong with `tls`, at `field`.
struct Faults<'d> {
    field: String,
    diagnostics: &'d mut Diagnostics,
}

impl Faults<'_> {
    fn add(&mut self, code: &'static str, at: Location, message: impl Into<String>, name: &str) -> &mut Diagnostic {
        let dot = if name.is_empty() { "" } else { "." };
        let field = format!("{}{dot}{name}", self.field);
        self.diagnostics.error(code, at, message).field(field)
    }

    /// A mode that is not supported has been spoken of, and with it all that it would need.
    fn mode<'n>(&mut self, tls: &'n Node) -> Option<&'n str> {
        let Some(mode) = tls.get("mode").and_then(Node::text) else {
            self.add("missing-field", tls.at, "the field `mode` is missing", "mode")
                .help("use `SIMPLE`, `MUTUAL` or `OPTIONAL_MUTUAL`; Istio takes a missing one for `PASSTHROUGH`");
            return None;
        };
        Some(mode).filter(|mode| matches!(*mode, "SIMPLE" | "MUTUAL" | "OPTIONAL_MUTUAL"))
    }

    fn credentials(&mut self, tls: &Node) -> Option<Vec<Credential>> {
        let secret = |name: Option<&Node>| name.and_then(boxed).map(Credential::Secret);
        let pair = match (tls.get("serverCertificate"), tls.get("privateKey")) {
            (None, None) | (Some(_), Some(_)) => files(tls),
            (certificate, _) => {
                let missing = if certificate.is_some() {
                    "privateKey"
                } else {
                    "serverCertificate"
                };
                self.add(
                    "missing-field",
                    tls.at,
                    format!("the field `{missing}` is missing"),
                    missing,
                )
                .help("a certificate and its key are given together");
                return None;
            }
        };
        let ways = [
            secret(tls.get("credentialName")).into_iter().collect(),
            each(Some(tls), "credentialNames", |name| secret(Some(name))),
            pair.into_iter().collect(),
            each(Some(tls), "tlsCertificates", files),
        ];
        let mut given: Vec<Vec<Credential>> = ways.into_iter().filter(|way| !way.is_empty()).collect();
        let credentials = given.pop();
        if !given.is_empty() {
            self.add("conflicting-fields", tls.at, "the certificate is given in two ways", "")
                .help("keep one of `credentialName`, `credentialNames`, `serverCertificate`, `tlsCertificates`");
            return None;
        }
        if credentials.is_none() {
            self.add("missing-field", tls.at, "there is no certificate", "credentialName")
                .help("name a Secret by `credentialName`, or files by `serverCertificate` and `privateKey`");
        }
        credentials
    }

    fn clients(&mut self, tls: &Node, credentials: &[Credential], required: bool) -> Option<ClientCertificates> {
        let text = |name: &str| tls.get(name).and_then(boxed);
        let roots = match (text("caCertificates"), text("caCertCredentialName"), credentials) {
            (Some(path), _, _) => ClientRoots::File(path),
            (None, Some(name), _) => ClientRoots::Secret(name),
            (None, None, [Credential::Secret(_), ..]) => ClientRoots::Credential,
            (None, None, _) => {
                self.add(
                    "missing-field",
                    tls.at,
                    "nothing says which authorities clients' certificates come from",
                    "caCertificates",
                )
                .help("name a PEM file by `caCertificates`, or a Secret by `caCertCredentialName`");
                return None;
            }
        };
        Some(ClientCertificates::Asked {
            required,
            roots,
            crl: text("caCrl"),
            subject_alt_names: each(Some(tls), "subjectAltNames", boxed),
        })
    }

    /// In SIMPLE mode, what speaks of clients' certificates only looks as if they were checked.
    fn warn_of_unasked(&mut self, tls: &Node) {
        const OF_CLIENTS: [&str; 4] = ["caCertificates", "caCertCredentialName", "caCrl", "subjectAltNames"];
        for entry in tls.entries() {
            let name = &entry.key.value;
            if OF_CLIENTS.contains(&name.as_str()) {
                let message = format!("`{name}` means nothing: clients are not asked for certificates");
                self.diagnostics
                    .warning("client-certificates-not-asked", entry.key.at, message)
                    .field(format!("{}.{name}", self.field))
                    .help("use mode `MUTUAL`, or remove it");
            }
        }
    }

    /// What is below TLS 1.2 is not spoken: as a lower bound it is 1.2, as an upper bound it leaves nothing.
    fn versions(&mut self, tls: &Node) -> Option<(TlsVersion, TlsVersion)> {
        let (min, max) = (tls.get("minProtocolVersion"), tls.get("maxProtocolVersion"));
        let lowest = match min.and_then(Node::text) {
            Some("TLSV1_3") => TlsVersion::V13,
            _ => TlsVersion::V12,
        };
        let highest = match max.and_then(Node::text) {
            Some("TLSV1_0" | "TLSV1_1") => None,
            Some("TLSV1_2") => Some(TlsVersion::V12),
            _ => Some(TlsVersion::V13),
        };
        if let (Some(node), Some("TLSV1_0" | "TLSV1_1")) = (min, min.and_then(Node::text)) {
            let field = format!("{}.minProtocolVersion", self.field);
            self.diagnostics
                .warning(
                    "old-tls-version",
                    node.at,
                    "TLS 1.0 and 1.1 are not spoken here: the lowest is TLS 1.2",
                )
                .field(field)
                .help("they are broken (RFC 8996)");
        }
        match highest.filter(|highest| lowest <= *highest) {
            Some(highest) => Some((lowest, highest)),
            None => {
                self.add(
                    "conflicting-fields",
                    max.map_or(tls.at, |node| node.at),
                    "no version of TLS is left between the two bounds",
                    "maxProtocolVersion",
                )
                .help("TLS 1.2 and 1.3 are spoken here");
                None
            }
        }
    }
}

fn files(node: &Node) -> Option<Credential> {
    let path = |name: &str| -> Option<Spanned<Box<str>>> { node.get(name).and_then(boxed) };
    Some(Credential::Files {
        certificate: path("serverCertificate")?,
        key: path("privateKey")?,
    })
}
