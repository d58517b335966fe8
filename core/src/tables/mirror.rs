//! Where copies of a rule's requests go.

use super::{Chance, UpstreamId};

/// One of `mirrors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct MirrorRow {
    pub(crate) upstream: UpstreamId,
    pub(crate) chance: Chance,
}
