//! HTTP/2 as frames through real sockets: what no library would send, and what comes of it.

#![allow(clippy::panic, reason = "a helper of tests fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod floods;
#[cfg(test)]
mod stalls;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
mod case {
    use crate::support::bed::{Bed, Transport};
    use crate::support::gateway::Setup;

    /// A provider that gets the client's own method and path, under every host.
    const OPEN: &str = "
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

    /// A gateway to such a provider.
    pub(crate) async fn open(args: &[&str]) -> Bed {
        let setup = Setup::empty().file("open.yaml", OPEN).args(args);
        Bed::start(Transport::Plain, setup).await
    }
}
