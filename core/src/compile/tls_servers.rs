//! HTTPS servers of Gateways: their certificates looked up, their cipher suites read. How certificates are looked up is
//! the same towards upstreams.
//!
//! A Secret that is not there is a warning here and an error of who must serve:
//! keys need not be where a configuration is checked. As in Istio a name means a
//! Secret in the namespace of the gateway itself, not of the Gateway resource.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::grants::{self, Referred};
use super::rows::RowWriter;
use super::{PemFile, Settings};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::gateway_api::CertificateRef;
use crate::config::resource::{
    ClientCertificates, ClientRoots, Credential, KubernetesSecret, Meta, Resources, ServerTls, Spanned, TlsVersion,
};
use crate::config::suggest::did_you_mean;
use crate::tls::{Certificate, CipherSuite, ClientVerification, Pem, TlsServer};

/// The keys of a Secret under which a chain may be: of `kubernetes.io/tls`, and Istio's own.
const CHAIN: [&str; 2] = ["tls.crt", "cert"];
const KEY: [&str; 2] = ["tls.key", "key"];
const ROOTS: [&str; 2] = ["ca.crt", "cacert"];
const REVOKED: [&str; 2] = ["ca.crl", "crl"];

/// Istio's suffix of the Secret that holds authorities apart.
const ROOTS_SUFFIX: &str = "-cacert";

/// Reads the `tls` of one resource after the other.
pub(super) struct TlsCompiler<'r, 'c, 's> {
    pub(super) resources: &'r Resources,
    pub(super) settings: &'r Settings,
    pub(super) rows: &'r mut RowWriter<'s>,
    pub(super) diagnostics: &'c mut Diagnostics,
    /// What is read, for messages.
    pub(super) of: Box<str>,
}

impl<'r> TlsCompiler<'r, '_, '_> {
    /// `field` is that of the server.
    pub(super) fn compile(&mut self, tls: &ServerTls, label: String, field: &str) -> TlsServer {
        self.of = format!("HTTPS server `{label}`").into();
        let mut certificates = Vec::new();
        let mut of_certificate = None;
        for credential in &tls.credentials {
            match credential {
                Credential::Files { certificate, key } => {
                    certificates.push(self.files(certificate, key, &format!("{field}.tls")));
                }
                Credential::Secret(name) => {
                    let field = format!("{field}.tls.credentialName");
                    let Some(secret) = self.secret(name, &field) else {
                        continue;
                    };
                    of_certificate = of_certificate.or(Some(secret));
                    certificates.extend(self.certificate(secret, name, &field));
                }
            }
        }
        TlsServer {
            label: label.into(),
            certificates,
            clients: self.clients(&tls.clients, of_certificate, &tls.credentials, field),
            min_version: tls.min_version,
            max_version: tls.max_version,
            cipher_suites: self.cipher_suites(&tls.cipher_suites, field),
        }
    }

    /// A listener of Gateway API's Gateway `of`; `field` is that of the listener.
    pub(super) fn listener(&mut self, refs: &[CertificateRef], of: &Meta, label: String, field: &str) -> TlsServer {
        let mut certificates = Vec::new();
        for (index, to) in refs.iter().enumerate() {
            let field = format!("{field}.tls.certificateRefs[{index}]");
            let referred = Referred {
                group: "",
                kind: "Secret",
                namespace: &to.namespace,
                name: &to.name,
            };
            if !grants::allow(of, &referred, self.resources) {
                self.diagnostics
                    .error(
                        "reference-not-granted",
                        to.name.at,
                        format!(
                            "no ReferenceGrant of namespace `{}` lets Gateways of `{}` refer to Secret `{}`",
                            to.namespace, of.namespace, *to.name
                        ),
                    )
                    .field(format!("{field}.namespace"))
                    .help("add one there: without it a cluster does not serve the listener");
                continue;
            }
            let looked = "it is looked for in namespace";
            let Some(secret) = self.secret_in(&to.namespace, &to.name, &field, looked) else {
                continue;
            };
            certificates.extend(self.certificate(secret, &to.name, &field));
        }
        TlsServer {
            label: label.into(),
            certificates,
            clients: None,
            min_version: TlsVersion::V12,
            max_version: TlsVersion::V13,
            cipher_suites: Vec::new(),
        }
    }

