//! Gateway API's Gateways: which are this gateway's, and what each of their listeners opens.
//!
//! In a cluster a controller makes a gateway for each of them. Here one gateway
//! serves all Gateways of the classes `istio` and `lockgate`, and of classes that
//! a GatewayClass gives to one of their controllers. When its own labels say
//! which Gateway it was made for (`gateway.networking.k8s.io/gateway-name`), it
//! serves that one of its own namespace alone.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Settings;
use super::listeners::{Listeners, covers};
use crate::config::resource::Resources;
use crate::config::resource::gateway_api::{Gateway, Listener};
use crate::text_map::TextMap;

const CLASSES: [&str; 2] = ["istio", "lockgate"];
const CONTROLLERS: [&str; 2] = ["istio.io/gateway-controller", "lockgate.dev/gateway-controller"];

/// What to look at where a Gateway is not this gateway's.
pub(super) const CLASSES_TAKEN: &str =
    "its `gatewayClassName` must be `istio` or `lockgate`, or of a GatewayClass of one of their controllers";

/// The label of a gateway that was made for one Gateway.
pub(super) const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// What the loaded Gateways open.
pub(super) struct KubeGateways<'c> {
    /// By `namespace/name`.
    gateways: TextMap<Vec<Section<'c>>>,
    /// What is opened here: listener and host of each section.
    opened: Vec<(u32, &'c str)>,
}

/// A listener of a Gateway.
pub(super) struct Section<'c> {
    pub(super) listener: &'c Listener,
    /// The namespace of its Gateway.
    pub(super) namespace: &'c str,
    /// Its listener here; `None` when its Gateway is not this gateway's, or it is left out.
    pub(super) index: Option<u32>,
}

impl<'c> Section<'c> {
    /// `*`, `*.suffix` or a name, lower case.
    pub(super) fn host(&self) -> &'c str {
        host(self.listener)
    }
}

pub(super) fn host(listener: &Listener) -> &str {
    listener.hostname.as_ref().map_or("*", |hostname| hostname.as_str())
}

/// Whether a Gateway is one that this gateway serves.
pub(super) fn is_selected(gateway: &Gateway, resources: &Resources, settings: &Settings) -> bool {
    let class = &**gateway.class;
    let mut classes = resources.gateway_classes.iter();
    let declared = classes.find(|declared| **declared.meta.name == *class);
    let is_ours = match declared {
        Some(declared) => CONTROLLERS.contains(&&*declared.controller),
        None => CLASSES.contains(&class),
    };
    let mut labels = settings.labels.iter();
    let made_for = labels.find(|(key, _)| key == GATEWAY_NAME);
    is_ours
        && made_for
            .is_none_or(|(_, name)| **gateway.meta.name == **name && *gateway.meta.namespace == *settings.namespace)
}

pub(super) fn compile<'c>(resources: &'c Resources, listeners: &Listeners<'_>) -> KubeGateways<'c> {
    let mut gateways = TextMap::default();
    let mut opened = Vec::new();
    for gateway in &resources.kube_gateways {
        let sections = gateway.listeners.iter().map(|listener| Section {
            listener,
            namespace: &gateway.meta.namespace,
            index: listeners.section(&gateway.meta, &listener.name),
        });
        let sections: Vec<Section<'_>> = sections.collect();
        opened.extend(
            sections
                .iter()
                .filter_map(|section| Some((section.index?, section.host()))),
        );
        gateways.insert(&format!("{}/{}", gateway.meta.namespace, *gateway.meta.name), sections);
    }
    KubeGateways { gateways, opened }
}

impl<'c> KubeGateways<'c> {
    /// The listeners of the Gateway `namespace/name`.
    pub(super) fn of(&self, gateway: &str) -> Option<&[Section<'c>]> {
        self.gateways.get(gateway).map(Vec::as_slice)
    }

    /// The Gateways' names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.gateways.keys()
    }

    /// Listener and host of everything that is opened here.
    pub(super) fn opened(&self) -> impl Iterator<Item = (u32, String)> {
        self.opened
            .iter()
            .map(|(listener, host)| (*listener, String::from(*host)))
    }

    /// Whether requests for `host`, which `section` takes, reach another listener of its port: one of a narrower host.
    pub(super) fn is_taken_from(&self, section: &Section<'_>, host: &str) -> bool {
        let own = section.host();
        self.opened.iter().any(|(listener, other)| {
            Some(*listener) == section.index && *other != own && covers(own, other) && covers(other, host)
        })
    }
}
