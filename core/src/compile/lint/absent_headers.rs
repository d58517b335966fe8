//! Policies and routes that ask for a header field of which no request shows anything: what a proxy says of its client
//! where no proxy is trusted, and what belongs to the connection or to Envoy.

use alloc::format;

use crate::client_cert;
use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::resource::{PolicyKey, Predicate};
use crate::rewrite;
use crate::shown::Showing;
use crate::tables::{Subject, Tables};
use crate::text_map::TextSet;

/// Each match of a route once. `places` are those of the origins.
pub(super) fn check_routes(tables: &Tables, places: &[Location], diagnostics: &mut Diagnostics) {
    // Mostly no rule asks for any of them, and there may be many rules.
    let mut shown = tables.derived.shown.iter();
    if shown.all(|row| row.showing != Showing::Nothing) {
        return;
    }
    let mut said = TextSet::default();
    for entry in &tables.entries {
        for condition in entry.conditions.of(&tables.conditions) {
            let (Subject::Header(name), Some(origin)) = (condition.subject, tables.origin(entry.origin)) else {
                continue;
            };
            let name = tables.text(name);
            if is_absent(tables, name) && said.insert(&format!("{} {name}", entry.origin.0)) {
                let at = places.get(entry.origin.0 as usize).copied().unwrap_or_default();
                diagnostics
                    .warning(
                        "absent-header",
                        at,
                        format!("this asks for `{name}`, which is taken out of every request"),
                    )
                    .field(origin.field)
                    .help(help(tables, name));
            }
        }
    }
}

/// One condition of a policy.
pub(super) fn check_predicate(tables: &Tables, predicate: &Predicate, diagnostics: &mut Diagnostics) {
    let PolicyKey::Header(name) = &predicate.key else {
        return;
    };
    let name = name.to_ascii_lowercase();
    if is_absent(tables, &name) {
        let holds = if predicate.negated { "always" } else { "never" };
        diagnostics
            .warning(
                "absent-header",
                predicate.at,
                format!(
                    "`{}` {holds} holds: the field is taken out of every request",
                    predicate.field
                ),
            )
            .help(help(tables, &name));
    }
}

/// Whether no request shows the field `name`, lower case, and no authorizer may write it. Tokens write none of these.
fn is_absent(tables: &Tables, name: &str) -> bool {
    let is_shown = name == client_cert::NAME || !tables.authorizers.is_empty();
    let is_nothing = matches!(Showing::of(name, tables.edge.trusted_proxies), Some(Showing::Nothing));
    is_nothing && !is_shown
}

fn help(tables: &Tables, name: &str) -> &'static str {
    if rewrite::is_hearsay(tables.edge.trusted_proxies, name) {
        "whoever sends it would be believed: say in MeshConfig how many proxies stand in front (`gatewayTopology.numTrustedProxies`), or ask for `remoteIpBlocks`"
    } else {
        "it is about the connection, or Envoy's own; ask for another"
    }
}
