//! Hosts that VirtualServices and HTTPRoutes send to: each port of a ServiceEntry that a rule names is one upstream.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::hosts::Hosts;
use super::rows::{FieldText, number};
use super::upstreams::{has_endpoints, of_destination};
use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::resource::{Resources, RouteDestination, ServiceEntry, ServicePort, Spanned, Subset};
use crate::config::suggest::did_you_mean;
use crate::snapshot::Upstream;
use crate::tables::UpstreamId;
use crate::text_map::TextMap;

/// Where a rule sends, and where it says so.
pub(super) struct Place<'r> {
    /// In full.
    pub(super) host: Cow<'r, str>,
    pub(super) at: Location,
    pub(super) port: Option<&'r Spanned<u16>>,
    pub(super) subset: Option<&'r Spanned<String>>,
    /// The entry of the list of destinations.
    pub(super) field: FieldText<'r>,
    pub(super) fields: &'static Fields,
}

/// What follows an entry's own path in the paths of its fields.
pub(super) struct Fields {
    pub(super) host: &'static str,
    pub(super) port: &'static str,
    pub(super) subset: &'static str,
}

/// Of a `route` of a VirtualService.
const ROUTE_FIELDS: Fields = Fields {
    host: ".destination.host",
    port: ".destination.port.number",
    subset: ".destination.subset",
};

/// The upstreams of destinations, made when a rule first names them.
pub(super) struct Destinations<'c> {
    resources: &'c Resources,
    hosts: &'c Hosts<'c>,
    upstreams: &'c mut Vec<Upstream>,
    /// By `host:port`.
    known: TextMap<UpstreamId>,
    /// What was looked up last.
    key: String,
}

impl<'c> Destinations<'c> {
    pub(super) fn new(resources: &'c Resources, hosts: &'c Hosts<'c>, upstreams: &'c mut Vec<Upstream>) -> Self {
        Self {
            resources,
            hosts,
            upstreams,
            known: TextMap::default(),
            key: String::new(),
        }
    }

