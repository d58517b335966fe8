//! What each command does.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use lockgate_core::Memory;
use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::diagnostic::Severity;
use lockgate_core::diff::Options as Search;
use lockgate_core::explain::{Client, JSON_SCHEMA, Question, Target};
use lockgate_core::llm::body::BodyError;
use lockgate_core::token::TokenError;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{
    Check, Cli, Described, Diff, Explain, Inputs, LABELS_DEFAULT, NAMESPACE_DEFAULT, Output, Reading, Serve, Test,
    TestOutput,
};
use crate::capsule::replay;
use crate::limits::{BODY_READ, HEADER_READ, IDLE};
use crate::ports::Addresses;
use crate::reload::{self, Refused};
use crate::serve::{CapsuleLog, Options};
use crate::shared::Times;
use crate::{config, diff, scenarios, serve};

/// The configuration or the arguments are wrong.
const WRONG: u8 = 2;
/// There are findings.
const FINDINGS: u8 = 1;

impl Inputs {
    fn inputs(self) -> config::Inputs {
        self.reading.of(self.paths)
    }
}

impl Reading {
    fn of(self, paths: Vec<PathBuf>) -> config::Inputs {
        let settings = Settings {
            namespace: self.namespace,
            root_namespace: self.root_namespace,
            labels: self
                .workload_labels
                .into_iter()
                .map(|label| (label.0, label.1))
                .collect(),
        };
        let mut inputs = config::Inputs::new(paths, self.ignore_kind, settings);
        inputs.mesh_config = self.mesh_config;
        inputs
    }

    /// The command that explains a request to such a gateway, up to the request.
    fn explain_with(&self, paths: &[PathBuf]) -> String {
        let mut command = "lockgate explain".to_owned();
        let mut add = |flag: &str, value: &str| command += &format!(" {flag} {}", diff::quoted(value));
        for path in paths {
            add("-f", &path.to_string_lossy());
        }
        let labels = self
            .workload_labels
            .iter()
            .map(|label| format!("{}={}", label.0, label.1));
        let labels = labels.collect::<Vec<_>>().join(",");
        for (flag, value, default) in [
            ("--workload-labels", &labels, LABELS_DEFAULT),
            ("--namespace", &self.namespace, NAMESPACE_DEFAULT),
            ("--root-namespace", &self.root_namespace, NAMESPACE_DEFAULT),
        ] {
            if value != default {
                add(flag, value);
            }
        }
        if let Some(path) = &self.mesh_config {
            add("--mesh-config", &path.to_string_lossy());
        }
        for kind in &self.ignore_kind {
            add("--ignore-kind", kind);
        }
        command.push(' ');
        command
    }
}

pub(super) fn serve(args: Serve) -> ExitCode {
    let addresses = match args.addresses() {
        Ok(addresses) => Addresses(addresses),
        Err(why) => return wrong(&why),
    };
    let cores = || std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
    let bounds = args.bounds();
    let options = Options {
        addresses,
        admin: args.admin.0,
        workers: args.workers.map_or_else(cores, usize::from),
        times: Times {
            header_read: HEADER_READ,
            body_read: BODY_READ,
            idle: IDLE,
            first_byte: args.first_byte_timeout,
            stream_idle: args.stream_idle_timeout,
            drain: args.drain_timeout,
        },
        bounds,
        allow_private_jwks: args.allow_private_jwks,
        log_format: args.log_format,
        access_log: args.access_log,
        capsules: args.capsule.map(|file| CapsuleLog {
            file,
            share: args.capsule_sample,
            hidden: args
                .capsule_redact
                .iter()
                .map(|name| name.trim().to_ascii_lowercase())
                .collect(),
        }),
        upgrade: args.upgrade,
        inputs: args.inputs.inputs(),
    };
    serve::serve(options)
}

