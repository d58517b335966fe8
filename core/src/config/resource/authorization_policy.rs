//! `security.istio.io` AuthorizationPolicy: who may send what.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Labels, Meta, Spanned};
use crate::cidr::Cidr;
use crate::config::diagnostic::Location;
pub use crate::tables::Action;

/// An AuthorizationPolicy. <https://istio.io/latest/docs/reference/config/security/authorization-policy/>
#[derive(Debug, Clone)]
pub struct AuthorizationPolicy {
    /// Where it came from.
    pub meta: Meta,
    /// `spec.selector.matchLabels`; `None` selects the whole namespace.
    pub selector: Option<Labels>,
    /// `spec.action`, `ALLOW` when absent.
    pub action: Action,
    /// `spec.rules`. Without any, an ALLOW policy allows nothing.
    pub rules: Vec<PolicyRule>,
}

/// One entry of `spec.rules`: a source AND an operation. An empty list means "any".
#[derive(Debug, Clone)]
pub struct PolicyRule {
    /// The entry.
    pub at: Location,
    /// `from[].source`, any of them.
    pub from: Vec<PolicySource>,
    /// `to[].operation`, any of them.
    pub to: Vec<PolicyOperation>,
}

/// `from[].source`: all the fields that are given must hold. Each list is "any of"; empty is "not given".
#[derive(Debug, Clone)]
pub struct PolicySource {
    /// The entry.
    pub at: Location,
    /// `ipBlocks`: the TCP peer.
    pub ip_blocks: Vec<Spanned<Cidr>>,
    /// `notIpBlocks`.
    pub not_ip_blocks: Vec<Spanned<Cidr>>,
}

/// `to[].operation`: all the fields that are given must hold. Each list is "any of"; empty is "not given".
#[derive(Debug, Clone)]
pub struct PolicyOperation {
    /// The entry.
    pub at: Location,
    /// `hosts`.
    pub hosts: Vec<Spanned<String>>,
    /// `notHosts`.
    pub not_hosts: Vec<Spanned<String>>,
    /// `ports`.
    pub ports: Vec<Spanned<u16>>,
    /// `notPorts`.
    pub not_ports: Vec<Spanned<u16>>,
    /// `methods`.
    pub methods: Vec<Spanned<String>>,
    /// `notMethods`.
    pub not_methods: Vec<Spanned<String>>,
    /// `paths`.
    pub paths: Vec<Spanned<String>>,
    /// `notPaths`.
    pub not_paths: Vec<Spanned<String>>,
}
