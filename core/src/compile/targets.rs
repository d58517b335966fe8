//! Which policies judge the requests of this gateway: by namespace, by `selector` or by `targetRefs`.
//!
//! In Istio each Gateway of Gateway API has a gateway of its own. Here one process serves several Gateways, and what
//! applies to one of them judges the requests of all: so a policy that is only for some is refused.

use alloc::format;
use alloc::vec::Vec;

use super::Settings;
use super::kube_gateways::{self, GATEWAY_NAME};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::gateway_api::GROUP;
use crate::config::resource::{Meta, NETWORKING_GROUP, PolicyTarget, Resources, TargetReference};

/// What policies can be for.
pub(super) struct Targets<'c> {
    settings: &'c Settings,
    /// All that are loaded.
    gateways: Vec<Gateway<'c>>,
}

/// The one kind that a policy can be for here.
const KIND: &str = "Gateway";

/// A Gateway of either API, whose Gateways may share a name.
struct Gateway<'c> {
    meta: &'c Meta,
    /// Of Gateway API; otherwise Istio's.
    is_kube: bool,
    is_served: bool,
}

impl<'c> Targets<'c> {
    pub(super) fn new(resources: &'c Resources, settings: &'c Settings) -> Self {
        let mut gateways = Vec::new();
        for gateway in &resources.gateways {
            gateways.push(Gateway {
                meta: &gateway.meta,
                is_kube: false,
                is_served: settings.has_labels(&gateway.selector),
            });
        }
        for gateway in &resources.kube_gateways {
            gateways.push(Gateway {
                meta: &gateway.meta,
                is_kube: true,
                is_served: kube_gateways::is_selected(gateway, resources, settings),
            });
        }
        Self { settings, gateways }
    }

    /// Whether a policy with this target applies to this gateway. One that is not refused is for all the Gateways that
    /// are served or for none, so the first tells.
    pub(super) fn applies(&self, meta: &Meta, target: &PolicyTarget) -> bool {
        self.is_for(self.served().next(), meta, target)
    }

    /// Whether in Istio a policy is for the gateway that serves this Gateway; `None` is this process as it was started.
    fn is_for(&self, gateway: Option<&Gateway<'_>>, meta: &Meta, target: &PolicyTarget) -> bool {
        let settings = self.settings;
        let own = gateway.filter(|gateway| gateway.is_kube).map(|gateway| gateway.meta);
        let namespace = own.map_or(&*settings.namespace, |own| &own.namespace);
        let is_name = |key: &str, value: &str| key == GATEWAY_NAME && own.is_some_and(|own| **own.name == *value);
        [&*settings.root_namespace, namespace].contains(&&*meta.namespace)
            && match target {
                PolicyTarget::Namespace => true,
                PolicyTarget::Labels(labels) => labels
                    .iter()
                    .all(|(key, value)| is_name(key, value) || settings.has_label(key, value)),
                PolicyTarget::References(references) => {
                    gateway.is_some_and(|gateway| gateway.is_named(references, &meta.namespace))
                }
            }
    }

    /// Whether one of the loaded Gateways, served or not, is named.
    pub(super) fn has(&self, references: &[TargetReference], namespace: &str) -> bool {
        let mut gateways = self.gateways.iter();
        gateways.any(|gateway| gateway.is_named(references, namespace))
    }

