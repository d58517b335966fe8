//! What the configuration calls that by which a request was decided, for the log and the metrics.
//!
//! A record asks the configuration itself while the request needs it anyway. A
//! tunnel may outlast many of them, so it keeps of the one that it began under
//! only what its last line says.

use std::borrow::Cow;
use std::rc::Rc;

use lockgate_core::tables::Tables;

use super::Record;
use crate::metrics::labels::Label;
use crate::worker::view::View;

/// The configuration that a request is decided by, or what is kept of it.
#[derive(Debug)]
pub(super) enum Configuration {
    Whole(Rc<View>),
    Names(Box<Names>),
}

/// The names of a record's rule and of what came of it.
#[derive(Debug)]
pub(super) struct Names {
    snapshot: Box<str>,
    rule: Option<Box<str>>,
    provider: Option<Box<str>>,
    cluster: Option<Box<str>>,
    audited_by: Option<Box<str>>,
    dry_run: Option<Box<str>>,
    route_label: Label,
    provider_label: Label,
}

impl Record {
    /// The snapshot that the request is decided by; `None` in a tunnel, whose request is over.
    pub(crate) fn view(&self) -> Option<&Rc<View>> {
        match &self.configuration {
            Configuration::Whole(view) => Some(view),
            Configuration::Names(_) => None,
        }
    }

    /// Its tables, as long.
    pub(crate) fn tables(&self) -> Option<&Tables> {
        self.view().map(|view| tables(view))
    }

    /// Lets go of the configuration. What the request was decided by must not change any more.
    pub(super) fn keep_names(&mut self) {
        let names = Names {
            snapshot: self.snapshot_id().into(),
            rule: self.rule_name().map(Box::from),
            provider: self.provider_name().map(Box::from),
            cluster: self.cluster_name().map(Box::from),
            audited_by: self.audited_by().map(Box::from),
            dry_run: self.dry_run().map(Box::from),
            route_label: self.route_label(),
            provider_label: self.provider_label(),
        };
        self.configuration = Configuration::Names(Box::new(names));
    }

    pub(super) fn snapshot_id(&self) -> &str {
        match &self.configuration {
            Configuration::Whole(view) => view.live.compiled.snapshot.id(),
            Configuration::Names(names) => &names.snapshot,
        }
    }

    pub(super) fn rule_name(&self) -> Option<&str> {
        match &self.configuration {
            Configuration::Whole(view) => self.rule.map(|rule| tables(view).rule_label(rule)),
            Configuration::Names(names) => names.rule.as_deref(),
        }
    }

    pub(super) fn provider_name(&self) -> Option<&str> {
        match &self.configuration {
            Configuration::Whole(view) => self.provider.map(|provider| tables(view).provider_host(provider)),
            Configuration::Names(names) => names.provider.as_deref(),
        }
    }

    pub(super) fn cluster_name(&self) -> Option<&str> {
        match &self.configuration {
            Configuration::Whole(view) => view.upstream(self.upstream?).map(|pool| &*pool.target().host),
            Configuration::Names(names) => names.cluster.as_deref(),
        }
    }

    pub(super) fn audited_by(&self) -> Option<&str> {
        match &self.configuration {
            Configuration::Whole(view) => self.observation.audited.map(|policy| tables(view).policy_label(policy)),
            Configuration::Names(names) => names.audited_by.as_deref(),
        }
    }

    pub(super) fn dry_run(&self) -> Option<Cow<'_, str>> {
        match &self.configuration {
            Configuration::Whole(view) => {
                let words = |dry_run| tables(view).dry_run_in_words(dry_run);
                self.observation.dry_run.map(words).map(Cow::Owned)
            }
            Configuration::Names(names) => names.dry_run.as_deref().map(Cow::Borrowed),
        }
    }

    /// What metrics call its rule.
    pub(super) fn route_label(&self) -> Label {
        match &self.configuration {
            Configuration::Whole(view) => self.rule.map_or(Label::UNKNOWN, |rule| view.rule_label(rule)),
            Configuration::Names(names) => names.route_label,
        }
    }

    /// What metrics call its provider, or the plain host behind its upstream.
    pub(super) fn provider_label(&self) -> Label {
        match (&self.configuration, self.provider, self.upstream) {
            (Configuration::Names(names), ..) => names.provider_label,
            (Configuration::Whole(view), Some(provider), _) => view.provider_label(provider),
            (Configuration::Whole(view), None, Some(host)) => view.host_label(host),
            (Configuration::Whole(_), None, None) => Label::UNKNOWN,
        }
    }
}

fn tables(view: &View) -> &Tables {
    view.live.compiled.snapshot.tables()
}
