//! The command line. Its names, flags and exit codes are a contract: scripts rely on them.

mod commands;
mod values;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum};
use lockgate_core::field_value::FieldValue;

use crate::capsule::Share;
use crate::limits::{
    BUFFERED_BYTES_MAX_DEFAULT, CONNECTIONS_MAX_DEFAULT, DRAIN, FIRST_BYTE, REQUESTS_MAX_DEFAULT, STREAM_IDLE,
};
use crate::log::Format;
use crate::memory;
use crate::shared::{Bounds, per_source};
use values::{AdminAddress, Label, Listen};

/// An LLM ingress gateway that speaks Istio's and ASM's own resources.
#[derive(Debug, Parser)]
#[command(name = "lockgate", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a configuration.
    Serve(Box<Serve>),
    /// Say everything that is wrong, or probably not meant, in a configuration.
    Check(Check),
    /// Say what happens to one request, and why.
    Explain(Box<Explain>),
    /// Look for requests that two configurations decide differently.
    Diff(Diff),
    /// Try scenarios: requests, and what is expected to come of each.
    Test(Test),
    /// Serve an example with a built-in provider: no key, no network.
    Demo,
    /// Print a JSON schema.
    Schema {
        /// Of what.
        #[arg(value_enum, default_value_t = Described::Configuration)]
        of: Described,
    },
    /// Print shell completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page of the program, or of one of its commands, for `man -l -`.
    Man {
        /// The command.
        command: Option<String>,
    },
    /// Print the version.
    Version,
}

/// What a JSON schema is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Described {
    /// Configuration files.
    Configuration,
    /// What `explain -o json` prints.
    Explanation,
}

/// The labels of Istio's own ingress gateway.
const LABELS_DEFAULT: &str = "istio=ingressgateway";

/// Where Istio has it, and what applies everywhere.
const NAMESPACE_DEFAULT: &str = "istio-system";

/// What is loaded, and as which gateway.
#[derive(Debug, Args)]
struct Inputs {
    /// A file, a directory (its .yaml, .yml and .json files, in any case, sorted), or `-`; repeatable.
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    reading: Reading,
}

/// How it is read, and as which gateway.
#[derive(Debug, Clone, Args)]
struct Reading {
    /// The gateway's labels, which workload selectors are compared with.
    #[arg(
        long,
        value_name = "k=v,...",
        value_delimiter = ',',
        default_value = LABELS_DEFAULT
    )]
    workload_labels: Vec<Label>,
    /// The gateway's namespace.
    #[arg(long, value_name = "NS", default_value = NAMESPACE_DEFAULT)]
    namespace: String,
    /// The namespace whose policies and providers apply everywhere, unless MeshConfig has a `rootNamespace`.
    #[arg(long, value_name = "NS", default_value = NAMESPACE_DEFAULT)]
    root_namespace: String,
    /// A file with Istio's MeshConfig.
    #[arg(long, value_name = "FILE")]
    mesh_config: Option<PathBuf>,
    /// A kind to leave out although that changes what the configuration means; repeatable.
    #[arg(long, value_name = "KIND")]
    ignore_kind: Vec<String>,
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    inputs: Inputs,
    /// Where a port of a Gateway really listens (default: every address, the same port); repeatable.
    #[arg(long, value_name = "PORT=ADDR:PORT")]
    listen: Vec<Listen>,
    /// Where the admin port listens, or `off`: health, metrics, why a request is decided as it is, /playground/.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:15000")]
    admin: AdminAddress,
    /// Worker threads (default: one per core).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// How long running requests may go on after SIGTERM, or on a port that a reload has closed.
    #[arg(long, value_name = "D", default_value = DRAIN_DEFAULT, value_parser = values::duration)]
    drain_timeout: Duration,
    /// How long an upstream may be silent before its answer, from when the last of the request was sent to it.
    #[arg(long, value_name = "D", default_value = FIRST_BYTE_DEFAULT, value_parser = values::wait)]
    first_byte_timeout: Duration,
    /// How long a provider may be silent within its answer.
    #[arg(long, value_name = "D", default_value = STREAM_IDLE_DEFAULT, value_parser = values::wait)]
    stream_idle_timeout: Duration,
    /// Bytes of a request body; longer ones are answered 413.
    #[arg(long, value_name = "N", default_value_t = lockgate_core::limits::BODY_BYTES_MAX_DEFAULT)]
    max_body_bytes: u64,
    /// Client connections at once, of all workers together; further ones are closed at once.
    #[arg(long, value_name = "N", default_value_t = CONNECTIONS_MAX_DEFAULT, value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,
    /// Of these from one IPv4 address or IPv6 /64 (default: a quarter of them, at least 100). With trusted proxies in front there is no such limit.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_connections_per_source: Option<u32>,
    /// Requests at once; further ones are answered 503 with `retry-after`.
    #[arg(long, value_name = "N", default_value_t = REQUESTS_MAX_DEFAULT, value_parser = clap::value_parser!(u32).range(1..))]
    max_requests: u32,
    /// Bytes of request bodies in memory at once; requests beyond it are answered 503 with `retry-after`.
    #[arg(long, value_name = "N", default_value_t = BUFFERED_BYTES_MAX_DEFAULT, value_parser = clap::value_parser!(u64).range(1..))]
    max_buffered_bytes: u64,
    /// Let the keys of tokens (`jwksUri`) be fetched from private, loopback and link-local addresses too.
    #[arg(long)]
    allow_private_jwks: bool,
    /// What log lines look like.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Json)]
    log_format: Format,
    /// Where the access log goes.
    #[arg(long, value_name = "PATH|-", default_value = "-")]
    access_log: PathBuf,
    /// A file for capsules: decisions with what they read of the request, which `explain --capsule` makes again.
    #[arg(long, value_name = "PATH")]
    capsule: Option<PathBuf>,
    /// The part of all requests whose decisions are logged as capsules, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "1", value_parser = values::share, requires = "capsule")]
    capsule_sample: Share,
    /// A header field, query parameter or claim whose value no capsule shows, besides those that sound secret; repeatable.
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "capsule")]
    capsule_redact: Vec<String>,
    /// A Unix socket by which processes follow one another: takes the listening sockets over from the process that
    /// waits there, which drains then, and waits there for the next.
    #[arg(long, value_name = "PATH")]
    upgrade: Option<PathBuf>,
}

