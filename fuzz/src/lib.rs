//! What every fuzz target checks, and how a target becomes a program.
//!
//! Under cargo-fuzz a target is libFuzzer's entry point. Without it the same
//! source is a stable program that replays `corpus/` and `regressions/`, which
//! is what `cargo xtask fuzz-replay` and CI run.

mod bodies;
mod configs;
mod connections;
mod decisions;
mod heads;
mod json;
pub mod replay;
mod streams;
mod token_places;
mod tokens;

pub use bodies::{body_scan, splice};
pub use configs::resource_load;
pub use connections::proxy_header;
pub use decisions::decide_vs_oracle;
pub use heads::{authority, cidr, path};
pub use streams::{sse, usage};
pub use token_places::token_places;
pub use tokens::token;

/// Turns the function `$target` of this crate into a program: for libFuzzer, or to replay what it found.
#[macro_export]
macro_rules! target {
    ($target:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::$target(input));

        #[cfg(not(fuzzing))]
        fn main() -> std::process::ExitCode {
            $crate::replay::main(stringify!($target), $crate::$target)
        }
    };
}

/// Cuts `input` into pieces of one to eight bytes, or one to two thousand, in a way that `seed` chooses.
fn pieces(input: &[u8], seed: u8) -> Vec<&[u8]> {
    let most = if seed & 1 == 0 { 8 } else { 2048 };
    let mut state = u32::from(seed) | 0x100;
    let mut rest = input;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        // Knuth's multiplier; any sequence does, as long as an input always gives the same.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = 1 + (state >> 16) as usize % most;
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