    fn clients(
        &mut self,
        clients: &ClientCertificates,
        of_certificate: Option<&'r KubernetesSecret>,
        credentials: &[Credential],
        field: &str,
    ) -> Option<ClientVerification> {
        let ClientCertificates::Asked {
            required,
            roots,
            crl,
            subject_alt_names,
        } = clients
        else {
            return None;
        };
        let mut revoked = crl.as_ref().map(|path| self.file(path, &format!("{field}.tls.caCrl")));
        let mut from = |this: &mut Self, secret: &KubernetesSecret| {
            revoked = revoked.take().or_else(|| this.revoked(secret));
        };
        let roots = match roots {
            ClientRoots::File(path) => Some(self.file(path, &format!("{field}.tls.caCertificates"))),
            ClientRoots::Secret(name) => {
                let field = format!("{field}.tls.caCertCredentialName");
                let secret = self.secret(name, &field);
                secret.and_then(|secret| {
                    from(self, secret);
                    self.roots(secret, name, &field)
                })
            }
            ClientRoots::Credential => {
                let name = credentials.iter().find_map(|credential| match credential {
                    Credential::Secret(name) => Some(name),
                    Credential::Files { .. } => None,
                })?;
                let holder = self.apart(name).or(of_certificate);
                holder.and_then(|secret| {
                    from(self, secret);
                    self.roots(secret, name, &format!("{field}.tls.credentialName"))
                })
            }
        };
        Some(ClientVerification {
            required: *required,
            roots,
            crl: revoked,
            subject_alt_names: subject_alt_names.iter().map(|name| name.value.clone()).collect(),
        })
    }