pub(super) fn check(args: Check) -> ExitCode {
    let mut inputs = args.inputs.inputs();
    let sources = inputs.read();
    let mut built = inputs.build(&sources);
    if let Some(compiled) = &built.compiled {
        compiled.report_unreadable(&config::unreadable, Severity::Warning, &mut built.diagnostics);
    }
    match args.output {
        Output::Text => {
            eprint!("{}", config::render(&built.diagnostics, &sources));
            if let Some(compiled) = &built.compiled {
                print(&format!("ok: snapshot {}\n", compiled.snapshot.id()));
            }
        }
        Output::Json => {
            let found = built.diagnostics.as_slice().iter();
            let placed: Vec<_> = found.map(|diagnostic| diagnostic.placed(&sources)).collect();
            let snapshot = built.compiled.as_ref().map(|compiled| compiled.snapshot.id());
            print_json(&serde_json::json!({ "snapshot": snapshot, "diagnostics": placed }));
        }
    }
    match built.compiled {
        None => ExitCode::from(WRONG),
        Some(_) if args.strict && !built.diagnostics.as_slice().is_empty() => ExitCode::from(FINDINGS),
        Some(_) => ExitCode::SUCCESS,
    }
}

pub(super) fn explain(args: Explain) -> ExitCode {
    match &args.capsule {
        Some(file) => {
            let text = match text_or_file("--capsule", format!("@{}", file.display())) {
                Ok(text) => text,
                Err(why) => return wrong(&why),
            };
            explain_capsules(args, &text)
        }
        None => explain_request(args),
    }
}

fn explain_capsules(args: Explain, text: &str) -> ExitCode {
    let compiled = match compiled(&mut args.inputs.inputs()) {
        Ok(compiled) => compiled,
        Err(status) => return status,
    };
    let replay = match replay(&compiled.snapshot, text) {
        Ok(replay) => replay,
        Err(why) => return wrong(&format!("--capsule: {why}")),
    };
    match args.output {
        Output::Json => print_json(&replay),
        Output::Text => print(&replay.to_string()),
    }
    match replay.differing.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FINDINGS),
    }
}

fn compiled(inputs: &mut config::Inputs) -> Result<Compiled, ExitCode> {
    match reload::compile(inputs, &mut Memory::default(), None) {
        Ok(loaded) => Ok(loaded.compiled),
        Err(Refused(why)) => {
            eprint!("{why}");
            Err(ExitCode::from(WRONG))
        }
    }
}

fn explain_request(args: Explain) -> ExitCode {
    let body = match args.data.map(|data| text_or_file("-d", data)).transpose() {
        Ok(body) => body,
        Err(why) => return wrong(&why),
    };
    let claims = match args
        .claims
        .map(|text| json::<Box<RawValue>>("--claims", text))
        .transpose()
    {
        Ok(claims) => claims,
        Err(why) => return wrong(&why),
    };
    let checks = match args.checks.map(|text| json("--checks", text)).transpose() {
        Ok(checks) => checks.unwrap_or_default(),
        Err(why) => return wrong(&why),
    };
    let token_error = args.token_error.map(|words| TokenError::in_words(&words));
    let body_error = args.body_error.map(|words| BodyError::in_words(&words));
    let (token_error, body_error) = match (token_error.transpose(), body_error.transpose()) {
        (Ok(token), Ok(body)) => (token, body),
        (Err(why), _) => return wrong(&format!("--token-error: {why}")),
        (_, Err(why)) => return wrong(&format!("--body-error: {why}")),
    };
    let compiled = match compiled(&mut args.inputs.inputs()) {
        Ok(compiled) => compiled,
        Err(status) => return status,
    };
    let target = match Target::parse(&args.url.unwrap_or_default()) {
        Ok(target) => target,
        Err(why) => return wrong(&why),
    };
    let question = Question {
        method: args.method,
        target,
        authority: None,
        protocol: args.protocol,
        headers: args.headers,
        client: Client {
            peer: Some(args.peer),
            proxied: args.proxied,
            destination_ip: args.destination_ip,
            destination_port: args.destination_port,
            port: None,
            sni: args.sni,
            peer_uris: args.peer_uris,
            peer_cert: args.peer_cert,
        },
        claims: claims.map(|claims| claims.get().to_owned()),
        token_error,
        checks,
        body,
        body_error,
        entropy: args.entropy,
    };
    match question.explain(&compiled.snapshot) {
        Ok(explanation) if args.output == Output::Json => print_json(&explanation),
        Ok(explanation) => print(&explanation.to_string()),
        Err(why) => return wrong(&why),
    }
    ExitCode::SUCCESS
}

