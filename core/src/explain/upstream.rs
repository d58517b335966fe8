//! The request as it goes upstream: what it gains, loses and keeps.

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::question::Fields;
use super::{Backend, BodyField, HeaderChanged, NOT_SHOWN, Reader, Retries, UpstreamRequest, Verdict, address, text};
use crate::attributes::Attributes;
use crate::check::Checked;
use crate::claims::Claims;
use crate::client_cert;
use crate::config::mask::sounds_secret;
use crate::connection_field;
use crate::cors::CrossOrigin;
use crate::decide::{Body, Known};
use crate::decision::{Destination, Forward, Path, ToProvider};
use crate::field_value::FieldValue;
use crate::request::{Headers, Request};
use crate::rewrite::{self, DROPPED_HEADER_PREFIXES, DROPPED_HEADERS};
use crate::route;
use crate::shown;
use crate::snapshot::{Snapshot, UpstreamProtocol};
use crate::tables::{
    BackendRow, BackendTarget, HeaderChange, HeaderChangeRow, HeaderText, RetryPolicy, RuleId, RuleRow,
};
use crate::token::removed::COOKIE;
use crate::upgrade::KEY;

const AUTHORIZATION: &str = "authorization";

/// Providers are asked for plain text, since usage is read from their answers.
const ACCEPT_ENCODING: &str = "accept-encoding";

/// What a plain host is told of a path that is rewritten.
pub(super) const ORIGINAL_PATH: &str = "x-envoy-original-path";

/// Adds to what is never sent what else of the client's own fields, `sent`, the gateway takes out of the head. Only those
/// who ask know their names.
pub(super) fn list_dropped(
    snapshot: &Snapshot,
    sent: &[(String, FieldValue)],
    checked: Option<&Checked<'_>>,
    verdict: &mut Verdict,
) {
    let Verdict::Forward(upstream) = verdict else { return };
    let drops = match upstream.provider {
        Some(_) => rewrite::drops_header_to_provider,
        None => rewrite::drops_header_to_host,
    };
    for (name, _) in sent {
        let name = name.to_ascii_lowercase();
        // A body is framed anew, with its length where that is known.
        let goes = rewrite::is_made_anew(&name) && name != "content-length"
            || connection_field::names(&Fields(sent), &name)
            || drops(snapshot.tables(), &name)
            || snapshot
                .authorizers()
                .iter()
                .any(|authorizer| authorizer.overlooks(&name))
            || checked.is_some_and(|checked| checked.names_alike(&name));
        let is_set = upstream.set_headers.iter().any(|(set, _)| *set == name);
        if goes && !is_set && !upstream.remove_headers.iter().any(|listed| covers(listed, &name)) {
            upstream.remove_headers.push(name.into());
        }
    }
}

/// Whether an entry of what is never sent is about the field `name`.
pub(crate) fn covers(listed: &str, name: &str) -> bool {
    match listed.strip_suffix('*') {
        Some(family) => name.starts_with(family),
        None => name == listed,
    }
}

