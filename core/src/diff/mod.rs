//! What two configurations decide differently, shown by requests (`docs/diff.md`).
//!
//! No rule is compared with another here, since the same can be said in many
//! ways. Requests are made of what the rules of both compare with
//! (`examples`), decided by either engine, and what comes out differently is
//! taken down to the parts (`draft`) without which it would not. So whatever is
//! found is real, and whoever doubts it can ask `explain`. That nothing is found is no
//! proof, unless both are one snapshot: then every request is decided alike.

mod draft;
mod examples;
mod text;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use self::draft::{Draft, Part, Setting};
use self::examples::Examples;
use crate::chance::{GOLDEN, mix};
use crate::explain::{Explanation, Question, Verdict, covers};
use crate::field_value::FieldValue;
use crate::snapshot::Snapshot;
use crate::tables::Action;

/// How long to look.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Requests to try beside those that the rules themselves are about.
    pub requests: u32,
    /// Differences after which to stop.
    pub differences: usize,
    /// Which requests: the same number tries the same ones.
    pub seed: u64,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Report {
    /// The snapshots' ids.
    pub old: String,
    /// The same of the other.
    pub new: String,
    /// Requests tried; none where both are the same snapshot.
    pub tried: u32,
    /// One request for each kind of difference.
    pub differences: Vec<Difference>,
}

impl Report {
    /// Whether both are one snapshot, so that nothing can be decided differently.
    #[must_use]
    pub fn is_same_snapshot(&self) -> bool {
        self.old == self.new
    }
}

/// A request that the two decide differently.
#[derive(Debug, Clone)]
pub struct Difference {
    /// With no part that could be left away.
    pub request: Question,
    /// What the old configuration makes of it.
    pub old: Decided,
    /// What the new one makes of it.
    pub new: Decided,
}

/// What one configuration makes of a request.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The request as this gateway is asked it: without a token where none is looked for, and so on.
    pub asked: Question,
    /// What is decided.
    pub verdict: Verdict,
    /// Where the rule stands that decided it: `file:line:column`.
    pub at: Option<String>,
}

/// Looks for requests that the two decide differently.
#[must_use]
pub fn diff(old: &Snapshot, new: &Snapshot, options: &Options) -> Report {
    let report = Report {
        old: old.id().to_owned(),
        new: new.id().to_owned(),
        tried: 0,
        differences: Vec::new(),
    };
    if report.is_same_snapshot() {
        return report;
    }
    let trusted = |snapshot: &Snapshot| snapshot.tables().edge.trusted_proxies;
    let mut search = Search {
        pair: Pair {
            old,
            new,
            trusted_proxies: trusted(old).max(trusted(new)).min(TRUSTED_PROXIES_MAX),
        },
        limit: options.differences,
        kinds: BTreeSet::new(),
        report,
        refused_by_both: Vec::new(),
    };
    search.run(options);
    search.finish()
}

/// Entries of `x-forwarded-for` that a request is given for proxies of one's own.
const TRUSTED_PROXIES_MAX: u32 = 16;

/// The two.
#[derive(Clone, Copy)]
struct Pair<'s> {
    old: &'s Snapshot,
    new: &'s Snapshot,
    /// So many at most stand in front of either.
    trusted_proxies: u32,
}

/// A request and what either makes of it.
struct Tried {
    question: Question,
    old: (Question, Verdict),
    new: (Question, Verdict),
}

impl Tried {
    /// What kind of difference it is: what either does, and by which rule; `None` when it is none.
    fn kind(&self) -> Option<Kind> {
        let (old, new) = (&self.old.1, &self.new.1);
        if old == new || neutral(old, &self.question.headers) == neutral(new, &self.question.headers) {
            return None;
        }
        Some((text::in_short(old), text::in_short(new)))
    }
}

