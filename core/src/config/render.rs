//! Findings as text, in rustc's look.
//!
//! ```text
//! error[unknown-field]: unknown field `ipBlock`
//!   --> policy.yaml:12:13
//!    |
//! 12 |             ipBlock:
//!    |             ^^^^^^^
//!    = field: spec.rules[0].from[0].source.ipBlock
//!    = help: did you mean `ipBlocks`?
//! ```
//!
//! The excerpt never shows a key ([`super::mask`]) and nothing that a terminal
//! would act on; long lines are cut around the place.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use super::diagnostic::{Diagnostic, Severity, Source, line_column};
use super::mask::{line_at, masked};
use super::quote::{is_unprintable, push_escaped};
use crate::limits::{EXCERPT_COLUMNS_MAX, EXCERPT_LINE_BYTES_MAX};

/// What stands for a masked value, whatever its length.
const MASK: &str = "********";

impl Diagnostic {
    /// The finding with an excerpt of its source, each line ended. `sources` is the slice that was loaded.
    #[must_use]
    pub fn render(&self, sources: &[Source], colour: bool) -> String {
        let paint = Paint { colour };
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let level = match self.severity {
            Severity::Error => Style::Error,
            Severity::Warning => Style::Warning,
        };
        let mut out = String::new();
        paint.add(&mut out, level, &format!("{severity}[{}]", self.code));
        paint.add(&mut out, Style::Bold, &format!(": {}", printable(&self.message)));
        out.push('\n');
        let source = self.at.source(sources);
        let gutter = match source {
            Some(source) => self.excerpt(source, level, paint, &mut out),
            None => 1,
        };
        for (label, text) in [("field", Some(self.field.as_str())), ("help", self.help.as_deref())] {
            let Some(text) = text.filter(|text| !text.is_empty()) else {
                continue;
            };
            out.extend(core::iter::repeat_n(' ', gutter + 1));
            paint.add(&mut out, Style::Frame, "= ");
            paint.add(&mut out, Style::Bold, label);
            out.push_str(&format!(": {}\n", printable(text)));
        }
        out
    }

    /// The place and the source line with the place underlined. The value is the width of the line number.
    fn excerpt(&self, source: &Source, level: Style, paint: Paint, out: &mut String) -> usize {
        let (line_number, column) = line_column(source, self.at.start);
        let number = line_number.to_string();
        let gutter = number.len();
        let pad = " ".repeat(gutter);
        out.push_str(&pad);
        paint.add(out, Style::Frame, "--> ");
        out.push_str(&format!("{}:{line_number}:{column}\n", printable(&source.name)));
        let (start, line) = line_at(&source.text, self.at.start);
        if line.len() > EXCERPT_LINE_BYTES_MAX || line.trim().is_empty() {
            return gutter;
        }
        let place = place_in_line(self, start, line);
        let cells = window(cells(&source.text, start, line), &place);
        let (text, marks) = draw(&cells, &place);
        paint.add(out, Style::Frame, &format!("{pad} |\n{number} |"));
        out.push_str(&format!(" {text}\n"));
        paint.add(out, Style::Frame, &format!("{pad} |"));
        out.push(' ');
        out.push_str(&" ".repeat(marks.start));
        paint.add(out, level, &"^".repeat(marks.len()));
        out.push('\n');
        gutter
    }
}

/// One column of the excerpt and the byte of the line that it stands for.
#[derive(Clone, Copy)]
struct Cell {
    shown: char,
    byte: usize,
}

/// The finding's place as bytes of its first line; at least one byte, also behind the end.
fn place_in_line(finding: &Diagnostic, line_start: usize, line: &str) -> Range<usize> {
    let relative = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX).saturating_sub(line_start);
    let start = relative(finding.at.start).min(line.len());
    let end = relative(finding.at.end).min(line.trim_end().len());
    start..end.max(start + 1)
}

/// The line as columns: tabs are four wide, masked values and unprintable characters replaced.
fn cells(text: &str, line_start: usize, line: &str) -> Vec<Cell> {
    let masks = masked(text, line_start, line);
    let mask_of = |byte: usize| masks.iter().find(|mask| mask.contains(&byte));
    let mut cells = Vec::new();
    let mut shown_mask = None;
    for (byte, c) in line.char_indices() {
        if let Some(mask) = mask_of(byte) {
            if shown_mask != Some(mask) {
                cells.extend(MASK.chars().map(|shown| Cell { shown, byte }));
                shown_mask = Some(mask);
            }
        } else if c == '\t' {
            cells.extend([Cell { shown: ' ', byte }; 4]);
        } else if is_unprintable(c) {
            let mut escaped = String::new();
            push_escaped(&mut escaped, c);
            cells.extend(escaped.chars().map(|shown| Cell { shown, byte }));
        } else {
            cells.push(Cell { shown: c, byte });
        }
    }
    cells
}

/// At most [`EXCERPT_COLUMNS_MAX`] columns, the place among them.
fn window(cells: Vec<Cell>, place: &Range<usize>) -> Vec<Cell> {
    if cells.len() <= EXCERPT_COLUMNS_MAX {
        return cells;
    }
    let first = cells
        .iter()
        .position(|cell| cell.byte >= place.start)
        .unwrap_or(cells.len());
    let from = first
        .saturating_sub(EXCERPT_COLUMNS_MAX / 2)
        .min(cells.len() - EXCERPT_COLUMNS_MAX);
    let to = from + EXCERPT_COLUMNS_MAX;
    let mut kept: Vec<Cell> = cells.get(from..to).unwrap_or_default().to_vec();
    if let Some(cell) = kept.first_mut().filter(|_| from > 0) {
        cell.shown = '…';
    }
    if let Some(cell) = kept.last_mut().filter(|_| to < cells.len()) {
        cell.shown = '…';
    }
    kept
}

