//! The HTTP/1.1 framing of what a client sends, read strictly before hyper reads it.
//!
//! hyper is as lenient as RFC 9112 lets a server be: it takes a bare LF for a line
//! end, a `Content-Length` beside a `Transfer-Encoding`, one length written twice,
//! and any coding that ends in `chunked`. Each is a way to make a proxy in front and
//! this gateway see different requests. So the bytes pass through here first, and
//! a head that could be framed in two ways never reaches hyper.
//!
//! Requests are read one at a time: what follows one waits until that is answered.
//! Behind a head with an `Upgrade` it may be no request at all, and a client that
//! leaves is seen to leave although it has sent more.
//!
//! Everything else that can be wrong with a head is left to hyper and the engine.
//! Nothing is copied but a line that two reads tear apart.

use crate::limits::HEAD_BYTES_MAX;

/// Why a client is not read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// 400: a head that two readers could frame differently.
    Ambiguous,
    /// 426: a version of HTTP/1 that is not 1.1.
    OldProtocol,
    /// 431: a head over [`HEAD_BYTES_MAX`].
    TooLarge,
    /// 501: a transfer coding other than `chunked` (RFC 9112 §6.1).
    UnknownCoding,
    /// A body that is not chunked as it should be. Its request is under way and answered by who reads the body.
    Body,
}

impl Refused {
    /// The whole answer.
    pub(super) const fn answer(self) -> &'static [u8] {
        match self {
            Self::Ambiguous | Self::Body => {
                b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            }
            Self::OldProtocol => {
                b"HTTP/1.1 426 Upgrade Required\r\nupgrade: HTTP/1.1\r\nconnection: upgrade, close\r\ncontent-length: 0\r\n\r\n"
            }
            Self::TooLarge => {
                b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            }
            Self::UnknownCoding => b"HTTP/1.1 501 Not Implemented\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        }
    }

    pub(super) const fn status(self) -> u16 {
        match self {
            Self::Ambiguous | Self::Body => 400,
            Self::OldProtocol => 426,
            Self::TooLarge => 431,
            Self::UnknownCoding => 501,
        }
    }
}

/// Where in the client's bytes the reader is.
#[derive(Debug, Default)]
pub(super) struct Intake {
    state: State,
    /// The beginning of a line whose end is still to come.
    torn: Vec<u8>,
    /// Heads that are whole.
    heads: u64,
}

/// What of a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Within {
    /// Nothing of the next, or no more than empty lines.
    #[default]
    None,
    Head,
    Body,
}

#[derive(Debug)]
enum State {
    /// In a head.
    Head(Head),
    /// In a body or a chunk, with so many bytes to come.
    Bytes { left: u64, then: Then },
    /// Before a chunk.
    ChunkSize,
    /// After the last one.
    Trailers,
}

/// What follows after bytes that are skipped.
#[derive(Debug, Clone, Copy)]
enum Then {
    Head,
    ChunkSize,
}

/// What a head has said so far about its body.
#[derive(Debug, Default)]
struct Head {
    bytes: usize,
    begun: bool,
    length: Option<u64>,
    is_chunked: bool,
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Head::default())
    }
}

impl Intake {
    /// Heads that were whole so far.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// What of the request that is read now has come.
    pub(super) fn within(&self) -> Within {
        match &self.state {
            State::Head(head) if !head.begun && self.torn.is_empty() => Within::None,
            State::Head(_) => Within::Head,
            State::Bytes { .. } | State::ChunkSize | State::Trailers => Within::Body,
        }
    }

    /// Reads what came next, and says how much of it: all, or up to the end of a request.
    ///
    /// # Errors
    /// How many bytes come before the line that makes the client be refused, and why it is.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<usize, (usize, Refused)> {
        let (mut rest, mut is_whole) = (bytes, false);
        while !rest.is_empty() && !is_whole {
            let before = bytes.len().saturating_sub(rest.len());
            if let State::Bytes { left, then } = &mut self.state {
                let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                *left = left.saturating_sub(skipped as u64);
                rest = rest.get(skipped..).unwrap_or_default();
                if *left == 0 {
                    is_whole = matches!(then, Then::Head);
                    self.state = then.state();
                }
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.torn.extend_from_slice(rest);
                if self.torn.len() > HEAD_BYTES_MAX {
                    return Err((before, self.state.overflow()));
                }
                return Ok(bytes.len());
            };
            let (line, after) = rest.split_at_checked(end).unwrap_or_default();
            rest = after.get(1..).unwrap_or_default();
            let next = if self.torn.is_empty() {
                self.state.line(line)
            } else {
                self.torn.extend_from_slice(line);
                self.state.line(&core::mem::take(&mut self.torn))
            };
            if let Some(state) = next.map_err(|why| (before, why))? {
                if let State::Head(_) = &self.state {
                    self.heads = self.heads.wrapping_add(1);
                }
                is_whole = matches!(state, State::Head(_));
                self.state = state;
            }
        }
        Ok(bytes.len().saturating_sub(rest.len()))
    }
}

impl Then {
    fn state(self) -> State {
        match self {
            Self::Head => State::default(),
            Self::ChunkSize => State::ChunkSize,
        }
    }
}

