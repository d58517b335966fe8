//! The decision engine of Lockgate.
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod answer;
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
#[cfg(feature = "alloc")]
pub mod explain;
#[doc(hidden)]
pub mod fuzzing;
mod index;
pub mod limits;
pub mod llm;
mod path;
mod regex;
pub mod request;
pub mod rewrite;
mod route;
#[cfg(feature = "alloc")]
pub mod snapshot;
pub mod tables;
