//! A second reading of the documents, to hold the engine against.
//!
//! [`Oracle`] says what happens to a request: linear, allocating, written from
//! the semantics over the resource types, and sharing no code with the compiler
//! or with `decide`. [`world`] and [`traffic`] make small configurations and
//! requests that collide often, out of a string of bytes, so that the same
//! generator serves the seeded test, its minimiser and the fuzzer.
//! [`differential`] asks both and compares. `envoy`, a feature, sends the same bytes
//! to the gateway's program and to a real Envoy. [`pairs`] writes the configurations as text
//! ([`manifests`]) and what the engine answers, for the simulator to answer the same.
//!
//! Everything here is for tests: it panics where something does not hold.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::std_instead_of_core,
    clippy::alloc_instead_of_core,
    reason = "a tool of tests: it runs with std, and a panic is how it reports"
)]

pub mod attempts;
pub mod binding;
pub mod bytes;
pub mod checks;
pub mod cors;
pub mod delegates;
pub mod differential;
#[cfg(feature = "envoy")]
pub mod envoy;
pub mod gateway_api;
pub mod head;
pub mod http_routes;
pub mod listening;
pub mod loadable;
pub mod manifests;
pub mod many_rules;
pub mod oracle;
pub mod pairs;
pub mod people;
pub mod plain;
pub mod policies;
pub mod policy;
pub mod random;
pub mod routing;
pub mod shown;
pub mod traffic;
pub mod validity;
pub mod verdict;
pub mod virtual_services;
pub mod world;

pub use oracle::Oracle;
