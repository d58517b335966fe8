//! What policies say that decide nothing: AUDIT marks a request, a dry run tells what it would have done.
//!
//! Shells ask beside [`crate::decide::decide`] and log the answer. With no such policy the question costs nothing.

use crate::attributes::{Attributes, Scratch};
use crate::authz::{self, Permission};
use crate::decide::Known;
use crate::decision::Denial;
use crate::request::Request;
use crate::tables::{Action, PolicyId, PolicyRow, Tables};
use crate::token::overlay::Overlay;

/// What to log of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observation {
    /// The first AUDIT policy that matches it.
    pub audited: Option<PolicyId>,
    /// What the dry runs would have done, by themselves; `None` without any.
    pub dry_run: Option<DryRun>,
}

/// What the dry runs would have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "every shell words each of them")]
pub enum DryRun {
    /// Let it pass.
    Allowed,
    /// Denied it.
    Denied(Denial),
    /// Depends on a body that nobody had to read, or could.
    DependsOnBody,
}

impl Observation {
    /// Whether there is nothing to log.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Looks at `request` with the policies that decide nothing. `scratch` is overwritten.
#[must_use]
pub fn observe(tables: &Tables, request: &Request<'_>, known: &Known<'_>, scratch: &mut Scratch) -> Observation {
    // They are the last ones.
    if !tables.policies.last().is_some_and(PolicyRow::only_observes) {
        return Observation::default();
    }
    let Scratch {
        head, judged_cookies, ..
    } = scratch;
    let Ok(seen) = Attributes::read(tables, request, head) else {
        return Observation::default();
    };
    let claims = known.identity.claims();
    let Ok(headers) = Overlay::of_kept(tables, &seen, known.checked, claims, judged_cookies) else {
        return Observation::default();
    };
    let seen = seen.with_headers(&headers);
    let has_dry_runs = tables.derived.rule_index.sections.iter().any(|section| section.dry_run);
    Observation {
        audited: authz::first_policy(tables, Action::Audit, &seen, known),
        dry_run: has_dry_runs.then(|| match authz::permission(tables, &seen, known, true) {
            Permission::Granted => DryRun::Allowed,
            Permission::Denied(denial) => DryRun::Denied(denial),
            Permission::DependsOnBody => DryRun::DependsOnBody,
        }),
    }
}

impl Tables {
    /// What the dry runs would have done, in words for the log.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn dry_run_in_words(&self, dry_run: DryRun) -> alloc::string::String {
        match dry_run {
            DryRun::Allowed => "allowed".into(),
            DryRun::Denied(Denial::Rule(policy, rule)) => {
                alloc::format!("denied by {} rules[{rule}]", self.policy_label(policy))
            }
            DryRun::Denied(Denial::NoAllowMatched) => "denied, as no ALLOW matched".into(),
            DryRun::DependsOnBody => "depends on the body".into(),
        }
    }
}
