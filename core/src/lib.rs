//! The decision engine of Lockgate.
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod authority;
pub mod cidr;
#[cfg(feature = "alloc")]
pub mod config;
pub mod decision;
pub mod limits;
pub mod llm;
mod path;
pub mod request;
#[cfg(feature = "alloc")]
pub mod snapshot;
pub mod tables;
