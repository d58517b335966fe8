//! The decision engine of Lockgate.
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod attributes;
pub mod authority;
mod authz;
pub mod cidr;
#[cfg(feature = "alloc")]
pub mod compile;
#[cfg(feature = "alloc")]
pub mod config;
pub mod decide;
pub mod decision;
mod index;
pub mod limits;
pub mod llm;
mod path;
mod regex;
pub mod request;
mod route;
#[cfg(feature = "alloc")]
pub mod snapshot;
pub mod tables;
