//! What loads but probably does not do what was meant.

use super::Settings;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::Resources;
use crate::snapshot::Snapshot;

pub(super) fn check(snapshot: &Snapshot, resources: &Resources, settings: &Settings, diagnostics: &mut Diagnostics) {
    let _ = (snapshot, resources, settings, diagnostics);
}
