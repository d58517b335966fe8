//! A snapshot as one worker uses it: with its own connection pools and label numbers.

use core::cell::RefCell;
use core::ptr;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};
use lockgate_core::check::{Authorizer, CheckProtocol};
use lockgate_core::tables::{AuthorizerId, ProviderId, RuleId, UpstreamId};

use crate::ext_authz::{Channel, Way};
use crate::live::Live;
use crate::metrics::Shard;
use crate::metrics::labels::{Label, Labels};
use crate::shared::Shared;
use crate::upstream::{Pool, Target};

/// One worker's view of one snapshot. A request holds on to the view that it started with.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) live: Arc<Live>,
    shared: Arc<Shared>,
    /// By [`UpstreamId`].
    pools: Vec<Rc<Pool>>,
    /// By [`AuthorizerId`].
    ways: Vec<Way>,
    rules: RefCell<BTreeMap<RuleId, Label>>,
    providers: RefCell<BTreeMap<ProviderId, Label>>,
    texts: Texts,
}

/// Texts of the configuration as requests to providers hold them, made of each when it is first needed.
#[derive(Debug, Default)]
struct Texts {
    paths: RefCell<BTreeMap<Box<str>, Uri>>,
    hosts: RefCell<BTreeMap<Box<str>, HeaderValue>>,
    models: RefCell<BTreeMap<Box<str>, Rc<str>>>,
}

impl View {
    /// The view of `live`, with the connections of `before` to the upstreams that have not changed.
    pub(crate) fn new(shared: &Arc<Shared>, live: Arc<Live>, before: Option<&Self>, shard: &Arc<Shard>) -> Rc<Self> {
        let known = before.into_iter().flat_map(|view| &view.pools);
        let known: HashMap<*const Target, &Rc<Pool>> = known.map(|pool| (ptr::from_ref(pool.target()), pool)).collect();
        let pools: Vec<Rc<Pool>> = live
            .upstreams
            .iter()
            .map(|target| match known.get(&Arc::as_ptr(target)) {
                Some(kept) => Rc::clone(kept),
                None => Rc::new(Pool::new(Arc::clone(target), Arc::clone(shard))),
            })
            .collect();
        let ways = ways(&live, &pools, before, shard);
        Rc::new(Self {
            live,
            shared: Arc::clone(shared),
            pools,
            ways,
            rules: RefCell::default(),
            providers: RefCell::default(),
            texts: Texts::default(),
        })
    }

    /// The pool of an upstream.
    pub(crate) fn upstream(&self, id: UpstreamId) -> Option<&Rc<Pool>> {
        self.pools.get(id.0 as usize)
    }

    /// How an external authorizer is reached.
    pub(crate) fn way(&self, id: AuthorizerId) -> Option<&Way> {
        self.ways.get(id.0 as usize)
    }

    /// What metrics call an external authorizer.
    pub(crate) fn authorizer_label(&self, authorizer: AuthorizerId) -> Label {
        let name = self.live.compiled.snapshot.tables().authorizer_name(authorizer);
        self.shared.metrics.labels.of_configuration(name)
    }

    /// What metrics call the plain host behind an upstream.
    pub(crate) fn host_label(&self, upstream: UpstreamId) -> Label {
        let host = self.upstream(upstream).map_or("", |pool| &*pool.target().host);
        self.shared.metrics.labels.of_configuration(host)
    }

    /// All pools.
    pub(crate) fn pools(&self) -> &[Rc<Pool>] {
        &self.pools
    }

    /// What metrics call a rule.
    pub(crate) fn rule_label(&self, rule: RuleId) -> Label {
        let text = || self.live.compiled.snapshot.tables().rule_label(rule);
        cached(&self.rules, &self.shared.metrics.labels, rule, text)
    }

    /// What metrics call a provider.
    pub(crate) fn provider_label(&self, provider: ProviderId) -> Label {
        let text = || self.live.compiled.snapshot.tables().provider_host(provider);
        cached(&self.providers, &self.shared.metrics.labels, provider, text)
    }
}

impl View {
    /// A provider's path as it is asked for.
    pub(crate) fn path(&self, path: &str) -> Option<Uri> {
        let make = || PathAndQuery::try_from(path).ok().map(Uri::from);
        kept(&self.texts.paths, path, make)
    }

    /// A provider's host as it is named in a head.
    pub(crate) fn host(&self, host: &str) -> Option<HeaderValue> {
        kept(&self.texts.hosts, host, || HeaderValue::from_str(host).ok())
    }

    /// The model that a JSON value of the configuration names.
    pub(crate) fn model(&self, value: &str) -> Option<Rc<str>> {
        kept(&self.texts.models, value, || {
            serde_json::from_str::<Box<str>>(value).ok().map(Rc::from)
        })
    }
}

/// How each authorizer is reached, with the connections of `before` where nothing has changed.
fn ways(live: &Live, pools: &[Rc<Pool>], before: Option<&View>, shard: &Arc<Shard>) -> Vec<Way> {
    let way = |authorizer: &Authorizer| {
        let (pool, target) = pools
            .get(authorizer.upstream.0 as usize)
            .zip(live.upstreams.get(authorizer.upstream.0 as usize))?;
        if let CheckProtocol::Http { .. } = authorizer.protocol {
            return Some(Way::Http(Rc::clone(pool)));
        }
        let known = before
            .into_iter()
            .flat_map(|view| &view.ways)
            .find_map(|way| match way {
                Way::Grpc(channel) if ptr::eq(channel.target(), &**target) => Some(Rc::clone(channel)),
                Way::Grpc(_) | Way::Http(_) => None,
            });
        Some(Way::Grpc(known.unwrap_or_else(|| {
            Rc::new(Channel::new(Arc::clone(target), Arc::clone(shard)))
        })))
    };
    live.compiled.snapshot.authorizers().iter().filter_map(way).collect()
}

fn kept<T: Clone>(cache: &RefCell<BTreeMap<Box<str>, T>>, text: &str, make: impl FnOnce() -> Option<T>) -> Option<T> {
    let mut cache = cache.borrow_mut();
    if let Some(made) = cache.get(text) {
        return Some(made.clone());
    }
    let made = make()?;
    cache.insert(text.into(), made.clone());
    Some(made)
}

fn cached<'t, Id: Ord>(
    cache: &RefCell<BTreeMap<Id, Label>>,
    labels: &Labels,
    id: Id,
    text: impl FnOnce() -> &'t str,
) -> Label {
    *cache
        .borrow_mut()
        .entry(id)
        .or_insert_with(|| labels.of_configuration(text()))
}
