//! One request, from its head to the head of its answer.
//!
//! ```text
//! head ─► decide ─► refuse, redirect, respond ─────────────► answer
//!          ▲   │
//!          │   ├──► send upstream ─────────────────────────► answer, passed on
//!          │   ├──► ask an authorizer ─┐
//!          │   ├──► verify the token ──┤
//!          │   └──► read the body ─────┤
//!          └───────────────────────────┘
//! ```
//!
//! What happens is the engine's decision; here it is carried out. The future of
//! [`run`] is dropped when the client goes away, and with it whatever it waits
//! for: the client's body, a connection attempt, the upstream's answer.

mod answered;
mod ask;
mod attempts;
mod mirrors;
mod outgoing;

use core::convert::Infallible;
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use lockgate_core::answer::Challenge;
use lockgate_core::check::{Checked, borrow_answers, borrow_fields};
use lockgate_core::claims::ClaimSet;
use lockgate_core::decide::{Body, Identity, Known, decide};
use lockgate_core::decision::{Decision, Destination, Refusal};
use lockgate_core::explain::{Capsule, Found};
use lockgate_core::llm::body::{BodyError, BodyScan};
use lockgate_core::llm::splice::SpliceError;
use lockgate_core::observe::observe;
use lockgate_core::request::{Connection, Scheme};
use lockgate_core::rewrite;
use lockgate_core::tables::RuleId;
use lockgate_core::token::TokenError;

use self::answered::{Awaited, answered, not_switched};
use self::ask::Asked;
use self::outgoing::Outgoing;
use crate::access::{Flag, Record};
use crate::alarm::Alarm;
use crate::body::{ReadBody, ReadError, Reading};
use crate::changes;
use crate::client_body::ClientBody;
use crate::connection::Peer;
use crate::connection::stream_tunnel::StreamTunnel;
use crate::ext_authz::Checks;
use crate::head::{self, HeadFields};
use crate::jwt;
use crate::limits::HEADER_FIELDS_MAX;
use crate::overload::Held;
use crate::plan::{self, Configured, NoTarget, Plan, To};
use crate::respond::{self, Fault};
use crate::upstream;
use crate::worker::Worker;
use crate::worker::view::View;

/// Answers one request.
pub(crate) async fn run(
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    alarm: Rc<Alarm>,
    request: Request<Incoming>,
    stream: Option<Box<StreamTunnel>>,
) -> Result<Response<ClientBody>, Infallible> {
    let (head, incoming) = request.into_parts();
    let id = head::request_id(&head.headers, &worker.entropy);
    let view = worker.view();
    let record = Record::begin(&worker, Rc::clone(&view), &peer, &head, id);
    let mut exchange = Exchange {
        view,
        head,
        has_content: !incoming.is_end_stream(),
        incoming,
        record,
        sender: Sender::Unverified,
        body: None,
        checks: None,
        challenge: None,
        delay_ms: 0,
    };
    let step = exchange.next().await;
    if !matches!(step, Step::Send(..)) && !exchange.incoming.is_end_stream() {
        peer.body_left_unread();
    }
    let to_client = exchange
        .checks
        .as_mut()
        .map(|checks| core::mem::take(&mut checks.to_client));
    let mut response = match step {
        // Here, and not in a function of its own: each `async fn` around it would copy the request once more.
        Step::Send(plan) => match exchange.outgoing(plan) {
            Ok(Outgoing {
                pool,
                request,
                mut trying,
                response_changes,
                cors,
                upgrade,
                key,
                record,
            }) => {
                let answer = if trying.is_plain() {
                    let to = trying.first(&pool);
                    match upstream::send(&pool, request, to, worker.shared.times.first_byte, &alarm).await {
                        Ok(answer) => Ok(answer),
                        Err(failed) => Box::pin(trying.carry_on(failed, to.endpoint, &pool, &record)).await,
                    }
                } else {
                    Box::pin(trying.carry_out(request, &pool, &record)).await
                };
                let insists = stream.is_some();
                let tunnel = stream.map(|stream| Awaited { stream, key });
                let mut response = answered(answer, &pool, trying.deadline(), response_changes, tunnel, record);
                changes::make(response.headers_mut(), cors);
                if upgrade.is_some() && !insists && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    not_switched(&peer, &mut response);
                }
                response
            }
            Err(record) => respond::fault(Fault::Internal, Flag::None, record),
        },
        step => exchange.answer(step),
    };
    changes::make(response.headers_mut(), to_client.unwrap_or_default());
    peer.answers(&response);
    Ok(response)
}

