//! Reading bodies: ours strictly and in full, beside the parsers one would otherwise take.
//!
//! The rivals only look for `model` and `stream`; ours also refuses duplicate
//! keys, bounds the depth and records where every member stands.

use core::hint::black_box;

use lockgate_core::llm::body::BodyScan;
use lockgate_core::llm::usage::{Framing, UsageMeter};
use serde::Deserialize;

use crate::Case;
use crate::bodies::{ModelAt, chat, stream_chunk, stream_chunk_usage_null};

const SIZES: [(&str, usize); 3] = [("2 KB", 2_000), ("100 KB", 100_000), ("1 MB", 1_000_000)];
/// What a socket hands over at a time.
const CHUNK: usize = 16 * 1024;

/// The cases of the groups `scan` and `meter`.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (label, bytes) in SIZES {
        for (place, model) in [("model first", ModelAt::First), ("model last", ModelAt::Last)] {
            cases.extend(of_body(&format!("{label}, {place}"), &chat(bytes, model)));
        }
    }
    cases.push(meter("streamed chunk without usage", stream_chunk()));
    cases.push(meter("streamed chunk with a null usage", stream_chunk_usage_null()));
    cases
}

fn of_body(label: &str, body: &str) -> [Case; 3] {
    // About a million bytes each, so that the count is exact and callgrind is done within seconds.
    let runs = u32::try_from(1_000_000 / body.len()).unwrap_or(1).max(1);
    let case = |who: &str, work: fn(&str)| {
        let owned = body.to_owned();
        let case = Case::new("scan", format!("{label}, {who}"), move || move || work(&owned));
        case.bytes(body.len()).counted_runs(runs)
    };
    let owned = body.to_owned();
    let ours = Case::new("scan", format!("{label}, lockgate"), move || {
        let mut scan = BodyScan::new(u64::MAX);
        move || ours(&mut scan, &owned)
    });
    [
        ours.bytes(body.len()).counted_runs(runs),
        case("serde_json", serde_json_peek),
        case("serde-json-core", serde_json_core_peek),
    ]
}

fn ours(scan: &mut BodyScan, body: &str) {
    scan.reset();
    for chunk in black_box(body).as_bytes().chunks(CHUNK) {
        let _ = black_box(scan.feed(chunk));
    }
    let _ = black_box(scan.finish());
}

/// The fields a gateway needs, borrowed where the parser can.
#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(borrow)]
    model: Option<&'a str>,
    stream: Option<bool>,
}

fn serde_json_peek(body: &str) {
    let peek: Result<Peek<'_>, _> = serde_json::from_slice(black_box(body).as_bytes());
    let _ = black_box(peek.map(|peek| (peek.model.map(str::len), peek.stream)).ok());
}

fn serde_json_core_peek(body: &str) {
    let peek: Result<(Peek<'_>, usize), _> = serde_json_core::from_slice(black_box(body).as_bytes());
    let _ = black_box(peek.map(|(peek, _)| (peek.model.map(str::len), peek.stream)).ok());
}

fn meter(name: &str, chunk: &'static str) -> Case {
    let case = Case::new("meter", name, move || {
        let mut meter = UsageMeter::new(Framing::Sse);
        move || meter.feed(black_box(chunk).as_bytes())
    });
    case.bytes(chunk.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reader_finds_the_model() {
        let body = chat(2_000, ModelAt::Last);
        let mut scan = BodyScan::new(u64::MAX);
        scan.feed(body.as_bytes()).unwrap();
        assert_eq!(scan.finish().unwrap().model(), Some("qwen-plus"));
        let peek: Peek<'_> = serde_json::from_str(&body).unwrap();
        assert_eq!((peek.model, peek.stream), (Some("qwen-plus"), Some(true)));
        let (peek, _): (Peek<'_>, _) = serde_json_core::from_slice(body.as_bytes()).unwrap();
        assert_eq!((peek.model, peek.stream), (Some("qwen-plus"), Some(true)));
    }
}
