//! A tree that is only kept to be shown, in as few bytes as its text has.
//!
//! A tree of nodes takes twenty times its text, and every loaded document is
//! kept for dumps. Here its values follow each other: a letter that says what
//! comes, and what comes. Nothing but [`Flat::of`] writes them.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::tree::{Meaning, Node, Scalar, Value, whole};

/// A value and all that is in it. Copies share it.
#[derive(Clone)]
pub(crate) struct Flat(Arc<[u8]>);

const NULL: u8 = b'n';
const FALSE: u8 = b'f';
const TRUE: u8 = b't';
/// As it was written: what it is worth is found out where it is shown.
const NUMBER: u8 = b'd';
const TEXT: u8 = b's';
const LIST: u8 = b'l';
const MAP: u8 = b'm';

impl Flat {
    pub(crate) fn of(node: &Node) -> Self {
        let mut bytes = Vec::new();
        write(node, &mut bytes);
        Self(bytes.into())
    }
}

impl Serialize for Flat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Next(&Cell::new(&self.0)).serialize(serializer)
    }
}

fn write(node: &Node, bytes: &mut Vec<u8>) {
    match &node.value {
        Value::Scalar(scalar) => write_scalar(scalar, bytes),
        Value::List(items) => {
            bytes.push(LIST);
            write_len(items.len(), bytes);
            items.iter().for_each(|item| write(item, bytes));
        }
        Value::Map(entries) => {
            bytes.push(MAP);
            write_len(entries.len(), bytes);
            for entry in entries {
                write_text(&entry.key.value, bytes);
                write(&entry.value, bytes);
            }
        }
    }
}

fn write_scalar(scalar: &Scalar, bytes: &mut Vec<u8>) {
    // A variable stands as it was written, and not as what the environment holds.
    if let Some(written) = &scalar.written {
        return write_text(written, bytes);
    }
    match scalar.meaning() {
        Meaning::Null => bytes.push(NULL),
        Meaning::Bool(truth) => bytes.push(if truth { TRUE } else { FALSE }),
        Meaning::Number => write_as(NUMBER, &scalar.text, bytes),
        Meaning::Text => write_text(&scalar.text, bytes),
    }
}

fn write_text(text: &str, bytes: &mut Vec<u8>) {
    write_as(TEXT, text, bytes);
}

fn write_as(what: u8, text: &str, bytes: &mut Vec<u8>) {
    bytes.push(what);
    write_len(text.len(), bytes);
    bytes.extend(text.as_bytes());
}

/// Seven bits a byte, the lowest first, the highest bit where more follow.
fn write_len(mut len: usize, bytes: &mut Vec<u8>) {
    loop {
        let [lowest, ..] = len.to_le_bytes();
        if len <= 0x7f {
            return bytes.push(lowest);
        }
        bytes.push(lowest | 0x80);
        len >>= 7;
    }
}

/// The value that comes next. Reading it leaves what is behind it.
struct Next<'f>(&'f Cell<&'f [u8]>);

impl<'f> Next<'f> {
    fn take(&self, len: usize) -> &'f [u8] {
        let (taken, rest) = self.0.get().split_at_checked(len).unwrap_or_default();
        self.0.set(rest);
        taken
    }

    fn array<const N: usize>(&self) -> [u8; N] {
        self.take(N).try_into().unwrap_or([0; N])
    }

    fn len(&self) -> usize {
        let (mut len, mut shift) = (0_usize, 0_u32);
        loop {
            let [byte] = self.array();
            len |= usize::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            shift = shift.saturating_add(7);
            if byte & 0x80 == 0 {
                return len;
            }
        }
    }

    fn text(&self) -> &'f str {
        let len = self.len();
        core::str::from_utf8(self.take(len)).unwrap_or_default()
    }
}

impl Serialize for Next<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [what] = self.array();
        match what {
            FALSE | TRUE => serializer.serialize_bool(what == TRUE),
            NUMBER => {
                let text = self.text();
                match (whole(text), text.parse::<f64>()) {
                    (Some(whole), _) => serializer.serialize_i64(whole),
                    (None, Ok(number)) => serializer.serialize_f64(number),
                    (None, Err(_)) => serializer.serialize_str(text),
                }
            }
            TEXT => serializer.serialize_str(self.text()),
            LIST => {
                let len = self.len();
                let mut list = serializer.serialize_seq(Some(len))?;
                (0..len).try_for_each(|_| list.serialize_element(self))?;
                list.end()
            }
            MAP => {
                let len = self.len();
                let mut map = serializer.serialize_map(Some(len))?;
                for _ in 0..len {
                    map.serialize_entry(self, self)?;
                }
                map.end()
            }
            _ => serializer.serialize_unit(),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::config::diagnostic::{Diagnostics, Source};
    use crate::config::yaml::documents;

    #[test]
    fn what_is_kept_reads_as_it_was_written() {
        let long = "x".repeat(70_000);
        let many: Vec<u32> = (0..300).collect();
        let text = format!(
            "{{text: \"{long}\", many: {many:?}, none: , yes: true, no: off, less: -9000000000, part: 1.5, \
             octal: 010, deep: [[{{}}, []], {{'': 'ü'}}]}}"
        );
        let source = Source::new("a.yaml".into(), text);
        let mut diagnostics = Diagnostics::default();
        let mut budget = 0;
        let node = documents(&source, 0, &mut budget, &mut diagnostics)
            .next(&mut diagnostics)
            .unwrap();
        let expected = serde_json::json!({
            "text": long, "many": many, "none": null, "yes": true, "no": false, "less": -9_000_000_000_i64, "part": 1.5,
            "octal": 10.0, "deep": [[{}, []], {"": "ü"}],
        });
        assert_eq!(serde_json::to_value(Flat::of(&node)).unwrap(), expected);
    }
}
