//! `apiVersion` and `kind`: what a document is, and whether it concerns us.

use alloc::format;
use alloc::string::String;

use super::diagnostic::{Diagnostics, Location};
use super::load::LoadOptions;
use super::quote::quoted;
use super::schema::{CORE, KINDS, KNOWN_UNSUPPORTED, Kind, LOCKGATE};
use super::suggest::{did_you_mean, nearest, slip_for};
use super::tree::Node;

/// Whose groups are all of this name, or below it.
const ISTIO: &str = "istio.io";
const BELOW_ISTIO: &str = ".istio.io";

/// What to do with a document.
pub(crate) enum Envelope {
    /// Check and decode it.
    Resource { kind: &'static Kind, is_lockgate: bool },
    /// Load what is in its `items`.
    List,
    /// Load the MeshConfig in its `data`, if there is one.
    ConfigMap,
    /// Nothing: it has been reported, or is not ours.
    Skip,
}

/// Reads the envelope and reports what is wrong with it.
pub(crate) fn read(document: &Node, options: &LoadOptions<'_>, diagnostics: &mut Diagnostics) -> Envelope {
    if !matches!(document.value, super::tree::Value::Map(_)) {
        diagnostics
            .error(
                "not-a-resource",
                document.at,
                "a document must be a resource with `apiVersion` and `kind`",
            )
            .help("separate resources with `---`");
        return Envelope::Skip;
    }
    let api_version = word(document, "apiVersion", diagnostics);
    let kind = word(document, "kind", diagnostics);
    let (Some((api_version, api_version_at)), Some((kind, kind_at))) = (api_version, kind) else {
        return Envelope::Skip;
    };
    let (group, version) = api_version.rsplit_once('/').unwrap_or((CORE, api_version));
    let header = Header {
        api_version,
        api_version_at,
        group,
        version,
        kind,
        kind_at,
    };
    header.resolve(options, diagnostics)
}

struct Header<'d> {
    api_version: &'d str,
    api_version_at: Location,
    group: &'d str,
    version: &'d str,
    kind: &'d str,
    kind_at: Location,
}

