//! The proxies with TLS on both sides, each started as its users would, with one worker on one core.
//!
//! All of them show clients the same certificate, verify the upstream's, keep
//! connections to it and write an access log into a file.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::super::chat::{CLIENT_HOST, CLIENT_PATH, KEY, PROVIDER_HOST, PROVIDER_PATH};
use super::super::contenders::{self, GATEWAY_LOG};
use super::super::folder::Folder;
use super::super::process::{OWN_CORE, PROXY_CORE, Process, answers, free_address, this_program};
use super::certificates::Certificates;

/// Who competes; the one that is judged first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Gateway,
    Nginx,
    Envoy,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Gateway, Self::Nginx, Self::Envoy];

    /// Whether it puts the model into bodies.
    pub(super) fn names_model(self) -> bool {
        self == Self::Gateway
    }
}

/// What all measurements need: the upstream, certificates, a folder for files, and where the programs are.
#[derive(Debug)]
pub(super) struct Stage {
    gateway: PathBuf,
    envoy: PathBuf,
    examples: PathBuf,
    pub(super) folder: Folder,
    pub(super) certificates: Certificates,
    mock: SocketAddr,
    /// Ends with the stage.
    _running_mock: Process,
}

impl Stage {
    /// Makes certificates and starts the upstream.
    pub(super) async fn new(gateway: &Path, envoy: &Path, examples: &Path) -> Result<Self, String> {
        let folder = Folder::new()?;
        let certificates = Certificates::new(&folder)?;
        let mock = free_address()?;
        let mut running_mock = Process::start(&this_program()?, OWN_CORE, |command| {
            command.args(["mock", &mock.to_string()]);
            command.arg(&certificates.provider.certificate);
            command.arg(&certificates.provider.key);
        })?;
        answers(&mut running_mock, mock).await?;
        Ok(Self {
            gateway: gateway.to_owned(),
            envoy: envoy.to_owned(),
            examples: examples.to_owned(),
            folder,
            certificates,
            mock,
            _running_mock: running_mock,
        })
    }

    /// Starts a proxy and waits until it listens.
    pub(super) async fn start(&self, kind: Kind) -> Result<(SocketAddr, Process), String> {
        let address = free_address()?;
        let mut process = match kind {
            Kind::Gateway => self.start_gateway(address)?,
            Kind::Nginx => self.start_nginx(address)?,
            Kind::Envoy => self.start_envoy(address)?,
        };
        answers(&mut process, address).await?;
        Ok((address, process))
    }

    /// The walk-through, but for its Gateway, which is one of HTTPS, and its provider, which is here.
    fn start_gateway(&self, address: SocketAddr) -> Result<Process, String> {
        let seed = self.examples.join("seed");
        for name in ["llm-provider.yaml", "llm-route.yaml", "authorization-policy.yaml"] {
            let file = seed.join(name);
            let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            self.folder.file(&format!("config/{name}"), &text)?;
        }
        self.folder.file("config/gateway.yaml", &gateway(&self.certificates))?;
        let authority = self.certificates.authority.display();
        let provider = contenders::provider(&self.examples, self.mock.port())?;
        let verified = provider.replace(
            "mode: DISABLE",
            &format!("mode: SIMPLE\n      caCertificates: {authority}"),
        );
        self.folder.file("config/provider.yaml", &verified)?;
        let admin = free_address()?;
        Process::start(&self.gateway, PROXY_CORE, |command| {
            command.arg("serve").arg("-f").arg(self.folder.path().join("config"));
            command.args(["--listen", &format!("443={address}"), "--admin", &admin.to_string()]);
            command.arg("--access-log").arg(self.folder.path().join(GATEWAY_LOG));
            command.args(["--workers", "1"]);
            command.env("API_KEY", KEY).env("YOUR_LOCAL_IP", "192.0.2.1");
        })
    }

    fn start_nginx(&self, address: SocketAddr) -> Result<Process, String> {
        let Certificates {
            authority, proxy: own, ..
        } = &self.certificates;
        let secured = format!(
            "ssl_certificate {};
    ssl_certificate_key {};
    ssl_protocols TLSv1.3;
    proxy_ssl_protocols TLSv1.3;
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate {};
    proxy_ssl_server_name on;
    proxy_ssl_name {PROVIDER_HOST};",
            own.certificate.display(),
            own.key.display(),
            authority.display()
        );
        let listen = format!("{address} ssl http2");
        contenders::start_nginx(&self.folder, &listen, self.mock, "https", &secured)
    }

    fn start_envoy(&self, address: SocketAddr) -> Result<Process, String> {
        let text = envoy(&self.certificates, &self.folder, address, self.mock);
        let configuration = self.folder.file("envoy.yaml", &text)?;
        Process::start(&self.envoy, PROXY_CORE, |command| {
            command.arg("-c").arg(&configuration);
            command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "warn"]);
        })
    }
}

fn gateway(certificates: &Certificates) -> String {
    let own = &certificates.proxy;
    format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: ingress-gw
  namespace: istio-system
spec:
  selector:
    istio: ingressgateway
  servers:
  - hosts: ['*']
    port: {{name: https, number: 443, protocol: HTTPS}}
    tls:
      mode: SIMPLE
      serverCertificate: {}
      privateKey: {}
",
        own.certificate.display(),
        own.key.display()
    )
}

/// Written as Envoy's documentation has it, without what a mesh would add.
fn envoy(certificates: &Certificates, folder: &Folder, address: SocketAddr, mock: SocketAddr) -> String {
    let Certificates {
        authority, proxy: own, ..
    } = certificates;
    let (ip, port) = (address.ip(), address.port());
    let (mock_ip, mock_port) = (mock.ip(), mock.port());
    let (certificate, key) = (own.certificate.display(), own.key.display());
    let (authority, folder) = (authority.display(), folder.path().display());
    format!(
        "static_resources:
  listeners:
  - name: clients
    address: {{socket_address: {{address: {ip}, port_value: {port}}}}}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_params: {{tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}}
            tls_certificates:
            - certificate_chain: {{filename: {certificate}}}
              private_key: {{filename: {key}}}
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: clients
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {folder}/envoy.log
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: clients
              domains: ['{CLIENT_HOST}', '{CLIENT_HOST}:*']
              routes:
              - match: {{path: {CLIENT_PATH}}}
                route:
                  cluster: provider
                  prefix_rewrite: {PROVIDER_PATH}
                  host_rewrite_literal: {PROVIDER_HOST}
                request_headers_to_add:
                - header: {{key: authorization, value: Bearer {KEY}}}
                  append_action: OVERWRITE_IF_EXISTS_OR_ADD
  clusters:
  - name: provider
    type: STATIC
    load_assignment:
      cluster_name: provider
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{socket_address: {{address: {mock_ip}, port_value: {mock_port}}}}}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: {PROVIDER_HOST}
        common_tls_context:
          tls_params: {{tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}}
          validation_context:
            trusted_ca: {{filename: {authority}}}
            match_typed_subject_alt_names:
            - san_type: DNS
              matcher: {{exact: {PROVIDER_HOST}}}
"
    )
}
