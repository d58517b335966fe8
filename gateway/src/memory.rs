//! What becomes of the process' memory: it is in no file, and taken from the system in small pieces.

use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::disable_transparent_huge_pages;

use crate::log;

/// Tells the system, before there is anything in it.
pub(crate) fn prepare() {
    if let Err(error) = write_no_core_files() {
        log::warning("a core file may be written", &[("error", &error.to_string())]);
    }
    // In huge pages, which the allocator asks for, the parts of buffers that nobody has written to take memory too: half
    // as much again for each stream, and little of it is given back after a burst. Where there are none, nothing is lost.
    let _: rustix::io::Result<()> = disable_transparent_huge_pages(true);
}

/// A core file is all of the memory, and so every key in it.
fn write_no_core_files() -> rustix::io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)
}