impl Header<'_> {
    fn resolve(&self, options: &LoadOptions<'_>, diagnostics: &mut Diagnostics) -> Envelope {
        if self.group == CORE && self.version == "v1" && self.kind == "List" {
            return Envelope::List;
        }
        if self.group == CORE && self.version == "v1" && self.kind == "ConfigMap" {
            return Envelope::ConfigMap;
        }
        let mut named = KINDS.iter().filter(|kind| kind.name == self.kind);
        let ours = named.clone().next();
        let is_of = |kind: &&Kind| self.group == kind.group || self.group == LOCKGATE && kind.group != CORE;
        if let Some(kind) = named.find(is_of) {
            self.check_version(kind, diagnostics);
            return Envelope::Resource {
                kind,
                is_lockgate: self.group == LOCKGATE,
            };
        }
        if options.ignore_kinds.iter().any(|ignored| ignored == self.kind) {
            return Envelope::Skip;
        }
        match KNOWN_UNSUPPORTED.iter().find(|(group, _)| *group == self.group) {
            Some((_, unsupported)) => self.known_group(ours, unsupported, diagnostics),
            None => self.other_group(ours, diagnostics),
        }
        Envelope::Skip
    }

    fn check_version(&self, kind: &Kind, diagnostics: &mut Diagnostics) {
        let served: &[&str] = if self.group == LOCKGATE { &["v1"] } else { kind.versions };
        if served.contains(&self.version) {
            return;
        }
        let mut help = String::from("use ");
        for (index, version) in served.iter().enumerate() {
            let separator = if index > 0 { " or " } else { "" };
            help.push_str(&format!("{separator}`{}`", api_version(self.group, version)));
        }
        diagnostics
            .error(
                "wrong-api-version",
                self.api_version_at,
                format!("{} is not a version of {}", quoted(self.api_version), kind.name),
            )
            .field("apiVersion")
            .help(help);
    }

    /// A kind that is not decoded, of a group that shapes traffic.
    fn known_group(&self, ours: Option<&Kind>, unsupported: &[&str], diagnostics: &mut Diagnostics) {
        if unsupported.contains(&self.kind) {
            diagnostics
                .error(
                    "unsupported-kind",
                    self.kind_at,
                    format!("{} of {} is not supported yet", self.kind, quoted(self.api_version)),
                )
                .field("kind")
                .help(self.remove_or_ignore());
            return;
        }
        if let Some(kind) = ours {
            return self.wrong_group(kind, "", diagnostics);
        }
        let in_group = KINDS
            .iter()
            .filter(|kind| kind.group == self.group || self.group == LOCKGATE)
            .map(|kind| kind.name)
            .chain(unsupported.iter().copied());
        let help = if self.group == CORE {
            match nearest(self.kind, ["List", "Secret", "ConfigMap"]) {
                Some(kind) => Some(format!("did you mean `{kind}`?")),
                None => return self.skipped(diagnostics),
            }
        } else {
            did_you_mean(self.kind, in_group).or_else(|| did_you_mean(self.kind, KINDS.iter().map(|kind| kind.name)))
        };
        let help = help.unwrap_or_else(|| self.remove_or_ignore());
        self.unknown_kind(help, diagnostics);
    }

    /// Somebody else's kind, unless it is, or nearly is, one of ours: no policy is left out because of its group.
    fn other_group(&self, ours: Option<&Kind>, diagnostics: &mut Diagnostics) {
        let or_ignore = format!("if it is somebody else's: {}", self.ignore());
        if let Some(kind) = ours {
            return self.wrong_group(kind, &format!("; {or_ignore}"), diagnostics);
        }
        let groups = KNOWN_UNSUPPORTED.iter().map(|(group, _)| *group);
        let group = nearest(self.group, groups.filter(|group| *group != CORE));
        let unsupported = KNOWN_UNSUPPORTED.iter().flat_map(|(_, kinds)| *kinds).copied();
        let unsupported = unsupported.filter(|_| group.is_some());
        let meant = slip_for(self.kind, KINDS.iter().map(|kind| kind.name).chain(unsupported));
        let is_of_istio = self.group == ISTIO || self.group.ends_with(BELOW_ISTIO);
        match meant {
            Some(meant) if meant != self.kind => {
                self.unknown_kind(format!("did you mean `{meant}`? {or_ignore}"), diagnostics);
            }
            None if !is_of_istio => self.skipped(diagnostics),
            _ => {
                let meant = group.map_or_else(String::new, |group| format!("did you mean `{group}`? "));
                diagnostics
                    .error(
                        "wrong-api-version",
                        self.api_version_at,
                        format!("unknown API group {}", quoted(self.group)),
                    )
                    .field("apiVersion")
                    .help(format!("{meant}{or_ignore}"));
            }
        }
    }

    fn unknown_kind(&self, help: String, diagnostics: &mut Diagnostics) {
        diagnostics
            .error(
                "unknown-kind",
                self.kind_at,
                format!("unknown kind {} of {}", quoted(self.kind), quoted(self.api_version)),
            )
            .field("kind")
            .help(help);
    }

    fn wrong_group(&self, kind: &Kind, or: &str, diagnostics: &mut Diagnostics) {
        let version = kind.versions.first().copied().unwrap_or_default();
        diagnostics
            .error(
                "wrong-api-version",
                self.api_version_at,
                format!("{} is not the apiVersion of {}", quoted(self.api_version), kind.name),
            )
            .field("apiVersion")
            .help(format!("write `apiVersion: {}`{or}", api_version(kind.group, version)));
    }

    fn remove_or_ignore(&self) -> String {
        format!("remove it, or load without it: {}", self.ignore())
    }

    /// The option that leaves the kind out.
    fn ignore(&self) -> String {
        quoted(&format!("--ignore-kind {}", self.kind))
    }

    fn skipped(&self, diagnostics: &mut Diagnostics) {
        diagnostics
            .warning(
                "foreign-kind",
                self.kind_at,
                format!(
                    "{} of {} is not for Lockgate and is left out",
                    quoted(self.kind),
                    quoted(self.api_version)
                ),
            )
            .field("kind");
    }
}

/// As documents write it: the core group has no name.
pub(crate) fn api_version(group: &str, version: &str) -> String {
    if group == CORE {
        return version.into();
    }
    format!("{group}/{version}")
}

/// A ConfigMap that holds no MeshConfig.
pub(crate) fn skipped_config_map(document: &Node, diagnostics: &mut Diagnostics) {
    let at = document.get("kind").map_or(document.at, |kind| kind.at);
    diagnostics
        .warning(
            "foreign-kind",
            at,
            "a ConfigMap without `data.mesh` is not for Lockgate and is left out",
        )
        .field("kind");
}

fn word<'d>(document: &'d Node, name: &str, diagnostics: &mut Diagnostics) -> Option<(&'d str, Location)> {
    let Some(entry) = document.entry(name) else {
        diagnostics
            .error(
                "missing-field",
                first_key(document),
                format!("the field `{name}` is missing"),
            )
            .field(name)
            .help("every resource begins with `apiVersion` and `kind`");
        return None;
    };
    match entry.value.text() {
        Some(text) if !text.is_empty() => Some((text, entry.value.at)),
        _ => {
            diagnostics
                .error("wrong-type", entry.key.at, format!("`{name}` needs text"))
                .field(name);
            None
        }
    }
}

fn first_key(document: &Node) -> Location {
    document.entries().first().map_or(document.at, |entry| entry.key.at)
}
