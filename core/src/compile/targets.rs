//! Which policies judge the requests of this gateway: by namespace, by `selector` or by `targetRefs`.
//!
//! In Istio each Gateway of Gateway API has a gateway of its own. Here one process serves several Gateways, and what
//! applies to one of them judges the requests of all: so a policy that is only for some is refused.

use alloc::format;
use alloc::vec::Vec;

use super::{Settings, kube_gateways};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::gateway_api::GROUP;
use crate::config::resource::{Meta, NETWORKING_GROUP, PolicyTarget, Resources, TargetReference};

/// What policies can be for.
pub(super) struct Targets<'c> {
    settings: &'c Settings,
    served: Vec<Gateway<'c>>,
    /// The loaded Gateways that this gateway does not serve.
    others: Vec<Gateway<'c>>,
}

/// A Gateway of either API. They may share a name, so its group belongs to it.
struct Gateway<'c> {
    meta: &'c Meta,
    group: &'static str,
}

impl<'c> Targets<'c> {
    pub(super) fn new(resources: &'c Resources, settings: &'c Settings) -> Self {
        let istio = resources.gateways.iter().map(|gateway| {
            let meta = &gateway.meta;
            let group = NETWORKING_GROUP;
            (Gateway { meta, group }, settings.has_labels(&gateway.selector))
        });
        let kube = resources.kube_gateways.iter().map(|gateway| {
            let meta = &gateway.meta;
            let group = GROUP;
            let is_served = kube_gateways::is_selected(gateway, resources, settings);
            (Gateway { meta, group }, is_served)
        });
        let mut targets = Self {
            settings,
            served: Vec::new(),
            others: Vec::new(),
        };
        for (gateway, is_served) in istio.chain(kube) {
            let list = if is_served {
                &mut targets.served
            } else {
                &mut targets.others
            };
            list.push(gateway);
        }
        targets
    }

    /// Whether a policy with this target applies to this gateway.
    pub(super) fn applies(&self, meta: &Meta, target: &PolicyTarget) -> bool {
        self.settings.in_scope(&meta.namespace)
            && match target {
                PolicyTarget::Namespace => true,
                PolicyTarget::Labels(labels) => self.settings.has_labels(labels),
                PolicyTarget::References(references) => self
                    .served
                    .iter()
                    .any(|gateway| gateway.is_named(references, &meta.namespace)),
            }
    }

    /// Whether one of the loaded Gateways, served or not, is named.
    pub(super) fn has(&self, references: &[TargetReference], namespace: &str) -> bool {
        self.all().any(|gateway| gateway.is_named(references, namespace))
    }

    fn all(&self) -> impl Iterator<Item = &Gateway<'c>> {
        self.served.iter().chain(&self.others)
    }

    /// Refuses policies that do not say clearly what they are for, and those of this gateway that are only for some of
    /// the Gateways that it serves.
    pub(super) fn check(&self, resources: &Resources, diagnostics: &mut Diagnostics) {
        let policies = resources.authorization_policies.iter();
        let policies = policies.map(|policy| (&policy.meta, &policy.target));
        let authentications = resources.request_authentications.iter();
        for (meta, target) in policies.chain(authentications.map(|one| (&one.meta, &one.target))) {
            let PolicyTarget::References(references) = target else {
                continue;
            };
            for reference in references {
                self.refuse_other_group(reference, meta, diagnostics);
            }
            if self.applies(meta, target) {
                self.refuse_partial_target(references, meta, diagnostics);
            }
        }
    }

    /// Refuses a reference that may mean either of two Gateways, and one whose group is not that of the Gateway of its
    /// name: that Gateway would be served without the policy.
    fn refuse_other_group(&self, reference: &TargetReference, meta: &Meta, diagnostics: &mut Diagnostics) {
        let has_name = |gateway: &&Gateway<'_>| gateway.has_name_of(reference, &meta.namespace);
        let named = || self.all().filter(has_name);
        let Some(found) = named().next() else { return };
        let (problem, help) = if reference.group.is_none() && named().any(|other| other.group != found.group) {
            (
                "may be Istio's or Gateway API's".into(),
                "write `group: gateway.networking.k8s.io` or `group: networking.istio.io`".into(),
            )
        } else if self.served.iter().any(|gateway| has_name(&gateway))
            && !named().any(|gateway| gateway.has_group_of(reference))
        {
            (
                format!("is of the group `{}`", found.group),
                format!("write `group: {}`, or a selector", found.group),
            )
        } else {
            return;
        };
        diagnostics
            .error(
                "invalid-target",
                reference.at,
                format!(
                    "the Gateway `{}` that {} `{}/{}` names {problem}",
                    *reference.name, meta.kind, meta.namespace, *meta.name
                ),
            )
            .field("spec.targetRefs")
            .help(help);
    }

    fn refuse_partial_target(&self, references: &[TargetReference], meta: &Meta, diagnostics: &mut Diagnostics) {
        let mut served = self.served.iter();
        let other = served.find(|gateway| !gateway.is_named(references, &meta.namespace));
        if let (Some(other), Some(first)) = (other, references.first()) {
            diagnostics
                .error(
                    "partial-target",
                    first.at,
                    format!(
                        "{} `{}/{}` does not name the Gateway `{}/{}` of `{}`, whose requests are judged here too",
                        meta.kind, meta.namespace, *meta.name, other.meta.namespace, *other.meta.name, other.group
                    ),
                )
                .field("spec.targetRefs")
                .help("name every Gateway that is served, or give each a process with `gateway.networking.k8s.io/gateway-name` among its `--workload-labels`");
        }
    }
}

impl Gateway<'_> {
    /// Whether one of the references of a policy of `namespace` means this Gateway.
    fn is_named(&self, references: &[TargetReference], namespace: &str) -> bool {
        let mut references = references.iter();
        references.any(|reference| self.has_name_of(reference, namespace) && self.has_group_of(reference))
    }

    fn has_group_of(&self, reference: &TargetReference) -> bool {
        reference.group.as_deref().is_none_or(|group| group == self.group)
    }

    fn has_name_of(&self, reference: &TargetReference, namespace: &str) -> bool {
        &*reference.kind == "Gateway"
            && *self.meta.name.value == *reference.name.value
            && *self.meta.namespace == *namespace
    }
}
