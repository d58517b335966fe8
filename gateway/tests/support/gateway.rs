//! Starts the real binary on files in a directory of its own, and stops it.

use core::cell::Cell;
use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicU32, Ordering};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::process::{Child, Command};

use super::outputs::{Sample, samples};
use super::pki::Authority;
use super::ports::Port;
use super::upstream::Upstream;
use super::{KEY, client, eventually, within_patience};

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_lockgate");

/// Reads a file of the examples folder.
pub fn example(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A directory that is removed at the end, unless the test failed.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "acceptance-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(path.join("config")).expect("a scratch directory");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("kept: {}", self.0.display());
        } else {
            // Left behind, it is overwritten by the next run.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// What a command said.
#[derive(Debug, Clone)]
pub struct Said {
    /// Its exit status.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Said {
    /// The standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.stdout))
    }

    /// Both outputs.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Files, environment and arguments of a gateway that does not run yet.
#[derive(Debug)]
pub struct Setup {
    scratch: Scratch,
    env: Vec<(String, String)>,
    args: Vec<String>,
    given: Vec<(String, TcpListener)>,
    /// Where it runs, and what it calls its files there.
    within: Option<(PathBuf, &'static str)>,
}

impl Setup {
    /// Nothing: no file, `API_KEY` set, no further argument.
    pub fn empty() -> Self {
        Self {
            scratch: Scratch::new(),
            env: vec![("API_KEY".to_owned(), KEY.to_owned())],
            args: Vec::new(),
            given: Vec::new(),
            within: None,
        }
    }

    /// Runs beside the config directory or in it, whose files are then `files`, relative to there.
    pub fn within(mut self, files: &'static str) -> Self {
        let directory = match files {
            "config" => self.scratch.0.clone(),
            _ => self.config(),
        };
        self.within = Some((directory, files));
        self
    }

    /// The seed's steps 1 to 3, byte for byte.
    pub fn seed() -> Self {
        Self::empty()
            .file("llm-provider.yaml", &example("seed/llm-provider.yaml"))
            .file("gateway.yaml", &example("seed/gateway.yaml"))
            .file("llm-route.yaml", &example("seed/llm-route.yaml"))
    }

    /// The seed's step 5, byte for byte, on top: denies `test.com` from `address`.
    pub fn with_policy(self, address: &str) -> Self {
        self.file("authorization-policy.yaml", &example("seed/authorization-policy.yaml"))
            .env("YOUR_LOCAL_IP", address)
    }

    /// The provider's host leads to `upstream`, in plain text.
    pub fn provider_at(self, upstream: &Upstream) -> Self {
        self.provider_port(upstream.addr.port())
    }

    /// The provider's host leads to a port of this machine, in plain text.
    pub fn provider_port(self, port: u16) -> Self {
        let text = example("local-provider/local-provider.yaml");
        let moved = text.replace("https: 8000", &format!("https: {port}"));
        assert_ne!(text, moved, "the example has another port");
        self.file("local-provider.yaml", &moved)
    }

    /// The provider's host leads to `upstream`, through TLS that trusts `authority`.
    pub fn provider_behind_tls(self, upstream: &Upstream, authority: &Authority) -> Self {
        let bundle = self.scratch.0.join("ca.pem");
        std::fs::write(&bundle, authority.pem()).expect("writing the CA");
        let setup = self.provider_at(upstream);
        let trust = format!("mode: SIMPLE\n      caCertificates: {}", bundle.display());
        setup.edit("local-provider.yaml", "mode: DISABLE", &trust)
    }

    /// Writes a config file.
    pub fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.config().join(name), text).expect("writing a config file");
        self
    }

    /// Replaces a part of a config file that occurs once in it.
    pub fn edit(self, name: &str, from: &str, to: &str) -> Self {
        edit(&self.config().join(name), from, to);
        self
    }

    /// Removes a config file.
    pub fn without(self, name: &str) -> Self {
        std::fs::remove_file(self.config().join(name)).expect("removing a config file");
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Unsets a variable.
    pub fn without_env(mut self, name: &str) -> Self {
        self.env.retain(|(n, _)| n != name);
        self
    }

    /// Adds arguments of `serve`.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Gives it sockets as systemd does, with their names: for port 80, and for the admin port if there are two.
    pub fn given(mut self, sockets: Vec<(&str, TcpListener)>) -> Self {
        self.given = sockets
            .into_iter()
            .map(|(name, socket)| (name.to_owned(), socket))
            .collect();
        self
    }

    /// The directory of the config files.
    pub fn config(&self) -> PathBuf {
        self.scratch.0.join("config")
    }

    /// Writes a file outside the config directory, and says where it is.
    pub fn aside(&self, name: &str, text: &str) -> PathBuf {
        let path = self.scratch.0.join(name);
        std::fs::write(&path, text).expect("writing a file");
        path
    }

    /// Runs a command on the config directory to its end: `COMMAND -f CONFIG ARGS...`.
    pub async fn run(&self, command: &str, args: &[&str]) -> Said {
        let mut all = vec![command.to_owned(), "-f".to_owned(), self.config().display().to_string()];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        run(&self.env, &all).await
    }

    /// Starts a gateway that must refuse to.
    pub async fn refused(&self) -> Said {
        let (http, https, admin) = (Port::lease(), Port::lease(), Port::lease());
        let listen = format!("80=127.0.0.1:{}", http.number);
        let listen_tls = format!("443=127.0.0.1:{}", https.number);
        let admin = format!("127.0.0.1:{}", admin.number);
        let mut args = vec!["--listen", &listen, "--listen", &listen_tls, "--admin", &admin];
        args.extend(self.args.iter().map(String::as_str));
        self.run("serve", &args).await
    }

    /// Starts a gateway; panics with what it said when it does not come up.
    pub async fn start(self) -> Gateway {
        match self.try_start().await {
            Ok(gateway) => gateway,
            Err(said) => panic!("serve ended with status {}:\n{}", said.code, said.all()),
        }
    }

    /// Starts a gateway, or says why it refused.
    pub async fn try_start(self) -> Result<Gateway, Said> {
        let (http, https, admin) = (Port::lease(), Port::lease(), Port::lease());
        let dir = self.scratch.0.clone();
        let local = |port: &Port| SocketAddr::from((Ipv4Addr::LOCALHOST, port.number));
        let (http_at, https_at, admin_at) = (local(&http), local(&https), local(&admin));
        let (current, files) = match self.within.clone() {
            Some((current, files)) => (Some(current), files.to_owned()),
            None => (None, self.config().display().to_string()),
        };
        let mut args = vec!["serve".to_owned(), "-f".to_owned(), files];
        if self.given.is_empty() {
            args.extend(["--listen".to_owned(), format!("80={http_at}")]);
            args.extend(["--listen".to_owned(), format!("443={https_at}")]);
        }
        args.extend(["--admin".to_owned(), admin_at.to_string()]);
        args.extend(["--access-log".to_owned(), dir.join("access.log").display().to_string()]);
        args.extend(self.args);
        let launch = Launch {
            env: self.env,
            args,
            current,
            dir: dir.clone(),
            started: Cell::new(0),
        };
        let mut gateway = Gateway {
            http: self.given.first().map_or(http_at, |(_, socket)| address(socket)),
            https: https_at,
            admin: self.given.get(1).map_or(admin_at, |(_, socket)| address(socket)),
            child: launch.start(&self.given),
            launch,
            dir,
            _ports: [http, https, admin],
            _scratch: self.scratch,
        };
        match gateway.ready().await {
            None => Ok(gateway),
            Some(status) => Err(Said {
                code: status.code().unwrap_or(-1),
                stdout: gateway.read("stdout"),
                stderr: gateway.read("stderr"),
            }),
        }
    }
}

fn address(socket: &TcpListener) -> SocketAddr {
    socket.local_addr().expect("a socket's address")
}

fn stdio(socket: TcpListener) -> Stdio {
    OwnedFd::from(socket).into()
}

/// How a gateway is started, again where another follows it.
#[derive(Debug)]
struct Launch {
    env: Vec<(String, String)>,
    args: Vec<String>,
    /// Where it runs, when it matters.
    current: Option<PathBuf>,
    dir: PathBuf,
    started: Cell<u32>,
}

/// Moves the sockets that come as standard input and output to where systemd puts them, and says so as it does.
const GIVE: &str = r#"exec 3<&0 0</dev/null; [ -z "$OUT" ] || exec 4<&1 1>"$OUT"; LISTEN_PID=$$ exec "$0" "$@""#;

impl Launch {
    /// Starts it; what it says goes to the files `stdout` and `stderr`, and what the second says to `stderr2`.
    fn start(&self, given: &[(String, TcpListener)]) -> Child {
        self.started.set(self.started.get() + 1);
        let file = |name: &str| match self.started.get() {
            1 => self.dir.join(name),
            nth => self.dir.join(format!("{name}{nth}")),
        };
        let create = |name: &str| std::fs::File::create(file(name)).expect("a file for what the gateway says");
        let socket = |index: usize| {
            given
                .get(index)
                .map(|(_, socket)| socket.try_clone().expect("a second handle"))
        };
        let mut command = if given.is_empty() {
            Command::new(BINARY)
        } else {
            let names: Vec<&str> = given.iter().map(|(name, _)| name.as_str()).collect();
            let mut shell = Command::new("sh");
            shell.args(["-c", GIVE, BINARY]);
            shell.env("LISTEN_FDS", given.len().to_string());
            shell.env("LISTEN_FDNAMES", names.join(":"));
            shell
        };
        let (stdin, stdout) = (socket(0), socket(1));
        if stdout.is_some() {
            command.env("OUT", file("stdout"));
        }
        if let Some(current) = &self.current {
            command.current_dir(current);
        }
        command
            .args(&self.args)
            .env_remove("API_KEY")
            .env_remove("YOUR_LOCAL_IP")
            .envs(self.env.iter().cloned())
            .stdin(stdin.map_or_else(Stdio::null, stdio))
            .stdout(stdout.map_or_else(|| create("stdout").into(), stdio))
            .stderr(create("stderr"))
            .kill_on_drop(true);
        command.spawn().expect("starting the gateway")
    }
}

/// Replaces a part of a file that occurs once in it, in one step as editors do.
pub fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(text.matches(from).count(), 1, "{from:?} in {}", path.display());
    let aside = path.with_extension("tmp");
    std::fs::write(&aside, text.replace(from, to)).expect("writing a config file");
    std::fs::rename(&aside, path).expect("replacing a config file");
}

