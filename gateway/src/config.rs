//! Where the configuration comes from, and how it becomes a compiled snapshot.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use lockgate_core::compile::Settings;
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::{Diagnostics, Source};
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
    /// Standard input, which can be read only once.
    stdin: Option<String>,
    pub(crate) ignore_kinds: Vec<String>,
    pub(crate) settings: Settings,
}

/// A source that cannot be read.
#[derive(Debug)]
pub(crate) struct InputError {
    path: PathBuf,
    error: io::Error,
}

impl InputError {
    fn new(path: &Path, error: io::Error) -> Self {
        Self {
            path: path.to_owned(),
            error,
        }
    }
}

impl core::fmt::Display for InputError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "cannot read `{}`: ", self.path.display())?;
        if let Ok(target) = std::fs::read_link(&self.path) {
            write!(f, "it is a link to `{}`: ", target.display())?;
        }
        write!(f, "{}", self.error)
    }
}

impl Inputs {
    /// Inputs from files.
    pub(crate) fn new(paths: Vec<PathBuf>, ignore_kinds: Vec<String>, settings: Settings) -> Self {
        Self {
            paths,
            mesh_config: None,
            embedded: Vec::new(),
            variables: Vec::new(),
            stdin: None,
            ignore_kinds,
            settings,
        }
    }

    /// Reads all sources.
    pub(crate) fn read(&mut self) -> Result<Vec<Source>, InputError> {
        let mut sources = Vec::new();
        for path in &self.paths {
            let failed = |error| InputError::new(path, error);
            if path.as_os_str() == "-" {
                let text = match self.stdin.take() {
                    Some(text) => text,
                    None => io::read_to_string(io::stdin()).map_err(failed)?,
                };
                sources.push(Source::new(STDIN.to_owned(), text.clone()));
                self.stdin = Some(text);
            } else if path.is_dir() {
                for file in directory(path).map_err(failed)? {
                    sources.push(file_of_directory(&file)?);
                }
            } else {
                sources.push(file_source(path)?);
            }
        }
        if let Some(path) = &self.mesh_config {
            let Source { name, text, .. } = file_source(path)?;
            sources.push(Source::mesh_config((*name).to_owned(), text));
        }
        sources.extend(self.embedded.iter().cloned());
        Ok(sources)
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

/// The configuration files of a directory, sorted, as kubectl takes them: not those of directories in it.
///
/// What cannot be looked at is one of them: it may be a DENY, so it must not be left out.
fn directory(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let file = entry?.path();
        if is_config(&file) && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// A file that was found and not given: to open a pipe would wait for who writes into it.
fn file_of_directory(path: &Path) -> Result<Source, InputError> {
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return Err(InputError::new(path, io::Error::other("it is no regular file")));
    }
    file_source(path)
}

/// Whether a file of a directory is one of configuration, by the end of its name.
pub(crate) fn is_config(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}

/// The longest configuration file that is read: a larger one is a mistake of the path, not a configuration.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

fn file_source(path: &Path) -> Result<Source, InputError> {
    let failed = |error| InputError::new(path, error);
    let read = || {
        let file = std::fs::File::open(path)?;
        let expected = file.metadata()?.len().min(FILE_BYTES_MAX);
        // One byte more, so that the end is seen without growing.
        let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default().saturating_add(1));
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "longer than 64 MiB",
        )));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        failed(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("no UTF-8 text: {error}"),
        ))
    })?;
    Ok(Source::new(path.display().to_string(), text))
}

/// Why a file cannot be read, if it cannot.
pub(crate) fn unreadable(path: &str) -> Option<String> {
    let opened = std::fs::File::open(path).and_then(|file| file.metadata());
    match opened {
        Ok(found) if found.is_dir() => Some("it is a directory".to_owned()),
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    }
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
        for name in ["b.yml", "a.yaml", "c.json", "notes.txt", "README"] {
            std::fs::write(dir.join(name), name).unwrap();
        }
        let mut inputs = Inputs::new(vec![dir.clone()], Vec::new(), Settings::default());
        let texts: Vec<String> = inputs.read().unwrap().into_iter().map(|source| source.text).collect();
        assert_eq!(texts, ["a.yaml", "b.yml", "c.json"]);
        let mut missing = Inputs::new(vec![dir.join("gone.yaml")], Vec::new(), Settings::default());
        assert!(missing.read().unwrap_err().to_string().contains("gone.yaml"));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
