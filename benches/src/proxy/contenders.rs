//! The proxies, each started as its users would, with the same job: host, path and key rewritten.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::chat::{CLIENT_HOST, CLIENT_PATH, CLIENT_STREAM_PATH, KEY, PROVIDER_HOST, PROVIDER_PATH};
use super::load::Exchange;
use super::process::{OWN_CORE, PROXY_CORE, Process};
use super::wire::Wire;

/// Time for a process to answer for the first time.
const START_MAX: Duration = Duration::from_secs(10);

/// What all measurements need: the upstream, a folder for files, and where the programs are.
#[derive(Debug)]
pub(super) struct Stage {
    gateway: PathBuf,
    examples: PathBuf,
    folder: PathBuf,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        let folder = env::temp_dir().join(format!("lockgate-proxies-{}", std::process::id()));
        fs::create_dir_all(folder.join("config")).map_err(|error| format!("{}: {error}", folder.display()))?;
        let address = free_address()?;
        let mut mock = Process::start(&this_program()?, OWN_CORE, |command| {
            command.args(["mock", &address.to_string()]);
        })?;
        answers(&mut mock, address).await?;
        Ok(Self {
            gateway: gateway.to_owned(),
            examples: examples.to_owned(),
            folder,
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
        self.file("config/provider.yaml", &format!("{text}\n# {round}\n{after}"))
            .map(drop)
    }

    /// Starts a proxy and waits for its first right answer.
    pub(super) async fn start(&self, kind: Kind) -> Result<Contender, String> {
        let address = free_address()?;
        let mut process = match kind {
            Kind::Gateway => self.start_gateway(address)?,
            Kind::Floor => self.start_floor(address)?,
            Kind::Nginx => self.start_nginx(address)?,
        };
        answers(&mut process, address).await?;
        let mut wire = Wire::connect(address).await.map_err(|error| error.to_string())?;
        let first = Exchange::chat(kind.names_model()).once(&mut wire).await;
        first.map_err(|error| format!("{kind:?}: {error}"))?;
        Ok(Contender { kind, address, process })
    }

    /// With its access log in a file and its metrics on, over the walk-through's own files.
    fn start_gateway(&self, address: SocketAddr) -> Result<Process, String> {
        // In a folder of its own: the gateway watches where its files are, and there is no log there usually.
        let provider = self.file("config/provider.yaml", &provider(&self.examples, self.mock.port())?)?;
        let admin = free_address()?;
        Process::start(&self.gateway, PROXY_CORE, |command| {
            command.arg("serve").arg("-f").arg(self.examples.join("seed"));
            command.arg("-f").arg(&provider);
            command.args(["--listen", &format!("80={address}"), "--admin", &admin.to_string()]);
            command.arg("--access-log").arg(self.folder.join("gateway.log"));
            command.args(["--workers", "1"]);
            command.env("API_KEY", KEY).env("YOUR_LOCAL_IP", "192.0.2.1");
        })
    }

    fn start_floor(&self, address: SocketAddr) -> Result<Process, String> {
        Process::start(&this_program()?, PROXY_CORE, |command| {
            command.args(["floor", &address.to_string(), &self.mock.to_string()]);
        })
    }

    fn start_nginx(&self, address: SocketAddr) -> Result<Process, String> {
        let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"]
            .map(Path::new)
            .into_iter()
            .find(|program| program.exists())
            .ok_or("nginx is not installed (Debian: apt-get install nginx-light)")?;
        let configuration = self.file("nginx.conf", &nginx(&self.folder, address, self.mock))?;
        Process::start(program, PROXY_CORE, |command| {
            command.arg("-c").arg(&configuration).arg("-e");
            command.arg(self.folder.join("nginx-error.log"));
        })
    }

    fn file(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let file = self.folder.join(name);
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(file)
    }

    /// Lines of the gateway's access log so far.
    pub(super) fn log_lines(&self) -> Result<u64, String> {
        let file = self.folder.join("gateway.log");
        let log = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(log.iter().filter(|byte| **byte == b'\n').count() as u64)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The example that leads the provider's host to this machine, with the mock's port.
fn provider(examples: &Path, port: u16) -> Result<String, String> {
    let file = examples.join("local-provider/local-provider.yaml");
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let moved = text.replace("https: 8000", &format!("https: {port}"));
    (moved != text)
        .then_some(moved)
        .ok_or_else(|| format!("{} no longer names port 8000", file.display()))
}

/// A reverse proxy as nginx's documentation has it, with connections kept to the upstream and a buffered log.
fn nginx(folder: &Path, address: SocketAddr, mock: SocketAddr) -> String {
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
    listen {address};
    server_name {CLIENT_HOST};
    location = {CLIENT_PATH} {{ proxy_pass http://mock{PROVIDER_PATH}; }}
    location = {CLIENT_STREAM_PATH} {{ proxy_buffering off; proxy_pass http://mock{PROVIDER_PATH}; }}
  }}
}}
"
    )
}

/// Waits until `process` accepts connections on `address`.
async fn answers(process: &mut Process, address: SocketAddr) -> Result<(), String> {
    let begun = Instant::now();
    while begun.elapsed() < START_MAX {
        if Wire::connect(address).await.is_ok() {
            return Ok(());
        }
        if let Some(status) = process.gone() {
            return Err(format!("the process that should listen on {address} ended: {status}"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(format!("nothing listens on {address} after {START_MAX:?}"))
}

fn free_address() -> Result<SocketAddr, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|socket| socket.local_addr())
        .map_err(|error| format!("no free port: {error}"))
}

fn this_program() -> Result<PathBuf, String> {
    env::current_exe().map_err(|error| format!("this program cannot be found: {error}"))
}