/// Runs the binary to its end.
pub async fn run(env: &[(String, String)], args: &[String]) -> Said {
    let mut command = Command::new(BINARY);
    command
        .args(args)
        .env_remove("API_KEY")
        .env_remove("YOUR_LOCAL_IP")
        .envs(env.iter().cloned());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = within_patience(&format!("`lockgate {}` ends", args.join(" ")), command.output()).await;
    let output = output.expect("running the binary");
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("stdout in UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("stderr in UTF-8"),
    }
}

/// A running gateway; it is killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    /// Where it listens for what the Gateway resource calls port 80.
    pub http: SocketAddr,
    /// Where it listens for what the Gateway resource calls port 443.
    pub https: SocketAddr,
    /// Where its admin port is.
    pub admin: SocketAddr,
    child: Child,
    launch: Launch,
    dir: PathBuf,
    _ports: [Port; 3],
    _scratch: Scratch,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "--- stderr of the gateway\n{}\n--- access log\n{}",
                self.read("stderr"),
                self.read("access.log")
            );
        }
    }
}

impl Gateway {
    /// Waits until it is ready, or until it ends by itself.
    async fn ready(&mut self) -> Option<ExitStatus> {
        let start = std::time::Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of the gateway") {
                return Some(status);
            }
            if client::Client::try_connect_from([127, 0, 0, 1], self.admin)
                .await
                .is_ok()
                && client::get(self.admin, "/healthz/ready").await.status == 200
            {
                return None;
            }
            assert!(
                start.elapsed() < super::PATIENCE,
                "the gateway never became ready:\n{}",
                self.read("stderr")
            );
            tokio::time::sleep(core::time::Duration::from_millis(10)).await;
        }
    }

    /// Starts another one as this one was started, with sockets as systemd gives them. From now on this is about that
    /// one; the one before is returned.
    pub fn follow(&mut self, given: &[(String, TcpListener)]) -> Child {
        core::mem::replace(&mut self.child, self.launch.start(given))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("a running gateway")
    }

    /// Its resident memory, in bytes.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// Its resident memory without the pages of files, which come and go as the machine has room for them, in bytes.
    pub fn anonymous(&self) -> u64 {
        self.memory("RssAnon:")
    }

    /// The most resident memory it ever had, in bytes.
    pub fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the state of a process");
        let kib = status
            .lines()
            .find_map(|l| l.strip_prefix(line))
            .expect("a line about memory");
        kib.trim()
            .trim_end_matches(" kB")
            .parse::<u64>()
            .expect("a number of KiB")
            * 1024
    }

    /// The processor time that it has used.
    pub fn cpu(&self) -> core::time::Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("the state of a process");
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks
            .map(|field| field.parse::<u64>().expect("a number of ticks"))
            .sum();
        // A hundred a second on every Linux.
        core::time::Duration::from_millis(ticks * 10)
    }

    /// The directory of its config files.
    pub fn config(&self) -> PathBuf {
        self.dir.join("config")
    }

    /// Sends it a signal, by name.
    pub fn signal(&self, name: &str) {
        let status = std::process::Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status();
        assert!(status.expect("running kill").success(), "sending {name}");
    }

    /// Waits until it ends by itself.
    pub async fn ends(&mut self) -> ExitStatus {
        within_patience("the gateway ends", self.child.wait())
            .await
            .expect("the gateway's status")
    }

    /// What it wrote to a file so far: `stdout`, `stderr` or `access.log`.
    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.dir.join(file)).unwrap_or_default()
    }

    /// The complete lines of the access log.
    pub fn log(&self) -> Vec<serde_json::Value> {
        let text = self.read("access.log");
        let complete = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
        let parse = |l: &str| serde_json::from_str(l).unwrap_or_else(|e| panic!("not a line of JSON ({e}): {l}"));
        complete.lines().map(parse).collect()
    }

    /// Waits for `count` lines of the access log, and gives them.
    pub async fn log_of(&self, count: usize) -> Vec<serde_json::Value> {
        let what = format!("{count} lines in the access log");
        eventually(&what, || async {
            Some(self.log()).filter(|lines| lines.len() >= count)
        })
        .await
    }

    /// What `/metrics` says.
    pub async fn metrics(&self) -> Vec<Sample> {
        samples(&client::get(self.admin, "/metrics").await.text())
    }

    /// Asserts that the provider's key is in nothing this gateway ever said.
    pub async fn assert_keeps_the_key(&self) {
        self.assert_keeps(&[KEY]).await;
    }

    /// Asserts that none of `secrets` is in anything this gateway ever said.
    pub async fn assert_keeps(&self, secrets: &[&str]) {
        let mut said: Vec<(String, String)> = Vec::new();
        for file in ["stdout", "stderr", "access.log"] {
            said.push((file.to_owned(), self.read(file)));
        }
        for page in [
            "/metrics",
            "/stats/prometheus",
            "/config_dump",
            "/playground/live.json",
            "/snapshot",
            "/healthz/ready",
            "/healthz/live",
        ] {
            let answer = client::get(self.admin, page).await;
            assert_eq!(answer.status, 200, "{page}");
            said.push((page.to_owned(), String::from_utf8_lossy(&answer.body).into_owned()));
        }
        let command = std::fs::read(format!("/proc/{}/cmdline", self.pid())).expect("a command line");
        said.push((
            "its command line".to_owned(),
            String::from_utf8_lossy(&command).into_owned(),
        ));
        for (place, text) in said {
            for secret in secrets {
                assert!(!text.contains(secret), "`{secret}` is in {place}:\n{text}");
            }
        }
    }
}