impl Reader<'_> {
    pub(super) fn upstream_request(
        self,
        request: &Request<'_>,
        seen: Option<&Attributes<'_>>,
        known: Known<'_>,
        entropy: u64,
        forward: &Forward<'_>,
        path: String,
    ) -> UpstreamRequest {
        let upstream = self.upstreams.get(forward.upstream.0 as usize);
        let scheme = if upstream.is_some_and(|upstream| upstream.tls.is_some()) {
            "https"
        } else {
            "http"
        };
        let attempts = self.tables.attempts(forward.attempts);
        let endpoints = upstream.map_or(&[][..], |upstream| &upstream.endpoints);
        let provider = match forward.to {
            Destination::Provider(provider) => Some(provider),
            Destination::Host(_) => None,
        };
        let (request_changes, response_changes) = match &forward.to {
            Destination::Provider(provider) => (provider.request_changes, provider.response_changes),
            Destination::Host(host) => (host.request_changes, host.response_changes),
        };
        let mut set_headers = self.set_headers(request.headers, seen, &known, forward);
        let mut remove_headers = self.never_sent(request.headers, &known, provider.is_some());
        if provider.is_none()
            && let Some(told) = client_cert::sent(self.tables, request.headers, &request.connection)
        {
            set_headers.push((client_cert::NAME.to_owned(), text(&told)));
            remove_headers.retain(|name| name != client_cert::NAME);
        }
        UpstreamRequest {
            rule: self.rule(forward.rule),
            admitted_by: provider.map(|provider| self.rule(provider.admitted_by)),
            provider: provider.map(|provider| self.tables.provider_host(provider.provider).to_owned()),
            backends: self.backends(forward.rule, entropy),
            upstream: upstream.map_or_else(String::new, |upstream| upstream.host.to_string()),
            subset: upstream.and_then(|upstream| upstream.subset.as_deref().map(ToOwned::to_owned)),
            connect: endpoints
                .iter()
                .map(|to| format!("{scheme}://{}", address(to)))
                .collect(),
            sni: upstream.and_then(|upstream| Some(upstream.tls.as_ref()?.sni.to_string())),
            protocol: match upstream.map(|upstream| upstream.protocol) {
                None | Some(UpstreamProtocol::Http1) => None,
                Some(UpstreamProtocol::Http2) => Some("HTTP/2"),
                Some(UpstreamProtocol::AsClient) => Some("HTTP/2 for clients that speak it, HTTP/1.1 for others"),
            },
            method: request.method.to_owned(),
            path,
            upgrade: match &forward.to {
                Destination::Host(host) => host.upgrade.map(|upgrade| upgrade.token().to_owned()),
                Destination::Provider(_) => None,
            },
            set_headers,
            remove_headers,
            change_headers: {
                let mut changes = self.changes(request_changes);
                changes.retain(|change| !self.is_written_last(forward, change.name()));
                changes
            },
            change_response_headers: {
                let mut changes = self.changes(response_changes);
                changes.extend(forward.cors.iter().flat_map(|cors| self.cors_fields(cors)));
                changes
            },
            origin_allowed: forward.cors.as_ref().map(CrossOrigin::is_allowed),
            body_fields: provider.map_or_else(Vec::new, |provider| self.body_fields(known.body, &provider)),
            mirrors: forward
                .mirrors
                .upstreams()
                .filter_map(|id| Some(self.upstreams.get(id.0 as usize)?.host.to_string()))
                .collect(),
            delay_ms: forward.delay_ms,
            timeout_ms: attempts.timeout_ms,
            retries: attempts.retries.as_ref().map(|policy| self.retries(policy)),
        }
    }

    /// Whether the gateway writes the field `name`, lower case, after what the configuration changes, so that no change
    /// of it lasts.
    fn is_written_last(self, forward: &Forward<'_>, name: &str) -> bool {
        match &forward.to {
            Destination::Provider(provider) => name == AUTHORIZATION && provider.credential.is_some(),
            Destination::Host(host) => {
                name == KEY && host.makes_key
                    || name == ORIGINAL_PATH && rewrite::original_target(self.tables, forward.path).is_some()
            }
        }
    }

    /// What chance chose among; nothing when it had no choice.
    fn backends(self, rule: RuleId, entropy: u64) -> Vec<Backend> {
        let Some(split) = self.tables.rule(rule).map(RuleRow::split) else {
            return Vec::new();
        };
        let backends = split.backends.of(&self.tables.backends);
        if backends.len() < 2 {
            return Vec::new();
        }
        let chosen = route::choose(self.tables, split, entropy);
        let of = |backend: &BackendRow| {
            let upstream = match backend.to {
                BackendTarget::Provider(target) => self.tables.provider(target.provider)?.upstream,
                BackendTarget::Upstream(target) => target.upstream,
            };
            let upstream = self.upstreams.get(upstream.0 as usize)?;
            Some(Backend {
                upstream: upstream.host.to_string(),
                subset: upstream.subset.as_deref().map(ToOwned::to_owned),
                weight: backend.weight,
                chosen: chosen.is_some_and(|chosen| core::ptr::eq(chosen, backend)),
            })
        };
        backends.iter().filter_map(of).collect()
    }

    /// What an answer says to a page of another origin.
    pub(super) fn cors_fields(self, cors: &CrossOrigin<'_>) -> Vec<HeaderChanged> {
        let fields = cors.fields(self.tables).map(|(name, value)| HeaderChanged::Set {
            name: name.to_owned(),
            value: text(value),
        });
        fields.collect()
    }

    fn retries(self, policy: &RetryPolicy) -> Retries {
        let statuses = policy.statuses.of(&self.tables.retry_statuses).iter();
        let names = policy.on.names().map(ToOwned::to_owned);
        Retries {
            attempts: policy.retries_max,
            on: names.chain(statuses.map(ToString::to_string)).collect(),
            per_try_timeout_ms: policy.per_try_timeout_ms,
            backoff_ms: policy.backoff_ms,
        }
    }

    /// What the gateway writes, and what authorizers and tokens do.
    fn set_headers(
        self,
        headers: &dyn Headers,
        seen: Option<&Attributes<'_>>,
        known: &Known<'_>,
        forward: &Forward<'_>,
    ) -> Vec<(String, String)> {
        let mut set = Vec::from([("host".to_owned(), forward.authority.to_owned())]);
        let is_provider = matches!(forward.to, Destination::Provider(_));
        if is_provider {
            set.push((ACCEPT_ENCODING.to_owned(), "identity".to_owned()));
        }
        // Of what an authorizer sets.
        let is_taken = |name: &str| match is_provider {
            true => {
                name == ACCEPT_ENCODING
                    || rewrite::drops_header_to_provider(self.tables, name)
                    || rewrite::token_headers(self.tables).any(|of_token| of_token == name)
            }
            false => {
                rewrite::is_alike(name, client_cert::NAME) || self.drops_token_header_to_host(headers, known, name)
            }
        };
        let is_dropped =
            |name: &str| is_taken(name) || !is_provider && rewrite::drops_header_to_host(self.tables, name);
        let is_changed = |name: &str| known.checked.is_some_and(|checked| checked.names_alike(name));
        if let Destination::Host(host) = &forward.to {
            if let Some(upgrade) = host.upgrade {
                for (name, value) in upgrade.fields() {
                    set.push((name.to_owned(), value.to_owned()));
                }
            }
            if host.makes_key {
                set.push((KEY.to_owned(), "«random»".to_owned()));
            }
            if let Some(seen) = seen {
                let told = self.about_the_client(headers, seen, forward.path).into_iter();
                set.extend(told.filter(|(name, _)| name == ORIGINAL_PATH || !is_changed(name)));
            }
        }
        let is_named = |name: &str| connection_field::names(headers, name);
        let is_other =
            |name: &str| is_dropped(name) || rewrite::is_made_anew(name) || is_named(name) || is_changed(name);
        for name in shown::JOINED {
            if !is_other(name) && headers.is_repeated(name) {
                let mut value = Vec::new();
                shown::join(headers, name, &mut |piece| value.extend_from_slice(piece));
                set.push((name.to_owned(), self.unless_credential(name, &value)));
            }
        }
        if !is_provider && !is_other(COOKIE) {
            for cookies in self.cut_cookies(headers).filter(|cookies| !cookies.is_empty()) {
                set.push((COOKIE.to_owned(), self.unless_credential(COOKIE, &cookies)));
            }
        }
        for (name, value) in known.checked.into_iter().flat_map(Checked::changes) {
            let Some(value) = value.filter(|_| !is_taken(name) && !self.is_written_last(forward, name)) else {
                continue;
            };
            if name == COOKIE && rewrite::reads_tokens_from_cookies(self.tables) {
                let cookies = rewrite::sent_cookies(self.tables, value);
                if !cookies.is_empty() {
                    set.push((name.to_owned(), self.unless_credential(name, &cookies)));
                }
            } else {
                set.push((name.to_owned(), self.unless_credential(name, value)));
            }
        }
        for (name, value) in known.identity.claims().into_iter().flat_map(Claims::headers) {
            set.push((name.to_owned(), value.to_owned()));
        }
        if let Destination::Provider(provider) = &forward.to
            && provider.credential.is_some()
        {
            set.push((
                AUTHORIZATION.to_owned(),
                format!("Bearer «key of {}»", self.provider(provider)),
            ));
        }
        set
    }

    /// What is left of each `Cookie` field, where cookies with tokens are taken out of one.
    fn cut_cookies(self, headers: &dyn Headers) -> impl Iterator<Item = Vec<u8>> {
        let (mut left, mut is_cut) = (Vec::new(), false);
        if rewrite::reads_tokens_from_cookies(self.tables) {
            headers.each(COOKIE, &mut |line| {
                let kept = rewrite::sent_cookies(self.tables, line);
                is_cut |= kept != line;
                left.push(kept);
            });
        }
        left.into_iter().filter(move |_| is_cut)
    }

    /// The value of the field `name`, lower case, of a client or an authorizer, unless it is a credential.
    fn unless_credential(self, name: &str, value: &[u8]) -> String {
        let is_credential =
            rewrite::drops_header(name) && sounds_secret(name) || rewrite::reads_token_from(self.tables, name);
        match is_credential {
            true => NOT_SHOWN.to_owned(),
            false => text(value),
        }
    }

    /// What a plain host is told of the client, as Envoy tells it.
    fn about_the_client(self, headers: &dyn Headers, seen: &Attributes<'_>, path: Path<'_>) -> Vec<(String, String)> {
        let mut addresses = Vec::new();
        shown::forwarded_for(headers, seen.connection, &mut |piece| {
            addresses.extend_from_slice(piece);
        });
        let mut told = Vec::from([
            (shown::FORWARDED_FOR.to_owned(), text(&addresses)),
            (shown::FORWARDED_PROTO.to_owned(), seen.scheme.as_str().to_owned()),
            (shown::EXTERNAL_ADDRESS.to_owned(), seen.remote.to_string()),
        ]);
        if let Some(original) = rewrite::original_target(self.tables, path) {
            told.push((ORIGINAL_PATH.to_owned(), original));
        }
        told
    }

    fn never_sent(self, headers: &dyn Headers, known: &Known<'_>, is_provider: bool) -> Vec<Cow<'static, str>> {
        let (names, prefixes) = match is_provider {
            true => (DROPPED_HEADERS, DROPPED_HEADER_PREFIXES),
            false => (
                rewrite::DROPPED_HEADERS_TO_HOST,
                rewrite::DROPPED_HEADER_PREFIXES_TO_HOST,
            ),
        };
        let (hearsay, families) = match is_provider || self.tables.edge.trusted_proxies > 0 {
            true => (&[][..], &[][..]),
            false => (rewrite::HEARSAY_HEADERS, rewrite::HEARSAY_HEADER_PREFIXES),
        };
        let names = names.iter().chain(hearsay).map(|name| Cow::Borrowed(*name));
        let prefixes = prefixes.iter().chain(families);
        let mut all: Vec<Cow<'static, str>> = names.collect();
        all.extend(prefixes.map(|prefix| Cow::Owned([prefix, "*"].concat())));
        if let Some(checked) = known.checked.filter(|_| !is_provider) {
            all.retain(|name| *name == client_cert::NAME || !checked.names(name));
        }
        let mut add = |name: &str| {
            if !all.iter().any(|known| *known == name) {
                all.push(name.to_owned().into());
            }
        };
        for name in rewrite::token_headers(self.tables) {
            if is_provider || self.drops_token_header_to_host(headers, known, name) {
                add(name);
            }
        }
        let mut cookies = self.cut_cookies(headers).filter(|_| !is_provider).peekable();
        if cookies.peek().is_some() && cookies.all(|cookies| cookies.is_empty()) {
            add(COOKIE);
        }
        for (name, value) in known.checked.into_iter().flat_map(Checked::changes) {
            if value.is_none() {
                add(name);
            }
        }
        all
    }

    fn drops_token_header_to_host(self, headers: &dyn Headers, known: &Known<'_>, name: &str) -> bool {
        let headers = known.checked.map_or(headers, |checked| checked);
        let claims = known.identity.claims();
        rewrite::drops_token_header_to_host(self.tables, headers, claims, name)
    }

    /// Changes that the configuration makes, in words.
    pub(super) fn changes(self, changes: &[HeaderChangeRow]) -> Vec<HeaderChanged> {
        let value = |value| match value {
            HeaderText::Text(text) => self.tables.text(text).to_owned(),
            HeaderText::Secret(_) => NOT_SHOWN.to_owned(),
        };
        let changed = changes.iter().map(|row| {
            let name = self.tables.text(row.name).to_owned();
            match row.change {
                HeaderChange::Remove => HeaderChanged::Remove { name },
                HeaderChange::Set(text) => HeaderChanged::Set {
                    name,
                    value: value(text),
                },
                HeaderChange::Add(text) => HeaderChanged::Add {
                    name,
                    value: value(text),
                },
            }
        });
        changed.collect()
    }

    fn body_fields(self, body: Body<'_>, provider: &ToProvider<'_>) -> Vec<BodyField> {
        let Body::Read(Ok(facts)) = body else { return Vec::new() };
        let fields = provider.fields.iter();
        fields
            .map(|field| BodyField {
                name: self.tables.text(field.name).to_owned(),
                value: self.tables.text(field.value).to_owned(),
                set: rewrite::sets_field(self.tables, facts, field),
            })
            .collect()
    }

    fn provider(self, provider: &ToProvider<'_>) -> String {
        self.tables
            .provider_origin(provider.provider)
            .map_or_else(String::new, |at| format!("{}/{}", at.namespace, at.name))
    }
}
