//! What is said of a host: the ServiceEntry that locates it, the DestinationRule that shapes how it is spoken to.
//!
//! Whose word counts is as in Istio ("Cross-namespace configuration sharing"): a DestinationRule of the gateway's
//! namespace, then of that of the ServiceEntry, then of the root namespace. Several ServiceEntries of one host are
//! tried by age, after those of the gateway's and the root namespace. Where a provider is, and how it is spoken to,
//! only these two namespaces say, since its key goes there.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::destinations::full_name;
use super::upstream_tls::UpstreamsTls;
use super::{Settings, by_age};
use crate::config::resource::{DestinationRule, Resources, ServiceEntry};
use crate::text_map::TextMap;

/// The resources that say something of hosts, by host.
pub(super) struct Hosts<'c> {
    resources: &'c Resources,
    settings: &'c Settings,
    entries: ByHost,
    /// Those of the gateway's and the root namespace.
    own_entries: ByHost,
    /// By namespace.
    rules: Vec<(&'c str, ByHost)>,
    pub(super) tls: UpstreamsTls,
}

impl<'c> Hosts<'c> {
    pub(super) fn new(resources: &'c Resources, settings: &'c Settings, tls: UpstreamsTls) -> Self {
        let mut hosts = Self {
            resources,
            settings,
            entries: ByHost::default(),
            own_entries: ByHost::default(),
            rules: Vec::new(),
            tls,
        };
        for (index, entry) in resources.service_entries.iter().enumerate() {
            let comes_before = |other: usize| {
                let rank = |entry: &ServiceEntry| settings.rank(&entry.meta.namespace);
                let other = resources.service_entries.get(other);
                other.is_some_and(|other| {
                    let order = rank(entry).cmp(&rank(other));
                    order.then_with(|| by_age(&entry.meta, &other.meta)).is_lt()
                })
            };
            for host in &entry.hosts {
                hosts.entries.add(host, index, &comes_before);
                if settings.in_scope(&entry.meta.namespace) {
                    hosts.own_entries.add(host, index, &comes_before);
                }
            }
        }
        for (index, rule) in resources.destination_rules.iter().enumerate() {
            let namespace = &*rule.meta.namespace;
            let known = hosts.rules.iter().position(|(of, _)| *of == namespace);
            let place = known.unwrap_or_else(|| {
                hosts.rules.push((namespace, ByHost::default()));
                hosts.rules.len() - 1
            });
            if let Some((_, rules)) = hosts.rules.get_mut(place) {
                rules.add(&full_name(&rule.host, namespace), index, &|_| false);
            }
        }
        hosts
    }

    /// The ServiceEntry that locates `host`.
    pub(super) fn entry(&self, host: &str) -> Option<&'c ServiceEntry> {
        self.resources.service_entries.get(self.entries.get(host)?)
    }

    /// The same of a provider.
    pub(super) fn entry_of_provider(&self, host: &str) -> Option<&'c ServiceEntry> {
        self.resources.service_entries.get(self.own_entries.get(host)?)
    }

    /// The DestinationRule of `host`, which a resource of `namespace` locates.
    pub(super) fn rule(&self, host: &str, namespace: &str) -> Option<&'c DestinationRule> {
        let in_namespace = |namespace| {
            let (_, rules) = self.rules.iter().find(|(of, _)| *of == namespace)?;
            rules.get(&full_name(host, namespace))
        };
        let index = self.namespaces(namespace).into_iter().find_map(in_namespace)?;
        self.resources.destination_rules.get(index)
    }

    /// The same of a provider.
    pub(super) fn rule_of_provider(&self, host: &str) -> Option<&'c DestinationRule> {
        self.rule(host, &self.settings.root_namespace)
    }

    /// Whose DestinationRules are read of what a resource of `namespace` locates. As in istiod the gateway's own
    /// namespace comes last where it is the root: what is said there of all hosts is not said of this one.
    pub(super) fn namespaces<'n>(&'n self, namespace: &'n str) -> [&'n str; 3] {
        let Settings {
            namespace: own,
            root_namespace: root,
            ..
        } = self.settings;
        match own == root {
            true => [namespace, root, root],
            false => [own, namespace, root],
        }
    }

    /// These namespaces, each once.
    pub(super) fn namespaces_in_words(&self, namespace: &str) -> String {
        let mut words: Vec<String> = Vec::new();
        for namespace in self.namespaces(namespace) {
            let word = format!("`{namespace}`");
            if !words.contains(&word) {
                words.push(word);
            }
        }
        words.join(", ")
    }
}

/// Resources, as indices, by the hosts that they name.
#[derive(Debug, Default)]
struct ByHost {
    /// Names in lower case, and wildcards.
    hosts: TextMap<usize>,
    has_wildcards: bool,
}

impl ByHost {
    /// Of two for one host the first counts, unless the second `comes_before` it.
    fn add(&mut self, host: &str, index: usize, comes_before: &dyn Fn(usize) -> bool) {
        let is_wildcard = host.starts_with('*');
        self.has_wildcards |= is_wildcard;
        let name = if is_wildcard {
            host.into()
        } else {
            host.to_ascii_lowercase()
        };
        if self.hosts.get(&name).is_none_or(|other| comes_before(*other)) {
            self.hosts.insert(&name, index);
        }
    }

    /// The one with the host that fits best: the name itself, otherwise the longest wildcard.
    fn get(&self, host: &str) -> Option<usize> {
        if let Some(named) = self.hosts.get(&host.to_ascii_lowercase()) {
            return Some(*named);
        }
        let suffixes = (1..=host.len()).filter_map(|at| host.get(at..));
        let mut suffixes = suffixes.filter(|_| self.has_wildcards);
        suffixes.find_map(|suffix| self.hosts.get(&["*", suffix].concat()).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_itself_comes_before_the_longest_wildcard_and_the_first_before_the_second() {
        let mut by_host = ByHost::default();
        let hosts = ["*", "*.a.test", "*.test", "B.a.test", "b.a.test", "*.a.test"];
        for (index, host) in hosts.into_iter().enumerate() {
            by_host.add(host, index, &|_| false);
        }
        for (host, found) in [
            ("b.a.test", Some(3)),
            ("B.A.test", Some(3)),
            ("c.a.test", Some(1)),
            ("a.test", Some(2)),
            (".a.test", Some(2)),
            ("other", Some(0)),
            ("", None),
        ] {
            assert_eq!(by_host.get(host), found, "{host}");
        }
        let mut names = ByHost::default();
        names.add("a.test", 0, &|_| false);
        assert_eq!((names.get("a.test"), names.get("b.a.test")), (Some(0), None));
    }
}
