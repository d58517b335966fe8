//! Gateway.

mod tls;

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
    let mut index = 0..;
    Some(Gateway {
        meta,
        selector: spec.get("selector").map(labels).unwrap_or_default(),
        servers: each(Some(spec), "servers", |node| {
            let field = format!("spec.servers[{}]", index.next().unwrap_or_default());
            server(node, &field, diagnostics)
        }),
    })
}

fn server(node: &Node, field: &str, diagnostics: &mut Diagnostics) -> Option<Server> {
    let port = node.get("port")?;
    let protocol = port.get("protocol")?;
    let value = if protocol.text()?.eq_ignore_ascii_case("HTTPS") {
        ServerProtocol::Https(tls::of_https(node, field, diagnostics)?.into())
    } else {
        tls::of_http(node, field, diagnostics)
    };
    Some(Server {
        at: node.at,
        hosts: each(Some(node), "hosts", host),
        port: integer(port.get("number")?)?,
        port_name: boxed(port.get("name")?)?,
        protocol: Spanned { value, at: protocol.at },
    })
}
