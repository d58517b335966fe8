//! Framing of server-sent events across chunk borders, as the WHATWG HTML standard has it.
//!
//! Only `data` is of interest. An event that lies in one chunk is lent as it
//! stands; one that does not is told in parts, so nothing is ever carried over
//! and no event is too long: what reads the parts can stop at any byte.

/// What an event stream consists of, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a reader must tell whole events from parts")]
pub enum SsePiece<'c> {
    /// The data of one event.
    Whole(&'c [u8]),
    /// The next part of an event's data.
    Part(&'c [u8]),
    /// The event whose parts were told is over.
    End,
}

/// Where in a line the chunk border fell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// At the stream's start, with so many bytes of a byte-order mark seen.
    Mark(usize),
    /// So many bytes of `data` seen; 0 is the line's start.
    Name(usize),
    /// After `data:`; one blank may follow.
    Colon,
    /// In the value of `data`.
    Data,
    /// In a line of no interest: a comment or another field.
    Other,
}

const MARK: &[u8] = b"\xEF\xBB\xBF";
const NAME: &[u8] = b"data";

/// The framing's memory between chunks: a few words.
#[derive(Debug, Clone)]
pub struct SseFraming {
    line: Line,
    /// The last byte was a carriage return, so a line feed belongs to it.
    after_cr: bool,
    /// The event has a line that is no comment, whole or not.
    has_begun: bool,
    /// The event has a `data` line.
    has_data: bool,
    /// Parts of the event were told.
    parted: bool,
}

impl Default for SseFraming {
    fn default() -> Self {
        Self::new()
    }
}

