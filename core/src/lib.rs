//! The decision engine of Lockgate: an LLM ingress gateway's matching, policy,
//! rewriting and token accounting as pure functions.
//!
//! Configuration is compiled once; every request is then decided without IO,
//! clock, randomness or allocation. Whatever a decision depends on is an
//! argument, so it can be replayed anywhere, bit for bit.
//!
//! ```
//! # #[cfg(feature = "yaml")] {
//! use lockgate_core::compile::Settings;
//! use lockgate_core::config::{LoadOptions, diagnostic::Source};
//! use lockgate_core::decide::{Body, Known, Scratch, decide};
//! use lockgate_core::decision::{Decision, Refusal};
//! use lockgate_core::request::{Connection, Request};
//!
//! let policy = Source::new("policy.yaml".into(), "
//! apiVersion: security.istio.io/v1
//! kind: AuthorizationPolicy
//! metadata: { name: no-test, namespace: istio-system }
//! spec:
//!   action: DENY
//!   rules: [{ to: [{ operation: { hosts: [test.com] } }] }]
//! ".into());
//! let options = LoadOptions { env: &|_| None, ignore_kinds: &[] };
//! let built = lockgate_core::build(&[policy], &options, &Settings::default());
//! let snapshot = built.compiled.expect("no errors").snapshot;
//!
//! let headers: &[(&str, &[u8])] = &[("host", b"TEST.com")];
//! let request = Request {
//!     method: "POST",
//!     authority: None,
//!     target: "/v1/chat/completions",
//!     headers: &headers,
//!     connection: Connection::plain("203.0.113.9".parse().unwrap(), 80),
//! };
//! let mut scratch = Scratch::new();
//! let decision = decide(snapshot.tables(), &request, Known::NOTHING, 0, &mut scratch);
//! assert!(matches!(decision, Decision::Refuse(Refusal::Denied(_))));
//! # }
//! ```
//!
//! # Features
//!
//! - none: [`decide`], [`llm`]; no allocator is linked.
//! - `alloc`: resource types, [`compile`], [`snapshot`], [`explain`], [`diff`].
//! - `yaml`: the loader, and [`build()`], which goes from text to snapshot.
#![no_std]
#![warn(clippy::std_instead_of_core, clippy::alloc_instead_of_core)]
#![cfg_attr(
    not(feature = "alloc"),
    expect(clippy::needless_borrow, reason = "the tables of a `static` are borrowed already")
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod answer;
mod attributes;
mod authority;
mod authz;
#[cfg(feature = "yaml")]
mod build;
mod chance;
pub mod check;
pub mod cidr;
pub mod claims;
pub mod client_cert;
#[cfg(feature = "alloc")]
pub mod compile;
#[cfg(feature = "alloc")]
pub mod config;
pub mod connection_field;
pub mod cors;
pub mod decide;
pub mod decision;
#[cfg(feature = "alloc")]
pub mod diff;
#[cfg(feature = "alloc")]
pub mod explain;
pub mod fault;
#[cfg(feature = "alloc")]
pub mod field_value;
#[doc(hidden)]
pub mod fuzzing;
mod index;
#[cfg(feature = "alloc")]
mod json_text;
mod lanes;
pub mod limits;
pub mod llm;
mod lookup;
mod method;
pub mod mirror;
pub mod observe;
pub mod path;
pub mod proxy_header;
mod redirect;
mod regex;
mod remote;
pub mod request;
pub mod retry;
pub mod rewrite;
mod route;
#[cfg(feature = "alloc")]
mod row_map;
#[cfg(feature = "yaml")]
pub mod scenario;
pub mod shown;
#[cfg(feature = "alloc")]
pub mod snapshot;
#[cfg(feature = "alloc")]
mod substitution;
pub mod tables;
#[cfg(feature = "alloc")]
mod text_map;
#[cfg(feature = "alloc")]
pub mod tls;
pub mod token;
pub mod upgrade;

#[cfg(feature = "yaml")]
pub use build::{Built, Memory, build};