/// Logs a connection that ended because its client did not speak HTTP. hyper has answered it.
pub(crate) fn broken_connection(worker: &Rc<Worker>, peer: &Rc<Peer>, error: &hyper::Error) {
    if error.is_parse() {
        let status = if error.is_parse_too_large() { 431 } else { 400 };
        unreadable(worker, peer, Version::HTTP_11, status, CODEC_ERROR);
    }
}

/// As Envoy's access log has it.
pub(crate) const CODEC_ERROR: &str = "http1.codec_error";

/// The same of a head that does not end.
pub(crate) const HEAD_TIMED_OUT: &str = "request_header_timeout";

/// Logs what is no request and was answered with `status`, or with none.
pub(crate) fn unreadable(worker: &Rc<Worker>, peer: &Rc<Peer>, version: Version, status: u16, details: &'static str) {
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = Method::from_bytes(b"-").unwrap_or_default();
    head.version = version;
    let mut record = Record::begin(worker, worker.view(), peer, &head, HeaderValue::from_static("-"));
    record.status = status;
    record.end(Flag::DownstreamProtocol, details);
}

struct Exchange {
    /// The snapshot that the request is decided by, to its end.
    view: Rc<View>,
    head: Parts,
    incoming: Incoming,
    /// Whether anything comes behind the head.
    has_content: bool,
    record: Box<Record>,
    sender: Sender,
    /// `None` until a decision, or an authorizer, needs the body.
    body: Option<Taken>,
    /// `None` until an authorizer is asked.
    checks: Option<Box<Checks>>,
    /// `www-authenticate`, when a token is refused.
    challenge: Option<HeaderValue>,
    /// How long the decision has it held up.
    delay_ms: u32,
}

/// A body that was read before the request is sent on.
struct Taken {
    pieces: VecDeque<Bytes>,
    scan: Box<BodyScan>,
    /// Why it cannot be sent on, as far as the scan does not say so itself.
    error: Option<BodyError>,
    /// Whether the decision asked for it, and not only an authorizer.
    is_wanted: bool,
}

/// What is known of who sends the request.
enum Sender {
    Unverified,
    Verified(Arc<ClaimSet>),
    Refused(TokenError),
}

impl Sender {
    fn identity(&self) -> Identity<'_> {
        match self {
            Self::Unverified => Identity::Unverified,
            Self::Verified(claims) => Identity::Verified(claims.claims()),
            Self::Refused(error) => Identity::Refused(*error),
        }
    }
}

/// What to do next.
enum Step {
    /// In a box, as the next: a step is moved often, and most are small.
    Send(Box<Plan>),
    Answer(Box<Configured>),
    ReadBody,
    Check(Asked),
    VerifyToken(jwt::Begun),
    Refuse(Refusal),
    Fail(Fault, Flag),
}

impl Step {
    fn answer(configured: Option<Configured>) -> Self {
        match configured {
            Some(configured) => Self::Answer(Box::new(configured)),
            None => Self::Fail(Fault::Internal, Flag::None),
        }
    }
}

impl Exchange {
    /// Whether the server of the connection asks for a certificate that its client has not shown, as it did not when the
    /// connection was made.
    fn lacks_certificate(&self) -> bool {
        let Connection {
            scheme,
            client_cert,
            port,
            sni,
            ..
        } = self.record.peer.connection();
        let live = &self.view.live;
        scheme == Scheme::Https && client_cert.is_none() && live.demands_certificate(port, sni)
    }

    /// Whether a PROXY header would name the client, but was not yet expected when the connection was made: what the
    /// socket names is the balancer.
    fn lacks_proxy_header(&self) -> bool {
        let expects = self.view.live.compiled.snapshot.expects_proxy_header();
        expects && !self.record.peer.has_proxy_header()
    }

