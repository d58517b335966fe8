//! Which entries a request may match once it is rewritten to a provider's host, whatever else it has.

use alloc::vec::Vec;

use super::exact_host;
use crate::route;
use crate::tables::{EntryRow, ProviderId, Subject, Tables, VirtualHostRow};

/// The entries of all virtual hosts, by the host that they ask for.
pub(super) struct SecondPass<'d> {
    tables: &'d Tables<'d>,
    /// Virtual host, exact host, entry; sorted.
    entries: Vec<(u32, Option<&'d str>, u32)>,
}

impl<'d> SecondPass<'d> {
    pub(super) fn new(tables: &'d Tables<'d>) -> Self {
        let hosts = tables.virtual_hosts.iter().zip(0..);
        let keyed = |(host, id): (&'d VirtualHostRow, u32)| {
            let entries = host.entries.of(tables.entries).iter().zip(host.entries.numbers());
            entries.map(move |(entry, number)| (id, exact_host(tables, entry), number))
        };
        let mut entries: Vec<_> = hosts.flat_map(keyed).collect();
        entries.sort_unstable();
        Self { tables, entries }
    }

    /// Those that may take what goes to `provider`, in order.
    pub(super) fn entries(&self, listener: u32, provider: ProviderId) -> Vec<&'d EntryRow> {
        let host = self.tables.provider_host(provider);
        let row = self.tables.providers.get(provider.0 as usize);
        let path = row.and_then(|row| row.path).map(|path| path.parts(self.tables).path);
        let Some((id, _)) = route::virtual_host(self.tables, listener, host.as_bytes()) else {
            return Vec::new();
        };
        let mut numbers: Vec<u32> = [None, Some(host)]
            .into_iter()
            .flat_map(|wanted| self.asking_for(id, wanted))
            .collect();
        numbers.sort_unstable();
        let entries = numbers
            .into_iter()
            .filter_map(|number| self.tables.entries.get(number as usize));
        entries.filter(|entry| takes(self.tables, entry, host, path)).collect()
    }

    /// The entries of a virtual host that ask for `host`, or for none.
    fn asking_for(&self, id: u32, host: Option<&str>) -> impl Iterator<Item = u32> {
        let from = self
            .entries
            .partition_point(|(of, asked, _)| (*of, *asked) < (id, host));
        let to = self
            .entries
            .partition_point(|(of, asked, _)| (*of, *asked) <= (id, host));
        let entries = self.entries.get(from..to).unwrap_or_default().iter();
        entries.map(|(_, _, entry)| *entry)
    }
}

/// Whether the entry's conditions on the host and on the path hold for these, if the path is known; others may or may
/// not.
fn takes(tables: &Tables<'_>, entry: &EntryRow, host: &str, path: Option<&str>) -> bool {
    entry.conditions.of(tables.conditions).iter().all(|condition| {
        let value = match condition.subject {
            Subject::Host | Subject::Authority | Subject::RawAuthority => Some(host),
            Subject::Path => path,
            _ => None,
        };
        value.is_none_or(|value| route::passes(tables, condition.test, value.as_bytes()) != condition.negated)
    })
}