pub(super) fn diff(args: Diff) -> ExitCode {
    let options = Search {
        requests: args.requests,
        differences: args.limit.into(),
        seed: args.seed,
    };
    let given = args.shared.iter().chain([&args.old, &args.new]);
    if given.filter(|path| path.as_os_str() == "-").count() > 1 {
        return wrong("`-` is there twice, and standard input can be read only once");
    }
    let paths = |own: &Path| args.shared.iter().cloned().chain([own.to_owned()]).collect::<Vec<_>>();
    let explain = args.reading.explain_with(&paths(&args.new));
    let with = |own: &Path| args.reading.clone().of(paths(own));
    let mut inputs = with(&args.old);
    let old = compiled(&mut inputs);
    let new = compiled(&mut with(&args.new).with_pipes_of(&inputs));
    let (old, new) = match (old, new) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(status), _) | (_, Err(status)) => return status,
    };
    let report = lockgate_core::diff::diff(&old.snapshot, &new.snapshot, &options);
    let are_alike = report.differences.is_empty();
    match args.output {
        Output::Text => print(&diff::text(&report, &explain)),
        Output::Json => print_json(&diff::Told::from(report)),
    }
    match are_alike {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FINDINGS),
    }
}

pub(super) fn test(args: Test) -> ExitCode {
    let mut inputs = args.inputs.inputs();
    let mut tried = scenarios::run(&mut inputs, &args.scenarios);
    if let (Ok(tested), true) = (&tried, args.update) {
        match scenarios::update(tested) {
            Ok(said) => eprint!("{said}"),
            Err(why) => return wrong(&why),
        }
        tried = scenarios::run(&mut inputs, &args.scenarios);
    }
    let report = match tried {
        Ok(tested) => tested.report,
        Err(Refused(why)) => {
            eprint!("{why}");
            return ExitCode::from(WRONG);
        }
    };
    match args.output {
        TestOutput::Text => print(&report.to_string()),
        TestOutput::Json => print_json(&report),
        TestOutput::Junit => print(&scenarios::junit(&report)),
    }
    let is_uncovered = args.strict && report.uncovered().next().is_some();
    match report.failed() > 0 || is_uncovered {
        true => ExitCode::from(FINDINGS),
        false => ExitCode::SUCCESS,
    }
}

/// The text itself or `@FILE`, as curl has it.
fn text_or_file(flag: &str, text: String) -> Result<String, String> {
    match text.strip_prefix('@') {
        Some("-") => io::read_to_string(io::stdin()).map_err(|error| format!("{flag} @-: {error}")),
        Some(path) => std::fs::read_to_string(path).map_err(|error| format!("{flag}: cannot read `{path}`: {error}")),
        None => Ok(text),
    }
}

fn json<T: DeserializeOwned>(option: &str, text: String) -> Result<T, String> {
    let text = text_or_file(option, text)?;
    serde_json::from_str(&text).map_err(|error| match error.is_data() {
        true => format!("{option}: {error}"),
        false => format!("{option}: not JSON: {error}"),
    })
}

pub(super) fn schema(of: Described) -> ExitCode {
    match of {
        Described::Configuration => print(&lockgate_core::config::json_schema()),
        Described::Explanation => print(JSON_SCHEMA),
    }
    ExitCode::SUCCESS
}

pub(super) fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lockgate", &mut text);
    print(&String::from_utf8_lossy(&text));
    ExitCode::SUCCESS
}

pub(super) fn man(name: Option<&str>) -> ExitCode {
    let mut all = Cli::command();
    all.build();
    let found = match name {
        None => Some(&all),
        Some(name) => all.find_subcommand(name),
    };
    let Some(command) = found else {
        let names: Vec<_> = all.get_subcommands().map(clap::Command::get_name).collect();
        return wrong(&format!(
            "there is no command `{}`; there are {}",
            name.unwrap_or_default(),
            names.join(", ")
        ));
    };
    let page_of = clap_mangen::Man::new(command.clone())
        .source(concat!("lockgate ", env!("CARGO_PKG_VERSION")))
        // An empty date would be left out, and the source take its place.
        .date(" ");
    // Written into memory, which cannot fail.
    let mut page = Vec::new();
    let _ = page_of.render(&mut page);
    print(&String::from_utf8_lossy(&page));
    ExitCode::SUCCESS
}

pub(super) fn version() -> ExitCode {
    print(concat!("lockgate ", env!("CARGO_PKG_VERSION"), "\n"));
    ExitCode::SUCCESS
}

fn wrong(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::from(WRONG)
}

fn print_json(value: &impl serde::Serialize) {
    print(&(serde_json::to_string_pretty(value).unwrap_or_default() + "\n"));
}

/// Prints; a reader who has gone (`| head`) is no error.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
