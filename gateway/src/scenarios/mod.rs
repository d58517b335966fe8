//! `lockgate test`: scenario files tried by the engine, reported, and written anew.

mod junit;
mod update;

use std::path::{Path, PathBuf};

use lockgate_core::config::diagnostic::Source;
use lockgate_core::config::resource::Scenario;
use lockgate_core::scenario::{self, Report};

pub(crate) use junit::junit;

use crate::config::{self, Inputs};
use crate::reload::Refused;

/// What was tried.
pub(crate) struct Tested {
    /// Of all runs.
    pub(crate) report: Report,
    runs: Vec<Run>,
}

/// The scenarios of one file or directory, which may bring resources of their own.
struct Run {
    sources: Vec<Source>,
    scenarios: Vec<Scenario>,
    report: Report,
}

/// Tries the scenarios of each of the paths over the configuration, or those that are part of it when there is no path.
pub(crate) fn run(inputs: &mut Inputs, paths: &[PathBuf]) -> Result<Tested, Refused> {
    let mut paths = paths.iter().map(PathBuf::as_path);
    let first = one(inputs, paths.next())?;
    let mut tested = Tested {
        report: first.report.clone(),
        runs: vec![first],
    };
    for path in paths {
        let run = one(inputs, Some(path))?;
        tested.report.add(run.report.clone());
        tested.runs.push(run);
    }
    Ok(tested)
}

fn one(inputs: &mut Inputs, path: Option<&Path>) -> Result<Run, Refused> {
    let configuration = inputs.clone();
    // The file of scenarios comes last of the files, but before what is no file of resources.
    let others = inputs.read().len() - usize::from(inputs.mesh_config.is_some());
    let from = match path {
        Some(path) => {
            inputs.paths.push(path.to_owned());
            others
        }
        None => 0,
    };
    let sources = inputs.read();
    inputs.variables = scenario::env(&sources);
    let mut built = inputs.build(&sources);
    *inputs = configuration;
    let Some(compiled) = built.compiled else {
        return Err(Refused(config::render(&built.diagnostics, &sources)));
    };
    let is_meant = |scenario: &Scenario| usize::try_from(scenario.meta.at.source).is_ok_and(|source| source >= from);
    built.scenarios.retain(is_meant);
    if built.scenarios.is_empty() {
        let place = path.map_or_else(
            || "the configuration".to_owned(),
            |path| format!("`{}`", path.display()),
        );
        return Err(Refused(format!(
            "error: {place} holds no Scenario: a document with `apiVersion: lockgate.dev/v1` and `kind: Scenario`\n"
        )));
    }
    Ok(Run {
        report: scenario::run(&compiled.snapshot, &built.scenarios, &sources),
        scenarios: built.scenarios,
        sources,
    })
}

/// Writes what came of the failed cases into their files, and says what it wrote.
pub(crate) fn update(tested: &Tested) -> Result<String, String> {
    let mut said = String::new();
    for run in &tested.runs {
        let cases = run.scenarios.iter().flat_map(|scenario| &scenario.cases);
        let failed = cases.zip(&run.report.cases).filter(|(_, tried)| !tried.passed());
        let mut edits = Vec::new();
        for (case, tried) in failed {
            let verdict = tried
                .verdict
                .as_ref()
                .ok_or_else(|| format!("{}: `{}` cannot be asked: {}", tried.at, tried.name, why(tried)))?;
            edits.push((case, verdict));
        }
        for (index, source) in run.sources.iter().enumerate() {
            let is_here = |at: u32| usize::try_from(at) == Ok(index);
            let here: Vec<_> = edits.iter().filter(|(case, _)| is_here(case.at.source)).collect();
            if here.is_empty() {
                continue;
            }
            if *source.name == *config::STDIN {
                return Err("standard input cannot be updated".to_owned());
            }
            let count = here.len();
            let text = update::update(&source.text, here.into_iter().copied())
                .map_err(|(name, why)| format!("{}: `{name}`: {why}", source.name))?;
            std::fs::write(&*source.name, text).map_err(|error| format!("cannot write `{}`: {error}", source.name))?;
            said.push_str(&format!("{}: {count} updated\n", source.name));
        }
    }
    Ok(said)
}

fn why(tried: &scenario::Tried) -> &str {
    let failure = tried.failures.first().and_then(|failure| failure.seen.as_deref());
    failure.unwrap_or_default()
}
