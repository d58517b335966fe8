//! The policy index: written from the finished rows of the policies, as `authz::search` reads it.
//!
//! ```text
//! rules ──anchors──► (feature, value, rule) ──lookups──► hash table, sorted affixes, sorted blocks
//! ```

mod anchors;
mod entries;
mod lookups;

use alloc::vec::Vec;

use crate::limits::VALUES_COMPARED_MAX;
use crate::snapshot::MeaningRows;
use crate::tables::{Action, LongListRow, PolicyIndexRows, PolicyRow, SectionRow};
use lookups::Writer;

pub(super) fn compile(rows: &MeaningRows) -> PolicyIndexRows {
    let mut writer = Writer::new(rows);
    let mut kinds: Vec<(Action, bool)> = rows.policies.iter().map(kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for (action, dry_run) in kinds {
        let of_kind = rows.policies.iter().filter(|policy| kind(policy) == (action, dry_run));
        let rules: Vec<u32> = of_kind.flat_map(|policy| policy.rules.numbers()).collect();
        let (entries, always) = anchors::of_rules(rows, &rules);
        let section = SectionRow {
            action,
            dry_run,
            rules: writer.lookup(entries, &always),
        };
        writer.index.sections.push(section);
    }
    for predicate in &rows.predicates {
        if predicate.values.rows().len > VALUES_COMPARED_MAX
            && let Some((entries, always)) = entries::of_list(rows, predicate)
        {
            let list = LongListRow {
                values: predicate.values,
                lookup: writer.lookup(entries, &always),
            };
            writer.index.long_lists.push(list);
        }
    }
    writer.finish()
}

fn kind(policy: &PolicyRow) -> (Action, bool) {
    (policy.action, policy.dry_run)
}
