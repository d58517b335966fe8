//! The frames of an HTTP/2 peer, weighed before hyper reads them: a client's, or an upstream's.
//!
//! h2 bounds what a peer can make it keep: streams, header lists, frames of one
//! head, empty and tiny DATA, streams that are reset before anybody looked at
//! them. It does not bound what costs time alone: pings, settings, priorities,
//! window updates, and streams that are opened and reset as soon as they are
//! under way. So the frames pass by here first and are paid for out of a budget,
//! which fills again with time and with answers: whoever is sent much may say
//! much. Who has spent it has its connection closed. An upstream earns by what it is asked and sent; it may answer with
//! one head to a request and a few more (1xx, trailers), so that its heads are paid for, too.
//!
//! Frames are only weighed. Whether they are right is h2's to say. Empty DATA alone is kept from it once it is paid for,
//! as it ends a connection for the hundred and first of all its life.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use crate::limits::{
    ANSWER_BYTES_PER_FRAME, FRAMES_BURST, FRAMES_PER_ANSWER_PIECE, FRAMES_PER_REQUEST, FRAMES_PER_SECOND, RESETS_BURST,
    RESETS_PER_SECOND, SETTINGS_BYTES_PER_FRAME,
};

/// What a client begins with.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;
/// Where a head says its type.
const KIND: usize = 3;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;

/// A type that there is none of, which h2 passes over as RFC 9113 §5.5 says.
const UNKNOWN: u8 = u8::MAX;

/// Without the reserved bit.
const STREAM_ID: u32 = u32::MAX >> 1;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

pub(crate) const GOAWAY: u8 = 7;
const ENHANCE_YOUR_CALM: u8 = 11;

/// What a client has spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flood {
    /// Frames that carry nothing.
    Frames,
    /// Streams that are reset before they are answered.
    Resets,
}

impl Flood {
    /// For the access log.
    pub(crate) const fn details(self) -> &'static str {
        match self {
            Self::Frames => "http2.inbound_frames_flood",
            Self::Resets => "http2.premature_resets_flood",
        }
    }
}

/// What a client may still spend.
#[derive(Debug)]
pub(crate) struct Budget {
    frames: Cell<u32>,
    resets: Cell<u32>,
    /// Time that nothing was earned for yet.
    since: Cell<Duration>,
    /// The client has begun a head and not ended it.
    in_head: Cell<bool>,
    /// The last stream that the client opened.
    last_stream: Cell<u32>,
    /// What a head costs.
    head_costs: usize,
    /// Types of the frames that have come whole, one bit for each.
    seen: Cell<u16>,
}

impl Default for Budget {
    /// A client's.
    fn default() -> Self {
        Self {
            frames: Cell::new(FRAMES_BURST),
            resets: Cell::new(RESETS_BURST),
            since: Cell::new(Duration::ZERO),
            in_head: Cell::new(false),
            last_stream: Cell::new(0),
            head_costs: 0,
            seen: Cell::new(0),
        }
    }
}

impl Budget {
    /// An upstream's.
    pub(crate) fn of_upstream() -> Self {
        Self {
            head_costs: 1,
            ..Self::default()
        }
    }

    /// Whether a frame of this type has come whole.
    pub(crate) fn has_seen(&self, kind: u8) -> bool {
        self.seen.get() & bit(kind) != 0
    }

    /// Whether the client owes the rest of a head.
    pub(crate) fn in_head(&self) -> bool {
        self.in_head.get()
    }

    /// Whether all of it may be spent.
    pub(crate) fn is_full(&self) -> bool {
        self.frames.get() == FRAMES_BURST && self.resets.get() == RESETS_BURST
    }

    /// The frame that ends the connection of a client that has spent it all.
    ///
    /// It names the last stream as served, which it may have been: the client must not take it for granted that it can
    /// ask again.
    pub(crate) fn goaway(&self) -> [u8; 17] {
        let mut frame = [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ENHANCE_YOUR_CALM];
        if let Some(last) = frame.get_mut(9..13) {
            last.copy_from_slice(&self.last_stream.get().to_be_bytes());
        }
        frame
    }

    /// Time went by.
    pub(crate) fn passed(&self, time: Duration) {
        const SECOND: Duration = Duration::from_secs(1);
        let mut since = self.since.get().saturating_add(time);
        while let Some(rest) = since.checked_sub(SECOND / 10) {
            since = rest;
            self.earn(FRAMES_PER_SECOND / 10);
            add(&self.resets, RESETS_PER_SECOND / 10, RESETS_BURST);
        }
        self.since.set(since);
    }

    /// The client was told the head of an answer, or the upstream that of a request.
    pub(crate) fn answered(&self) {
        self.earn(FRAMES_PER_REQUEST);
        add(&self.resets, 1, RESETS_BURST);
    }

    /// The client is sent a piece of an answer.
    pub(crate) fn sent(&self, bytes: usize) {
        let frames = FRAMES_PER_ANSWER_PIECE as usize + bytes / ANSWER_BYTES_PER_FRAME;
        self.earn(u32::try_from(frames).unwrap_or(u32::MAX));
    }

