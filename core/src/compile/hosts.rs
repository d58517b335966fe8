//! What is said of a host: the ServiceEntry that locates it, the DestinationRule that shapes how it is spoken to.

use super::upstream_tls::UpstreamsTls;
use crate::config::resource::{DestinationRule, Resources, ServiceEntry};
use crate::text_map::TextMap;

/// The resources that say something of hosts, by host.
pub(super) struct Hosts<'c> {
    resources: &'c Resources,
    entries: ByHost,
    rules: ByHost,
    pub(super) tls: UpstreamsTls,
}

impl<'c> Hosts<'c> {
    pub(super) fn new(resources: &'c Resources, tls: UpstreamsTls) -> Self {
        let mut hosts = Self {
            resources,
            entries: ByHost::default(),
            rules: ByHost::default(),
            tls,
        };
        for (index, entry) in resources.service_entries.iter().enumerate() {
            for host in &entry.hosts {
                hosts.entries.add(host, index);
            }
        }
        for (index, rule) in resources.destination_rules.iter().enumerate() {
            hosts.rules.add(&rule.host, index);
        }
        hosts
    }

    /// The ServiceEntry that locates `host`.
    pub(super) fn entry(&self, host: &str) -> Option<&'c ServiceEntry> {
        self.resources.service_entries.get(self.entries.get(host)?)
    }

    /// The DestinationRule of `host`.
    pub(super) fn rule(&self, host: &str) -> Option<&'c DestinationRule> {
        self.resources.destination_rules.get(self.rules.get(host)?)
    }
}

/// Resources, as indices, by the hosts that they name. Of two for one host the first counts.
#[derive(Default)]
struct ByHost {
    /// Names in lower case, and wildcards.
    hosts: TextMap<usize>,
    has_wildcards: bool,
}

impl ByHost {
    fn add(&mut self, host: &str, index: usize) {
        let is_wildcard = host.starts_with('*');
        self.has_wildcards |= is_wildcard;
        let name = if is_wildcard {
            host.into()
        } else {
            host.to_ascii_lowercase()
        };
        if self.hosts.get(&name).is_none() {
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
            by_host.add(host, index);
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
        names.add("a.test", 0);
        assert_eq!((names.get("a.test"), names.get("b.a.test")), (Some(0), None));
    }
}