impl Pair<'_> {
    fn try_out(self, draft: &Draft) -> Option<Tried> {
        let question = draft.question(self.trusted_proxies)?;
        let ask = |snapshot| {
            let asked = draft.asked_of(snapshot, &question);
            let verdict = asked.verdict(snapshot).ok()?;
            Some((asked, verdict))
        };
        Some(Tried {
            old: ask(self.old)?,
            new: ask(self.new)?,
            question,
        })
    }

    /// Without the parts that it differs without.
    fn shrunk(self, draft: &Draft, kind: &Kind) -> Draft {
        let mut draft = draft.clone();
        let parts: Vec<Part> = draft.0.keys().cloned().collect();
        for part in parts {
            let mut less = draft.clone();
            less.0.remove(&part);
            let is_same = |tried: Tried| tried.kind().is_some_and(|less| less == *kind);
            if self.try_out(&less).is_some_and(is_same) {
                draft = less;
            }
        }
        draft
    }
}

struct Search<'s> {
    pair: Pair<'s>,
    /// Differences after which it ends.
    limit: usize,
    /// The kinds that were found.
    kinds: BTreeSet<Kind>,
    report: Report,
    /// Differences of requests that neither lets pass, which say little beside others.
    refused_by_both: Vec<(Kind, Difference)>,
}

/// What either does, and by which rule.
type Kind = (String, String);

impl Search<'_> {
    fn run(&mut self, options: &Options) {
        let (old, new) = (Examples::of(self.pair.old), Examples::of(self.pair.new));
        // What only one of them says comes first: there the difference is, most often.
        let routes = first_those_of_one(&old.routes, &new.routes);
        let policies = first_those_of_one(&old.policies, &new.policies);
        let settings = first_those_of_one(&old.settings, &new.settings);
        self.visit(&Draft::default());
        for draft in &routes.all {
            self.visit(draft);
        }
        let mut random = Random(options.seed);
        for draft in &policies.all {
            self.visit(draft);
            if let Some(base) = random.one_of(&routes.all) {
                self.visit(&draft.over(base));
            }
        }
        let empty = Draft::default();
        for _ in 0..options.requests {
            let mut draft = routes.pick(&mut random).unwrap_or(&empty).clone();
            if random.below(3) > 0
                && let Some(policy) = policies.pick(&mut random)
            {
                draft = policy.over(&draft);
            }
            for _ in 0..random.below(6) {
                draft.set(settings.pick(&mut random).map_or(&[][..], |setting: &Setting| setting));
            }
            if random.below(4) == 0 {
                let entropy = alloc::format!("{}", random.next());
                draft.set(&[(Part::Entropy, entropy)]);
            }
            self.visit(&draft);
            if self.report.differences.len() >= self.limit {
                return;
            }
        }
    }

    fn visit(&mut self, draft: &Draft) {
        if self.report.differences.len() >= self.limit {
            return;
        }
        let Some(tried) = self.pair.try_out(draft) else { return };
        self.report.tried = self.report.tried.saturating_add(1);
        let asks_body = |verdict: &Verdict| matches!(verdict, Verdict::ReadBody { .. });
        if !draft.has_body() && (asks_body(&tried.old.1) || asks_body(&tried.new.1)) {
            return self.visit(&draft.with(&[(Part::Body, String::new())]));
        }
        let asks_other = |verdict: &Verdict| matches!(verdict, Verdict::Check(_));
        let Some(kind) = tried.kind() else {
            // Behind an authorizer that lets it pass there may be more.
            if asks_other(&tried.old.1) && !draft.0.contains_key(&Part::Authorizers) {
                self.visit(&draft.with(&[(Part::Authorizers, "allow".to_owned())]));
            }
            return;
        };
        if self.kinds.contains(&kind) {
            return;
        }
        let least = self.pair.shrunk(draft, &kind);
        if let Some(Tried { question, old, new }) = self.pair.try_out(&least) {
            let are_refused = [&old, &new]
                .iter()
                .all(|(_, verdict)| matches!(verdict, Verdict::Refuse(_)));
            let difference = Difference {
                request: question,
                old: decided(self.pair.old, old),
                new: decided(self.pair.new, new),
            };
            match are_refused {
                true => self.refused_by_both.push((kind.clone(), difference)),
                false => self.report.differences.push(difference),
            }
        }
        self.kinds.insert(kind);
    }

    /// What was found, and of requests that both refuse those that tell something new.
    fn finish(mut self) -> Report {
        let told = |what: &str, is_old: bool| {
            let sides = self
                .report
                .differences
                .iter()
                .map(|found| if is_old { &found.old } else { &found.new });
            sides
                .map(|side| text::in_short(&side.verdict))
                .any(|known| known == what)
        };
        let is_new = |kind: &Kind| !told(&kind.0, true) && !told(&kind.1, false);
        let rest: Vec<Difference> = self
            .refused_by_both
            .iter()
            .filter(|(kind, _)| is_new(kind))
            .map(|(_, difference)| difference.clone())
            .collect();
        self.report.differences.extend(rest);
        self.report.differences.truncate(self.limit);
        self.report
    }
}

