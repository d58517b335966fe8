//! ReferenceGrants: what of a namespace the resources of another may refer to.

use crate::config::resource::gateway_api::{GROUP, GrantFrom, GrantTo};
use crate::config::resource::{Meta, Resources};

/// What is referred to.
pub(super) struct Referred<'r> {
    /// Empty for Services and Secrets.
    pub(super) group: &'r str,
    pub(super) kind: &'r str,
    pub(super) namespace: &'r str,
    pub(super) name: &'r str,
}

/// Whether the resource `from` of Gateway API may refer to `to`.
pub(super) fn allow(from: &Meta, to: &Referred<'_>, resources: &Resources) -> bool {
    // A grant that was refused may be the one, and has been spoken of.
    if *to.namespace == *from.namespace || !resources.has_all("ReferenceGrant") {
        return true;
    }
    let is_from = |one: &GrantFrom| *one.group == *GROUP && *one.kind == *from.kind && one.namespace == from.namespace;
    let is_to = |one: &GrantTo| {
        let is_group = match to.group {
            "" => matches!(&*one.group, "" | "core"),
            group => *one.group == *group,
        };
        is_group && *one.kind == *to.kind && one.name.as_ref().is_none_or(|name| **name == *to.name)
    };
    resources.reference_grants.iter().any(|grant| {
        *grant.meta.namespace == *to.namespace && grant.from.iter().any(is_from) && grant.to.iter().any(is_to)
    })
}
