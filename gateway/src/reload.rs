//! A new configuration while requests run: load, compile, bind what is new,
//! swap, release what is gone.
//!
//! Anything that is wrong with the new configuration leaves the old one in
//! place, whole. Requests end on the snapshot that they began with.

use std::sync::Arc;

use lockgate_core::compile::Compiled;
use lockgate_core::config::diagnostic::{Diagnostics, Severity, Source};
use lockgate_core::{Built, Memory};

use crate::config::Inputs;
use crate::dump::Dump;
use crate::live::Live;
use crate::ports::Ports;
use crate::shared::Shared;
use crate::watch::FileWatch;
use crate::worker::Handle;
use crate::{config, log};

/// A configuration that was not put to use, in words for the operator.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

/// Loads, compiles and prepares: everything that can go wrong before a socket is touched.
pub(crate) fn load(inputs: &mut Inputs, memory: &mut Memory, watch: &mut FileWatch) -> Result<Live, Refused> {
    watch.renew(inputs);
    let loaded = compile(inputs, memory)?;
    watch.follow(&loaded.compiled);
    prepare(loaded)
}

/// A configuration that is right in itself.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) compiled: Compiled,
    dump: Dump,
    sources: Vec<Source>,
}

fn prepare(loaded: Loaded) -> Result<Live, Refused> {
    let Loaded {
        compiled,
        dump,
        sources,
    } = loaded;
    let mut diagnostics = Diagnostics::default();
    compiled.report_unreadable(&config::unreadable, Severity::Error, &mut diagnostics);
    if diagnostics.has_errors() {
        return Err(Refused(config::render(&diagnostics, &sources)));
    }
    Live::new(compiled, dump).map_err(|error| Refused(format!("error: {error}\n")))
}

/// Loads and compiles: what is wrong with the configuration itself, wherever it is to be served.
pub(crate) fn compile(inputs: &mut Inputs, memory: &mut Memory) -> Result<Loaded, Refused> {
    let files = inputs.read();
    let names = files.iter().map(|file| (*file.name).to_owned()).collect();
    let (built, sources) = inputs.build_again(files, memory);
    let Built {
        compiled,
        documents,
        diagnostics,
        scenarios: _,
    } = built;
    let Some(compiled) = compiled else {
        return Err(Refused(config::render(&diagnostics, &sources)));
    };
    log::findings(&diagnostics, &sources);
    let dump = Dump::new(documents, names, inputs.settings.clone(), |name| inputs.variable(name));
    Ok(Loaded {
        compiled,
        dump,
        sources,
    })
}

/// Loads again and, if all is well, swaps. Whether it has.
pub(crate) async fn reload(
    inputs: &Inputs,
    memory: &mut Memory,
    ports: &mut Ports,
    shared: &Arc<Shared>,
    workers: &[Handle],
    watch: &mut FileWatch,
) -> bool {
    watch.renew(inputs);
    watch.follow(&shared.live.load().compiled);
    let (mut aside, mut known) = (inputs.clone(), core::mem::take(memory));
    let compiled = off_thread(move || {
        let compiled = compile(&mut aside, &mut known);
        Ok((compiled, known))
    });
    let compiled = compiled.await.and_then(|(compiled, known)| {
        *memory = known;
        compiled
    });
    let loaded = match compiled {
        Ok(loaded) => {
            watch.follow(&loaded.compiled);
            off_thread(move || prepare(loaded)).await
        }
        Err(refused) => Err(refused),
    };
    match loaded.and_then(|live| Ok((ports.bind(&live, workers.len())?, live))) {
        Ok((bound, mut live)) => {
            let before = shared.live.load_full();
            live.tokens.start(Some(&before.tokens), &shared.fetcher);
            live.servers.resume(&before.servers);
            let live = Arc::new(live);
            shared.live.store(Arc::clone(&live));
            ports.open(bound, workers);
            ports.close_others(&live, workers);
            ports.warn_of_unused(&live);
            shared.metrics.reload.succeeded();
            log::info("configuration loaded", &[("snapshot", live.compiled.snapshot.id())]);
            true
        }
        Err(Refused(why)) => {
            shared.metrics.reload.failed();
            let kept = shared.live.load();
            log::warning(
                "configuration refused, the last good one stays",
                &[("snapshot", kept.compiled.snapshot.id()), ("reason", &why)],
            );
            false
        }
    }
}

/// Runs what may take long beside what must not wait.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let failed = |panic| Err(Refused(format!("error: the compiler failed: {panic}\n")));
    tokio::task::spawn_blocking(work).await.unwrap_or_else(failed)
}