    /// The peer may say so much more.
    pub(crate) fn earn(&self, frames: u32) {
        add(&self.frames, frames, FRAMES_BURST);
    }

    fn spend(&self, kind: u8, flags: u8, length: usize) -> Result<(), Flood> {
        let frames = match kind {
            HEADERS => self.head_costs,
            DATA if length > 0 || flags & END_STREAM != 0 => 0,
            RST_STREAM => return take(&self.resets, 1).ok_or(Flood::Resets),
            SETTINGS => 1_usize.saturating_add(length / SETTINGS_BYTES_PER_FRAME),
            _ => 1,
        };
        take(&self.frames, u32::try_from(frames).unwrap_or(u32::MAX)).ok_or(Flood::Frames)
    }
}

fn bit(kind: u8) -> u16 {
    1_u16.checked_shl(kind.into()).unwrap_or(0)
}

fn add(to: &Cell<u32>, more: u32, most: u32) {
    to.set(to.get().saturating_add(more).min(most));
}

fn take(from: &Cell<u32>, less: u32) -> Option<()> {
    from.set(from.get().checked_sub(less)?);
    Some(())
}

/// Where in a client's bytes the reader is.
#[derive(Debug)]
pub(crate) struct Frames {
    budget: Rc<Budget>,
    /// Bytes of a preface and of payloads that pass by.
    skip: usize,
    head: [u8; HEAD_BYTES],
    /// Bytes of `head` that are there.
    have: usize,
    /// A head is open until a frame ends it.
    block: Block,
}

/// How a client's head stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    /// Between frames that are whole.
    None,
    /// In the last frame of one.
    Ends,
    /// It goes on in the next frame.
    Open,
}

impl Frames {
    /// Reads a client's connection from its preface on.
    pub(crate) fn new(budget: &Rc<Budget>) -> Self {
        Self {
            skip: PREFACE.len(),
            ..Self::of_upstream(budget)
        }
    }

    /// Reads an upstream's connection.
    pub(crate) fn of_upstream(budget: &Rc<Budget>) -> Self {
        Self {
            budget: Rc::clone(budget),
            skip: 0,
            head: [0; HEAD_BYTES],
            have: 0,
            block: Block::None,
        }
    }

    /// See [`Budget::goaway`].
    pub(crate) fn goaway(&self) -> [u8; 17] {
        self.budget.goaway()
    }

