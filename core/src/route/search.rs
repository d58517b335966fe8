//! Finds the first entry of a virtual host that matches without looking at those that cannot.
//!
//! All conditions of an entry must hold, so one of them is enough to find it by.
//! For every entry the compiler chose the condition whose value the fewest
//! entries of the virtual host mention, and wrote the entry down under that
//! value (`compile::rule_index`). Here the request's own values are looked up;
//! of the entries that each leads to, in order, the first that matches counts,
//! and nothing behind the best one found so far is looked at. Entries without
//! such a condition (negated ones alone, regular expressions that may begin with
//! anything, none at all) come last, in order and up to the best one as well. So
//! order is kept exactly without merging anything: the first entry that matches
//! is the least of the entries that match.
//!
//! The work is a lookup for each feature that several entries are found by, plus
//! the entries found. It grows with the number of entries where many of them
//! share their rarest value, or have none: there Envoy walks them too.
//!
//! Sets of entries as bits, one set for each value and all of them intersected,
//! would read 1,563 words per condition among 100,000 entries, more than all of
//! a decision costs now; a graph of decisions repeats every entry that leaves a
//! condition open below each branch. What this has and they had not is a list to
//! walk where many entries differ by two conditions at once, none of which is
//! rare by itself: a list as long as the rarer of the two is common.

use core::ops::ControlFlow::Continue;

use super::{Evidence, Found, Judged};
use crate::attributes::Attributes;
use crate::lookup;
use crate::tables::{Feature, FeatureRow, Rows, Tables};

/// The first entry of a virtual host that matches.
pub(super) fn first<'d>(
    tables: &'d Tables,
    virtual_host: u32,
    seen: &Attributes<'_>,
    evidence: Evidence<'_>,
) -> Option<Found<'d>> {
    let index = &tables.derived.rule_index;
    let host = index.virtual_hosts.get(virtual_host as usize)?;
    let mut search = Search {
        tables,
        seen,
        evidence,
        found: None,
    };
    let features: &[FeatureRow] = host.features.of(&index.features);
    features.iter().for_each(|feature| search.feature(feature));
    search.look_at(host.always);
    search.found.map(|(_, found)| found)
}

struct Search<'s, 'd> {
    tables: &'d Tables,
    seen: &'s Attributes<'s>,
    evidence: Evidence<'s>,
    found: Option<(u32, Found<'d>)>,
}

impl Search<'_, '_> {
    fn feature(&mut self, feature: &FeatureRow) {
        let Feature::Route(subject) = feature.feature else {
            return;
        };
        if super::is_unknown(subject, self.evidence) {
            return self.look_at(feature.all);
        }
        let (tables, seen, evidence) = (self.tables, self.seen, self.evidence);
        super::each_value(tables, subject, seen, evidence, &mut |value| {
            let _ = lookup::text(tables, feature, value, &mut |entries| {
                self.look_at(entries);
                Continue(())
            });
        });
    }

    /// Looks at entries in their order.
    fn look_at(&mut self, entries: Rows) {
        for &number in entries.of(&self.tables.derived.rule_index.listed) {
            if self.found.is_some_and(|(found, _)| found <= number) {
                break;
            }
            let Some(entry) = self.tables.entries.get(number as usize) else {
                continue;
            };
            let depends_on_body = match super::judge(self.tables, entry, self.seen, self.evidence) {
                Judged::Matches => false,
                Judged::DependsOnBody(_) => true,
                Judged::Fails(_) => continue,
            };
            let found = Found { entry, depends_on_body };
            self.found = Some((number, found));
            break;
        }
    }
}
