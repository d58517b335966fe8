//! `networking.istio.io` ServiceEntry: where an outside host really is.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Labels, Meta, Spanned};
use crate::config::diagnostic::Location;

/// A ServiceEntry. <https://istio.io/latest/docs/reference/config/networking/service-entry/>
#[derive(Debug, Clone)]
pub struct ServiceEntry {
    /// Where it came from.
    pub meta: Meta,
    /// `spec.hosts`, at least one.
    pub hosts: Vec<Spanned<String>>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// `spec.resolution`.
    pub resolution: Resolution,
    /// `spec.endpoints`; without any, the host itself is the endpoint.
    pub endpoints: Vec<WorkloadEntry>,
}

/// One entry of `spec.ports`.
#[derive(Debug, Clone)]
pub struct ServicePort {
    /// `number`.
    pub number: Spanned<u16>,
    /// `name`.
    pub name: Box<str>,
    /// `protocol` is one that is spoken in HTTP/2.
    pub is_http2: bool,
    /// `targetPort`: the endpoints' port when it differs.
    pub target_port: Option<u16>,
}

/// How endpoints are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// `NONE`: the host, by DNS at connect time.
    None,
    /// `STATIC`: the endpoints' IP addresses.
    Static,
    /// `DNS` and `DNS_ROUND_ROBIN`: names, looked up at connect time.
    Dns,
}

/// One entry of `spec.endpoints`.
#[derive(Debug, Clone)]
pub struct WorkloadEntry {
    /// The entry.
    pub at: Location,
    /// `address`: an IP address, or a DNS name with [`Resolution::Dns`].
    pub address: Spanned<String>,
    /// `ports`: by port name.
    pub ports: Vec<(Spanned<Box<str>>, u16)>,
    /// `weight`; absent counts as 1, 0 takes no traffic.
    pub weight: Option<u32>,
    /// `labels`, which subsets choose it by.
    pub labels: Labels,
}
