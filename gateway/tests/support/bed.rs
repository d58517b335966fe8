//! The seed's walk-through, ready to be used: its files, a provider, a gateway between.

use core::net::SocketAddr;

use super::client::{Response, ask_from, post};
use super::gateway::{Gateway, Setup};
use super::pki::Authority;
use super::upstream::{Recorded, Upstream};
use super::wire::{Framing, values};
use super::{KEY, MESSAGES, PROVIDER, QUESTION};

/// How the gateway reaches the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In plain text, as a `DestinationRule` with `mode: DISABLE` says.
    Plain,
    /// Through TLS, with the certificate of a test authority.
    Tls,
}

/// Every acceptance case of the seed runs over both.
pub const BOTH: [Transport; 2] = [Transport::Plain, Transport::Tls];

/// A client at the address that the seed's policy denies, when it is loaded with [`DENIED_TEXT`].
pub const DENIED: [u8; 4] = [127, 0, 0, 1];
/// [`DENIED`] as `YOUR_LOCAL_IP` has it.
pub const DENIED_TEXT: &str = "127.0.0.1";
/// A client at another address.
pub const OTHER: [u8; 4] = [127, 0, 0, 2];

/// A Gateway that takes every host on port 80, before further documents.
pub const EDGE: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
";

/// A provider that gets the client's own method and path, under every host.
pub const OPEN: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{hosts: ['*'], port: {name: http, number: 80, protocol: HTTP}}]
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: provider, namespace: istio-system}
spec: {host: dashscope.aliyuncs.com}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMRoute
metadata: {name: route, namespace: istio-system}
spec:
  host: '*'
  gateways: [gw]
  rules: [{backendRefs: [{providerHost: dashscope.aliyuncs.com}]}]
";

/// [`OPEN`] with a route of `lockgate.dev/v1`, whose rule has these fields, too.
pub fn open_with(fields: &str) -> String {
    OPEN.replace(
        "istio.alibabacloud.com/v1beta1\nkind: LLMRoute",
        "lockgate.dev/v1\nkind: LLMRoute",
    )
    .replace("rules: [{", &format!("rules: [{{{fields}, "))
}

/// A host `name.test` at `port` of this machine; another document may follow.
pub fn service_entry(name: &str, port: u16) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: istio-system}}
spec:
  hosts: [{name}.test]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
---
"
    )
}

/// A plain host at `port` of this machine, to which `gateway` leads what is for `host`.
pub fn plain_host(port: u16, gateway: &str, host: &str) -> String {
    let entry = service_entry("plain", port);
    format!(
        "{entry}apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: plain, namespace: istio-system}}
spec:
  hosts: [{host}]
  gateways: [{gateway}]
  http: [{{route: [{{destination: {{host: plain.test}}}}]}}]
"
    )
}

/// A provider and a gateway in front of it.
#[derive(Debug)]
pub struct Bed {
    /// The provider.
    pub upstream: Upstream,
    /// The gateway.
    pub gateway: Gateway,
    transport: Transport,
}

/// A provider, and `setup` with the provider's host leading to it.
pub async fn join(transport: Transport, setup: Setup) -> (Upstream, Setup) {
    match transport {
        Transport::Plain => {
            let upstream = Upstream::plain().await;
            let setup = setup.provider_at(&upstream);
            (upstream, setup)
        }
        Transport::Tls => {
            let authority = Authority::new();
            let upstream = Upstream::tls(authority.acceptor(PROVIDER)).await;
            let setup = setup.provider_behind_tls(&upstream, &authority);
            (upstream, setup)
        }
    }
}

impl Bed {
    /// Starts `setup` with a provider of its own.
    pub async fn start(transport: Transport, setup: Setup) -> Self {
        let (upstream, setup) = join(transport, setup).await;
        let gateway = setup.start().await;
        Self {
            upstream,
            gateway,
            transport,
        }
    }

    /// A gateway that runs, before a provider in plain text.
    pub fn of(upstream: Upstream, gateway: Gateway) -> Self {
        Self {
            upstream,
            gateway,
            transport: Transport::Plain,
        }
    }

