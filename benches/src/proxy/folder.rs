//! A folder for the files of one run, which goes with it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The folder.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// A new one, empty.
    pub(super) fn new() -> Result<Self, String> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("lockgate-proxies-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, in a folder of its own if `name` says so.
    pub(super) fn file(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let file = self.0.join(name);
        let folder = file.parent().unwrap_or(&self.0);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&file, text))
            .map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(file)
    }

    /// Lines of a file so far.
    pub(super) fn lines(&self, name: &str) -> Result<u64, String> {
        let file = self.0.join(name);
        let text = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(text.iter().filter(|byte| **byte == b'\n').count() as u64)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
