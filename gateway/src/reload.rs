//! A new configuration while requests run: load, compile, bind what is new,
//! swap, release what is gone.
//!
//! Anything that is wrong with the new configuration leaves the old one in
//! place, whole. Requests end on the snapshot that they began with.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lockgate_core::compile::Compiled;
use lockgate_core::config::diagnostic::{Diagnostics, Severity, Source};
use lockgate_core::{Built, Memory};
use tokio::sync::mpsc;

use crate::config::Inputs;
use crate::dump::Dump;
use crate::limits::RELOAD_DEBOUNCE;
use crate::live::Live;
use crate::ports::Ports;
use crate::shared::Shared;
use crate::worker::Handle;
use crate::{config, log};

/// A configuration that was not put to use, in words for the operator.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

/// Loads, compiles and prepares: everything that can go wrong before a socket is touched.
pub(crate) fn load(inputs: &mut Inputs, memory: &mut Memory) -> Result<Live, Refused> {
    prepare(compile(inputs, memory)?)
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
    let files = inputs.read().map_err(|error| Refused(format!("error: {error}\n")))?;
    let names = files.iter().map(|file| (*file.name).to_owned()).collect();
    let (built, sources) = inputs.build_again(files, memory);
    let Built {
        compiled,
        documents,
        diagnostics,
        scenarios: _,
    } = built;
    let rendered = config::render(&diagnostics, &sources);
    let Some(compiled) = compiled else {
        return Err(Refused(rendered));
    };
    if !rendered.is_empty() {
        eprint!("{rendered}");
    }
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
            // Before they are read, so that no change of theirs is missed, and also when they are refused then.
            watch.follow([&shared.live.load().compiled, &loaded.compiled]);
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

/// Tells of changed files, after they have been quiet for a moment.
#[derive(Debug)]
pub(crate) struct FileWatch {
    changes: mpsc::UnboundedReceiver<()>,
    watcher: Option<notify::RecommendedWatcher>,
    /// Directories that are watched.
    directories: Vec<PathBuf>,
    /// Files besides those of the configuration.
    followed: Arc<Mutex<Vec<PathBuf>>>,
}

impl FileWatch {
    /// Watches the directories of `inputs`. Where that is not possible, says so: SIGHUP still reloads.
    pub(crate) fn new(inputs: &Inputs) -> Self {
        let (sender, changes) = mpsc::unbounded_channel();
        let watched = inputs.clone();
        let followed: Arc<Mutex<Vec<PathBuf>>> = Arc::default();
        let others = Arc::clone(&followed);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let concerns = |path: &PathBuf| watched.concerns(path) || is_followed(&others, path);
            let concerns = event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(concerns));
            if concerns {
                let _ = sender.send(());
            }
        });
        if let Err(error) = &watcher {
            cannot_watch(error);
        }
        let mut watch = Self {
            changes,
            watcher: watcher.ok(),
            directories: Vec::new(),
            followed,
        };
        for directory in inputs.directories() {
            watch.watch(directory);
        }
        watch
    }

    /// Watches the files besides the configuration's own that some configurations are made of.
    pub(crate) fn follow<'c>(&mut self, configurations: impl IntoIterator<Item = &'c Compiled>) {
        let files: Vec<PathBuf> = configurations
            .into_iter()
            .flat_map(|compiled| compiled.snapshot.files().map(PathBuf::from))
            .collect();
        for file in &files {
            self.watch(config::directory_of(file).to_owned());
        }
        *self.followed.lock().unwrap_or_else(PoisonError::into_inner) = files;
    }

    fn watch(&mut self, directory: PathBuf) {
        let Some(watcher) = self.watcher.as_mut().filter(|_| !self.directories.contains(&directory)) else {
            return;
        };
        match notify::Watcher::watch(watcher, &directory, notify::RecursiveMode::NonRecursive) {
            Ok(()) => self.directories.push(directory),
            Err(error) => cannot_watch(&error),
        }
    }

    /// Resolves when files have changed and no further change came for a moment.
    pub(crate) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            // Nothing is watched.
            core::future::pending::<()>().await;
        }
        while let Ok(Some(())) = tokio::time::timeout(RELOAD_DEBOUNCE, self.changes.recv()).await {}
    }
}

/// Whether the path is one of the files, or the link by which Kubernetes swaps all files of a directory at once.
fn is_followed(files: &Mutex<Vec<PathBuf>>, path: &Path) -> bool {
    let files = files.lock().unwrap_or_else(PoisonError::into_inner);
    let is_swapped = path.file_name().is_some_and(|name| name == "..data");
    files
        .iter()
        .filter(|file| is_swapped || file.file_name() == path.file_name())
        .any(|file| config::is_same(config::directory_of(file), config::directory_of(path)))
}

fn cannot_watch(error: &notify::Error) {
    log::warning(
        "cannot watch the configuration files; SIGHUP reloads",
        &[("error", &error.to_string())],
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_followed_by_whatever_name_the_watcher_has_for_it() {
        let here = std::env::current_dir().unwrap();
        let followed = Mutex::new(vec![PathBuf::from("tls.pem"), here.join("mounted/tls.key")]);
        for (path, is_followed_there) in [
            ("tls.pem", true),
            ("..data", true),
            ("mounted/tls.key", true),
            ("mounted/..data", true),
            ("mounted/tls.pem", false),
            ("other/..data", false),
        ] {
            assert_eq!(is_followed(&followed, Path::new(path)), is_followed_there, "{path}");
            assert_eq!(
                is_followed(&followed, &here.join(path)),
                is_followed_there,
                "{path} in full"
            );
        }
    }
}