    /// Decides, finding out what that takes.
    async fn next(&mut self) -> Step {
        if self.head.version < Version::HTTP_11 {
            return Step::Fail(Fault::OldProtocol, Flag::None);
        }
        if self.lacks_proxy_header() {
            self.record.peer.leave();
            return Step::Refuse(Refusal::Misdirected);
        }
        if self.lacks_certificate() {
            return Step::Refuse(Refusal::Misdirected);
        }
        if self.record.worker.shared.load.has_too_many_requests() {
            return Step::Fail(Fault::TooManyRequests, Flag::Overloaded);
        }
        // hyper does so over HTTP/1.1.
        if self.head.headers.len() > HEADER_FIELDS_MAX {
            return Step::Fail(Fault::TooManyFields, Flag::DownstreamProtocol);
        }
        let entropy = self.record.worker.entropy.next();
        let step = loop {
            let found_out = match self.decide(entropy) {
                Step::VerifyToken(begun) => self.verify(begun).await,
                // Apart, since it is seldom needed and holds much.
                Step::Check(asked) => Box::pin(self.check(asked, entropy)).await,
                Step::ReadBody => self.want_body().await,
                step => break step,
            };
            if let Err(step) = found_out {
                break step;
            }
        };
        let is_decided = matches!(step, Step::Send(_) | Step::Answer(_) | Step::Refuse(_));
        if is_decided {
            self.write_capsule(entropy);
        }
        if let Some(body) = self.body.take() {
            self.record.worker.put_scan(body.scan);
        }
        if self.delay_ms > 0 {
            self.record.is_delayed = true;
            // Apart, since it is seldom needed.
            Box::pin(tokio::time::sleep(Duration::from_millis(u64::from(self.delay_ms)))).await;
        }
        if let Step::Send(plan) = &step {
            let checked = self.checks.as_mut().map(|checks| core::mem::take(&mut checks.headers));
            // Authorizers have been told of the client, and what they left is sent.
            let is_checked = checked.is_some();
            let headers = &mut self.head.headers;
            let snapshot = &self.view.live.compiled.snapshot;
            let tables = snapshot.tables();
            let client_cert = match plan.to {
                To::Host(_) => head::client_cert(headers, &self.record.peer, tables),
                To::Provider(_) => None,
            };
            *headers = checked.unwrap_or_else(|| core::mem::take(headers));
            if !is_checked {
                head::remove_overlooked(headers, snapshot.authorizers());
            }
            match plan.to {
                To::Provider(_) => head::clean_request(headers, tables),
                To::Host(_) => {
                    head::clean_request_to_host(headers, tables, is_checked);
                    if !is_checked {
                        head::add_client(headers, &self.record.peer, tables);
                    }
                    head::correct_client_cert(headers, client_cert);
                }
            }
            let identity = self.sender.identity();
            let claims = identity.claims();
            for name in rewrite::token_headers(tables) {
                let is_dropped = match plan.to {
                    To::Provider(_) => true,
                    To::Host(_) => rewrite::drops_token_header_to_host(tables, &HeadFields(headers), claims, name),
                };
                if is_dropped {
                    headers.remove(name);
                }
            }
        }
        step
    }

    /// An answer of ours.
    fn answer(self, step: Step) -> Response<ClientBody> {
        match step {
            Step::Answer(configured) => respond::configured(*configured, self.record),
            Step::Refuse(refusal @ Refusal::External(..)) => {
                let denial = self.checks.and_then(|checks| checks.denial);
                respond::external(refusal, denial, self.record)
            }
            Step::Refuse(refusal) => respond::refusal(refusal, self.challenge, self.record),
            Step::Fail(fault, flag) => respond::fault(fault, flag, self.record),
            // [`run`] and `next` have dealt with these.
            Step::Send(_) | Step::ReadBody | Step::VerifyToken(_) | Step::Check(_) => {
                respond::fault(Fault::Internal, Flag::None, self.record)
            }
        }
    }

