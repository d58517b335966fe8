//! A real Envoy and the gateway's own program, sent the same bytes.
//!
//! What Istio's resources mean is in the end what Envoy does with istiod's
//! translation of them. So random policies, token rules and mesh settings
//! ([`sets`], with one external authorizer: [`authorizer`]) are given to Lockgate as Istio's YAML ([`istio`]) and to Envoy in a
//! translation of our own ([`translate`]), both in front of one upstream
//! ([`upstream`]). Random raw requests ([`request`]) go to both over sockets
//! ([`wire`]), and what came of them is compared ([`outcome`]). Where the two
//! differ, either [`departures`] says that this is meant, or it is a finding.
//!
//! `cargo xtask oracle` runs it and writes the figures into
//! `docs/conformance.md` ([`report`]).

pub mod authorizer;
pub mod comparison;
pub mod departures;
pub mod header;
pub mod istio;
pub mod outcome;
pub mod process;
pub mod report;
pub mod request;
pub mod routes;
pub mod sets;
pub mod tokens;
pub mod translate;
pub mod upstream;
pub mod wire;
