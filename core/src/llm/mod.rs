//! What is specific to large language models: reading a request's body without
//! parsing it whole, editing it without touching the rest, counting the tokens of
//! an answer while it streams past, and telling that it broke off.

pub mod body;
mod body_error;
#[cfg(test)]
mod body_tests;
pub mod cut;
pub mod json;
pub mod media;
pub mod splice;
pub mod sse;
mod text;
pub mod usage;
