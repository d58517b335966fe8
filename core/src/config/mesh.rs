//! Istio's MeshConfig where it is not a resource of its own: YAML text in the
//! ConfigMap `istio`, or a plain file.

use alloc::string::String;
use alloc::vec::Vec;

use super::diagnostic::{Diagnostics, Location, Source};
use super::tree::Node;
use super::yaml::{self, Places};

/// The ConfigMap that Istio reads; a revision's is `istio-REVISION`.
const NAME: &str = "istio";

/// Whether a ConfigMap is one that holds a MeshConfig.
pub(super) fn is_mesh_config_map(document: &Node) -> bool {
    let name = document.get("metadata").and_then(|metadata| metadata.get("name"));
    let named = name
        .and_then(Node::text)
        .and_then(|name| name.strip_prefix(NAME))
        .is_some_and(|revision| revision.is_empty() || revision.starts_with('-'));
    named || document.get("data").is_some_and(|data| data.get("mesh").is_some())
}

/// The documents of the YAML text that the scalar at `at` is.
pub(super) fn parse(source: &Source, at: Location, text: &str, diagnostics: &mut Diagnostics) -> Vec<Node> {
    match as_it_stands(source, at, text) {
        // Every place in the text is a place in the file.
        Some(masked) => yaml::parse_at(&masked, Places::of_source(at.source, source.lines_before), diagnostics),
        None => yaml::parse_at(text, Places::all_at(at), diagnostics),
    }
}

/// The source with everything but the text blanked out, if the text stands there line by line, as in a literal block
/// (`|`); quotes, escapes and folded lines do not.
fn as_it_stands(source: &Source, at: Location, text: &str) -> Option<String> {
    let (start, end) = (usize::try_from(at.start).ok()?, usize::try_from(at.end).ok()?);
    let (before, written) = (source.text.get(..start)?, source.text.get(start..end)?);
    let margin = before.rsplit('\n').next()?;
    let is_blank = |line: &str| line.bytes().all(|byte| byte == b' ');
    let mut lines = text.trim_end().lines();
    for (index, written) in written.trim_end().lines().enumerate() {
        let unindented = match index {
            0 => Some(written),
            _ => written.strip_prefix(margin),
        };
        let line = lines.next()?;
        if unindented != Some(line) && !(is_blank(written) && line.is_empty()) {
            return None;
        }
    }
    if lines.next().is_some() || !is_blank(margin) {
        return None;
    }
    let blank = |text: &str| -> String {
        let bytes = text.bytes();
        bytes.map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
    };
    Some(blank(before) + written)
}
