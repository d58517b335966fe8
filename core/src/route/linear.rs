//! Every entry of a virtual host, one after the other: what [`super::search`] must agree with.

use super::{Evidence, Found, Judged};
use crate::attributes::Attributes;
use crate::tables::Tables;

/// As [`super::find`].
pub(super) fn find<'d>(tables: &'d Tables, seen: &Attributes<'_>, evidence: Evidence<'_>) -> Option<Found<'d>> {
    let listener = super::listener(tables, seen.connection)?;
    let (_, host) = super::virtual_host(tables, listener, seen.authority.host)?;
    let mut entries = host.entries.of(&tables.entries).iter().filter(|_| seen.path != "*");
    entries.find_map(|entry| {
        let depends_on_body = match super::judge(tables, entry, seen, evidence) {
            Judged::Matches => false,
            Judged::DependsOnBody(_) => true,
            Judged::Fails(_) => return None,
        };
        Some(Found { entry, depends_on_body })
    })
}

#[cfg(test)]
mod tests;
