//! What is said of a source whose text is not all there.
//!
//! A file that cannot be read may be a DENY, so it refuses the configuration;
//! the other files are read all the same, for what is wrong with them.

use alloc::format;

use super::diagnostic::{Diagnostics, Flaw, Location, Source};
use super::quote::quoted;

/// Reports the flaw of a source. Whether it refuses the configuration.
pub(super) fn report(source: &Source, index: u32, flaw: &Flaw, diagnostics: &mut Diagnostics) -> bool {
    let at = |byte: usize| {
        let byte = u32::try_from(byte).unwrap_or(u32::MAX);
        Location {
            source: index,
            start: byte,
            end: byte,
        }
    };
    match flaw {
        Flaw::Unreadable(why) => {
            let message = format!("cannot read {}: {why}", quoted(&source.name));
            diagnostics.error("unreadable-file", at(0), message);
            true
        }
        Flaw::WrongEncoding { byte, is_utf16 } => {
            let message = format!("the file is no UTF-8 text: no character has the byte 0x{byte:02x} here");
            diagnostics
                .error("wrong-encoding", at(source.text.len()), message)
                .help(match is_utf16 {
                    true => "it begins as UTF-16 does, which some editors write: save it as UTF-8",
                    false => "save it as UTF-8",
                });
            true
        }
        Flaw::EmptyDirectory => {
            diagnostics
                .warning(
                    "empty-directory",
                    at(0),
                    "no file of the directory ends in .yaml, .yml or .json",
                )
                .help("files of directories in it are not read: give those directories too");
            false
        }
    }
}
