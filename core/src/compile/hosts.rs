//! What is said of a host: the ServiceEntry that locates it, the DestinationRule that shapes how it is spoken to.

use super::upstream_tls::UpstreamsTls;
use crate::config::resource::{DestinationRule, Resources, ServiceEntry, Spanned};
use crate::text_map::TextMap;

/// The resources that say something of hosts, by host.
pub(super) struct Hosts<'c> {
    entries: ByHost<'c, ServiceEntry>,
    rules: ByHost<'c, DestinationRule>,
    pub(super) tls: UpstreamsTls,
}

impl<'c> Hosts<'c> {
    pub(super) fn new(resources: &'c Resources, tls: UpstreamsTls) -> Self {
        Self {
            entries: ByHost::new(&resources.service_entries, |entry| &entry.hosts),
            rules: ByHost::new(&resources.destination_rules, |rule| core::slice::from_ref(&rule.host)),
            tls,
        }
    }

    /// The ServiceEntry that locates `host`.
    pub(super) fn entry(&self, host: &str) -> Option<&'c ServiceEntry> {
        self.entries.get(host)
    }

    /// The DestinationRule of `host`.
    pub(super) fn rule(&self, host: &str) -> Option<&'c DestinationRule> {
        self.rules.get(host)
    }
}

/// Resources by the hosts that they name. Of two for one host the first counts.
struct ByHost<'c, T> {
    /// In lower case.
    names: TextMap<&'c T>,
    /// By what comes after the `*`.
    wildcards: TextMap<&'c T>,
}

impl<'c, T> ByHost<'c, T> {
    fn new(all: &'c [T], hosts: impl Fn(&'c T) -> &'c [Spanned<alloc::string::String>]) -> Self {
        let mut by_host = Self {
            names: TextMap::default(),
            wildcards: TextMap::default(),
        };
        // From the last, so that the first is what stays.
        for resource in all.iter().rev() {
            for host in hosts(resource) {
                match host.strip_prefix('*') {
                    Some(suffix) => by_host.wildcards.insert(suffix, resource),
                    None => by_host.names.insert(&host.to_ascii_lowercase(), resource),
                };
            }
        }
        by_host
    }

    /// The resource with the host that fits best: the name itself, otherwise the longest wildcard.
    fn get(&self, host: &str) -> Option<&'c T> {
        if let Some(named) = self.names.get(&host.to_ascii_lowercase()) {
            return Some(named);
        }
        // Most configurations have none, and every suffix would be looked up.
        self.wildcards.values().next()?;
        let mut suffixes = (1..=host.len()).filter_map(|at| host.get(at..));
        suffixes.find_map(|suffix| self.wildcards.get(suffix)).copied()
    }
}