impl State {
    /// What a line without end is.
    fn overflow(&self) -> Refused {
        match self {
            Self::Head(_) => Refused::TooLarge,
            Self::Bytes { .. } | Self::ChunkSize | Self::Trailers => Refused::Body,
        }
    }

    /// Reads a line without its LF. What comes after it, when that is something else.
    fn line(&mut self, line: &[u8]) -> Result<Option<Self>, Refused> {
        let ended = line.strip_suffix(b"\r");
        match self {
            Self::Head(head) => head.line(ended.ok_or(Refused::Ambiguous)?),
            Self::ChunkSize => chunk_size(ended.ok_or(Refused::Body)?).map(Some),
            Self::Trailers if ended.ok_or(Refused::Body)?.is_empty() => Ok(Some(Self::default())),
            Self::Trailers | Self::Bytes { .. } => Ok(None),
        }
    }
}

impl Head {
    fn line(&mut self, line: &[u8]) -> Result<Option<State>, Refused> {
        self.bytes = self.bytes.saturating_add(line.len()).saturating_add(2);
        if self.bytes > HEAD_BYTES_MAX {
            return Err(Refused::TooLarge);
        }
        if line.is_empty() {
            // Empty lines before a request are skipped (RFC 9112 §2.2).
            return Ok(self.begun.then(|| self.body()));
        }
        if !self.begun {
            self.begun = true;
            return request_line(line).map(|()| None);
        }
        // Of all fields two say where a head's body ends.
        if !matches!(line.first(), Some(b'C' | b'c' | b'T' | b't')) {
            return Ok(None);
        }
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refused::UnknownCoding);
            }
            self.is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                return Err(Refused::Ambiguous);
            }
            self.length = Some(number(value, 10).ok_or(Refused::Ambiguous)?);
        }
        if self.is_chunked && self.length.is_some() {
            return Err(Refused::Ambiguous);
        }
        Ok(None)
    }

    fn body(&self) -> State {
        match self.length {
            _ if self.is_chunked => State::ChunkSize,
            None | Some(0) => State::default(),
            Some(left) => State::Bytes { left, then: Then::Head },
        }
    }
}

/// HTTP/1.0 is told what it lacks by the exchange; what is no request line at all, by hyper.
fn request_line(line: &[u8]) -> Result<(), Refused> {
    let mut words = line.split(|byte| *byte == b' ');
    let (method, _, version, rest) = (words.next(), words.next(), words.next(), words.next());
    let is_other = match version {
        // HTTP/0.9 has one method and no version.
        None => method == Some(b"GET"),
        Some(version) => version
            .strip_prefix(b"HTTP/")
            .is_some_and(|number| number != b"1.1" && number != b"1.0" && number.iter().all(is_of_version)),
    };
    if is_other && rest.is_none() {
        Err(Refused::OldProtocol)
    } else {
        Ok(())
    }
}

fn is_of_version(byte: &u8) -> bool {
    byte.is_ascii_digit() || *byte == b'.'
}

/// A chunk of so many bytes, with the line end after it; or the last one.
fn chunk_size(line: &[u8]) -> Result<State, Refused> {
    // Extensions say nothing about the size.
    let size = line.split(|byte| *byte == b';').next().unwrap_or(line);
    let left = number(size.trim_ascii_end(), 16).ok_or(Refused::Body)?;
    Ok(match left.checked_add(2).ok_or(Refused::Body)? {
        2 => State::Trailers,
        left => State::Bytes {
            left,
            then: Then::ChunkSize,
        },
    })
}

