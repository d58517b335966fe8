//! Where the configuration comes from, and how it becomes a compiled snapshot.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use lockgate_core::compile::Settings;
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::{Diagnostics, Flaw, Source};
use lockgate_core::{Built, Memory};

/// What standard input is called.
pub(crate) const STDIN: &str = "<stdin>";

/// What is loaded, again at every reload.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    /// As given with `-f`: files, directories, `-`.
    pub(crate) paths: Vec<PathBuf>,
    /// A file that is a MeshConfig by itself; after the others.
    pub(crate) mesh_config: Option<PathBuf>,
    /// Texts that are part of the program; after the files.
    pub(crate) embedded: Vec<Source>,
    /// Variables that come before the environment.
    pub(crate) variables: Vec<(String, String)>,
    /// What was read of standard input and pipes, which can be read only once; `None` before that.
    pipes: Option<BTreeMap<PathBuf, Source>>,
    pub(crate) ignore_kinds: Vec<String>,
    pub(crate) settings: Settings,
}

impl Inputs {
    /// Inputs from files.
    pub(crate) fn new(paths: Vec<PathBuf>, ignore_kinds: Vec<String>, settings: Settings) -> Self {
        Self {
            paths,
            mesh_config: None,
            embedded: Vec::new(),
            variables: Vec::new(),
            pipes: None,
            ignore_kinds,
            settings,
        }
    }

    /// Reads all sources. What cannot be read is one that says so, beside what is wrong with the others.
    pub(crate) fn read(&mut self) -> Vec<Source> {
        let is_first = self.pipes.is_none();
        let pipes = self.pipes.get_or_insert_default();
        let mut sources = Vec::new();
        for path in &self.paths {
            if path.as_os_str() == "-" {
                let stdin = || source(Path::new(STDIN), read(io::stdin(), 0));
                sources.push(pipes.entry(path.clone()).or_insert_with(stdin).clone());
            } else if path.is_dir() {
                sources.extend(directory(path));
            } else {
                sources.push(file(path, pipes, is_first));
            }
        }
        if let Some(path) = &self.mesh_config {
            sources.push(file(path, pipes, is_first).as_mesh_config());
        }
        sources.extend(self.embedded.iter().cloned());
        sources
    }

    /// The same with what `other` has read of standard input and pipes.
    pub(crate) fn with_pipes_of(mut self, other: &Self) -> Self {
        self.pipes.clone_from(&other.pipes);
        self
    }

    /// Loads and compiles what [`Inputs::read`] read.
    pub(crate) fn build(&self, sources: &[Source]) -> Built {
        self.with_options(|options| lockgate_core::build(sources, options, &self.settings))
    }

    /// The same with what is known of the build before, and the sources that findings are about.
    pub(crate) fn build_again(&self, files: Vec<Source>, memory: &mut Memory) -> (Built, Vec<Source>) {
        self.with_options(|options| memory.build(files, options, &self.settings))
    }

    fn with_options<T>(&self, build: impl FnOnce(&LoadOptions<'_>) -> T) -> T {
        build(&LoadOptions {
            env: &|name| self.variable(name),
            ignore_kinds: &self.ignore_kinds,
        })
    }

    /// What `${NAME}` is replaced by.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let own = self.variables.iter().find(|(own, _)| *own == name);
        own.map(|(_, value)| value.clone()).or_else(|| std::env::var(name).ok())
    }

    /// The files and directories that were given.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let files = self.paths.iter().filter(|path| path.as_os_str() != "-");
        files.chain(&self.mesh_config)
    }
}

/// A file that was given by its name; one that can be read only once is kept in `pipes`.
///
/// Who gave a pipe writes into it. What has become one since may have nobody who does, and is not opened.
fn file(path: &Path, pipes: &mut BTreeMap<PathBuf, Source>, is_first: bool) -> Source {
    let is_pipe = path.metadata().is_ok_and(|found| !found.is_file());
    match pipes.get(path) {
        Some(kept) if is_pipe => kept.clone(),
        None if is_pipe && is_first => {
            let read = source(path, File::open(path).and_then(read_file));
            pipes.insert(path.to_owned(), read.clone());
            read
        }
        _ => source(path, open_found(path).and_then(read_file)),
    }
}

