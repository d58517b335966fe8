//! From text to typed resources: load, check, substitute, decode.
//!
//! ```text
//! text ─yaml─► tree of nodes with places ─schema─► checked ─resource─► Resources
//! ```
//!
//! Every step reports into [`diagnostic::Diagnostics`] and goes on, so one run
//! names every problem of every document. What is not understood is refused:
//! silence about a misspelt `ipBlocks` in a DENY would be an open door.

#[cfg(feature = "yaml")]
mod check;
#[cfg(feature = "yaml")]
mod decode;
pub mod diagnostic;
#[cfg(feature = "yaml")]
mod document;
#[cfg(feature = "yaml")]
mod envelope;
#[cfg(feature = "yaml")]
mod field_path;
#[cfg(feature = "yaml")]
mod flat;
#[cfg(feature = "yaml")]
mod flaw;
#[cfg(feature = "yaml")]
mod format;
#[cfg(feature = "yaml")]
mod json_schema;
#[cfg(feature = "yaml")]
mod kept;
#[cfg(feature = "yaml")]
pub(crate) mod key_set;
#[cfg(feature = "yaml")]
mod load;
pub(crate) mod mask;
#[cfg(feature = "yaml")]
mod mesh;
pub mod quote;
mod render;
pub mod resource;
#[cfg(feature = "yaml")]
mod schema;
pub mod secret;
#[cfg(feature = "yaml")]
mod substitute;
pub(crate) mod suggest;
#[cfg(feature = "yaml")]
mod time;
#[cfg(feature = "yaml")]
mod tree;
#[cfg(feature = "yaml")]
mod yaml;

#[cfg(feature = "yaml")]
pub use document::{Document, Variable};
#[cfg(feature = "yaml")]
pub use json_schema::json_schema;
#[cfg(feature = "yaml")]
pub(crate) use kept::Kept;
#[cfg(feature = "yaml")]
pub(crate) use load::load_again;
#[cfg(feature = "yaml")]
pub use load::{LoadOptions, Loaded, load, scenario_env};
