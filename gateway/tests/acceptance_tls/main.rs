//! TLS with clients: who is served under which name, who is turned away, and that HTTP goes on in it as in plain text.
#![allow(clippy::panic, clippy::expect_used, reason = "a helper of tests fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

#[cfg(test)]
mod clients;
#[cfg(test)]
mod handshakes;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod http;
#[cfg(test)]
mod lifetime;
#[cfg(test)]
mod proxied;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod rotation;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod told;

#[cfg(test)]
mod case {
    use crate::support::bed::{Bed, Transport};
    use crate::support::eventually;
    use crate::support::gateway::{Gateway, Setup};
    use crate::support::outputs::total;
    use crate::support::pki::Issued;

    /// A provider that gets what clients send.
    pub(crate) const ROUTE: &str = "
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

    /// Counts who was turned away, by `reason`.
    pub(crate) const TURNED_AWAY: &str = "lockgate_downstream_tls_handshakes_failed_total";

    /// A Gateway with these servers, each its hosts and its `tls`, at port 443.
    pub(crate) fn gateway(servers: &[(&str, &str)]) -> String {
        let head = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw, namespace: istio-system}\n\
                    spec:\n  selector: {istio: ingressgateway}\n  servers:\n";
        let mut text = head.to_owned();
        for (index, (hosts, tls)) in servers.iter().enumerate() {
            text.push_str(&format!(
                "  - {{hosts: [{hosts}], port: {{name: s{index}, number: 443, protocol: HTTPS}}, tls: {{{tls}}}}}\n"
            ));
        }
        text
    }

    /// A Secret of these values.
    pub(crate) fn secret(name: &str, values: &[(&str, &str)]) -> String {
        let mut text =
            format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: istio-system}}\nstringData:\n");
        for (key, value) in values {
            text.push_str(&format!("  {key}: |\n"));
            for line in value.lines() {
                text.push_str(&format!("    {line}\n"));
            }
        }
        text
    }

    /// The Secret of a certificate.
    pub(crate) fn secret_of(name: &str, issued: &Issued) -> String {
        secret(name, &[("tls.crt", &issued.certificate), ("tls.key", &issued.key)])
    }

    /// Every host of every server is answered by the gateway itself.
    const HELLO: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: hello, namespace: istio-system}
spec:
  hosts: ['*']
  gateways: [gw]
  http: [{directResponse: {status: 200, body: {string: hello}}}]
";

    /// These servers, which answer by themselves.
    pub(crate) fn setup(servers: &[(&str, &str)]) -> Setup {
        Setup::empty()
            .file("gateway.yaml", &gateway(servers))
            .file("route.yaml", HELLO)
    }

    /// One server, `a.test`, of mode SIMPLE, with a provider behind it.
    pub(crate) fn simple(issued: &Issued) -> Setup {
        // The provider's own host too, since a request is routed again under it.
        let servers = [("a.test, dashscope.aliyuncs.com", "mode: SIMPLE, credentialName: a")];
        setup(&servers)
            .file("route.yaml", ROUTE)
            .file("secret-a.yaml", &secret_of("a", issued))
    }

    /// `setup`, started.
    pub(crate) async fn start(setup: Setup) -> Bed {
        Bed::start(Transport::Plain, setup).await
    }

    /// Waits until so many clients were turned away for a reason.
    pub(crate) async fn turned_away(gateway: &Gateway, reason: &str, count: f64) {
        let what = format!("{count} clients turned away for {reason}");
        eventually(&what, || async {
            let seen = total(&gateway.metrics().await, TURNED_AWAY, &[("reason", reason)]);
            (seen == count).then_some(())
        })
        .await;
    }

    /// Waits until no client is connected.
    pub(crate) async fn all_gone(gateway: &Gateway) {
        eventually("no connection is left", || async {
            let open = total(&gateway.metrics().await, "lockgate_downstream_connections", &[]);
            (open == 0.0).then_some(())
        })
        .await;
    }
}