    async fn verify(&mut self, begun: jwt::Begun) -> Result<(), Step> {
        if !matches!(self.sender, Sender::Unverified) {
            return Err(Step::Fail(Fault::Internal, Flag::None));
        }
        let view = Rc::clone(&self.view);
        let verified = match begun {
            jwt::Begun::Known(claims) => Ok(claims),
            jwt::Begun::Refused(error) => Err(error),
            jwt::Begun::Pending(pending) => {
                let tables = view.live.compiled.snapshot.tables();
                // Apart, since a token is verified once and known from then on.
                Box::pin(view.live.tokens.finish(tables, *pending)).await
            }
        };
        self.sender = match verified {
            Ok(claims) => {
                self.record.claims = Some(Arc::clone(&claims));
                Sender::Verified(claims)
            }
            Err(error) => Sender::Refused(error),
        };
        Ok(())
    }

    /// The decision needs the body.
    async fn want_body(&mut self) -> Result<(), Step> {
        if self.body.is_none() {
            let limit = self.record.worker.shared.load.bounds().body_bytes;
            let authorizers = self.view.live.compiled.snapshot.authorizers();
            // An authorizer that the decision comes to later judges it as it is.
            let reading = match authorizers.iter().any(|authorizer| authorizer.body.is_some()) {
                true => Reading::ToItsEnd,
                false => Reading::UntilRefused,
            };
            self.read_body(limit, reading).await?;
        }
        match &mut self.body {
            Some(body) if !body.is_wanted => body.is_wanted = true,
            // The engine does not ask for a body twice.
            _ => return Err(Step::Fail(Fault::Internal, Flag::None)),
        }
        Ok(())
    }

    async fn read_body(&mut self, limit: u64, reading: Reading) -> Result<(), Step> {
        let worker = Rc::clone(&self.record.worker);
        let shared = &worker.shared;
        let mut scan = worker.take_scan();
        let read = ReadBody::read(
            &mut self.incoming,
            &self.head.headers,
            &mut scan,
            limit,
            reading,
            shared.times.body_read,
            Held::none(&shared.load),
        );
        let (body, result) = read.await;
        self.record.bytes_received = body.bytes();
        let error = match result {
            Ok(()) => None,
            Err(ReadError::Refused(error)) => Some(error),
            Err(ReadError::Timeout) => return Err(Step::Fail(Fault::BodyTimeout, Flag::None)),
            Err(ReadError::NoRoom) => return Err(Step::Fail(Fault::NoRoomForBody, Flag::Overloaded)),
            Err(ReadError::Client) => return Err(Step::Fail(Fault::BodyBroken, Flag::DownstreamProtocol)),
        };
        self.body = Some(Taken {
            pieces: body.into_pieces(),
            scan,
            error,
            is_wanted: false,
        });
        Ok(())
    }

    /// Logs what was decided, and what of the request that took, if the request is drawn for it.
    fn write_capsule(&mut self, entropy: u64) {
        let Some(capsules) = &self.record.worker.shared.logs.capsules else {
            return;
        };
        if !capsules.takes(|| self.record.worker.entropy.next()) {
            return;
        }
        let fields = HeadFields(&self.head.headers);
        let request = head::request(&self.head, &fields, &self.record.peer);
        let found = Found {
            body: match &mut self.body {
                Some(taken) if taken.is_wanted => Body::Read(taken.error.map_or_else(|| taken.scan.finish(), Err)),
                Some(_) | None => Body::unread(request.method, self.has_content),
            },
            identity: self.sender.identity(),
            answers: self.checks.as_ref().map_or(&[][..], |checks| &checks.answers),
        };
        let snapshot = &self.view.live.compiled.snapshot;
        if let Some(capsule) = Capsule::of(snapshot, &request, found, entropy, &capsules.hidden) {
            let id = self.record.request_id.to_str().unwrap_or_default();
            capsules.write(capsule, id, self.record.start_time);
        }
    }

