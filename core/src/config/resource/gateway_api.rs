//! `gateway.networking.k8s.io` Gateway, GatewayClass and ReferenceGrant, and the InferencePool of its inference
//! extension: which ports listen, who may refer to whom, and what may be referred to.
//!
//! Its Gateway has the name of Istio's, so what is here is not re-exported.
//! <https://gateway-api.sigs.k8s.io/reference/spec/>

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Meta, Spanned};
use crate::config::diagnostic::Location;

/// The API group.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// The API group of InferencePools.
pub const INFERENCE_GROUP: &str = "inference.networking.k8s.io";

/// A Gateway.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Where it came from.
    pub meta: Meta,
    /// `spec.gatewayClassName`
    pub class: Spanned<Box<str>>,
    /// `spec.listeners`, at least one.
    pub listeners: Vec<Listener>,
}

/// One entry of `spec.listeners`.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The entry.
    pub at: Location,
    /// `name`: what a route's `sectionName` means.
    pub name: Spanned<Box<str>>,
    /// `hostname`: a name or `*.suffix`, lower case; `None` is every host.
    pub hostname: Option<Spanned<String>>,
    /// `port`
    pub port: Spanned<u16>,
    /// `allowedRoutes.namespaces`
    pub namespaces: RouteNamespaces,
    /// Whether `allowedRoutes.kinds` has HTTPRoute.
    pub takes_http_routes: bool,
    /// `certificateRefs` of `tls`, at least one; `None` is HTTP in plain text.
    pub certificates: Option<Vec<CertificateRef>>,
}

/// One of `certificateRefs`: a Secret.
#[derive(Debug, Clone)]
pub struct CertificateRef {
    /// `namespace`; the Gateway's own when absent.
    pub namespace: Box<str>,
    /// `name`
    pub name: Spanned<Box<str>>,
}

/// The namespaces whose routes may attach to a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteNamespaces {
    /// The Gateway's own.
    Same,
    /// Every one.
    All,
    /// None at all.
    None,
    /// The one of this name.
    Named(Box<str>),
}

/// A GatewayClass.
#[derive(Debug, Clone)]
pub struct GatewayClass {
    /// Where it came from; its namespace means nothing.
    pub meta: Meta,
    /// `spec.controllerName`
    pub controller: Box<str>,
}

/// A ReferenceGrant: what of its namespace the resources of others may refer to.
#[derive(Debug, Clone)]
pub struct ReferenceGrant {
    /// Where it came from.
    pub meta: Meta,
    /// `spec.from`, at least one.
    pub from: Vec<GrantFrom>,
    /// `spec.to`, at least one.
    pub to: Vec<GrantTo>,
}

/// One entry of `spec.from`: who may refer.
#[derive(Debug, Clone)]
pub struct GrantFrom {
    /// `group`
    pub group: Box<str>,
    /// `kind`
    pub kind: Box<str>,
    /// `namespace`
    pub namespace: Box<str>,
}

/// One entry of `spec.to`: what may be referred to.
#[derive(Debug, Clone)]
pub struct GrantTo {
    /// `group`
    pub group: Box<str>,
    /// `kind`
    pub kind: Box<str>,
    /// `name`; `None` is every one.
    pub name: Option<Box<str>>,
}

/// An InferencePool: model servers, the endpoints of the ServiceEntry host `name.namespace.inference.cluster.local`.
#[derive(Debug, Clone)]
pub struct InferencePool {
    /// Where it came from.
    pub meta: Meta,
    /// `spec.targetPorts`, of which there is one.
    pub port: Spanned<u16>,
}