impl SseFraming {
    /// At the start of a stream.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            line: Line::Mark(0),
            after_cr: false,
            has_begun: false,
            has_data: false,
            parted: false,
        }
    }

    /// Whether what was read so far ends between two events, so that another one may follow it.
    #[must_use]
    #[inline]
    pub fn is_between_events(&self) -> bool {
        !self.has_begun && matches!(self.line, Line::Mark(0) | Line::Name(0))
    }

    /// Whether `chunk` begins and ends between two events, seen from its ends only.
    ///
    /// Such a chunk may be left out when nothing in it is of interest. `false` may also mean "not known".
    #[must_use]
    #[inline]
    pub fn is_self_contained(&self, chunk: &[u8]) -> bool {
        self.is_between_events() && (chunk.ends_with(b"\n\n") || chunk.ends_with(b"\r\n\r\n"))
    }

    /// Reads one chunk.
    pub fn feed<'c>(&mut self, chunk: &'c [u8], mut tell: impl FnMut(SsePiece<'c>)) {
        let mut pending = None;
        let mut rest = chunk;
        while let Some(&first) = rest.first() {
            if core::mem::take(&mut self.after_cr) && first == b'\n' {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let end = memchr::memchr2(b'\n', b'\r', rest);
            let (segment, after) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, &[]));
            self.segment(segment, end.is_some(), &mut pending, &mut tell);
            if end.is_some() {
                self.end_line(segment.len(), &mut pending, &mut tell);
            }
            self.after_cr = after.first() == Some(&b'\r');
            rest = after.get(1..).unwrap_or_default();
        }
        if let Some(value) = pending {
            self.part(value, &mut tell);
        }
    }

    /// Tells the end of an event that the stream's end cut off; the standard drops it, accounting does not.
    pub fn finish<'c>(&mut self, mut tell: impl FnMut(SsePiece<'c>)) {
        if core::mem::take(&mut self.parted) {
            tell(SsePiece::End);
        }
        *self = Self::new();
    }

    /// A run of bytes without a line end.
    fn segment<'c>(
        &mut self,
        mut bytes: &'c [u8],
        is_line_end: bool,
        pending: &mut Option<&'c [u8]>,
        tell: &mut impl FnMut(SsePiece<'c>),
    ) {
        if matches!(self.line, Line::Mark(_) | Line::Name(_)) {
            bytes = self.name(bytes);
            if self.line == Line::Colon {
                self.begin_data(pending, tell);
            }
        }
        if self.line == Line::Colon && !bytes.is_empty() {
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
            self.line = Line::Data;
        }
        if self.line != Line::Data || bytes.is_empty() {
            return;
        }
        if is_line_end && !self.parted {
            *pending = Some(bytes);
        } else {
            self.part(bytes, tell);
        }
    }

    /// Reads a line's beginning up to the colon of `data:`, and returns what follows.
    fn name<'c>(&mut self, bytes: &'c [u8]) -> &'c [u8] {
        let mut rest = bytes;
        while let Some((&byte, tail)) = rest.split_first() {
            self.has_begun |= self.line == Line::Name(0) && byte != b':';
            self.line = match self.line {
                Line::Mark(seen) if MARK.get(seen) == Some(&byte) => match seen {
                    2 => Line::Name(0),
                    _ => Line::Mark(seen.saturating_add(1)),
                },
                Line::Mark(0) => {
                    self.line = Line::Name(0);
                    continue;
                }
                Line::Name(seen) if NAME.get(seen) == Some(&byte) => Line::Name(seen.saturating_add(1)),
                Line::Name(4) if byte == b':' => Line::Colon,
                _ => Line::Other,
            };
            rest = tail;
            if matches!(self.line, Line::Colon | Line::Other) {
                break;
            }
        }
        rest
    }

    /// A `data` line begins: a second one is joined to the first by a line feed.
    fn begin_data<'c>(&mut self, pending: &mut Option<&'c [u8]>, tell: &mut impl FnMut(SsePiece<'c>)) {
        if core::mem::replace(&mut self.has_data, true) {
            if let Some(value) = pending.take() {
                self.part(value, tell);
            }
            self.part(b"\n", tell);
        }
    }

    fn end_line<'c>(
        &mut self,
        segment_len: usize,
        pending: &mut Option<&'c [u8]>,
        tell: &mut impl FnMut(SsePiece<'c>),
    ) {
        match self.line {
            Line::Mark(0) | Line::Name(0) if segment_len == 0 => self.end_event(pending, tell),
            Line::Name(4) => self.begin_data(pending, tell),
            _ => {}
        }
        self.line = Line::Name(0);
    }

    fn end_event<'c>(&mut self, pending: &mut Option<&'c [u8]>, tell: &mut impl FnMut(SsePiece<'c>)) {
        if let Some(value) = pending.take() {
            tell(SsePiece::Whole(value));
        } else if self.parted {
            tell(SsePiece::End);
        }
        self.has_begun = false;
        self.has_data = false;
        self.parted = false;
    }

    fn part<'c>(&mut self, bytes: &'c [u8], tell: &mut impl FnMut(SsePiece<'c>)) {
        self.parted = true;
        tell(SsePiece::Part(bytes));
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// All events of a stream given in chunks, and whether each was lent whole.
    fn events(chunks: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        fn take(piece: SsePiece<'_>, parts: &mut Vec<u8>, events: &mut Vec<(Vec<u8>, bool)>) {
            match piece {
                SsePiece::Whole(data) => events.push((data.to_vec(), true)),
                SsePiece::Part(data) => parts.extend_from_slice(data),
                SsePiece::End => events.push((core::mem::take(parts), false)),
            }
        }
        let (mut events, mut parts) = (vec![], vec![]);
        let mut framing = SseFraming::new();
        for chunk in chunks {
            framing.feed(chunk, |piece| take(piece, &mut parts, &mut events));
        }
        framing.finish(|piece| take(piece, &mut parts, &mut events));
        events
    }

    fn texts(stream: &str) -> Vec<String> {
        events(&[stream.as_bytes()])
            .into_iter()
            .map(|(data, _)| String::from_utf8(data).unwrap())
            .collect()
    }

    #[test]
    fn events_are_framed_as_the_standard_has_it() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("data: a\n\n", &["a"]),
            ("data:a\n\n", &["a"]),
            ("data:  a\n\n", &[" a"]),
            ("data: a\r\rdata: b\r\r", &["a", "b"]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]),
            ("data: a\n\r\ndata: b\r\n\n", &["a", "b"]),
            ("data: a\ndata: b\n\n", &["a\nb"]),
            ("data: a\ndata\ndata:c\n\n", &["a\n\nc"]),
            ("data:\ndata: b\n\n", &["\nb"]),
            ("data\n\n", &[]),
            ("data: \n\n", &[]),
            (": comment\nevent: x\nid: 1\ndata: a\nretry: 3\n\n", &["a"]),
            ("database: no\ndat: no\n data: no\nData: no\n\n", &[]),
            ("\u{feff}data: a\n\n", &["a"]),
            ("\u{feff}\u{feff}data: a\n\n", &[]),
            ("\n\n\ndata: a\n\n\n\n", &["a"]),
            ("data: a\n\ndata: cut", &["a", "cut"]),
            ("data: a\n", &["a"]),
            ("data: [DONE]", &["[DONE]"]),
        ];
        for (stream, expected) in cases {
            assert_eq!(texts(stream), *expected, "{stream:?}");
        }
    }

    #[test]
    fn an_event_inside_one_chunk_is_lent_whole() {
        let stream = b"event: m\ndata: a\n\ndata: b\r\n\r\n";
        assert!(events(&[stream]).iter().all(|(_, whole)| *whole));
    }

    #[test]
    fn another_event_may_follow_only_where_none_is_under_way() {
        for (stream, is_between) in [
            ("", true),
            ("\u{feff}", true),
            ("\n", true),
            ("data: a\n\n", true),
            ("data: a\r\n\r\n", true),
            ("data: a\r\r", true),
            ("event: x\ndata: a\n\n", true),
            ("event: x\n\n", true),
            (": comment\n", true),
            ("data: a\n\n: comment\n", true),
            (": comm", false),
            ("d", false),
            ("data", false),
            ("data: {\"a\":1}", false),
            ("data: {\"a\":1}\n", false),
            ("event: x\n", false),
            ("id", false),
            ("data: a\n\ndata: [DO", false),
            ("data: a\n: comment\n", false),
        ] {
            for size in [1, 2, 100] {
                let mut framing = SseFraming::new();
                stream
                    .as_bytes()
                    .chunks(size)
                    .for_each(|chunk| framing.feed(chunk, |_| {}));
                assert_eq!(
                    framing.is_between_events(),
                    is_between,
                    "{stream:?} in pieces of {size}"
                );
            }
        }
    }

    #[test]
    fn self_contained_chunks_can_be_left_out() {
        let mut framing = SseFraming::new();
        assert!(framing.is_self_contained(b"data: a\n\n"));
        assert!(framing.is_self_contained(b"data: a\r\n\r\n"));
        assert!(!framing.is_self_contained(b"data: a\n"));
        framing.feed(b"data: a\n", |_| {});
        assert!(!framing.is_self_contained(b"\n\n"));
        framing.feed(b"\n", |_| {});
        assert!(framing.is_self_contained(b"data: a\n\n"));
        framing.feed(b": ping", |_| {});
        assert!(!framing.is_self_contained(b"\n\n"));
    }

    proptest! {
        #[test]
        fn chunk_borders_do_not_matter(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just("data"), Just(":"), Just(" "), Just("data: {\"a\":1}"), Just("\n"), Just("\r"), Just("\r\n"),
                    Just("\n\n"), Just("event: x"), Just("\u{feff}"), Just("é"), Just("id")
                ],
                0..30,
            ),
            cuts in proptest::collection::vec(0usize..200, 0..8),
        ) {
            let stream: String = pieces.concat();
            let data = |events: Vec<(Vec<u8>, bool)>| events.into_iter().map(|(data, _)| data).collect::<Vec<_>>();
            let whole = data(events(&[stream.as_bytes()]));
            let single: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
            prop_assert_eq!(&data(events(&single)), &whole);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.sort_unstable();
            let (mut chunks, mut from) = (vec![], 0);
            for cut in cuts {
                chunks.push(&stream.as_bytes()[from..cut]);
                from = cut;
            }
            chunks.push(&stream.as_bytes()[from..]);
            prop_assert_eq!(&data(events(&chunks)), &whole);
        }
    }
}