    /// The seed's steps 1 to 3, in plain text.
    pub async fn seed() -> Self {
        Self::start(Transport::Plain, Setup::seed()).await
    }

    /// Where clients connect to.
    pub fn http(&self) -> SocketAddr {
        self.gateway.http
    }

    /// Asks the seed's question under a host, from 127.0.0.1.
    pub async fn ask(&self, host: &str) -> Response {
        ask_from([127, 0, 0, 1], self.http(), host, QUESTION).await
    }

    /// Asks with another body under a host, from 127.0.0.1.
    pub async fn ask_body(&self, host: &str, body: &str) -> Response {
        ask_from([127, 0, 0, 1], self.http(), host, body).await
    }

    /// Asks the seed's question under a host, from an address, with more fields.
    pub async fn ask_with(&self, from: [u8; 4], host: &str, fields: &[(&str, &str)]) -> Response {
        let mut client = super::client::Client::connect_from(from, self.http()).await;
        client.send(post(host, fields, QUESTION)).await;
        client.response().await
    }

    /// Asserts that an answer is the 404 of "no route", and that the provider was left alone since `before`.
    pub fn assert_no_route(&self, answer: &Response) {
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (404, ""),
            "no route is an empty 404"
        );
        self.assert_no_contact();
    }

    /// Asserts that an answer is Istio's refusal, to the byte, and that the provider was left alone.
    pub fn assert_denied(&self, answer: &Response) {
        assert_eq!((answer.status, answer.text().as_str()), (403, "RBAC: access denied"));
        assert_eq!(answer.header("content-type"), Some("text/plain"));
        assert_eq!(answer.header("content-length"), Some("19"));
        self.assert_no_contact();
    }

    /// Asserts that nothing reached the provider so far.
    pub fn assert_no_contact(&self) {
        assert_eq!(self.upstream.request_count(), 0, "the provider was contacted");
    }

    /// Asserts that the provider got the seed's question as case A3 says.
    pub fn assert_forwarded(&self, seen: &Recorded) {
        assert_eq!(seen.request_line, "POST /compatible-mode/v1/chat/completions HTTP/1.1");
        assert_eq!(seen.header("host"), Some(PROVIDER));
        assert_eq!(values(&seen.fields, "authorization"), [format!("Bearer {KEY}")]);
        let name = (self.transport == Transport::Tls).then(|| PROVIDER.to_owned());
        assert_eq!(seen.sni, name);
        assert_eq!(
            seen.framing,
            Framing::Length(seen.body.len()),
            "content-length of the new body"
        );
        assert_eq!(seen.header("content-type"), Some("application/json"));
        assert_none(
            seen,
            &[
                "connection",
                "keep-alive",
                "te",
                "trailer",
                "transfer-encoding",
                "upgrade",
            ],
        );
        assert_none(seen, &["proxy-connection", "proxy-authenticate", "proxy-authorization"]);

        let body = seen.json();
        assert_eq!(body["model"], "qwen1.5-72b-chat");
        assert_eq!(body["stream"], false);
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(3), "{body}");
        assert!(
            seen.text().contains(&format!("\"messages\": {MESSAGES}")),
            "messages were touched: {}",
            seen.text()
        );
        assert_spliced(QUESTION, &seen.text());
    }
}

/// Asserts that no field of these names was sent.
pub fn assert_none(seen: &Recorded, names: &[&str]) {
    for name in names {
        let values = values(&seen.fields, name);
        assert!(values.is_empty(), "`{name}` was sent upstream: {values:?}");
    }
}

/// Asserts that `after` is `before` with one piece put in, so that no byte of the client's was changed.
pub fn assert_spliced(before: &str, after: &str) {
    let same = |(a, b): &(u8, u8)| a == b;
    let prefix = before.bytes().zip(after.bytes()).take_while(same).count();
    let suffix = before.bytes().rev().zip(after.bytes().rev()).take_while(same).count();
    assert!(prefix + suffix >= before.len(), "not one splice:\n{before}\n{after}");
}