    fn served(&self) -> impl Iterator<Item = &Gateway<'c>> {
        self.gateways.iter().filter(|gateway| gateway.is_served)
    }

    /// Refuses policies that do not say clearly what they are for, and those that are only for some of the Gateways that
    /// are served.
    pub(super) fn check(&self, resources: &Resources, diagnostics: &mut Diagnostics) {
        for policy in &resources.authorization_policies {
            self.check_policy(&policy.meta, &policy.target, diagnostics);
        }
        for policy in &resources.request_authentications {
            self.check_policy(&policy.meta, &policy.target, diagnostics);
        }
    }

    fn check_policy(&self, meta: &Meta, target: &PolicyTarget, diagnostics: &mut Diagnostics) {
        if let PolicyTarget::References(references) = target {
            for reference in references {
                self.refuse_group(reference, meta, diagnostics);
            }
        }
        self.refuse_partial_target(meta, target, diagnostics);
    }

    /// Refuses a reference that may mean either of two Gateways, and one whose group is not that of the Gateway of its
    /// name, which would be served without the policy.
    fn refuse_group(&self, reference: &TargetReference, meta: &Meta, diagnostics: &mut Diagnostics) {
        let (mut is_served, mut of_istio, mut of_kube) = (false, false, false);
        for gateway in &self.gateways {
            if gateway.has_name_of(reference, &meta.namespace) {
                is_served |= gateway.is_served;
                of_kube |= gateway.is_kube;
                of_istio |= !gateway.is_kube;
            }
        }
        let is_wrong = match reference.group.as_deref() {
            None => of_istio && of_kube,
            Some(GROUP) => is_served && !of_kube,
            Some(NETWORKING_GROUP) => is_served && !of_istio,
            Some(_) => &*reference.kind == KIND,
        };
        if is_wrong {
            diagnostics
                .error(
                    "invalid-target",
                    reference.at,
                    format!(
                        "the `group` of the Gateway `{}` that {} `{}/{}` names is missing or wrong",
                        *reference.name, meta.kind, meta.namespace, *meta.name
                    ),
                )
                .field("spec.targetRefs")
                .help(match (of_kube, of_istio) {
                    (true, false) => "write `group: gateway.networking.k8s.io`, or a selector",
                    (false, true) => "write `group: networking.istio.io`, or a selector",
                    _ => "write `group: gateway.networking.k8s.io` or `group: networking.istio.io`, or a selector",
                });
        }
    }

    /// In Istio such a policy is for one gateway and not for another. Here it would judge the requests of both, or of
    /// none.
    fn refuse_partial_target(&self, meta: &Meta, target: &PolicyTarget, diagnostics: &mut Diagnostics) {
        let (mut met, mut missed) = (None, None);
        for gateway in self.served() {
            let one = match self.is_for(Some(gateway), meta, target) {
                true => &mut met,
                false => &mut missed,
            };
            one.get_or_insert(gateway);
        }
        let (gateway, problem, help) = match (missed, met) {
            (Some(missed), met) if met.is_some() || self.is_for(None, meta, target) => (
                missed,
                "not for",
                "write it for all Gateways that are served, as in the root namespace, or give each Gateway a process with its `--namespace` and `gateway.networking.k8s.io/gateway-name` among its `--workload-labels`".into(),
            ),
            (None, Some(met)) if !self.settings.in_scope(&meta.namespace) => (
                met,
                "of another namespace than this process, and for",
                format!("serve it with `--namespace {}`", meta.namespace),
            ),
            _ => return,
        };
        let (at, field) = match target {
            PolicyTarget::References(references) => (references.first().map(|first| first.at), "spec.targetRefs"),
            PolicyTarget::Labels(_) => (None, "spec.selector"),
            PolicyTarget::Namespace => (None, "metadata.namespace"),
        };
        diagnostics
            .error(
                "partial-target",
                at.unwrap_or(meta.name.at),
                format!(
                    "{} `{}/{}` is {problem} the Gateway `{}/{}` of `{}`, whose requests are judged here",
                    meta.kind,
                    meta.namespace,
                    *meta.name,
                    gateway.meta.namespace,
                    *gateway.meta.name,
                    gateway.group()
                ),
            )
            .field(field)
            .help(help);
    }
}

impl Gateway<'_> {
    /// Whether one of the references of a policy of `namespace` means this Gateway.
    fn is_named(&self, references: &[TargetReference], namespace: &str) -> bool {
        let mut references = references.iter();
        references.any(|reference| {
            self.has_name_of(reference, namespace)
                && reference.group.as_deref().is_none_or(|group| group == self.group())
        })
    }

    fn group(&self) -> &'static str {
        if self.is_kube { GROUP } else { NETWORKING_GROUP }
    }

    fn has_name_of(&self, reference: &TargetReference, namespace: &str) -> bool {
        &*reference.kind == KIND && *self.meta.name.value == *reference.name.value && *self.meta.namespace == *namespace
    }
}
