//! `lockgate demo`: a gateway with the example configuration and a provider of
//! its own, so that the first try needs neither a key nor a network.

mod provider;

use core::net::{Ipv4Addr, SocketAddr};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;

use lockgate_core::compile::Settings;
use lockgate_core::config::diagnostic::Source;

use crate::config::Inputs;
use crate::limits::{BODY_READ, DRAIN, FIRST_BYTE, HEADER_READ, IDLE, STREAM_IDLE};
use crate::log::Format;
use crate::playground;
use crate::ports::Addresses;
use crate::reload::Refused;
use crate::serve::{Gateway, Options, Signals, cannot_hear};
use crate::shared::{Bounds, Times};

const FILES: [(&str, &str); 3] = [
    (
        "examples/demo/gateway.yaml",
        include_str!("../../../examples/demo/gateway.yaml"),
    ),
    (
        "examples/demo/llm.yaml",
        include_str!("../../../examples/demo/llm.yaml"),
    ),
    (
        "examples/demo/provider.yaml",
        include_str!("../../../examples/demo/provider.yaml"),
    ),
];

/// What the example's ServiceEntry names as the provider's port.
const EXAMPLE_PORT: &str = "https: 8000";

/// Ports that are nice to type; when one is taken, any free one does.
const GATEWAY_PORT: u16 = 8080;
const ADMIN_PORT: u16 = 15000;

/// The key that the gateway adds and the provider demands. It opens nothing else.
const API_KEY: &str = "demo-key";

/// Runs the demo until a signal ends it.
pub(crate) fn run() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("error: cannot start: {error}\n")),
    };
    runtime.block_on(async {
        let signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => return cannot_hear(&error),
        };
        let provider = match provider::start(API_KEY).await {
            Ok(address) => address,
            Err(error) => return failed(&format!("error: cannot start the provider: {error}\n")),
        };
        match Gateway::start(options(provider), Vec::new()) {
            Ok(gateway) => {
                introduce(&gateway, provider);
                gateway.run(signals).await
            }
            Err(Refused(why)) => failed(&why),
        }
    })
}

fn failed(why: &str) -> ExitCode {
    eprint!("{why}");
    ExitCode::from(2)
}

fn options(provider: SocketAddr) -> Options {
    let mut inputs = Inputs::new(Vec::new(), Vec::new(), Settings::default());
    let port = format!("https: {}", provider.port());
    let source = |(name, text): (&str, &str)| Source::new(name.to_owned(), text.replace(EXAMPLE_PORT, &port));
    inputs.embedded = FILES.into_iter().map(source).collect();
    inputs.variables = vec![("API_KEY".to_owned(), API_KEY.to_owned())];
    Options {
        inputs,
        addresses: Addresses([(80, free(GATEWAY_PORT))].into()),
        admin: Some(free(ADMIN_PORT)),
        workers: std::thread::available_parallelism().map_or(1, core::num::NonZero::get),
        times: Times {
            header_read: HEADER_READ,
            body_read: BODY_READ,
            idle: IDLE,
            first_byte: FIRST_BYTE,
            stream_idle: STREAM_IDLE,
            drain: DRAIN,
        },
        bounds: Bounds::default(),
        allow_private_jwks: false,
        log_format: Format::Text,
        access_log: PathBuf::from("-"),
        capsules: None,
        upgrade: None,
    }
}

/// `port` on loopback, or a port of the kernel's choice when it is taken.
fn free(port: u16) -> SocketAddr {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let is_free = TcpListener::bind(wanted).is_ok();
    if is_free {
        wanted
    } else {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
    }
}

fn introduce(gateway: &Gateway, provider: SocketAddr) {
    let Some(address) = gateway.address(80) else { return };
    let body = r#"{"stream":true,"messages":[{"role":"user","content":"Tell me about yourself"}]}"#;
    let curl = |host: &str, data: &str| {
        format!(
            "curl -N http://{address}/v1/chat/completions -H 'host: {host}' -H 'content-type: application/json' -d '{data}'"
        )
    };
    println!(
        "\nA provider listens on {provider}, the gateway in front of it on {address}.\n\n\
         This one answers, with the provider's key and model added on the way:\n  {}\n\n\
         404: no route has this host:\n  {}\n\n\
         403: a policy denies this one:\n  {}\n",
        curl("llm.example", body),
        curl("unknown.example", "{}"),
        curl("denied.example", "{}"),
    );
    if let Some(admin) = gateway.admin_address() {
        let page = match playground::is_built() {
            true => format!("http://{admin}/playground/"),
            false => "`cargo xtask playground`, then build again".to_owned(),
        };
        println!(
            "Playground: {page}    Metrics: curl http://{admin}/metrics    Ctrl-C ends. Each request is logged below.\n"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_name_the_port_that_is_replaced() {
        assert_eq!(FILES.iter().filter(|(_, text)| text.contains(EXAMPLE_PORT)).count(), 1);
    }
}
