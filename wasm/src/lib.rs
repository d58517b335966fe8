//! The engine for JavaScript.
use wasm_bindgen::prelude::wasm_bindgen;

/// The version of the engine, equal to the gateway's.
#[wasm_bindgen]
#[must_use]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").into()
}
