//! Input inside messages: cut, escaped, and never a key.

use alloc::string::String;
use core::fmt::Write;

#[cfg(feature = "yaml")]
use super::mask::is_hidden;
#[cfg(feature = "yaml")]
use crate::limits::QUOTED_CHARS_MAX;

/// What stands for a text that must not be shown.
pub(crate) const REDACTED: &str = "`«redacted»`";

/// The text in backticks, cut to [`QUOTED_CHARS_MAX`], control characters escaped; what an excerpt would mask is left out.
#[cfg(feature = "yaml")]
pub(crate) fn quoted(text: &str) -> String {
    if is_hidden(text) {
        return String::from(REDACTED);
    }
    let mut out = String::from("`");
    for (count, c) in text.chars().enumerate() {
        if count == QUOTED_CHARS_MAX {
            out.push('…');
            break;
        }
        push_escaped(&mut out, c);
    }
    out.push('`');
    out
}

/// The text on one line, with nothing in it that a terminal would act on.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c => push_escaped(&mut out, c),
        }
    }
    out
}

/// Adds the character, escaped if a terminal would act on it.
pub(crate) fn push_escaped(out: &mut String, c: char) {
    if is_unprintable(c) {
        // Writing into a `String` cannot fail.
        let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
    } else {
        out.push(c);
    }
}

/// Control characters, and those that change the direction of text or cannot be seen.
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
