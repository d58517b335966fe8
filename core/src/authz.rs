//! Whether a request may pass: DENY before ALLOW, as Istio has it.
//!
//! A rule of any DENY policy that matches denies. If there are ALLOW policies,
//! a rule of one of them must match; if there are none, everything passes.
//! Policies judge what the client sent, before any rewrite.
//! <https://istio.io/latest/docs/concepts/security/#implicit-enablement>

use crate::attributes::Attributes;
use crate::decision::Denial;
use crate::tables::{Action, OperationRow, PatternRow, PolicyId, PolicyRuleRow, Rows, SourceRow, Tables};

/// Judges a request.
///
/// # Errors
/// The rule that denies it, or that none allows it.
pub(crate) fn authorize(tables: &Tables<'_>, seen: &Attributes<'_>) -> Result<(), Denial> {
    let mut allow_policies = false;
    for (policy, id) in tables.policies.iter().zip(0..) {
        let matched = policy
            .rules
            .of(tables.policy_rules)
            .iter()
            .position(|rule| failed_part(tables, rule, seen).is_none());
        match (policy.action, matched) {
            (Action::Deny, Some(rule)) => {
                return Err(Denial::Rule(PolicyId(id), u32::try_from(rule).unwrap_or(u32::MAX)));
            }
            (Action::Deny, None) => {}
            (Action::Allow, Some(_)) => return Ok(()),
            (Action::Allow, None) => allow_policies = true,
        }
    }
    if allow_policies {
        Err(Denial::NoAllowMatched)
    } else {
        Ok(())
    }
}

/// The part of a policy rule that a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FailedPart {
    /// The field's name as Istio writes it, e.g. `notIpBlocks`.
    pub(crate) field: &'static str,
    /// The values it lists.
    pub(crate) wanted: Wanted,
}

/// The values that a failed field lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Cidrs(Rows),
    Ports(Rows),
    Patterns(Rows),
}

/// `None` when the rule matches: one of its sources (if any) AND one of its operations (if any) hold.
/// Otherwise the part that failed last, which is the closest miss of a rule with one source and one operation.
pub(crate) fn failed_part(tables: &Tables<'_>, rule: &PolicyRuleRow, seen: &Attributes<'_>) -> Option<FailedPart> {
    any_holds(rule.from.of(tables.sources), |source| {
        failed_source(tables, source, seen)
    })
    .or_else(|| {
        any_holds(rule.to.of(tables.operations), |operation| {
            failed_operation(tables, operation, seen)
        })
    })
}

/// `None` when one of `rows` holds or there are none.
fn any_holds<T>(rows: &[T], failed: impl Fn(&T) -> Option<FailedPart>) -> Option<FailedPart> {
    let mut last = None;
    for row in rows {
        last = failed(row);
        if last.is_none() {
            break;
        }
    }
    last
}

fn failed_source(tables: &Tables<'_>, source: &SourceRow, seen: &Attributes<'_>) -> Option<FailedPart> {
    let contains = |rows: Rows| {
        rows.of(tables.cidrs)
            .iter()
            .any(|block| block.contains(seen.connection.peer))
    };
    field("ipBlocks", source.ip_blocks, true, contains, Wanted::Cidrs)
        .or_else(|| field("notIpBlocks", source.not_ip_blocks, false, contains, Wanted::Cidrs))
}

fn failed_operation(tables: &Tables<'_>, operation: &OperationRow, seen: &Attributes<'_>) -> Option<FailedPart> {
    let host = |rows: Rows| any_pattern(tables, rows, seen.authority.folded, Empty::Matches);
    let port = |rows: Rows| rows.of(tables.ports).contains(&seen.connection.destination_port);
    let method = |rows: Rows| any_pattern(tables, rows, seen.method.as_bytes(), Empty::Misses);
    let path = |rows: Rows| any_pattern(tables, rows, seen.path.as_bytes(), Empty::Misses);
    field("hosts", operation.hosts, true, host, Wanted::Patterns)
        .or_else(|| field("notHosts", operation.not_hosts, false, host, Wanted::Patterns))
        .or_else(|| field("ports", operation.ports, true, port, Wanted::Ports))
        .or_else(|| field("notPorts", operation.not_ports, false, port, Wanted::Ports))
        .or_else(|| field("methods", operation.methods, true, method, Wanted::Patterns))
        .or_else(|| field("notMethods", operation.not_methods, false, method, Wanted::Patterns))
        .or_else(|| field("paths", operation.paths, true, path, Wanted::Patterns))
        .or_else(|| field("notPaths", operation.not_paths, false, path, Wanted::Patterns))
}

/// `None` when the field is not given, or some of its values match exactly if they should.
fn field(
    field: &'static str,
    rows: Rows,
    should_match: bool,
    matches: impl Fn(Rows) -> bool,
    wanted: fn(Rows) -> Wanted,
) -> Option<FailedPart> {
    let holds = rows.is_empty() || matches(rows) == should_match;
    (!holds).then(|| FailedPart {
        field,
        wanted: wanted(rows),
    })
}

/// Whether `*` matches the empty value: for hosts it does, for paths and methods it does not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Empty {
    Matches,
    Misses,
}

fn any_pattern(tables: &Tables<'_>, rows: Rows, value: &[u8], empty: Empty) -> bool {
    rows.of(tables.patterns).iter().any(|pattern| match *pattern {
        PatternRow::Exact(wanted) => value == tables.bytes(wanted),
        PatternRow::Prefix(wanted) => value.starts_with(tables.bytes(wanted)),
        PatternRow::Suffix(wanted) => value.ends_with(tables.bytes(wanted)),
        PatternRow::Any => empty == Empty::Matches || !value.is_empty(),
    })
}
