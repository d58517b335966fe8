//! Which changes of the file system may change the configuration.
//!
//! A path leads to its file through directories and links, and each of them can
//! be replaced: a directory by `mv`, a link by `ln -sfn` or as Kubernetes swaps
//! `..data`. So every directory in which a name of the way is looked up is
//! watched, from the root on. A watch is of the directory that was there when it
//! began, so each reload goes all the ways anew.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockgate_core::compile::Compiled;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::config::{Inputs, is_config};
use crate::limits::{LINKS_MAX, RELOAD_DEBOUNCE};
use crate::log;

/// Tells of changed files, after they have been quiet for a moment.
#[derive(Debug)]
pub(crate) struct FileWatch {
    sender: mpsc::UnboundedSender<()>,
    changes: mpsc::UnboundedReceiver<()>,
    /// Whether there was a change that [`FileWatch::changed`] has not told.
    is_pending: bool,
    watch: Option<Watch>,
}

impl FileWatch {
    /// Watches nothing yet.
    pub(crate) fn new() -> Self {
        let (sender, changes) = mpsc::unbounded_channel();
        Self {
            sender,
            changes,
            is_pending: false,
            watch: None,
        }
    }

    /// Watches what is on the way to the files of `inputs` now, and no longer what was. To be called before they are
    /// read, so that no change is missed. Where that is not possible, says so: SIGHUP still reloads.
    pub(crate) fn renew(&mut self, inputs: &Inputs) {
        self.watch = Watch::new(&self.sender);
        if let Some(watch) = &mut self.watch {
            inputs.files().for_each(|path| watch.add(path));
        }
    }

    /// Watches the files besides the configuration's own that `compiled` is made of, too.
    pub(crate) fn follow(&mut self, compiled: &Compiled) {
        if let Some(watch) = &mut self.watch {
            compiled.snapshot.files().for_each(|path| watch.add(Path::new(path)));
        }
    }

    /// Resolves when files have changed and no further change came for a moment. May be cancelled: the next call tells
    /// what this one has not.
    pub(crate) async fn changed(&mut self) {
        if !self.is_pending {
            // There is always a sender.
            let _ = self.changes.recv().await;
            self.is_pending = true;
        }
        while let Ok(Some(())) = tokio::time::timeout(RELOAD_DEBOUNCE, self.changes.recv()).await {}
        self.is_pending = false;
    }
}

/// The directories that are watched, and what for.
#[derive(Debug)]
struct Watch {
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    /// Shared with the watcher's thread, which must not be asked for anything while this is locked.
    ways: Arc<Mutex<Ways>>,
}

impl Watch {
    fn new(sender: &mpsc::UnboundedSender<()>) -> Option<Self> {
        let ways: Arc<Mutex<Ways>> = Arc::default();
        let (known, sender) = (Arc::clone(&ways), sender.clone());
        let concerns = move |event: &notify::Event| {
            // Where events were lost any file may have changed.
            event.need_rescan()
                || (!event.kind.is_access() && event.paths.iter().any(|path| lock(&known).concerns(path)))
        };
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| concerns(&event)) {
                let _ = sender.send(());
            }
        });
        match watcher {
            Ok(watcher) => Some(Self {
                watcher,
                watched: BTreeSet::new(),
                ways,
            }),
            Err(error) => {
                cannot_watch(&error);
                None
            }
        }
    }

    /// Watches a file, or all configuration files of a directory.
    fn add(&mut self, path: &Path) {
        let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let end = self.go(PathBuf::from("/"), &full);
        if !end.is_dir() {
            self.require(end.parent().unwrap_or(&end));
            return;
        }
        lock(&self.ways).directories.insert(end.clone());
        self.require(&end);
        // That it cannot be read is told where it is read.
        for entry in std::fs::read_dir(&end).into_iter().flatten().flatten() {
            let is_link = entry.file_type().is_ok_and(|found| found.is_symlink());
            if is_link && is_config(&entry.path()) {
                self.go(end.clone(), Path::new(&entry.file_name()));
            }
        }
    }

    /// Where a path leads from a directory. Each directory on the way is watched before anything is looked up in it.
    fn go(&mut self, from: PathBuf, path: &Path) -> PathBuf {
        let mut at = from;
        let mut ahead = names(path);
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            let step = at.join(name);
            lock(&self.ways).steps.insert(step.clone());
            // A way may lead through directories that may not be read, and further than there is anything yet.
            let _ = self.watch(&at);
            match std::fs::read_link(&step) {
                Ok(target) if links < LINKS_MAX => {
                    links += 1;
                    if target.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    ahead.extend(names(&target));
                }
                _ => at = step,
            }
        }
        at
    }

    /// Watches a directory whose files are read, and says so if that cannot be. One that comes yet is seen where its
    /// name is looked up.
    fn require(&mut self, directory: &Path) {
        match self.watch(directory) {
            Err(error) if !is_missing(&error) => cannot_watch(&error),
            _ => {}
        }
    }

    fn watch(&mut self, directory: &Path) -> notify::Result<()> {
        if !self.watched.contains(directory) {
            self.watcher.watch(directory, RecursiveMode::NonRecursive)?;
            self.watched.insert(directory.to_owned());
        }
        Ok(())
    }
}

