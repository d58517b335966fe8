//! What a request meets once it is rewritten to a provider's host, whatever else it has.
//!
//! Where the first entry that may take it asks for nothing but that host and the provider's own path, it takes every
//! such request, so that no decision has to look for it: [`SecondPass::admissions`].

use alloc::vec::Vec;

use crate::route;
use crate::tables::{AdmissionRow, BackendTarget, EntryRow, ProviderId, Subject, Tables, Test, VirtualHostRow};

/// The entries of all virtual hosts, by the host that they ask for.
pub(super) struct SecondPass<'d> {
    tables: &'d Tables,
    /// Virtual host, exact host, entry; sorted.
    entries: Vec<(u32, Option<&'d str>, u32)>,
}

impl<'d> SecondPass<'d> {
    pub(super) fn new(tables: &'d Tables) -> Self {
        let hosts = tables.virtual_hosts.iter().zip(0..);
        let keyed = |(host, id): (&'d VirtualHostRow, u32)| {
            let entries = host.entries.of(&tables.entries).iter().zip(host.entries.numbers());
            entries.map(move |(entry, number)| (id, exact_host(tables, entry), number))
        };
        let mut entries: Vec<_> = hosts.flat_map(keyed).collect();
        entries.sort_unstable();
        Self { tables, entries }
    }

    /// Those that may take what goes to `provider`, in order.
    pub(super) fn entries(&self, listener: u32, provider: ProviderId) -> Vec<&'d EntryRow> {
        let Some(sent) = Sent::new(self.tables, listener, provider) else {
            return Vec::new();
        };
        let mut taking: Vec<_> = self
            .taking(&sent, None)
            .chain(self.taking(&sent, Some(sent.host)))
            .collect();
        taking.sort_unstable_by_key(|(number, _)| *number);
        taking.into_iter().map(|(_, entry)| entry).collect()
    }

    /// What takes every request to a provider and admits it, sorted by listener and provider.
    pub(super) fn admissions(&self) -> Vec<AdmissionRow> {
        let mut sent = Vec::new();
        for host in &self.tables.virtual_hosts {
            for entry in host.entries.of(&self.tables.entries) {
                sent.extend(providers_of(self.tables, entry).map(|provider| (host.listener, provider)));
            }
        }
        sent.sort_unstable();
        sent.dedup();
        let sent = sent.into_iter();
        sent.filter_map(|(listener, provider)| self.admission(listener, provider))
            .collect()
    }

    fn admission(&self, listener: u32, provider: ProviderId) -> Option<AdmissionRow> {
        let sent = Sent::new(self.tables, listener, provider)?;
        let first = |host| self.taking(&sent, host).next();
        let (_, entry) = [first(None), first(Some(sent.host))]
            .into_iter()
            .flatten()
            .min_by_key(|(number, _)| *number)?;
        let mut conditions = entry.conditions.of(&self.tables.conditions).iter();
        let takes_all = conditions.all(|condition| sent.value(condition.subject).is_some());
        let admits = providers_of(self.tables, entry).any(|listed| listed == provider);
        (takes_all && admits).then_some(AdmissionRow {
            listener,
            provider,
            by: entry.rule,
        })
    }

    /// The entries that ask for `host`, or for none, and may take what is sent; each with its number, in order.
    fn taking(&self, sent: &Sent<'d>, host: Option<&str>) -> impl Iterator<Item = (u32, &'d EntryRow)> {
        let tables = self.tables;
        let of = |entry: &(u32, Option<&str>, u32)| (entry.0, entry.1).cmp(&(sent.virtual_host, host));
        let from = self.entries.partition_point(|entry| of(entry).is_lt());
        let to = self.entries.partition_point(|entry| of(entry).is_le());
        let numbers = self.entries.get(from..to).unwrap_or_default().iter();
        let entries = numbers.filter_map(|(_, _, number)| Some((*number, tables.entries.get(*number as usize)?)));
        let sent = *sent;
        entries.filter(move |(_, entry)| sent.may_be_taken(tables, entry))
    }
}

/// What is known of every request that is sent to a provider.
#[derive(Clone, Copy)]
struct Sent<'d> {
    virtual_host: u32,
    host: &'d str,
    /// Where it is the provider's own.
    path: Option<&'d str>,
}

impl<'d> Sent<'d> {
    /// `None` where no virtual host takes it.
    fn new(tables: &'d Tables, listener: u32, provider: ProviderId) -> Option<Self> {
        let host = tables.provider_host(provider);
        let path = tables.provider(provider).and_then(|row| row.path);
        let (virtual_host, _) = route::virtual_host(tables, listener, host.as_bytes())?;
        Some(Self {
            virtual_host,
            host,
            path: path.map(|path| path.parts(tables).path),
        })
    }

    fn value(&self, subject: Subject) -> Option<&'d str> {
        match subject {
            Subject::Host | Subject::Authority | Subject::RawAuthority => Some(self.host),
            Subject::Path => self.path,
            _ => None,
        }
    }

    /// Whether the entry's conditions on what is known hold; others may or may not.
    fn may_be_taken(&self, tables: &Tables, entry: &EntryRow) -> bool {
        entry.conditions.of(&tables.conditions).iter().all(|condition| {
            let value = self.value(condition.subject);
            value.is_none_or(|value| route::passes(tables, condition.test, value.as_bytes()) != condition.negated)
        })
    }
}

