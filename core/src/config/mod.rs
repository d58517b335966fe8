//! From text to typed resources: load, check, substitute, decode.
//!
//! ```text
//! text ─yaml─► tree of nodes with places ─schema─► checked ─resource─► Resources
//! ```
//!
//! Every step reports into [`diagnostic::Diagnostics`] and goes on, so one run
//! names every problem of every document. What is not understood is refused:
//! silence about a misspelt `ipBlocks` in a DENY would be an open door.

pub mod diagnostic;
pub mod resource;
pub mod secret;
pub(crate) mod suggest;