/// Digits and nothing else, not more than fit.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    if !digits.iter().all(|digit| char::from(*digit).is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(core::str::from_utf8(digits).ok()?, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads all of `bytes`, however many requests it holds.
    fn all(intake: &mut Intake, bytes: &[u8]) -> Result<(), Refused> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = intake.read(rest).map_err(|(_, why)| why)?;
            assert!(intake.within() == Within::None || taken == rest.len(), "{rest:?}");
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// Reads `text` whole, and torn at every place.
    fn read(text: &str) -> Result<u64, Refused> {
        let mut whole = Intake::default();
        let refused = all(&mut whole, text.as_bytes());
        for at in 0..=text.len() {
            let mut torn = Intake::default();
            let (first, second) = text.as_bytes().split_at(at);
            let read = all(&mut torn, first).and_then(|()| all(&mut torn, second));
            assert_eq!(read, refused, "{text:?} torn at {at}");
            assert_eq!(torn.heads(), whole.heads(), "{text:?} torn at {at}");
        }
        refused.map(|()| whole.heads())
    }

    #[test]
    fn heads_are_found_behind_bodies_of_either_framing() {
        for (text, heads) in [
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", 1),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2),
            (
                "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\na\nb\nGET / HTTP/1.1\r\n\r\n",
                2,
            ),
            ("POST / HTTP/1.1\r\ncontent-length:0\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\nA;x=y\r\n0\n2\n4\n6\n8\n\r\n0\r\nx: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
                2,
            ),
            ("GET / HTTP/1.1\r\nupgrade: x\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2),
            ("POST / HTTP/1.0\r\n\r\n", 1),
            ("garbage\r\n\r\n", 1),
        ] {
            assert_eq!(read(text), Ok(heads), "{text:?}");
        }
    }

    #[test]
    fn what_could_be_framed_in_two_ways_is_refused() {
        let post = "POST / HTTP/1.1\r\n";
        for (rest, why) in [
            ("host: a\n\r\n", Refused::Ambiguous),
            ("host: a\r\n\n", Refused::Ambiguous),
            ("content-length: 1\r\ncontent-length: 1\r\n\r\n", Refused::Ambiguous),
            ("content-length: 1, 1\r\n\r\n", Refused::Ambiguous),
            ("content-length: +1\r\n\r\n", Refused::Ambiguous),
            ("content-length: 99999999999999999999\r\n\r\n", Refused::Ambiguous),
            ("content-length:\r\n\r\n", Refused::Ambiguous),
            (
                "content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
                Refused::Ambiguous,
            ),
            (
                "transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n",
                Refused::Ambiguous,
            ),
            ("transfer-encoding: gzip, chunked\r\n\r\n", Refused::UnknownCoding),
            (
                "transfer-encoding: chunked\r\nTRANSFER-ENCODING: chunked\r\n\r\n",
                Refused::UnknownCoding,
            ),
            ("transfer-encoding:\r\n\r\n", Refused::UnknownCoding),
            ("transfer-encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n", Refused::Body),
            ("transfer-encoding: chunked\r\n\r\n-1\r\n", Refused::Body),
            ("transfer-encoding: chunked\r\n\r\n0x1\r\n", Refused::Body),
            ("transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n", Refused::Body),
            ("transfer-encoding: chunked\r\n\r\n0\r\nx: 1\n\r\n", Refused::Body),
        ] {
            assert_eq!(read(&format!("{post}{rest}")), Err(why), "{rest:?}");
        }
        assert_eq!(read("\nGET / HTTP/1.1\r\n\r\n"), Err(Refused::Ambiguous));
        for line in [
            "GET /",
            "GET / HTTP/0.9",
            "GET / HTTP/1.2",
            "GET / HTTP/2.0",
            "GET / HTTP/3",
        ] {
            assert_eq!(read(&format!("{line}\r\n\r\n")), Err(Refused::OldProtocol), "{line}");
        }
    }

    #[test]
    fn what_comes_before_the_refused_line_is_counted() {
        let mut intake = Intake::default();
        let good = b"GET / HTTP/1.1\r\nhost: a\r\n";
        let read = intake.read(&[good.as_slice(), b"x: y\n\n"].concat());
        assert_eq!((read, intake.heads()), (Err((good.len(), Refused::Ambiguous)), 0));
    }

    #[test]
    fn one_request_is_read_at_a_time_and_what_has_come_of_it_is_known() {
        for request in [
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 1\r\n\r\n\n",
            "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx: 1\r\n\r\n",
        ] {
            let head = request.find("\r\n\r\n").unwrap() + 4;
            for at in 0..request.len() {
                let mut intake = Intake::default();
                let first = &request.as_bytes()[..at];
                assert_eq!(intake.read(first), Ok(at));
                let within = match at {
                    0 => Within::None,
                    at if at < head => Within::Head,
                    _ => Within::Body,
                };
                assert_eq!(intake.within(), within, "{request:?} to {at}");
                let rest = [&request.as_bytes()[at..], b"\x81\x05no HTTP\n\n"].concat();
                assert_eq!(intake.read(&rest), Ok(request.len() - at), "{request:?} from {at}");
                assert_eq!(intake.within(), Within::None);
            }
        }
        let mut intake = Intake::default();
        assert_eq!((intake.read(b"\r\n\r\n"), intake.within()), (Ok(4), Within::None));
    }

    #[test]
    fn a_head_has_so_many_bytes_and_no_more() {
        for (more, refused) in [(0, None), (1, Some(Refused::TooLarge))] {
            let start = "GET / HTTP/1.1\r\nx: ";
            let text = format!("{start}{}\r\n\r\n", "a".repeat(HEAD_BYTES_MAX - start.len() - 4 + more));
            let mut intake = Intake::default();
            assert_eq!(intake.read(text.as_bytes()).map_err(|(_, why)| why).err(), refused);
        }
        let mut intake = Intake::default();
        assert!(intake.read(&b"\r\n".repeat(HEAD_BYTES_MAX)).is_err());
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_memory() {
        let mut intake = Intake::default();
        let piece = [b'a'; 1024];
        let refused = (0..100).find_map(|_| intake.read(&piece).err());
        assert_eq!(refused.map(|(_, why)| why), Some(Refused::TooLarge));
        assert!(intake.torn.len() <= HEAD_BYTES_MAX + piece.len());
        let mut intake = Intake::default();
        let head = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(intake.read(head), Ok(head.len()));
        let refused = (0..100).find_map(|_| intake.read(&piece).err());
        assert_eq!(refused.map(|(_, why)| why), Some(Refused::Body));
    }
}
