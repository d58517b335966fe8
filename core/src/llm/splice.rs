//! Edits of a body by the spans of its top-level members.
//!
//! The new body is a list of pieces: ranges of the client's bytes and texts of
//! the configuration. Nothing is parsed and printed again, so number texts,
//! key order, blanks and unknown fields reach the provider as the client
//! wrote them.

use core::ops::Range;

use heapless::Vec;

use super::body::{BodyError, BodyFacts};
use crate::limits::EDITS_MAX;
use crate::tables::FieldWhen;

/// Two pieces an insertion (member, comma), two a replacement (text, what follows), and the two ends.
const PIECES_MAX: usize = 2 * EDITS_MAX + 2;

/// A top-level field that configuration sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'f> {
    /// Its key, e.g. `model`.
    pub name: &'f str,
    /// The whole member as JSON: `"model":"qwen"`.
    pub member: &'f str,
    /// The value as JSON: `"qwen"`.
    pub value: &'f str,
    /// When it is set.
    pub when: FieldWhen,
}

/// A run of bytes of the new body.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a shell that skipped a piece would send a broken body"
)]
pub enum Piece<'f> {
    /// These bytes of the client's body.
    Client(Range<u64>),
    /// This text.
    Text(&'f str),
}

/// Why fields cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "one is the client's fault, one the configuration's"
)]
pub enum SpliceError {
    /// More than [`EDITS_MAX`] fields: the configuration's fault, which compiling it refuses.
    TooManyFields,
    /// The body has a key that differs from a field only by letter case, so a provider might read it instead.
    Body(BodyError),
}

/// The new body.
#[derive(Debug, Clone)]
pub struct Splice<'f> {
    pieces: Vec<Piece<'f>, PIECES_MAX>,
    len: u64,
    edited: bool,
}

impl<'f> Splice<'f> {
    /// Plans the new body. Of fields with one name the first wins.
    ///
    /// # Errors
    /// See [`SpliceError`].
    pub fn plan(facts: &BodyFacts, fields: impl IntoIterator<Item = Field<'f>>) -> Result<Self, SpliceError> {
        let mut edits = Edits {
            insert: Vec::new(),
            replace: Vec::new(),
        };
        edits.choose(facts, fields)?;
        let mut splice = Self {
            pieces: Vec::new(),
            len: 0,
            edited: !edits.is_empty(),
        };
        splice.write(facts, &edits).ok_or(SpliceError::TooManyFields)?;
        Ok(splice)
    }

    /// The pieces in order; their lengths add up to [`len`](Self::len).
    #[must_use]
    pub fn pieces(&self) -> &[Piece<'f>] {
        &self.pieces
    }

    /// Bytes of the new body.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an object has two bytes at least")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the new body differs in length or text from the client's; if not, its one piece is the whole body.
    #[must_use]
    pub fn is_edited(&self) -> bool {
        self.edited
    }

    /// Writes down all pieces; `None` when they are too many.
    fn write(&mut self, facts: &BodyFacts, edits: &Edits<'f>) -> Option<()> {
        let mut at = 0;
        if !edits.insert.is_empty() {
            at = facts.insert_at();
            self.push(Piece::Client(0..at))?;
            for (index, member) in edits.insert.iter().enumerate() {
                if index > 0 {
                    self.push(Piece::Text(","))?;
                }
                self.push(Piece::Text(member))?;
            }
            if !facts.is_empty_object() {
                self.push(Piece::Text(","))?;
            }
        }
        for (span, value) in &edits.replace {
            self.push(Piece::Client(at..span.start))?;
            self.push(Piece::Text(value))?;
            at = span.end;
        }
        self.push(Piece::Client(at..facts.len()))
    }

    fn push(&mut self, piece: Piece<'f>) -> Option<()> {
        let bytes = match &piece {
            Piece::Client(range) => range.end.saturating_sub(range.start),
            Piece::Text(text) => text.len() as u64,
        };
        self.len = self.len.saturating_add(bytes);
        self.pieces.push(piece).ok()
    }
}

/// What is to be done, before it is put in order.
struct Edits<'f> {
    insert: Vec<&'f str, EDITS_MAX>,
    /// By position.
    replace: Vec<(Range<u64>, &'f str), EDITS_MAX>,
}

impl<'f> Edits<'f> {
    fn choose(&mut self, facts: &BodyFacts, fields: impl IntoIterator<Item = Field<'f>>) -> Result<(), SpliceError> {
        let mut seen: Vec<&str, EDITS_MAX> = Vec::new();
        for field in fields {
            if seen.contains(&field.name) {
                continue;
            }
            seen.push(field.name).map_err(|_| SpliceError::TooManyFields)?;
            self.add(facts, &field)?;
        }
        self.replace.sort_unstable_by_key(|(span, _)| span.start);
        Ok(())
    }