/// The names of a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    });
    names.collect()
}

/// What a change of is a change of the configuration, in full and without links, as the watcher calls it.
#[derive(Debug, Default)]
struct Ways {
    /// Each name on the way to a file, in the directory that it is looked up in.
    steps: BTreeSet<PathBuf>,
    /// Where every configuration file is read.
    directories: BTreeSet<PathBuf>,
}

impl Ways {
    fn concerns(&self, path: &Path) -> bool {
        // A mounted ConfigMap comes by its `..data` link before any file of it is there.
        let is_mount = || {
            path.file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b".."))
        };
        let is_in = |directory: &Path| self.directories.contains(directory);
        self.steps.contains(path) || (path.parent().is_some_and(is_in) && (is_config(path) || is_mount()))
    }
}

fn is_missing(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        _ => false,
    }
}

fn cannot_watch(error: &notify::Error) {
    log::warning(
        "cannot watch the configuration files; SIGHUP reloads",
        &[("error", &error.to_string())],
    );
}

fn lock(ways: &Mutex<Ways>) -> MutexGuard<'_, Ways> {
    ways.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A directory, in full and without links, with what is asked of a watch in it.
    fn watched(name: &str, make: impl FnOnce(&Path), paths: &[&str]) -> (PathBuf, Watch) {
        let dir = std::env::temp_dir().join(format!("lockgate-watch-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let dir = dir.canonicalize().unwrap();
        make(&dir);
        let (sender, _) = mpsc::unbounded_channel();
        let mut watch = Watch::new(&sender).unwrap();
        paths.iter().for_each(|path| watch.add(&dir.join(path)));
        (dir, watch)
    }

    fn assert_concerns(dir: &Path, watch: &Watch, cases: &[(&str, bool)]) {
        for (path, wanted) in cases {
            assert_eq!(lock(&watch.ways).concerns(&dir.join(path)), *wanted, "{path}");
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_told_although_something_else_came_first() {
        let mut watch = FileWatch::new();
        watch.sender.send(()).unwrap();
        for _ in 0..2 {
            assert!(
                tokio::time::timeout(RELOAD_DEBOUNCE / 2, watch.changed())
                    .await
                    .is_err()
            );
        }
        watch.changed().await;
        assert!(
            tokio::time::timeout(RELOAD_DEBOUNCE * 2, watch.changed())
                .await
                .is_err()
        );
    }

    #[test]
    fn a_file_and_every_link_and_directory_on_the_way_concern() {
        let (dir, watch) = watched(
            "file",
            |dir| {
                std::fs::create_dir_all(dir.join("mounted/..1")).unwrap();
                std::fs::write(dir.join("mounted/..1/tls.pem"), "").unwrap();
                symlink("..1", dir.join("mounted/..data")).unwrap();
                symlink("..data/tls.pem", dir.join("mounted/tls.pem")).unwrap();
                symlink(dir.join("mounted"), dir.join("current")).unwrap();
            },
            &["current/../current/tls.pem", "a.yaml", "gone/b.yaml"],
        );
        assert_concerns(
            &dir,
            &watch,
            &[
                ("", true),
                ("current", true),
                ("mounted", true),
                ("mounted/tls.pem", true),
                ("mounted/..data", true),
                ("mounted/..1", true),
                ("mounted/..1/tls.pem", true),
                ("mounted/other.pem", false),
                ("mounted/..2", false),
                ("a.yaml", true),
                ("b.yaml", false),
                ("gone", true),
                ("gone/b.yaml", true),
            ],
        );
    }

    #[test]
    fn the_configuration_files_of_a_directory_concern_and_where_their_links_lead() {
        let (dir, watch) = watched(
            "directory",
            |dir| {
                std::fs::create_dir_all(dir.join("conf/nested.yaml")).unwrap();
                std::fs::create_dir_all(dir.join("shared")).unwrap();
                std::fs::write(dir.join("shared/x"), "").unwrap();
                symlink("../shared/x", dir.join("conf/x.yaml")).unwrap();
                symlink("loop.yaml", dir.join("conf/loop.yaml")).unwrap();
            },
            &["conf"],
        );
        assert_concerns(
            &dir,
            &watch,
            &[
                ("conf", true),
                ("conf/new.yaml", true),
                ("conf/..data", true),
                ("conf/access.log", false),
                ("conf/nested.yaml/x.yaml", false),
                ("shared", true),
                ("shared/x", true),
                ("shared/y.yaml", false),
                ("other/a.yaml", false),
            ],
        );
    }

    #[test]
    fn a_relative_path_is_one_from_where_the_process_runs() {
        let (sender, _) = mpsc::unbounded_channel();
        let mut watch = Watch::new(&sender).unwrap();
        watch.add(Path::new("./a.yaml"));
        watch.add(Path::new("b.yaml"));
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        for (path, wanted) in [
            ("a.yaml", true),
            ("b.yaml", true),
            ("c.yaml", false),
            ("src/a.yaml", false),
        ] {
            assert_eq!(lock(&watch.ways).concerns(&here.join(path)), wanted, "{path}");
        }
    }
}