    /// The upstream of a destination that a resource of `namespace` names; `field` is the entry of `route`.
    pub(super) fn upstream(
        &mut self,
        destination: &RouteDestination,
        namespace: &str,
        field: FieldText<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<UpstreamId> {
        let place = Place {
            host: full_name(&destination.host, namespace),
            at: destination.host.at,
            port: destination.port.as_ref(),
            subset: destination.subset.as_deref(),
            field,
            fields: &ROUTE_FIELDS,
        };
        self.find(&place, diagnostics)
    }

    /// The upstream of a place.
    pub(super) fn find(&mut self, place: &Place<'_>, diagnostics: &mut Diagnostics) -> Option<UpstreamId> {
        let host = &*place.host;
        if let Some(known) = place.port.and_then(|port| self.known(place, **port)) {
            return Some(known);
        }
        let Some(entry) = self.hosts.entry(host) else {
            self.refuse_unknown_host(place, diagnostics);
            return None;
        };
        let port = port_of(entry, place, diagnostics)?;
        if let Some(known) = self.known(place, *port.number) {
            return Some(known);
        }
        let subset = match place.subset {
            None => None,
            Some(_) => Some(self.subset(place, entry, diagnostics)?),
        };
        let id = UpstreamId(number(self.upstreams.len()));
        self.upstreams
            .push(of_destination(self.hosts, host, entry, port, subset));
        self.known.insert(&self.key, id);
        Some(id)
    }

    /// The upstream of a port of the place, if some place had it before. Leaves its key for the one that is made now.
    fn known(&mut self, place: &Place<'_>, port: u16) -> Option<UpstreamId> {
        self.key.clear();
        // A string takes whatever is written.
        let _ = match place.subset {
            None => write!(self.key, "{}:{port}", place.host),
            Some(subset) => write!(self.key, "{}:{port} {}", place.host, **subset),
        };
        self.known.get(&self.key).copied()
    }

    /// Whether a connection to an upstream may be used for something else than HTTP: those of HTTP/2 are shared.
    pub(super) fn allows_upgrade(&self, id: UpstreamId) -> bool {
        let upstream = self.upstreams.get(id.0 as usize);
        upstream.is_some_and(|upstream| !upstream.protocol.is_http2(false))
    }

    /// The subset that is named, when it has endpoints.
    fn subset(&self, place: &Place<'_>, entry: &ServiceEntry, diagnostics: &mut Diagnostics) -> Option<&'c Subset> {
        let (host, name) = (&*place.host, place.subset?);
        let namespace = &*entry.meta.namespace;
        let rule = self.hosts.rule(host, namespace);
        let subsets = rule.map_or(&[][..], |rule| &rule.subsets);
        let Some(subset) = subsets.iter().find(|subset| *subset.name == **name) else {
            if self.resources.has_all("DestinationRule") {
                let message = match rule {
                    Some(rule) => format!(
                        "DestinationRule `{}` of `{host}` has no subset `{}`",
                        *rule.meta.name, **name
                    ),
                    None => format!(
                        "no DestinationRule of `{host}` in namespace {} says what subset `{}` is",
                        self.hosts.namespaces_in_words(namespace),
                        **name
                    ),
                };
                let finding = diagnostics
                    .error("unknown-subset", name.at, message)
                    .field(format!("{}{}", place.field, place.fields.subset));
                let names = subsets.iter().map(|subset| subset.name.as_str());
                if let Some(help) = did_you_mean(name, names) {
                    finding.help(help);
                }
            }
            return None;
        };
        if !has_endpoints(entry, subset) {
            let labels: Vec<String> = subset
                .labels
                .iter()
                .map(|(key, value)| format!("`{key}: {value}`"))
                .collect();
            diagnostics
                .error(
                    "empty-subset",
                    name.at,
                    format!(
                        "no endpoint of ServiceEntry `{}` has the labels of subset `{}`",
                        *entry.meta.name, **name
                    ),
                )
                .field(format!("{}{}", place.field, place.fields.subset))
                .help(format!("give endpoints the labels {}", labels.join(", ")));
            return None;
        }
        Some(subset)
    }

    fn refuse_unknown_host(&self, place: &Place<'_>, diagnostics: &mut Diagnostics) {
        let host = &*place.host;
        if !self.resources.has_all("ServiceEntry") {
            return;
        }
        let finding = diagnostics
            .error(
                "unknown-destination",
                place.at,
                format!("no ServiceEntry has the host `{host}`"),
            )
            .field(format!("{}{}", place.field, place.fields.host));
        let entries = self.resources.service_entries.iter();
        let hosts = entries.flat_map(|entry| entry.hosts.iter().map(|host| host.as_str()));
        let mut providers = self.resources.llm_providers.iter();
        if providers.any(|provider| provider.host.eq_ignore_ascii_case(host)) {
            finding.help("it is the host of an LLMProvider, which an LLMRoute sends to");
        } else if let Some(help) = did_you_mean(host, hosts) {
            finding.help(help);
        } else {
            finding.help("add a ServiceEntry that says where it is");
        }
    }
}

/// A name without a dot is a Kubernetes service of the namespace, as Istio reads it.
pub(super) fn full_name<'h>(host: &'h str, namespace: &str) -> Cow<'h, str> {
    if host.contains('.') || host == "*" {
        Cow::Borrowed(host)
    } else {
        Cow::Owned(format!("{host}.{namespace}.svc.cluster.local"))
    }
}

/// The port that is named, or the only one.
fn port_of<'c>(entry: &'c ServiceEntry, place: &Place<'_>, diagnostics: &mut Diagnostics) -> Option<&'c ServicePort> {
    let mut ports = entry.ports.iter();
    let found = match (place.port, entry.ports.as_slice()) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(number), _) => ports.find(|port| *port.number == **number),
    };
    if found.is_none() {
        refuse_port(entry, place, diagnostics);
    }
    found
}

fn refuse_port(entry: &ServiceEntry, place: &Place<'_>, diagnostics: &mut Diagnostics) {
    let about = format!("ServiceEntry `{}` of `{}`", *entry.meta.name, place.host);
    let finding = match (place.port, entry.ports.as_slice()) {
        (Some(number), _) => diagnostics.error("unknown-port", number.at, format!("{about} has no port {}", **number)),
        (None, []) => diagnostics.error("unknown-port", place.at, format!("{about} has no ports")),
        (None, _) => diagnostics.error(
            "missing-port",
            place.at,
            format!("{about} has several ports, and none is named"),
        ),
    };
    finding.field(format!("{}{}", place.field, place.fields.port));
    let listed: Vec<String> = entry.ports.iter().map(|port| format!("{}", *port.number)).collect();
    if !listed.is_empty() {
        finding.help(format!("its ports are {}", listed.join(", ")));
    }
}
