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
use crate::{config, dump, log};

/// A configuration that was not put to use, in words for the operator.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

/// Loads, compiles and prepares: everything that can go wrong before a socket is touched.
pub(crate) fn load(inputs: &mut Inputs, memory: &mut Memory, watch: &mut FileWatch) -> Result<Live, Refused> {
    watch.renew(inputs);
    let loaded = compile(inputs, memory, None)?;
    watch.follow(&loaded.compiled);
    prepare(loaded, None)
}

/// A configuration that is right in itself.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) compiled: Compiled,
    dump: Dump,
    sources: Vec<Source>,
}

/// With what of `before` has not changed.
fn prepare(loaded: Loaded, before: Option<&Live>) -> Result<Live, Refused> {
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
    let mut live = Live::new(compiled, dump).map_err(|error| Refused(format!("error: {error}\n")))?;
    if let Some(before) = before {
        live.keep_upstreams(before);
    }
    Ok(live)
}

/// Loads and compiles, in place of `before` if there is one: what is wrong with the configuration itself, wherever it is
/// to be served.
pub(crate) fn compile(inputs: &mut Inputs, memory: &mut Memory, before: Option<&Live>) -> Result<Loaded, Refused> {
    let mut files = inputs.read();
    if let Some(before) = before {
        config::refuse_emptied(&mut files, |name| before.dump.held(name));
    }
    let file = |source: &Source| dump::Loaded {
        name: (*source.name).to_owned(),
        is_blank: source.is_blank(),
    };
    let names = files.iter().map(file).collect();
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
    let before = shared.live.load_full();
    let kept = Arc::clone(&before);
    let compiled = off_thread(move || {
        let compiled = compile(&mut aside, &mut known, Some(&kept));
        Ok((compiled, known))
    });
    let compiled = compiled.await.and_then(|(compiled, known)| {
        *memory = known;
        compiled
    });
    let loaded = match compiled {
        Ok(loaded) => {
            watch.follow(&loaded.compiled);
            let before = Arc::clone(&before);
            off_thread(move || prepare(loaded, Some(&before))).await
        }
        Err(refused) => Err(refused),
    };
    match loaded.and_then(|live| Ok((ports.bind(&live, workers.len())?, live))) {
        Ok((bound, mut live)) => {
            shared.fetcher.forget_roots();
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

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_core::compile::Settings;

    /// Hosts that requests are routed to, each with its endpoint.
    fn live(hosts: &[(&str, &str)], before: Option<&Live>) -> Live {
        let mut text = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{hosts: ['*'], port: {name: http, number: 80, protocol: HTTP}}]
"
        .to_owned();
        for (host, endpoint) in hosts {
            text.push_str(&format!(
                "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {host}, namespace: istio-system}}
spec:
  hosts: [{host}]
  resolution: STATIC
  ports: [{{number: 80, name: http}}]
  endpoints: [{{address: {endpoint}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {host}, namespace: istio-system}}
spec: {{hosts: [{host}], gateways: [gw], http: [{{route: [{{destination: {{host: {host}}}}}]}}]}}
"
            ));
        }
        let mut inputs = Inputs::new(Vec::new(), Vec::new(), Settings::default());
        inputs.embedded.push(Source::new("a.yaml".to_owned(), text));
        prepare(compile(&mut inputs, &mut Memory::default(), None).unwrap(), before).unwrap()
    }

    #[test]
    fn upstreams_that_stay_are_the_very_ones_in_whatever_order() {
        let before = live(
            &[
                ("a.test", "192.0.2.1"),
                ("b.test", "192.0.2.2"),
                ("c.test", "192.0.2.3"),
            ],
            None,
        );
        let after = live(
            &[
                ("0.test", "192.0.2.9"),
                ("c.test", "192.0.2.3"),
                ("b.test", "192.0.2.7"),
                ("a.test", "192.0.2.1"),
            ],
            Some(&before),
        );
        assert_eq!((before.upstreams.len(), after.upstreams.len()), (3, 4));
        for target in &after.upstreams {
            let is_kept = before.upstreams.iter().any(|known| Arc::ptr_eq(known, target));
            assert_eq!(
                is_kept,
                ["a.test", "c.test"].contains(&&*target.host),
                "{}",
                target.host
            );
        }
    }
}