    /// Weighs what came next, and hides what h2 counts against the peer for ever.
    ///
    /// # Errors
    /// What the client has spent.
    pub(crate) fn read(&mut self, bytes: &mut [u8]) -> Result<(), Flood> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(rest.len());
                rest = rest.get_mut(skipped..).unwrap_or_default();
                self.skip -= skipped;
                if self.skip == 0 {
                    self.frame_ends();
                }
                continue;
            }
            let room = self.head.get_mut(self.have..).unwrap_or_default();
            let taken = room.len().min(rest.len());
            let (now, later) = rest.split_at_mut_checked(taken).unwrap_or_default();
            if let Some(room) = room.get_mut(..taken) {
                room.copy_from_slice(now);
            }
            rest = later;
            self.have += taken;
            if self.have == HEAD_BYTES {
                self.have = 0;
                self.frame_begins()?;
                // Where the type was handed on before the rest of its head came, h2 has one of its hundred.
                if self.is_empty_data()
                    && let Some(kind) = now.iter_mut().nth_back(HEAD_BYTES - 1 - KIND)
                {
                    *kind = UNKNOWN;
                }
            }
        }
        Ok(())
    }

    /// Whether the frame is DATA without any, and ends nothing.
    fn is_empty_data(&self) -> bool {
        matches!(self.head, [0, 0, 0, DATA, flags, ..] if flags & (END_STREAM | PADDED) == 0)
            && !self.head.ends_with(&[0; 4])
    }

    fn frame_begins(&mut self) -> Result<(), Flood> {
        let [high, middle, low, kind, flags, stream @ ..] = self.head;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.budget.spend(kind, flags, length)?;
        if matches!(kind, HEADERS | CONTINUATION) {
            let last = &self.budget.last_stream;
            last.set(last.get().max(u32::from_be_bytes(stream) & STREAM_ID));
            self.block = if flags & END_HEADERS == 0 {
                Block::Open
            } else {
                Block::Ends
            };
            self.budget.in_head.set(true);
        }
        self.skip = length;
        if length == 0 {
            self.frame_ends();
        }
        Ok(())
    }

    fn frame_ends(&mut self) {
        let [.., kind, _, _, _, _, _] = self.head;
        let seen = &self.budget.seen;
        seen.set(seen.get() | bit(kind));
        if self.block == Block::Ends {
            self.block = Block::None;
            self.budget.in_head.set(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    fn read(frames: &[Vec<u8>]) -> (Result<(), Flood>, Rc<Budget>) {
        let budget = Rc::new(Budget::default());
        let mut reader = Frames::new(&budget);
        let mut bytes = [PREFACE, &frames.concat()].concat();
        (reader.read(&mut bytes), budget)
    }

    #[test]
    fn frames_are_found_however_they_are_torn() {
        let mut bytes = [
            PREFACE.to_vec(),
            frame(SETTINGS, 0, 0, &[0; 6]),
            frame(HEADERS, 0, 5, &[0x82; 40]),
            frame(CONTINUATION, END_HEADERS, 5, &[0x84]),
            frame(DATA, END_STREAM, 5, &[]),
            frame(6, 0, 0, &[0; 8]),
        ]
        .concat();
        for at in 0..bytes.len() {
            let budget = Rc::new(Budget::default());
            let mut reader = Frames::new(&budget);
            reader.read(&mut bytes[..at]).unwrap();
            let open = (24 + 15 + 9..24 + 15 + 49 + 10).contains(&at);
            assert_eq!(budget.in_head(), open, "after {at} bytes");
            reader.read(&mut bytes[at..]).unwrap();
            assert_eq!(budget.frames.get(), FRAMES_BURST - 3, "torn at {at}");
            assert_eq!(budget.goaway()[9..13], [0, 0, 0, 5]);
            assert!(!budget.in_head());
        }
    }

    #[test]
    fn empty_data_that_ends_nothing_is_hidden_wherever_its_type_is_still_at_hand() {
        let hidden = frame(DATA, 0, 1, &[]);
        let others = [
            frame(DATA, END_STREAM, 1, &[]),
            frame(DATA, 0, 0, &[]),
            frame(DATA, PADDED, 1, &[]),
            frame(DATA, 0, 1, &[0; 9]),
            frame(6, 0, 0, &[0; 8]),
        ]
        .concat();
        let all = [&*hidden, &others, &hidden].concat();
        let last = all.len() - HEAD_BYTES;
        for at in 0..=all.len() {
            let mut bytes = all.clone();
            let mut reader = Frames::of_upstream(&Rc::new(Budget::of_upstream()));
            reader.read(&mut bytes[..at]).unwrap();
            reader.read(&mut bytes[at..]).unwrap();
            let mut expected = all.clone();
            for begin in [0, last] {
                if !(begin + KIND + 1..begin + HEAD_BYTES).contains(&at) {
                    expected[begin + KIND] = UNKNOWN;
                }
            }
            assert_eq!(bytes, expected, "torn at {at}");
        }
    }

    #[test]
    fn what_carries_something_is_free_and_what_does_not_is_paid_for() {
        let burst = FRAMES_BURST as usize;
        for (kind, flags, payload, cost) in [
            (DATA, 0, &[0; 1][..], 0),
            (DATA, END_STREAM, &[], 0),
            (DATA, 0, &[], 1),
            (HEADERS, END_HEADERS, &[0x82], 0),
            (2, 0, &[0; 5], 1),
            (6, 0, &[0; 8], 1),
            (8, 0, &[0; 4], 1),
            (0x4d, 0, &[], 1),
            (SETTINGS, 0, &[0; 6 * SETTINGS_BYTES_PER_FRAME], 7),
        ] {
            let (result, budget) = read(&[frame(kind, flags, 1, payload)]);
            assert_eq!(result, Ok(()));
            assert_eq!(budget.frames.get(), FRAMES_BURST - cost, "{kind}");
            if cost > 0 {
                let many = vec![frame(kind, flags, 1, payload); burst / cost as usize + 1];
                assert_eq!(read(&many).0, Err(Flood::Frames), "{kind}");
            }
        }
        let resets = vec![frame(RST_STREAM, 0, 1, &[0; 4]); RESETS_BURST as usize + 1];
        assert_eq!(read(&resets[1..]).0, Ok(()));
        assert_eq!(read(&resets).0, Err(Flood::Resets));
    }

    #[test]
    fn time_and_answers_fill_the_budget_up_to_its_burst() {
        let budget = Budget::default();
        budget.frames.set(0);
        budget.resets.set(0);
        budget.passed(Duration::from_millis(250));
        assert_eq!(budget.frames.get(), FRAMES_PER_SECOND / 5);
        assert_eq!(budget.resets.get(), RESETS_PER_SECOND / 5);
        budget.passed(Duration::from_millis(50));
        assert_eq!(budget.frames.get(), FRAMES_PER_SECOND / 10 * 3);
        budget.answered();
        budget.sent(ANSWER_BYTES_PER_FRAME);
        let earned = FRAMES_PER_REQUEST + FRAMES_PER_ANSWER_PIECE + 1;
        assert_eq!(budget.frames.get(), FRAMES_PER_SECOND / 10 * 3 + earned);
        budget.passed(Duration::from_secs(3600));
        assert_eq!((budget.frames.get(), budget.resets.get()), (FRAMES_BURST, RESETS_BURST));
    }
}
