//! The proxies, each started as its users would, with the same job: host, path and key rewritten.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::chat::{CLIENT_HOST, CLIENT_PATH, CLIENT_STREAM_PATH, KEY, PROVIDER_HOST, PROVIDER_PATH};
use super::folder::Folder;
use super::load::Exchange;
use super::process::{OWN_CORE, PROXY_CORE, Process, answers, free_address, this_program};
use super::wire::Wire;

/// The gateway's access log.
pub(super) const GATEWAY_LOG: &str = "gateway.log";

/// What all measurements need: the upstream, a folder for files, and where the programs are.
#[derive(Debug)]
pub(super) struct Stage {
    gateway: PathBuf,
    examples: PathBuf,
    pub(super) folder: Folder,
    pub(super) mock: SocketAddr,
    running_mock: Option<Process>,
}

/// A proxy that runs.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) kind: Kind,
    pub(super) address: SocketAddr,
    pub(super) process: Process,
}

/// Who competes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Gateway,
    Floor,
    Nginx,
}

impl Kind {
    /// All of them, the one that is judged first.
    pub(super) const ALL: [Self; 3] = [Self::Gateway, Self::Floor, Self::Nginx];

    /// Whether it puts the model into bodies.
    pub(super) fn names_model(self) -> bool {
        self == Self::Gateway
    }

    /// Where it streams: nginx holds answers back elsewhere.
    pub(super) fn stream_path(self) -> &'static str {
        match self {
            Self::Nginx => CLIENT_STREAM_PATH,
            Self::Gateway | Self::Floor => CLIENT_PATH,
        }
    }
}

impl Stage {
    /// Starts the upstream.
    pub(super) async fn new(gateway: &Path, examples: &Path) -> Result<Self, String> {
        let address = free_address()?;
        let mut mock = Process::start(&this_program()?, OWN_CORE, |command| {
            command.args(["mock", &address.to_string()]);
        })?;
        answers(&mut mock, address).await?;
        Ok(Self {
            gateway: gateway.to_owned(),
            examples: examples.to_owned(),
            folder: Folder::new()?,
            mock: address,
            running_mock: Some(mock),
        })
    }

    /// Ends the upstream.
    pub(super) fn stop_mock(&mut self) {
        self.running_mock = None;
    }

    /// Starts the upstream where it was.
    pub(super) async fn start_mock(&mut self) -> Result<(), String> {
        let address = self.mock;
        let mut mock = Process::start(&this_program()?, OWN_CORE, |command| {
            command.args(["mock", &address.to_string()]);
        })?;
        answers(&mut mock, address).await?;
        self.running_mock = Some(mock);
        Ok(())
    }

    /// Writes the gateway's provider anew, with a comment that differs, and something after it.
    pub(super) fn write_config(&self, after: &str, round: usize) -> Result<(), String> {
        let text = provider(&self.examples, self.mock.port())?;
        self.folder
            .file("config/provider.yaml", &format!("{text}\n# {round}\n{after}"))
            .map(drop)
    }

    /// Starts a proxy and waits for its first right answer.
    pub(super) async fn start(&self, kind: Kind) -> Result<Contender, String> {
        let address = free_address()?;
        let mut process = self.start_at(address, kind)?;
        answers(&mut process, address).await?;
        let mut wire = Wire::connect(address).await.map_err(|error| error.to_string())?;
        let first = Exchange::chat(kind.names_model()).once(&mut wire).await;
        first.map_err(|error| format!("{kind:?}: {error}"))?;
        Ok(Contender { kind, address, process })
    }

    /// Starts a proxy and does not wait.
    pub(super) fn start_at(&self, address: SocketAddr, kind: Kind) -> Result<Process, String> {
        match kind {
            Kind::Gateway => self.start_gateway(address),
            Kind::Floor => self.start_floor(address),
            Kind::Nginx => start_nginx(&self.folder, &address.to_string(), self.mock, "http", ""),
        }
    }

    /// With its access log in a file and its metrics on, over the walk-through's own files.
    fn start_gateway(&self, address: SocketAddr) -> Result<Process, String> {
        // In a folder of its own: the gateway watches where its files are, and there is no log there usually.
        let provider = self
            .folder
            .file("config/provider.yaml", &provider(&self.examples, self.mock.port())?)?;
        let admin = free_address()?;
        Process::start(&self.gateway, PROXY_CORE, |command| {
            command.arg("serve").arg("-f").arg(self.examples.join("seed"));
            command.arg("-f").arg(&provider);
            command.args(["--listen", &format!("80={address}"), "--admin", &admin.to_string()]);
            command.arg("--access-log").arg(self.folder.path().join(GATEWAY_LOG));
            command.args(["--workers", "1"]);
            command.env("API_KEY", KEY).env("YOUR_LOCAL_IP", "192.0.2.1");
        })
    }

    fn start_floor(&self, address: SocketAddr) -> Result<Process, String> {
        Process::start(&this_program()?, PROXY_CORE, |command| {
            command.args(["floor", &address.to_string(), &self.mock.to_string()]);
        })
    }
}

/// Starts nginx; `listen` and `scheme` are how it is spoken to and speaks, `server` is what else its server has.
pub(super) fn start_nginx(
    folder: &Folder,
    listen: &str,
    mock: SocketAddr,
    scheme: &str,
    server: &str,
) -> Result<Process, String> {
    let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"]
        .map(Path::new)
        .into_iter()
        .find(|program| program.exists())
        .ok_or("nginx is not installed (Debian: apt-get install nginx-light)")?;
    let configuration = folder.file("nginx.conf", &nginx(folder.path(), listen, mock, scheme, server))?;
    Process::start(program, PROXY_CORE, |command| {
        command.arg("-c").arg(&configuration).arg("-e");
        command.arg(folder.path().join("nginx-error.log"));
    })
}

/// The example that leads the provider's host to this machine, with the mock's port.
pub(super) fn provider(examples: &Path, port: u16) -> Result<String, String> {
    let file = examples.join("local-provider/local-provider.yaml");
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let moved = text.replace("https: 8000", &format!("https: {port}"));
    (moved != text)
        .then_some(moved)
        .ok_or_else(|| format!("{} no longer names port 8000", file.display()))
}

/// A reverse proxy as nginx's documentation has it, with connections kept to the upstream and a buffered log.
fn nginx(folder: &Path, listen: &str, mock: SocketAddr, scheme: &str, server: &str) -> String {
    let folder = folder.display();
    let user = if rustix::process::geteuid().is_root() {
        "user root;\n"
    } else {
        ""
    };
    format!(
        "{user}daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{ worker_connections 10000; }}
http {{
  access_log {folder}/nginx.log combined buffer=64k flush=1s;
  client_body_temp_path {folder}/client;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  upstream mock {{ server {mock}; keepalive 256; keepalive_requests 1000000000; }}
  proxy_http_version 1.1;
  proxy_set_header Connection \"\";
  proxy_set_header Host {PROVIDER_HOST};
  proxy_set_header Authorization \"Bearer {KEY}\";
  server {{
    listen {listen};
    server_name {CLIENT_HOST};
    {server}
    location = {CLIENT_PATH} {{ proxy_pass {scheme}://mock{PROVIDER_PATH}; }}
    location = {CLIENT_STREAM_PATH} {{ proxy_buffering off; proxy_pass {scheme}://mock{PROVIDER_PATH}; }}
  }}
}}
"
    )
}