/// The text of the columns, and which of them to underline.
fn draw(cells: &[Cell], place: &Range<usize>) -> (String, Range<usize>) {
    let text: String = cells.iter().map(|cell| cell.shown).collect();
    let start = cells.iter().position(|cell| cell.byte >= place.start);
    // A masked value is one column range that begins at its first byte.
    let start = start.unwrap_or(cells.len());
    let end = cells
        .iter()
        .rposition(|cell| cell.byte < place.end)
        .map_or(0, |index| index + 1);
    (String::from(text.trim_end()), start..end.max(start + 1))
}

fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push_escaped(&mut out, c));
    out
}

#[derive(Clone, Copy)]
struct Paint {
    colour: bool,
}

#[derive(Clone, Copy)]
enum Style {
    Error,
    Warning,
    Frame,
    Bold,
}

impl Paint {
    fn add(self, out: &mut String, style: Style, text: &str) {
        if !self.colour {
            return out.push_str(text);
        }
        let code = match style {
            Style::Error => "1;31",
            Style::Warning => "1;33",
            Style::Frame => "1;34",
            Style::Bold => "1",
        };
        out.push_str(&format!("\u{1b}[{code}m{text}\u{1b}[0m"));
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::config::diagnostic::{Diagnostics, Location};

    fn finding(start: u32, end: u32) -> Diagnostic {
        let mut diagnostics = Diagnostics::default();
        let at = Location { source: 0, start, end };
        diagnostics.error("code", at, "message").clone()
    }

    fn rendered(text: &str, start: u32, end: u32) -> String {
        let sources = vec![Source::new("a.yaml".into(), text.into())];
        finding(start, end).render(&sources, false)
    }

    #[test]
    fn the_place_is_underlined() {
        assert_eq!(
            rendered("a: 1\nbcd: 2\n", 5, 8),
            "error[code]: message\n --> a.yaml:2:1\n  |\n2 | bcd: 2\n  | ^^^\n"
        );
    }

    #[test]
    fn columns_are_characters_and_tabs_are_four_wide() {
        assert!(rendered("ä: x\r\n", 4, 5).contains(":1:4\n  |\n1 | ä: x\n  |    ^\n"));
        assert!(rendered("\tx: 1", 1, 2).contains(":1:2\n  |\n1 |     x: 1\n  |     ^\n"));
    }

    #[test]
    fn places_past_the_end_do_not_panic() {
        for text in ["", "a", "a\n", "ä", "\r\n", "\u{feff}"] {
            for start in 0..6 {
                for end in [0, start, start + 1, u32::MAX] {
                    rendered(text, start, end);
                }
            }
            rendered(text, u32::MAX, u32::MAX);
        }
        let mut lost = finding(0, 1);
        lost.at.source = 9;
        assert_eq!(lost.render(&[], false), "error[code]: message\n");
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let text = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let out = rendered(&text, 500, 501);
        let line = out.lines().find(|line| line.starts_with("1 |")).unwrap();
        assert!(line.chars().count() <= EXCERPT_COLUMNS_MAX + 4, "{line}");
        assert!(line.starts_with("1 | …a") && line.ends_with("b…"));
        let mark = out.lines().last().unwrap().chars().position(|c| c == '^').unwrap();
        assert_eq!(line.chars().nth(mark), Some('X'));
    }

    #[test]
    fn endless_lines_are_not_searched_and_so_not_shown() {
        let text = format!("apiKey: abc {}", "x".repeat(EXCERPT_LINE_BYTES_MAX));
        assert_eq!(rendered(&text, 8, 9), "error[code]: message\n --> a.yaml:1:9\n");
    }

    #[test]
    fn a_file_cannot_drive_the_terminal() {
        let out = rendered("x: \"\u{1b}]0;owned\u{7}\u{202e}\"", 0, 1);
        assert!(out.contains("\\u{1b}]0;owned\\u{7}\\u{202e}"));
        assert!(!out.contains('\u{1b}'));
        let mut named = finding(0, 1);
        named.message = "\u{1b}[31mred\nnext".into();
        assert!(named.render(&[], false).contains("\\u{1b}[31mred\\u{a}next"));
    }

    #[test]
    fn keys_are_masked_whatever_their_length() {
        for key in ["abc", "sk-0123456789abcdef"] {
            let text = format!("apiKey: {key}");
            let out = rendered(&text, 8, u32::try_from(text.len()).unwrap());
            assert!(out.contains("1 | apiKey: ********\n  |         ^^^^^^^^\n"), "{out}");
            assert!(!out.contains(key));
        }
    }

    #[test]
    fn colour_is_only_on_request() {
        let sources = [Source::new("a".into(), "x".into())];
        assert!(
            finding(0, 1)
                .render(&sources, true)
                .starts_with("\u{1b}[1;31merror[code]\u{1b}[0m")
        );
        assert!(!finding(0, 1).render(&sources, false).contains('\u{1b}'));
    }
}
