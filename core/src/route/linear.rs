//! Every entry of a virtual host, one after the other: what [`super::search`] must agree with.

use crate::attributes::Attributes;
use crate::claims::Claims;
use crate::tables::{EntryRow, Tables};

/// As [`super::find`].
pub(super) fn find<'d>(
    tables: &Tables<'d>,
    seen: &Attributes<'_>,
    claims: Option<&Claims<'_>>,
) -> Option<&'d EntryRow> {
    let (_, host) = super::virtual_host(tables, seen.connection.port, seen.authority.host)?;
    let mut entries = host.entries.of(tables.entries).iter();
    entries.find(|entry| super::failed_condition(tables, entry, seen, claims).is_none() && seen.path != "*")
}

#[cfg(test)]
mod tests;
