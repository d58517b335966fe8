//! The rule index: written from the finished rows of policies and routes, as `authz::search` and `route::search`
//! read it.
//!
//! ```text
//! rules ────anchors──┬► (feature, value, number) ──lookups──► hash table of texts, sorted blocks
//! entries ──routes───┘
//! ```

mod anchors;
mod entries;
mod lookups;
mod mentions;
mod routes;

use alloc::vec::Vec;

use crate::limits::VALUES_COMPARED_MAX;
use crate::regex::Regex;
use crate::tables::Tables;
use crate::tables::{Action, AuthorizerId, LongListRow, PolicyRow, RuleIndex, SectionRow};
use lookups::Writer;

pub(super) fn compile(rows: &Tables, regexes: &[Regex]) -> RuleIndex {
    let mut writer = Writer::new(rows);
    let mut kinds: Vec<(Action, Option<AuthorizerId>, bool)> = Vec::new();
    for kind in rows.policies.iter().map(kind) {
        if let Err(place) = kinds.binary_search(&kind) {
            kinds.insert(place, kind);
        }
    }
    for (action, authorizer, dry_run) in kinds {
        let of_kind = rows
            .policies
            .iter()
            .filter(|policy| kind(policy) == (action, authorizer, dry_run));
        let rules: Vec<u32> = of_kind.flat_map(|policy| policy.rules.numbers()).collect();
        let (entries, always) = anchors::of_rules(rows, &rules);
        let section = SectionRow {
            action,
            authorizer,
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
    for host in &rows.virtual_hosts {
        let (entries, always) = routes::of_virtual_host(rows, regexes, host);
        let lookup = writer.lookup(entries, &always);
        writer.index.virtual_hosts.push(lookup);
    }
    writer.finish()
}

fn kind(policy: &PolicyRow) -> (Action, Option<AuthorizerId>, bool) {
    (policy.action, policy.authorizer, policy.dry_run)
}

#[cfg(test)]
#[cfg(feature = "yaml")]
mod tests {
    use alloc::format;
    use alloc::string::String;
    use core::mem::size_of_val;

    use crate::compile::Settings;
    use crate::config::LoadOptions;
    use crate::config::diagnostic::Source;
    use crate::tables::{LookupRow, RuleIndex};

    /// The index of one DENY policy with these rules.
    fn indexed<T>(rules: impl Iterator<Item = String>, look: impl FnOnce(&RuleIndex) -> T) -> T {
        let mut text = String::from(
            "apiVersion: lockgate.dev/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: istio-system}\nspec:\n  action: DENY\n  rules:\n",
        );
        rules.for_each(|rule| text += &format!("  - {rule}\n"));
        let source = Source::new("p.yaml".into(), text);
        let options = LoadOptions {
            env: &|_| None,
            ignore_kinds: &[],
        };
        let built = crate::build(&[source], &options, &Settings::default());
        look(&built.compiled.unwrap().snapshot.tables().derived.rule_index)
    }

    fn rules(index: &RuleIndex) -> LookupRow {
        index.sections.first().unwrap().rules
    }

    #[test]
    fn a_rule_is_found_by_its_rarest_value() {
        for (rule, always) in [
            ("to: [{operation: {hosts: [h@.test], methods: [POST], paths: [/a]}}]", 0),
            (
                "from: [{source: {ipBlocks: [10.0.0.@]}}, {source: {namespaces: [n@]}}]",
                0,
            ),
            ("when: [{key: 'request.llm[model]', values: [m@]}]", 0),
            ("when: [{key: 'request.headers[x]', values: [a], notValues: [v@]}]", 0),
            ("to: [{operation: {notHosts: [h@.test]}}]", 100),
            (
                "from: [{source: {ipBlocks: [10.0.0.@]}}, {source: {notNamespaces: [n@]}}]",
                100,
            ),
            ("when: [{key: 'request.llm[max_tokens]', values: ['>@']}]", 100),
        ] {
            let many = (0..100).map(|number: u32| rule.replace('@', &format!("{number}")));
            let (found_always, longest) = indexed(many, |index| {
                let texts = index.texts.iter().map(|key| key.rows.len);
                let blocks = index.blocks.iter().map(|row| row.listed.len);
                (rules(index).always.len, texts.chain(blocks).max())
            });
            assert_eq!(found_always, always, "{rule}");
            let is_common = rule.contains("[x]");
            assert!(longest <= Some(if is_common { 100 } else { 1 }), "{rule} {longest:?}");
        }
    }

    #[test]
    fn every_long_list_is_looked_up_whatever_its_kind() {
        let list = |value: &str| {
            let values = (0..40).map(|number: u32| value.replace('@', &format!("{number}")));
            values.collect::<alloc::vec::Vec<_>>().join(", ")
        };
        let rules = (0..4).map(|_| {
            format!(
                "from: [{{source: {{requestPrincipals: [{}], notIpBlocks: [{}]}}}}]\n    to: [{{operation: {{paths: [{}]}}}}]",
                list("i/u@"),
                list("10.0.0.@"),
                list("/@")
            )
        });
        indexed(rules, |index| {
            assert_eq!(index.long_lists.len(), 12);
            assert!(index.long_lists.is_sorted_by_key(|list| list.values));
        });
    }

    #[test]
    fn a_rule_takes_few_bytes_of_index() {
        let rules = (0..2_000).map(|number: u32| match number % 4 {
            0 => format!("to: [{{operation: {{hosts: [h{number}.test, 'h{number}.test:*']}}}}]"),
            1 => format!(
                "from: [{{source: {{ipBlocks: [10.{}.{}.0/24]}}}}]",
                number / 256,
                number % 256
            ),
            2 => format!("to: [{{operation: {{paths: ['/{number}/*']}}}}]"),
            _ => format!("when: [{{key: 'request.headers[x]', values: [v{number}]}}]"),
        });
        let bytes = indexed(rules, |index| {
            let texts = size_of_val(&*index.texts_slots) + size_of_val(&*index.texts);
            texts + size_of_val(&*index.blocks) + size_of_val(&*index.listed)
        });
        assert!((20 * 2_000..80 * 2_000).contains(&bytes), "{bytes}");
    }
}
