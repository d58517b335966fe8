//! The release archive: one static program and what belongs to it, the same bytes for the same commit.
//!
//! Linux with musl, so that it runs on every distribution and on an empty container image.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{Outcome, cargo, find, output, program, root, run, target};
use crate::steps::Steps;
use crate::tools;

/// What is in it besides the program, its manual and its completions.
const FILES: [&str; 4] = ["LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md"];
const FOLDERS: [&str; 3] = ["deploy", "docs", "examples"];

/// Where each shell looks for completions, below the folder that the archive is unpacked to.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/lockgate"),
    ("fish", "share/fish/vendor_completions.d/lockgate.fish"),
    ("zsh", "share/zsh/site-functions/_lockgate"),
];

pub(crate) fn archive(steps: &mut Steps) -> Outcome {
    let musl = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    steps.run("dist: tools", || {
        tools::add_target(&musl)?;
        match find("musl-gcc") {
            Some(_) => Ok(()),
            None => Err("install musl's compiler for aws-lc (Debian: apt-get install musl-tools)".to_owned()),
        }
    })?;
    steps.run("dist: build", || {
        let arguments = format!("build --locked --profile dist --target {musl} -p lockgate --bin lockgate");
        run(&mut cargo("", &arguments))
    })?;
    let name = format!("lockgate-{}-{musl}", env!("CARGO_PKG_VERSION"));
    let built = target().join(&musl).join("dist/lockgate");
    let folder = target().join("archive");
    steps.run("dist: gather", || gather(&built, &folder.join(&name)))?;
    steps.run("dist: pack", || pack(&folder, &name))
}

fn gather(built: &Path, into: &Path) -> Outcome {
    if into.exists() {
        fs::remove_dir_all(into).map_err(|error| failed(into, &error))?;
    }
    let lockgate = into.join("bin/lockgate");
    copy(built, &lockgate)?;
    for file in FILES {
        copy(&root().join(file), &into.join(file))?;
    }
    for folder in FOLDERS {
        // What git knows, so that nothing of a work in progress gets into a release.
        let list = output(program("git", "ls-files -z").arg(folder))?;
        for file in list.split('\0').filter(|file| !file.is_empty()) {
            copy(&root().join(file), &into.join(file))?;
        }
    }
    for (shell, file) in COMPLETIONS {
        write(&into.join(file), &output(program(&lockgate, "completions").arg(shell))?)?;
    }
    write(
        &into.join("share/man/man1/lockgate.1"),
        &output(&mut program(&lockgate, "man"))?,
    )?;
    for command in commands(&output(&mut program(&lockgate, "--help"))?)? {
        let page = output(program(&lockgate, "man").arg(command))?;
        write(&into.join(format!("share/man/man1/lockgate-{command}.1")), &page)?;
    }
    let sums = sums(into)?;
    write(&into.join("SHA256SUMS"), &sums)
}

/// The commands that the help lists; each has a manual page of its own.
fn commands(help: &str) -> Outcome<Vec<&str>> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<&str> = listed.map_while(|line| line.split_whitespace().next()).collect();
    if commands.is_empty() {
        return Err(format!("no commands are listed in the help:\n{help}"));
    }
    Ok(commands)
}

/// The sum of every file, as `sha256sum --check` reads it.
fn sums(folder: &Path) -> Outcome<String> {
    let mut files = Vec::new();
    list(folder, &mut files)?;
    files.sort_unstable();
    let mut command = program("sha256sum", "--");
    command.current_dir(folder);
    for file in &files {
        command.arg(file.strip_prefix(folder).unwrap_or(file));
    }
    output(&mut command)
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome {
    let entries = fs::read_dir(folder).map_err(|error| failed(folder, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| failed(folder, &error))?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// With the commit's time on every file, nobody's name, and no order but that of names.
fn pack(folder: &Path, name: &str) -> Outcome {
    let time = output(&mut program("git", "log -1 --format=%ct"))?;
    let archive = format!("{name}.tar.gz");
    let mut tar = program(
        "tar",
        "--sort=name --owner=0 --group=0 --numeric-owner --format=gnu --mode=u+rwX,go+rX,go-w",
    );
    run(tar
        .current_dir(folder)
        .env("GZIP", "")
        .arg(format!("--mtime=@{}", time.trim()))
        .args([
            "--use-compress-program",
            "gzip -9 -n",
            "--create",
            "--file",
            &archive,
            name,
        ]))?;
    let sum = output(program("sha256sum", "--").arg(&archive).current_dir(folder))?;
    write(&folder.join(format!("{archive}.sha256")), &sum)?;
    print!("{}\n{sum}", folder.join(&archive).display());
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Outcome {
    make_room(to)?;
    fs::copy(from, to).map(drop).map_err(|error| failed(from, &error))
}

fn write(to: &Path, text: &str) -> Outcome {
    make_room(to)?;
    fs::write(to, text).map_err(|error| failed(to, &error))
}

fn make_room(file: &Path) -> Outcome {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