fn decided(snapshot: &Snapshot, (asked, verdict): (Question, Verdict)) -> Decided {
    let at = asked.explain(snapshot).ok().and_then(|explanation| place(&explanation));
    Decided { asked, verdict, at }
}

/// Where the rule stands that settled it: a policy's, or else a route's.
fn place(explanation: &Explanation) -> Option<String> {
    let settles = |action| match &explanation.verdict {
        Verdict::Refuse(_) => action == Action::Deny,
        Verdict::Check(_) => action == Action::Custom,
        _ => false,
    };
    let policies = explanation
        .policies
        .iter()
        .filter(|policy| settles(policy.action) && !policy.dry_run);
    let by_policy = policies.flat_map(|policy| &policy.rules).find(|rule| rule.matched);
    let by_route = explanation
        .passes
        .first()
        .and_then(|pass| pass.rules.last())
        .filter(|rule| rule.matched);
    by_policy.or(by_route).map(|rule| rule.at.clone())
}

/// A verdict on a request that sent such `headers`, without what only says by which words of the configuration it came about.
fn neutral(verdict: &Verdict, headers: &[(String, FieldValue)]) -> Verdict {
    let mut verdict = verdict.clone();
    match &mut verdict {
        Verdict::Forward(upstream) => {
            upstream.rule.clear();
            upstream.admitted_by = None;
            upstream.backends.clear();
            upstream
                .remove_headers
                .retain(|listed| headers.iter().any(|(name, _)| covers(listed, name)));
            upstream.remove_headers.sort_unstable();
        }
        Verdict::Check(check) => check.policies.clear(),
        Verdict::VerifyToken { authentications } => authentications.clear(),
        Verdict::ReadBody { rule } => *rule = None,
        Verdict::Redirect(redirect) => redirect.rule = None,
        Verdict::Respond(answer) => answer.rule.clear(),
        Verdict::Refuse(refused) => refused.reason.clear(),
    }
    verdict
}

/// What two sets hold.
struct Both<'e, T> {
    /// Those that only one of them has, and then the others.
    all: Vec<&'e T>,
    /// How many of the former.
    of_one: usize,
}

fn first_those_of_one<'e, T: Ord>(old: &'e BTreeSet<T>, new: &'e BTreeSet<T>) -> Both<'e, T> {
    let mut all: Vec<&T> = old.symmetric_difference(new).collect();
    let of_one = all.len();
    all.extend(old.intersection(new));
    Both { all, of_one }
}

impl<'e, T> Both<'e, T> {
    /// Half of the time one of those that are not in both.
    fn pick(&self, random: &mut Random) -> Option<&'e T> {
        let among = match random.below(2) {
            0 if self.of_one > 0 => self.all.get(..self.of_one)?,
            _ => &self.all,
        };
        random.one_of(among)
    }
}

/// SplitMix64: the same requests every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or_default()
    }

    fn one_of<'t, T>(&mut self, all: &[&'t T]) -> Option<&'t T> {
        let index = self.below(u64::try_from(all.len()).ok()?);
        all.get(usize::try_from(index).ok()?).copied()
    }
}