    fn add(&mut self, facts: &BodyFacts, field: &Field<'f>) -> Result<(), SpliceError> {
        if let Some(at) = facts.other_case(field.name) {
            return Err(SpliceError::Body(BodyError::FieldCase { at }));
        }
        let pushed = match facts.member(field.name) {
            None => self.insert.push(field.member).is_ok(),
            Some(member) if member.is_null || field.when == FieldWhen::Always => {
                self.replace.push((member.value, field.value)).is_ok()
            }
            Some(_) => true,
        };
        if pushed {
            Ok(())
        } else {
            Err(SpliceError::TooManyFields)
        }
    }

    fn is_empty(&self) -> bool {
        self.insert.is_empty() && self.replace.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;
    use std::vec::Vec as StdVec;

    use super::*;
    use crate::llm::body::BodyScan;

    fn edited(body: &str, fields: &[Field<'_>]) -> Result<String, SpliceError> {
        let mut scan = BodyScan::new(1 << 20);
        scan.feed(body.as_bytes()).unwrap();
        let splice = Splice::plan(scan.finish().unwrap(), fields.iter().copied())?;
        let mut out = String::new();
        for piece in splice.pieces() {
            match piece {
                Piece::Client(range) => {
                    let (start, end) = (
                        usize::try_from(range.start).unwrap(),
                        usize::try_from(range.end).unwrap(),
                    );
                    out.push_str(body.get(start..end).unwrap());
                }
                Piece::Text(text) => out.push_str(text),
            }
        }
        assert_eq!(splice.len(), out.len() as u64);
        assert_eq!(splice.is_edited(), out != body);
        Ok(out)
    }

    const MODEL: Field<'_> = Field {
        name: "model",
        member: r#""model":"qwen""#,
        value: r#""qwen""#,
        when: FieldWhen::Absent,
    };
    const STREAM: Field<'_> = Field {
        name: "stream",
        member: r#""stream":true"#,
        value: "true",
        when: FieldWhen::Absent,
    };
    const TOP_P: Field<'_> = Field {
        name: "top_p",
        member: r#""top_p":0.5"#,
        value: "0.5",
        when: FieldWhen::Always,
    };

    #[test]
    fn fields_are_inserted_replaced_or_left() {
        let all = [MODEL, STREAM, TOP_P];
        let cases: &[(&str, &[Field<'_>], &str)] = &[
            ("{}", &[], "{}"),
            ("{}", &[MODEL], r#"{"model":"qwen"}"#),
            (" { } ", &[MODEL, STREAM], r#" {"model":"qwen","stream":true } "#),
            (r#"{"a":1}"#, &[MODEL], r#"{"model":"qwen","a":1}"#),
            (r#"{"model":"m"}"#, &[MODEL], r#"{"model":"m"}"#),
            (r#"{"model": null }"#, &[MODEL], r#"{"model": "qwen" }"#),
            (r#"{"mod\u0065l":null}"#, &[MODEL], r#"{"mod\u0065l":"qwen"}"#),
            (
                r#"{"top_p":1e-1,"stream":null,"x":[1.0]}"#,
                &all,
                r#"{"model":"qwen","top_p":0.5,"stream":true,"x":[1.0]}"#,
            ),
            (r#"{"top_p":{"a":[]}}"#, &[TOP_P], r#"{"top_p":0.5}"#),
        ];
        for (body, fields, expected) in cases {
            assert_eq!(edited(body, fields).as_deref(), Ok(*expected), "{body}");
        }
    }

    #[test]
    fn of_fields_with_one_name_the_first_wins() {
        let other = Field {
            member: r#""model":"other""#,
            value: r#""other""#,
            ..MODEL
        };
        assert_eq!(edited("{}", &[MODEL, other]).as_deref(), Ok(r#"{"model":"qwen"}"#));
    }

    #[test]
    fn a_field_in_another_case_is_refused() {
        assert_eq!(
            edited(r#"{"Top_P":1}"#, &[TOP_P]),
            Err(SpliceError::Body(BodyError::FieldCase { at: 9 })),
            "a provider that ignores case would read the client's"
        );
    }

    #[test]
    fn as_many_fields_as_the_limit_and_no_more() {
        let names: StdVec<(String, String)> = (0..=EDITS_MAX)
            .map(|i| (format!("f{i}"), format!("\"f{i}\":1")))
            .collect();
        let fields: StdVec<Field<'_>> = names
            .iter()
            .map(|(name, member)| Field {
                name,
                member,
                value: "1",
                when: FieldWhen::Always,
            })
            .collect();
        let nulls = names[..EDITS_MAX]
            .iter()
            .map(|(name, _)| format!("\"{name}\":null"))
            .collect::<StdVec<_>>();
        assert!(edited("{\"a\":1}", &fields[..EDITS_MAX]).is_ok());
        assert!(edited(&format!("{{{}}}", nulls.join(",")), &fields[..EDITS_MAX]).is_ok());
        assert_eq!(edited("{}", &fields), Err(SpliceError::TooManyFields));
    }
}