    /// Asks the engine, and takes out of its answer what borrows from its working memory.
    fn decide(&mut self, entropy: u64) -> Step {
        let view = Rc::clone(&self.view);
        let tables = view.live.compiled.snapshot.tables();
        let fields = HeadFields(&self.head.headers);
        let request = head::request(&self.head, &fields, &self.record.peer);
        let worker = Rc::clone(&self.record.worker);
        let mut scratch = worker.scratch.borrow_mut();
        let unread = Body::unread(request.method, self.has_content);
        let (body, pieces) = match &mut self.body {
            None => (unread, None),
            Some(taken) if !taken.is_wanted => (unread, Some(&mut taken.pieces)),
            Some(taken) => {
                let facts = taken.error.map_or_else(|| taken.scan.finish(), Err);
                (Body::Read(facts), Some(&mut taken.pieces))
            }
        };
        let answers = self.checks.as_ref().map_or(&[][..], |checks| &checks.answers);
        let fields = borrow_fields(answers);
        let answers = borrow_answers(answers, &fields);
        let checked = Checked::new(&request, &answers);
        let known = Known {
            body,
            identity: self.sender.identity(),
            checked: (!answers.is_empty()).then_some(&checked),
        };
        // Of several rounds the last one knows most.
        self.record.observation = observe(tables, &request, &known, &mut scratch);
        let forward = match decide(tables, &request, known, entropy, &mut scratch) {
            Decision::Forward(forward) => forward,
            Decision::Redirect(redirect) => {
                return Step::answer(Configured::redirect(&view.live.compiled, &redirect));
            }
            Decision::Respond(response) => {
                return Step::answer(Configured::direct(&view.live.compiled, &response));
            }
            Decision::Abort(abort) => {
                self.delay_ms = abort.delay_ms;
                return Step::answer(Configured::abort(&view.live.compiled, &abort, self.head.uri.path()));
            }
            Decision::Preflight(preflight) => {
                self.delay_ms = preflight.delay_ms;
                return Step::answer(Configured::preflight(tables, &preflight));
            }
            Decision::ReadBody => return Step::ReadBody,
            Decision::Check(check) => {
                return Step::Check(Asked {
                    authorizer: check.authorizer,
                    target: rewrite::with_query(check.path, check.query),
                    remote: check.remote,
                    scheme: check.scheme,
                });
            }
            Decision::VerifyToken(sent) => return Step::VerifyToken(view.live.tokens.begin(tables, &sent)),
            Decision::Refuse(refusal) => {
                self.challenge = challenge(refusal, &request);
                return Step::Refuse(refusal);
            }
        };
        self.delay_ms = forward.delay_ms;
        self.record.rule = Some(forward.rule);
        self.record.upstream = Some(forward.upstream);
        let internal = || Step::Fail(Fault::Internal, Flag::None);
        let uri = match plan::uri(&view, tables, forward.path) {
            Ok(uri) => uri,
            Err(NoTarget::Refused) => return Step::Refuse(Refusal::BadRewrite(forward.rule)),
            Err(NoTarget::Internal) => return internal(),
        };
        let Some(host) = plan::host(&view, &forward) else {
            return internal();
        };
        let Some(cors) = plan::cors(tables, &forward) else {
            return internal();
        };
        let pieces = pieces.map(core::mem::take);
        let (to, body) = match forward.to {
            Destination::Host(host) => match plan::to_host(&view.live.compiled, &host, &forward) {
                Some(host) => (To::Host(host), pieces),
                None => return internal(),
            },
            Destination::Provider(provider) => {
                self.record.provider = Some(provider.provider);
                let Some(to) = plan::to_provider(&view.live, &provider) else {
                    return internal();
                };
                let body = match (body, pieces) {
                    (Body::Read(Ok(facts)), Some(pieces)) => {
                        match plan::edit(&view, tables, &provider, facts, pieces, &mut self.record.model) {
                            Ok(pieces) => Some(pieces),
                            Err(SpliceError::Body(error)) => return refuse_body(forward.rule, error),
                            Err(SpliceError::TooManyFields) => return internal(),
                        }
                    }
                    (_, pieces) => pieces,
                };
                (To::Provider(to), body)
            }
        };
        Step::Send(Box::new(Plan {
            upstream: forward.upstream,
            uri,
            host,
            to,
            written: plan::written(self.sender.identity()),
            entropy,
            attempts: forward.attempts,
            mirrors: forward.mirrors.upstreams().collect(),
            cors,
            body,
        }))
    }
}

fn refuse_body(rule: RuleId, error: BodyError) -> Step {
    Step::Refuse(Refusal::Body(Some(rule), error))
}

/// `www-authenticate` for the refusals that have it.
fn challenge(refusal: Refusal, request: &lockgate_core::request::Request<'_>) -> Option<HeaderValue> {
    let Refusal::Token(_) = refusal else { return None };
    HeaderValue::try_from(Challenge::new(request).to_string()).ok()
}