/// The configuration files of a directory, sorted, as kubectl takes them: not those of directories in it.
fn directory(path: &Path) -> Vec<Source> {
    match files_of(path) {
        Ok(files) if files.is_empty() => {
            let name = path.display().to_string();
            Vec::from([Source::without_text(name, Flaw::EmptyDirectory)])
        }
        Ok(files) => files
            .iter()
            .map(|file| source(file, open_found(file).and_then(read_file)))
            .collect(),
        Err(error) => Vec::from([source(path, Err(error))]),
    }
}

/// What cannot be looked at is one of them: it may be a DENY, so it must not be left out.
fn files_of(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let file = entry?.path();
        if is_config(&file) && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Opens a file, and nothing else: to open a pipe would wait for who writes into it.
fn open_found(path: &Path) -> io::Result<File> {
    match path.metadata()? {
        found if found.is_file() => File::open(path),
        found if found.is_dir() => Err(io::Error::other("it is a directory")),
        _ => Err(io::Error::other("it is no regular file")),
    }
}

/// Whether a file of a directory is one of configuration, by the end of its name. kubectl leaves `.YAML` out; who writes
/// a file of that name means it, and it may be a DENY.
pub(crate) fn is_config(path: &Path) -> bool {
    let is = |ending: &str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
    ["yaml", "yml", "json"].into_iter().any(is)
}

/// The longest configuration file that is read: a larger one is a mistake of the path, not a configuration.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

fn read_file(file: File) -> io::Result<Vec<u8>> {
    let expected = file.metadata()?.len();
    read(file, expected)
}

fn read(file: impl Read, expected: u64) -> io::Result<Vec<u8>> {
    // One byte more, so that the end is seen without growing.
    let expected = usize::try_from(expected.min(FILE_BYTES_MAX)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(expected.saturating_add(1));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 64 MiB")),
        false => Ok(bytes),
    }
}

fn source(path: &Path, read: io::Result<Vec<u8>>) -> Source {
    let name = path.display().to_string();
    match read {
        Ok(bytes) => Source::from_bytes(name, bytes),
        Err(error) => {
            let link = std::fs::read_link(path);
            let link = link.map_or_else(|_| String::new(), |to| format!("it is a link to `{}`: ", to.display()));
            Source::without_text(name, Flaw::Unreadable(format!("{link}{error}")))
        }
    }
}

/// A file that `held` something and is empty is in the middle of being written, or was lost by that: what it held may be
/// a DENY.
pub(crate) fn refuse_emptied(sources: &mut [Source], held: impl Fn(&str) -> bool) {
    for source in sources.iter_mut().filter(|source| source.is_blank()) {
        if held(&source.name) {
            let why = "there is nothing in the file, which held something when it was loaded last; if that is meant, \
                       remove it or write `---` into it";
            *source = Source::without_text((*source.name).to_owned(), Flaw::Unreadable(why.to_owned()));
        }
    }
}

/// Reads a file that the configuration names.
pub(crate) fn read_named(path: &str) -> io::Result<Vec<u8>> {
    open_found(Path::new(path)).and_then(read_file)
}

/// Why such a file cannot be read, if it cannot.
pub(crate) fn unreadable(path: &str) -> Option<String> {
    open_found(Path::new(path)).err().map(|error| error.to_string())
}

/// All findings for people, each with an excerpt of its source.
pub(crate) fn render(diagnostics: &Diagnostics, sources: &[Source]) -> String {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut text: String = diagnostics
        .as_slice()
        .iter()
        .map(|diagnostic| diagnostic.render(sources, colour) + "\n")
        .collect();
    if diagnostics.omitted() > 0 {
        text.push_str(&format!("… and {} more\n", diagnostics.omitted()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_as_kubectl_reads_it() {
        let dir = std::env::temp_dir().join(format!("lockgate-inputs-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("nested.yaml")).unwrap();
        for name in ["b.yml", "a.yaml", "c.json", "D.YAML", "notes.txt", "README"] {
            std::fs::write(dir.join(name), name).unwrap();
        }
        let mut inputs = Inputs::new(vec![dir.clone()], Vec::new(), Settings::default());
        let texts: Vec<String> = inputs.read().into_iter().map(|source| source.text).collect();
        assert_eq!(texts, ["D.YAML", "a.yaml", "b.yml", "c.json"]);
        let mut missing = Inputs::new(vec![dir.join("gone.yaml")], Vec::new(), Settings::default());
        let sources = missing.read();
        let diagnostics = missing.build(&sources).diagnostics;
        assert!(diagnostics.has_errors() && diagnostics.as_slice()[0].message.contains("gone.yaml"));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
