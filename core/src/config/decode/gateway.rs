//! Gateway.

use alloc::format;

use super::{boxed, each, host, integer, labels, unique};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{Gateway, Meta, Server, ServerProtocol, Spanned};
use crate::config::tree::Node;

pub(super) fn decode(spec: &Node, meta: Meta, diagnostics: &mut Diagnostics) -> Option<Gateway> {
    let servers = spec.get("servers").map(Node::items).unwrap_or_default();
    let mut names = servers.iter().map(|server| server.get("port")?.get("name"));
    let field = |index| format!("spec.servers[{index}].port.name");
    unique(&mut names, "ports of this Gateway", &field, diagnostics);
    Some(Gateway {
        meta,
        selector: spec.get("selector").map(labels).unwrap_or_default(),
        servers: each(Some(spec), "servers", server),
    })
}

fn server(node: &Node) -> Option<Server> {
    let port = node.get("port")?;
    Some(Server {
        at: node.at,
        hosts: each(Some(node), "hosts", host),
        port: integer(port.get("number")?)?,
        port_name: boxed(port.get("name")?)?,
        protocol: Spanned {
            value: ServerProtocol::Http,
            at: port.get("protocol")?.at,
        },
    })
}
