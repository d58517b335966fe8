//! TLS towards upstreams, as DestinationRules have it: whom to trust, and what to show.
//!
//! As in Istio a name means a Secret in the namespace of the gateway itself, and
//! the authorities may be in a Secret of their own, `NAME-cacert`.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Settings;
use super::rows::RowWriter;
use super::tls_servers::TlsCompiler;
use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::resource::{
    ClientTls, ClientTlsSettings, Credential, DestinationRule, Resources, ServerRoots, Spanned, TrafficPolicy,
};
use crate::snapshot::{Shown, Trust, UpstreamTls};
use crate::text_map::TextMap;

/// What each `tls` of a DestinationRule means, by its [`key`].
pub(super) struct UpstreamsTls(TextMap<(Trust, Shown)>);

/// Looks up what all of them name.
pub(super) fn compile(
    resources: &Resources,
    settings: &Settings,
    rows: &mut RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) -> UpstreamsTls {
    let mut compiler = TlsCompiler {
        resources,
        settings,
        rows,
        diagnostics,
        of: Box::default(),
    };
    let mut all = TextMap::default();
    for rule in &resources.destination_rules {
        compiler.of = format!("DestinationRule `{}/{}`", rule.meta.namespace, *rule.meta.name).into();
        for settings in settings_of(rule) {
            all.insert(&key(settings.at), compiler.upstream(settings));
        }
    }
    UpstreamsTls(all)
}

fn settings_of(rule: &DestinationRule) -> impl Iterator<Item = &ClientTlsSettings> {
    let of_subsets = rule.subsets.iter().map(|subset| &subset.policy);
    let policies = core::iter::once(&rule.policy).chain(of_subsets);
    policies.flat_map(|policy: &TrafficPolicy| {
        let of_ports = policy.ports.iter().map(|(_, policy)| policy);
        let all = core::iter::once(&policy.usual).chain(of_ports);
        all.filter_map(|policy| match &policy.tls {
            Some(ClientTls::Speak(settings)) => Some(&**settings),
            Some(ClientTls::Disable) | None => None,
        })
    })
}

fn key(at: Location) -> String {
    format!("{}:{}", at.source, at.start)
}

impl UpstreamsTls {
    /// TLS with `host` by these settings.
    pub(super) fn of(&self, settings: &ClientTlsSettings, host: &str) -> UpstreamTls {
        let (trust, credential) = self.0.get(&key(settings.at)).cloned().unwrap_or((
            // All are there. Nobody is trusted otherwise.
            Trust::Authorities { roots: None, crl: None },
            Shown::Missing,
        ));
        let names = settings.subject_alt_names.iter();
        UpstreamTls {
            sni: settings.sni.as_ref().map_or(host, |sni| sni.as_str()).into(),
            subject_alt_names: names.map(|name| name.value.clone()).collect::<Vec<Box<str>>>(),
            trust,
            credential,
        }
    }
}

impl TlsCompiler<'_, '_, '_> {
    fn upstream(&mut self, settings: &ClientTlsSettings) -> (Trust, Shown) {
        (self.trust(settings), self.shown(settings))
    }

    fn trust(&mut self, settings: &ClientTlsSettings) -> Trust {
        let field = &settings.field;
        let crl = settings.crl.as_ref();
        let crl = |this: &mut Self| crl.map(|path| this.file(path, &format!("{field}.caCrl")));
        match &settings.roots {
            ServerRoots::System => Trust::System { crl: crl(self) },
            ServerRoots::File(path) => Trust::Authorities {
                roots: Some(self.file(path, &format!("{field}.caCertificates"))),
                crl: crl(self),
            },
            ServerRoots::Credential(name) => self.authorities(name, field),
        }
    }

    fn authorities(&mut self, name: &Spanned<Box<str>>, field: &str) -> Trust {
        let field = format!("{field}.credentialName");
        let secret = self.apart(name).or_else(|| self.secret(name, &field));
        let (roots, crl) = secret.map_or((None, None), |secret| {
            (self.roots(secret, name, &field), self.revoked(secret))
        });
        Trust::Authorities { roots, crl }
    }

    fn shown(&mut self, settings: &ClientTlsSettings) -> Shown {
        let certificate = match &settings.credential {
            None => return Shown::Nothing,
            Some(Credential::Files { certificate, key }) => Some(self.files(certificate, key, &settings.field)),
            Some(Credential::Secret(name)) => {
                let field = format!("{}.credentialName", settings.field);
                let secret = match self.apart(name) {
                    Some(_) => self.secret(name, &field),
                    // It has been looked for, and spoken of.
                    None => self.known(name),
                };
                secret.and_then(|secret| self.certificate(secret, name, &field))
            }
        };
        certificate.map_or(Shown::Missing, Shown::Certificate)
    }
}