const DRAIN_DEFAULT: &str = "30s";
const FIRST_BYTE_DEFAULT: &str = "600s";
const STREAM_IDLE_DEFAULT: &str = "300s";
// The texts that help shows are the limits of `limits.rs`.
const _: () = assert!(DRAIN.as_secs() == 30 && FIRST_BYTE.as_secs() == 600 && STREAM_IDLE.as_secs() == 300);

#[derive(Debug, Args)]
struct Check {
    #[command(flatten)]
    inputs: Inputs,
    /// Exit with 1 on warnings.
    #[arg(long)]
    strict: bool,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What describes a request in the arguments of `explain`.
const REQUEST: [&str; 17] = [
    "method",
    "protocol",
    "headers",
    "peer",
    "proxied",
    "destination_ip",
    "destination_port",
    "claims",
    "token_error",
    "checks",
    "sni",
    "peer_uris",
    "peer_cert",
    "data",
    "body_error",
    "entropy",
    "url",
];

#[derive(Debug, Args)]
struct Explain {
    #[command(flatten)]
    inputs: Inputs,
    /// The method (default: GET, or POST with -d).
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<String>,
    /// What a CONNECT of HTTP/2 asks for in `:protocol`: websocket.
    #[arg(long, value_name = "NAME", conflicts_with = "method")]
    protocol: Option<String>,
    /// A header field; repeatable.
    #[arg(short = 'H', long = "header", value_name = "Name: value", value_parser = OsStringValueParser::new().try_map(values::header))]
    headers: Vec<(String, FieldValue)>,
    /// The client's address.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    peer: IpAddr,
    /// The client's address as a PROXY protocol header names it; --peer is then the balancer's.
    #[arg(long, value_name = "IP")]
    proxied: Option<IpAddr>,
    /// The address that the client connected to, as a PROXY protocol header or the socket has it.
    #[arg(long, value_name = "IP")]
    destination_ip: Option<IpAddr>,
    /// The port that the client connected to, as a PROXY protocol header names it (default: the Gateway's port).
    #[arg(long, value_name = "PORT")]
    destination_port: Option<u16>,
    /// The verified claims of the client's token.
    #[arg(long, value_name = "JSON|@FILE")]
    claims: Option<String>,
    /// Why the client's token must not pass, in the words of the answer: 'Jwt is expired'.
    #[arg(long, value_name = "WORDS", conflicts_with = "claims")]
    token_error: Option<String>,
    /// What external authorizers would say, by their names: {"NAME": {"decision": "allow"}}, or deny, or error.
    #[arg(long, value_name = "JSON|@FILE")]
    checks: Option<String>,
    /// The name that the client asked for in TLS; the request's host by default, where the port speaks TLS.
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// A URI name of the client's certificate, such as spiffe://cluster.local/ns/NAMESPACE/sa/ACCOUNT.
    #[arg(long = "peer-uri", value_name = "URI")]
    peer_uris: Vec<String>,
    /// What `x-forwarded-client-cert` says of the client's certificate (default: its URI names).
    #[arg(long, value_name = "ELEMENT")]
    peer_cert: Option<String>,
    /// The body.
    #[arg(short = 'd', long = "data", value_name = "BODY|@FILE")]
    data: Option<String>,
    /// Why the body cannot be sent on, in the words of the answer: 'the request body is too large'.
    #[arg(long, value_name = "WORDS", conflicts_with = "data")]
    body_error: Option<String>,
    /// The random number that chooses among weighted backends.
    #[arg(long, value_name = "N", default_value_t = 0)]
    entropy: u64,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Instead of a request: the decisions that a gateway has logged (`serve --capsule`), one a line. Each is made again;
    /// exit with 1 if one is another here.
    #[arg(long, value_name = "FILE|-", conflicts_with_all = REQUEST)]
    capsule: Option<PathBuf>,
    /// The request's URL, or its path.
    #[arg(value_name = "URL_OR_PATH", required_unless_present = "capsule")]
    url: Option<String>,
}

#[derive(Debug, Args)]
struct Diff {
    /// A file or a directory that belongs to both; repeatable.
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    shared: Vec<PathBuf>,
    #[command(flatten)]
    reading: Reading,
    /// Requests to try beside those that the rules themselves are about.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(..=10_000_000))]
    requests: u32,
    /// Differences after which to stop.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
    /// Which requests: the same number tries the same ones.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// The configuration as it is: a file, a directory, or `-`.
    old: PathBuf,
    /// The configuration as it would be.
    new: PathBuf,
}

#[derive(Debug, Args)]
struct Test {
    #[command(flatten)]
    inputs: Inputs,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = TestOutput::Text)]
    output: TestOutput,
    /// Write what came of the failed cases into their files.
    #[arg(long)]
    update: bool,
    /// Exit with 1 when there is a rule that no case reaches.
    #[arg(long)]
    strict: bool,
    /// A file with scenarios, or a directory of such; by default those among the -f files.
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TestOutput {
    Text,
    Json,
    /// JUnit's XML, which pipelines read.
    Junit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Runs the program. 0: all is well; 1: findings; 2: the configuration or the arguments are wrong.
#[must_use]
pub fn main() -> ExitCode {
    memory::prepare();
    match Cli::parse().command {
        Command::Serve(serve) => commands::serve(*serve),
        Command::Check(check) => commands::check(check),
        Command::Explain(explain) => commands::explain(*explain),
        Command::Diff(diff) => commands::diff(diff),
        Command::Test(test) => commands::test(test),
        Command::Demo => crate::demo::run(),
        Command::Schema { of } => commands::schema(of),
        Command::Completions { shell } => commands::completions(shell),
        Command::Man { command } => commands::man(command.as_deref()),
        Command::Version => commands::version(),
    }
}

impl Serve {
    fn bounds(&self) -> Bounds {
        Bounds {
            body_bytes: self.max_body_bytes,
            connections: self.max_connections,
            connections_per_source: self
                .max_connections_per_source
                .unwrap_or_else(|| per_source(self.max_connections)),
            requests: self.max_requests,
            buffered_bytes: self.max_buffered_bytes,
        }
    }

    fn addresses(&self) -> Result<BTreeMap<u16, SocketAddr>, String> {
        let mut addresses = BTreeMap::new();
        for listen in &self.listen {
            if let Some(before) = addresses.insert(listen.port, listen.address) {
                let (port, address) = (listen.port, listen.address);
                return Err(format!(
                    "--listen: port {port} listens in one place, and there are `{before}` and `{address}`"
                ));
            }
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_contract_is_accepted() {
        for line in [
            "serve -f a -f b --listen 80=127.0.0.1:8080 --listen 443=[::1]:8443 --admin 127.0.0.1:1 --workers 2 --drain-timeout 5s --max-connections 9 --max-connections-per-source 2 --max-requests 9 --max-buffered-bytes 1000 --log-format text --access-log - --upgrade /run/x.sock",
            "serve -f a --drain-timeout 0s",
            "serve -f - --admin off --workload-labels istio=ingressgateway,app=x --namespace a --root-namespace b --mesh-config m.yaml",
            "check -f a --strict -o json",
            "explain -f a -X POST -H Host:test.com --peer ::1 --proxied 192.0.2.1 --destination-ip ::2 --destination-port 443 --claims {} --checks {} --sni n --peer-uri spiffe://a --peer-cert URI=a -d @b --entropy 7 -o json /v1",
            "test -f a b c -o junit --update --strict",
            "test -f a",
            "demo",
            "schema",
            "completions bash",
            "man",
            "man serve",
            "version",
        ] {
            let args = core::iter::once("lockgate").chain(line.split(' '));
            assert!(Cli::try_parse_from(args).is_ok(), "{line}");
        }
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for line in [
            "serve",
            "serve -f a --listen 80",
            "serve -f a --listen x=127.0.0.1:1",
            "serve -f a --admin here",
            "serve -f a --workers 0",
            "serve -f a --max-connections 0",
            "serve -f a --max-connections-per-source 0",
            "serve -f a --max-requests 0",
            "serve -f a --max-buffered-bytes 0",
            "serve -f a --drain-timeout 5",
            "serve -f a --first-byte-timeout 0s",
            "serve -f a --stream-idle-timeout 0ms",
            "check -f a -o yaml",
            "explain -f a -H nocolon /",
            "explain -f a --proxied 192.0.2.1:80 /",
            "explain -f a --destination-port 65536 /",
            "explain -f a",
            "test a",
            "test -f a -o xml",
            "dance",
        ] {
            let args = core::iter::once("lockgate").chain(line.split(' '));
            let error = Cli::try_parse_from(args).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
