//! Capsules read back: each is decided again, by the same configuration or by another, and what differs is told.

use core::fmt;

use lockgate_core::config::quote::escaped;
use lockgate_core::explain::{Explanation, Question};
use lockgate_core::snapshot::Snapshot;
use serde::Serialize;
use serde_json::Value;

use super::{API_VERSION, Read};

/// What came of deciding capsules again.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Replay {
    /// The snapshot that decides here.
    snapshot: String,
    /// How many there were.
    capsules: usize,
    /// How many are of this snapshot.
    of_this_snapshot: usize,
    /// Those that are decided otherwise.
    pub(crate) differing: Vec<Differing>,
    /// Those that rest on what is withheld, or on what a capsule cannot hold: nothing is said of them.
    not_reproducible: Vec<Place>,
    /// The explanation, of a capsule that is alone.
    #[serde(skip)]
    only: Option<Box<Explanation>>,
}

/// A capsule, by its line and its request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    line: usize,
    request_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    withheld: Vec<String>,
}

/// A request that is decided otherwise than when it was recorded.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Differing {
    line: usize,
    request_id: String,
    /// The snapshot that had decided.
    snapshot: String,
    /// The members of the verdict that differ.
    members: Vec<Member>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    name: String,
    recorded: Value,
    here: Value,
}

/// Decides the capsules of `text`, one in each line, again.
///
/// # Errors
/// Which line is no capsule, and why.
pub(crate) fn replay(snapshot: &Snapshot, text: &str) -> Result<Replay, String> {
    let mut replay = Replay {
        snapshot: snapshot.id().to_owned(),
        ..Replay::default()
    };
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    for (line, number) in lines {
        let explanation = replay
            .add(snapshot, line, number)
            .map_err(|why| format!("line {number}: {}", escaped(&why)))?;
        replay.only = explanation.filter(|_| replay.capsules == 1).map(Box::new);
    }
    match replay.capsules {
        0 => Err("there is no capsule".to_owned()),
        _ => Ok(replay),
    }
}

impl Replay {
    /// `None` where the capsule's request cannot be asked, and could not when it was recorded.
    fn add(&mut self, snapshot: &Snapshot, line: &str, number: usize) -> Result<Option<Explanation>, String> {
        let read: Read = serde_json::from_str(line).map_err(|error| format!("no capsule: {error}"))?;
        if read.api_version != API_VERSION {
            return Err(format!(
                "`apiVersion` is `{}`; this program reads `{API_VERSION}`",
                read.api_version
            ));
        }
        let question = Question::try_from(read.request).map_err(|why| format!("request: {why}"))?;
        let explained = question.as_found_by(snapshot).explain(snapshot);
        self.capsules += 1;
        self.of_this_snapshot += usize::from(read.snapshot == self.snapshot);
        if !read.reproduces {
            self.not_reproducible.push(Place {
                line: number,
                request_id: read.request_id,
                withheld: read.withheld,
            });
            return Ok(explained.ok());
        }
        let explanation = explained.map_err(|why| format!("request: {why}"))?;
        let here = serde_json::to_value(&explanation.verdict).map_err(|error| error.to_string())?;
        if here != read.verdict {
            self.differing.push(Differing {
                line: number,
                request_id: read.request_id,
                snapshot: read.snapshot,
                members: members(&read.verdict, &here),
            });
        }
        Ok(Some(explanation))
    }
}

/// The members that differ, those first that say most.
fn members(recorded: &Value, here: &Value) -> Vec<Member> {
    let (Value::Object(recorded), Value::Object(here)) = (recorded, here) else {
        return Vec::new();
    };
    let mut names: Vec<&String> = recorded.keys().chain(here.keys()).collect();
    names.sort_by_key(|name| (*name != "decision", *name));
    names.dedup();
    let of = |verdict: &serde_json::Map<String, Value>, name| verdict.get(name).cloned().unwrap_or_default();
    let members = names.into_iter().map(|name| Member {
        name: name.clone(),
        recorded: of(recorded, name),
        here: of(here, name),
    });
    members.filter(|member| member.recorded != member.here).collect()
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(explanation) = &self.only {
            writeln!(f, "{explanation}")?;
        }
        for differing in &self.differing {
            let Differing {
                line,
                request_id,
                snapshot,
                members,
            } = differing;
            writeln!(
                f,
                "line {line}: request {}, recorded by snapshot {}, is decided otherwise here",
                escaped(request_id),
                escaped(snapshot)
            )?;
            for Member { name, recorded, here } in members {
                writeln!(f, "  {:<14} {recorded} → {here}", escaped(name))?;
            }
        }
        for place in &self.not_reproducible {
            let Place {
                line,
                request_id,
                withheld,
            } = place;
            let names = if withheld.is_empty() {
                "what no capsule can hold".to_owned()
            } else {
                escaped(&withheld.join(", "))
            };
            writeln!(
                f,
                "line {line}: request {} cannot be decided again without {names}",
                escaped(request_id)
            )?;
        }
        let (all, differing, open) = (self.capsules, self.differing.len(), self.not_reproducible.len());
        let noun = if all == 1 { "capsule" } else { "capsules" };
        let same = all.saturating_sub(differing).saturating_sub(open);
        write!(f, "{all} {noun}: {same} decided as recorded, {differing} otherwise")?;
        if open > 0 {
            write!(f, ", {open} open")?;
        }
        match all.saturating_sub(self.of_this_snapshot) {
            0 => writeln!(f, "; all by this snapshot, {}", self.snapshot),
            other => writeln!(f, "; {other} recorded by other snapshots than this, {}", self.snapshot),
        }
    }
}