/// The one host that an entry asks for.
pub(super) fn exact_host<'d>(tables: &'d Tables, entry: &EntryRow) -> Option<&'d str> {
    let conditions = entry.conditions.of(&tables.conditions).iter();
    conditions
        .filter(|condition| !condition.negated)
        .find_map(|condition| match (condition.subject, condition.test) {
            (Subject::Host | Subject::Authority | Subject::RawAuthority, Test::Exact(host)) => Some(tables.text(host)),
            _ => None,
        })
}

/// The providers that take traffic of the entry's rule.
pub(super) fn providers_of<'d>(tables: &'d Tables, entry: &EntryRow) -> impl Iterator<Item = ProviderId> + use<'d> {
    let backends = tables.rule(entry.rule).map(|rule| rule.split().backends);
    let backends = backends.unwrap_or_default().of(&tables.backends).iter();
    backends
        .filter(|backend| backend.weight > 0)
        .filter_map(|backend| match backend.to {
            BackendTarget::Provider(target) => Some(target.provider),
            BackendTarget::Upstream(_) => None,
        })
}

#[cfg(all(test, feature = "yaml"))]
mod tests {
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    use crate::build::build;
    use crate::compile::Settings;
    use crate::config::LoadOptions;
    use crate::config::diagnostic::Source;

    const RESOURCES: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{hosts: ['*'], port: {name: http, number: 80, protocol: HTTP}}]
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: free, namespace: istio-system}
spec: {host: free.test}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: fixed, namespace: istio-system}
spec: {host: fixed.test, path: /v1/chat/completions}
---
apiVersion: lockgate.dev/v1
kind: LLMRoute
metadata: {name: r, namespace: istio-system}
spec:
  host: '*'
  gateways: [edge]
  rules:
";

    const FIXED: &str = "backendRefs: [{providerHost: fixed.test}]";
    const FREE: &str = "backendRefs: [{providerHost: free.test}]";

    /// The providers that are admitted whatever comes, and by which rule.
    #[expect(clippy::unwrap_used, reason = "a test may panic")]
    fn admitted(rules: &[String]) -> Vec<String> {
        let rules: String = rules.iter().map(|rule| format!("  - {{{rule}}}\n")).collect();
        let source = Source::new("c.yaml".into(), format!("{RESOURCES}{rules}"));
        let options = LoadOptions {
            env: &|_| None,
            ignore_kinds: &[],
        };
        let snapshot = build(&[source], &options, &Settings::default())
            .compiled
            .unwrap()
            .snapshot;
        let tables = snapshot.tables();
        let rows = tables.derived.admissions.iter();
        rows.map(|row| {
            assert_eq!(tables.admission(row.listener, row.provider), Some(row.by));
            let rule = tables.rule_label(row.by).rsplit('/').next().unwrap_or_default();
            format!("{} by {rule}", tables.provider_host(row.provider))
        })
        .collect()
    }

    #[test]
    fn a_provider_is_admitted_where_nothing_but_its_host_and_path_is_asked_for() {
        let all = |backend: &str| format!("name: all, {backend}");
        let header = format!("name: header, matches: [{{headers: {{x-team: {{exact: red}}}}}}], {FIXED}");
        let model = format!("name: model, matches: [{{model: {{exact: m}}}}], {FREE}");
        let host = |host: &str| format!("name: host, matches: [{{headers: {{host: {{exact: {host}}}}}}}], {FIXED}");
        let path = |path: &str, backend: &str| format!("name: path, matches: [{{uri: {{prefix: {path}}}}}], {backend}");
        for (rules, wanted) in [
            (&[all(FIXED)][..], &["fixed.test by all"][..]),
            (&[host("fixed.test")], &["fixed.test by host"]),
            // What comes first takes it, whatever comes later.
            (&[host("fixed.test"), all(FIXED)], &["fixed.test by host"]),
            (&[all(FIXED), host("fixed.test")], &["fixed.test by all"]),
            (&[host("other.test"), all(FIXED)], &["fixed.test by all"]),
            // Some requests may be taken by another rule.
            (&[header.clone(), all(FIXED)], &[]),
            (&[model, all(FREE)], &[]),
            (&[host("fixed.test"), header, all(FREE)], &["fixed.test by host"]),
            // Only a path that is fixed is known.
            (&[path("/v1/", FIXED)], &["fixed.test by path"]),
            (&[path("/v2/", FIXED), all(FIXED)], &["fixed.test by all"]),
            (&[path("/v1/", FREE)], &[]),
            // One that takes it and does not list the provider refuses it.
            (&[host("other.test"), all(FREE)], &["free.test by all"]),
            (&[host("other.test")], &[]),
        ] {
            assert_eq!(admitted(rules), wanted, "{rules:?}");
        }
    }
}
