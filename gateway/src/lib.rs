//! The native gateway around [`lockgate_core`].
//!
//! ```text
//! cli ─► serve ─► reload ─► live        one immutable configuration in use
//!          ├────► admin                 health, metrics, explain, playground
//!          └────► worker (one a core)
//!                   listener ─► connection ─► exchange ─► upstream
//!                                               │ head, body, splice
//!                                               └ respond, client_body, meter
//! access, metrics, log                  what is told of it
//! ```
//!
//! What happens to a request is [`lockgate_core::decide`]'s decision; nothing
//! here looks at a route or a policy.

mod access;
mod admin;
mod alarm;
mod body;
mod capsule;
mod changes;
pub mod cli;
mod client_body;
mod clock;
mod config;
mod connection;
mod decimal;
mod demo;
mod diff;
mod dump;
mod entropy;
mod exchange;
mod explain;
mod ext_authz;
mod frames;
mod head;
mod idle;
mod joined;
mod json;
pub mod jwt;
mod limits;
mod listener;
mod live;
mod log;
mod memory;
mod meter;
mod metrics;
mod overload;
mod pace;
mod pem;
mod plan;
mod playground;
mod ports;
mod reload;
mod respond;
mod scenarios;
mod serve;
mod shared;
mod splice;
mod systemd;
mod upgrade;
mod upstream;
mod watch;
mod websocket;
mod worker;
