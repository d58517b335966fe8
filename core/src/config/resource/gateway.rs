//! `networking.istio.io` Gateway: which ports listen, and for which hosts.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Labels, Meta, Spanned};
use crate::config::diagnostic::Location;

/// A Gateway. <https://istio.io/latest/docs/reference/config/networking/gateway/>
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Where it came from.
    pub meta: Meta,
    /// `spec.selector`: labels of the proxies that load it; empty selects every proxy.
    pub selector: Labels,
    /// `spec.servers`, at least one.
    pub servers: Vec<Server>,
}

/// One entry of `spec.servers`.
#[derive(Debug, Clone)]
pub struct Server {
    /// The entry.
    pub at: Location,
    /// `hosts`: `[namespace/]name`, `*`, `*.suffix`; at least one.
    pub hosts: Vec<Spanned<String>>,
    /// `port.number`, 1 to 65535.
    pub port: Spanned<u16>,
    /// `port.name`.
    pub port_name: Spanned<Box<str>>,
    /// `port.protocol`.
    pub protocol: Spanned<ServerProtocol>,
}

/// The protocols a server may speak here. Others are refused by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerProtocol {
    /// `HTTP` and `HTTP2`: plain text, HTTP/1.1 and HTTP/2 with prior knowledge on one port.
    Http,
}