    /// The Secret that holds the authorities apart, if there is one.
    pub(super) fn apart(&self, name: &str) -> Option<&'r KubernetesSecret> {
        find(
            self.resources,
            &self.settings.namespace,
            &format!("{name}{ROOTS_SUFFIX}"),
        )
    }

    /// The certificate in a Secret.
    pub(super) fn certificate(
        &mut self,
        secret: &KubernetesSecret,
        name: &Spanned<Box<str>>,
        field: &str,
    ) -> Option<Certificate> {
        let chain = self.value(secret, &CHAIN, name, field);
        let key = self.value(secret, &KEY, name, field);
        chain.zip(key).map(|(chain, key)| Certificate { chain, key })
    }

    /// The authorities in a Secret.
    pub(super) fn roots(&mut self, secret: &KubernetesSecret, name: &Spanned<Box<str>>, field: &str) -> Option<Pem> {
        self.value(secret, &ROOTS, name, field)
    }

    /// What they have revoked, in a Secret.
    pub(super) fn revoked(&mut self, secret: &KubernetesSecret) -> Option<Pem> {
        secret.value(&REVOKED).map(|value| self.pem(value))
    }

    /// The certificate in two files; `field` is what holds their fields.
    pub(super) fn files(
        &mut self,
        certificate: &Spanned<Box<str>>,
        key: &Spanned<Box<str>>,
        field: &str,
    ) -> Certificate {
        Certificate {
            chain: self.file(certificate, field),
            key: self.file(key, field),
        }
    }

    /// PEM text in a file.
    pub(super) fn file(&mut self, path: &Spanned<Box<str>>, field: &str) -> Pem {
        self.rows.files.push(PemFile {
            path: path.value.clone(),
            at: path.at,
            field: field.into(),
            of: self.of.clone(),
        });
        Pem::File(path.value.clone())
    }

    /// The Secret of that name in the gateway's own namespace, without a word when it is not there.
    pub(super) fn known(&self, name: &str) -> Option<&'r KubernetesSecret> {
        find(self.resources, &self.settings.namespace, name)
    }

    /// The Secret of that name in the gateway's own namespace.
    pub(super) fn secret(&mut self, name: &Spanned<Box<str>>, field: &str) -> Option<&'r KubernetesSecret> {
        let looked = "Istio looks in the gateway's own namespace,";
        let settings = self.settings;
        self.secret_in(&settings.namespace, name, field, looked)
    }

    /// `looked` is how a name means a namespace, for people.
    fn secret_in(
        &mut self,
        namespace: &str,
        name: &Spanned<Box<str>>,
        field: &str,
        looked: &str,
    ) -> Option<&'r KubernetesSecret> {
        let found = find(self.resources, namespace, name);
        if found.is_none() && self.resources.has_all("Secret") {
            let here = self.resources.secrets.iter();
            let elsewhere = here.clone().find(|secret| secret.meta.name.value == name.value);
            let names = here.filter(|secret| *secret.meta.namespace == *namespace);
            let help = match elsewhere {
                Some(secret) => format!(
                    "there is `{}/{}`, but {looked} `{namespace}`",
                    secret.meta.namespace, **name
                ),
                None => did_you_mean(name, names.map(|secret| &*secret.meta.name.value))
                    .unwrap_or_else(|| "load it with the other files; `serve` needs it".into()),
            };
            self.diagnostics
                .warning(
                    "unknown-secret",
                    name.at,
                    format!("there is no Secret `{namespace}/{}`", **name),
                )
                .field(field)
                .help(help);
        }
        found
    }

    fn value(
        &mut self,
        secret: &KubernetesSecret,
        keys: &[&str; 2],
        name: &Spanned<Box<str>>,
        field: &str,
    ) -> Option<Pem> {
        let found = secret.value(keys);
        if found.is_none() {
            let [key, other] = keys;
            self.diagnostics
                .error(
                    "missing-secret-value",
                    name.at,
                    format!(
                        "Secret `{}/{}` has no `{key}`",
                        secret.meta.namespace, *secret.meta.name
                    ),
                )
                .field(field)
                .help(format!("it holds PEM text under `{key}` or `{other}`"));
        }
        found.map(|value| self.pem(value))
    }

    fn pem(&mut self, value: &crate::config::secret::Secret) -> Pem {
        Pem::Secret(self.rows.secret(value))
    }

    /// As istiod, leaves out what is not known; unlike it, says so, and refuses when nothing is left.
    fn cipher_suites(&mut self, names: &[Spanned<Box<str>>], field: &str) -> Vec<CipherSuite> {
        let mut suites = Vec::new();
        let field = format!("{field}.tls.cipherSuites");
        for name in names {
            let known = CipherSuite::NAMED.iter().find(|(known, _)| *known == &*name.value);
            if let Some((_, suite)) = known {
                suites.push(*suite);
                continue;
            }
            let help = did_you_mean(name, CipherSuite::NAMED.iter().map(|(known, _)| *known))
                .unwrap_or_else(|| "only suites with ECDHE and an AEAD are spoken".into());
            self.diagnostics
                .warning(
                    "unknown-cipher-suite",
                    name.at,
                    format!("`{}` is not spoken here and is left out", **name),
                )
                .field(field.as_str())
                .help(help);
        }
        if let (Some(first), true) = (names.first(), suites.is_empty()) {
            self.diagnostics
                .error("no-cipher-suite", first.at, "no cipher suite is left")
                .field(field)
                .help("remove `cipherSuites`: the default has all that are good");
        }
        suites
    }
}

fn find<'r>(resources: &'r Resources, namespace: &str, name: &str) -> Option<&'r KubernetesSecret> {
    let mut secrets = resources.secrets.iter();
    secrets.find(|secret| *secret.meta.namespace == *namespace && *secret.meta.name.value == *name)
}
