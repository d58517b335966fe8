//! Providers' answers: events and token usage, however the network cuts them.

use lockgate_core::llm::sse::{SseFraming, SsePiece};
use lockgate_core::llm::usage::{Framing, UsageMeter};

use crate::pieces;

/// An event stream holds the same events however it is cut.
///
/// Input: a byte that chooses the cuts, then the stream.
pub fn sse(input: &[u8]) {
    let Some((&seed, stream)) = input.split_first() else {
        return;
    };
    assert_eq!(events(&[stream]), events(&pieces(stream, seed)));
}

/// An answer reports the same usage however it is cut.
///
/// Input: a byte that chooses the cuts and, by its highest bit, the framing; then the answer.
pub fn usage(input: &[u8]) {
    let Some((&seed, answer)) = input.split_first() else {
        return;
    };
    let framing = if seed & 0x80 == 0 { Framing::Sse } else { Framing::Json };
    let metered = |pieces: &[&[u8]]| {
        let mut meter = UsageMeter::new(framing);
        pieces.iter().for_each(|piece| meter.feed(piece));
        meter.finish()
    };
    assert_eq!(metered(&[answer]), metered(&pieces(answer, seed)));
}

fn events(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut framing = SseFraming::new();
    let (mut events, mut parts) = (Vec::new(), Vec::new());
    let mut tell = |piece: SsePiece<'_>| match piece {
        SsePiece::Whole(data) => events.push(data.to_vec()),
        SsePiece::Part(data) => parts.extend_from_slice(data),
        SsePiece::End => events.push(core::mem::take(&mut parts)),
    };
    for piece in pieces {
        framing.feed(piece, &mut tell);
    }
    framing.finish(&mut tell);
    events
}
