/// <reference lib="esnext.disposable" />

/**
 * Loads the engine. In a browser call it once, before anything else; in Node there is nothing to wait for.
 * Without a source it is fetched from beside the package's own files, which bundlers know to carry along.
 */
export function init(source?: EngineSource): Promise<void>;

/** Where the engine is, or itself: an address, a request for it, an answer with it, its bytes, or what was compiled of them. */
export type EngineSource =
  | string
  | Declared<"URL">
  | Declared<"Request">
  | Declared<"Response">
  | ArrayBuffer
  | ArrayBufferView
  | (typeof globalThis extends { WebAssembly: { Module: { prototype: infer Module } } } ? Module & object : never);

/** A class of the platform, where the libraries of the compilation declare it. */
type Declared<Name extends string> = typeof globalThis extends Record<Name, { prototype: infer Instance }> ? Instance : never;

/** Which build of the engine this is. */
export function build(): Build;

export interface Build {
  /** Equal to the gateway's, and to the package's. */
  version: string;
  /** The commit it was built from, with `-dirty` after it if there was more; `null` when that is not known. */
  commit: string | null;
  /** Version of what a compiled configuration says; part of every snapshot id. */
  snapshotFormat: number;
}

/** A configuration and what the gateway does with requests under it. */
export class Simulator {
  /**
   * Loads YAML or JSON texts by file name, in the order of their names.
   * Mistakes in them do not throw: see {@link Simulator.diagnostics}. Arguments of another shape do, here and below: what
   * JSON would leave out or say otherwise, such as a `Map`, `NaN` or a function, is a `TypeError` that names it.
   */
  constructor(files: Record<string, string>, options?: Options);

  /** What is wrong with the configuration; with an error among it, nothing can be decided. */
  readonly diagnostics: Diagnostic[];

  /** Names what the configuration means: the same id as the gateway's. `undefined` when it is refused. */
  readonly snapshot: string | undefined;

  /** What the gateway does with the request. Throws when the configuration is refused, or it would not come to decide. */
  decide(request: SimulatedRequest): Verdict;

  /** The same, with every policy and rule and why it did or did not match. */
  explain(request: SimulatedRequest): Explanation;

  /** The same as `lockgate explain` prints it. */
  explainText(request: SimulatedRequest): string;

  /** What works, but probably not as meant: the warnings among the diagnostics. */
  lint(): Diagnostic[];

  /**
   * Tries scenarios, documents of `kind: Scenario`, as `lockgate test` does: those of the given texts by file name, or
   * those among the configuration's files. Throws when the configuration is refused.
   */
  test(scenarios?: Record<string, string>): TestReport;

  /** Gives the memory back; the simulator cannot be used afterwards. */
  free(): void;
  [Symbol.dispose](): void;
}

/** What the gateway takes from its command line and environment. */
export interface Options {
  /** Values for `${NAME}`; for what is not here, a Scenario's `env` among the files counts. */
  env?: Record<string, string>;
  /** Kinds to leave out although leaving them out changes what the configuration means. */
  ignoreKinds?: string[];
  /** The gateway's labels; `istio: ingressgateway` by default. */
  labels?: Record<string, string>;
  /** The gateway's namespace; `istio-system` by default. */
  namespace?: string;
  /** Istio's root namespace; `istio-system` by default. */
  rootNamespace?: string;
}

/** What came of scenarios. */
export interface TestReport {
  apiVersion: "lockgate.dev/test/v1";
  snapshot: string;
  cases: TestedCase[];
  /** The rules of the configuration, those of policies first; one with 0 cases was never reached. */
  rules: CoveredRule[];
  /** What is wrong with the scenarios that were given; those with errors were not tried. */
  diagnostics: Diagnostic[];
}

export interface TestedCase {
  /** The Scenario: `namespace/name`. */
  scenario: string;
  name: string;
  /** `file:line:column` */
  at: string;
  /** `null` when the request cannot be asked of this configuration. */
  verdict: Verdict | null;
  /** Empty when it passed. */
  failures: TestFailure[];
}

export interface TestFailure {
  /** The member of `expect`, or `request` when that cannot be asked. */
  field: string;
  at: string;
  expected: string | null;
  /** `null` when the verdict has no such member. */
  seen: string | null;
}

export interface CoveredRule {
  name: string;
  at: string;
  /** How many cases it matched in. */
  cases: number;
}

export interface SimulatedRequest {
  /** GET by default, or POST when there is a body. */
  method?: string;
  /** Path and query, `/v1/chat/completions?x=1`, or a URL, whose host then stands for a missing `host` header. */
  url: string;
  /** `:authority` of HTTP/2, with which a `host` header must agree; in HTTP/1.1 the `host` header says it. */
  authority?: string;
  /** `:protocol` of HTTP/2, `websocket`: an extended CONNECT, which needs no method and no `upgrade` header. */
  protocol?: string;
  headers?: [name: string, value: FieldValue][];
  /** The client's address; `127.0.0.1` by default. */
  peer?: string;
  /** The client's address as a PROXY protocol header names it; `peer` is then the balancer's. */
  proxied?: string;
  /** The address that the client connected to, as a PROXY protocol header or the socket has it. */
  destinationIp?: string;
  /** The port that the client connected to, as a PROXY protocol header names it; `port` by default. */
  destinationPort?: number;
  /** The port of the Gateway server; by default the URL's, else the first that listens. */
  port?: number;
  /**
   * The server name that the client asked for in TLS; the connection is then TLS. Where the port speaks TLS it is the
   * request's host by default, and an empty one stands for none.
   */
  sni?: string;
  /** The URI names of the client's certificate, such as `spiffe://cluster.local/ns/a/sa/b`; the connection is then TLS. */
  peerUris?: string[];
  /** What `x-forwarded-client-cert` says of that certificate; its URI names by default. */
  peerCert?: string;
  /**
   * What the client's token claims, taken as verified; refused where no RequestAuthentication's rule takes its issuer and
   * audience. A token in the request itself is not verified here.
   */
  claims?: Record<string, unknown>;
  /** Why the client's token must not pass, in the words of the answer: `Jwt is expired`. Not beside `claims`. */
  tokenError?: string;
  /** What external authorizers would say, by their names. Of one that is asked and not here the verdict is `check`. */
  checks?: Record<string, CheckAnswer>;
  /** Without a body the verdict may be `readBody`. */
  body?: string;
  /** Why the body cannot be sent on, in the words of the answer: `the request body is too large`. Not beside `body`. */
  bodyError?: string;
  /** Chooses among weighted backends, by its upper 32 of 64 bits; 0 by default. As a string of digits in capsules. */
  entropy?: number | bigint | string;
}

/** The value of a header field: its text, or bytes that are no UTF-8. */
export type FieldValue = string | { base64: string };

/**
 * A decision that a gateway has made and logged (`lockgate serve --capsule`): a line of its file, as JSON. The
 * configuration of that snapshot decides `request` in the same way, if the capsule `reproduces`.
 */
export interface Capsule {
  apiVersion: "lockgate.dev/capsule/v1";
  /** When the request came, as RFC 3339 has it. */
  time: string;
  requestId: string;
  /** The snapshot that decided. */
  snapshot: string;
  /** Not so where the decision rests on what is withheld, or on what a request in JSON cannot say. */
  reproduces: boolean;
  /** The header fields, parameters and claims whose values are `redacted`; `query` for parameters that no route compares. */
  withheld?: string[];
  /** What the decision read of the request, and what was found out about it. */
  request: SimulatedRequest;
  verdict: Verdict;
}

/** What an external authorizer says. */
export type CheckAnswer =
  /**
   * A field that is set several times has all these values, and none of the client's. An authorizer over HTTP can set those
   * of its `headersToUpstreamOnAllow`, each once: the last value counts.
   */
  | { decision: "allow"; setHeaders?: [name: string, value: FieldValue][]; removeHeaders?: string[] }
  | { decision: "deny"; status?: number }
  /** It cannot be reached, is late or fails. */
  | { decision: "error" }
  /** It is not asked, since the body is larger than it may be sent. */
  | { decision: "bodyTooLarge" };

export interface Diagnostic {
  severity: "error" | "warning";
  code: string;
  message: string;
  file: string;
  /** Lines and columns count from 1, columns in characters. */
  line: number;
  column: number;
  endLine: number;
  endColumn: number;
  field?: string;
  help?: string;
}

export type Verdict = Forward | Redirect | Respond | Check | VerifyToken | ReadBody | Refuse;

/** A backend that a rule shares its requests among. */
export interface Backend {
  /** The host that its upstream is known by. */
  upstream: string;
  /** The subset of its endpoints. */
  subset?: string;
  /** Its share, out of the sum of all. */
  weight: number;
  /** Whether this request is one of its. */
  chosen: boolean;
}

export interface Forward {
  decision: "forward";
  rule: string;
  /** The rule that admitted the rewritten request; `null` when a VirtualService or an HTTPRoute sends it to a plain host. */
  admittedBy: string | null;
  /** `null` when it goes to a plain host. */
  provider: string | null;
  /** Those among which chance chose, where the rule names several. */
  backends?: Backend[];
  /** The host that the upstream is known by. */
  upstream: string;
  /** The subset of its endpoints, where the rule names one. */
  subset?: string;
  connect: string[];
  sni: string | null;
  /** What is spoken over the connection, other than HTTP/1.1. */
  protocol?: string;
  method: string;
  path: string;
  /** What the connection may be used for instead of HTTP, once the upstream agrees: `websocket`. */
  upgrade?: string;
  /** In place of the client's fields of these names. Secrets are named, never shown. */
  setHeaders: [name: string, value: string][];
  /** What is never sent on, families of names with a `*` at their end, and what of this request's fields is not. */
  removeHeaders: string[];
  /** What a VirtualService or an HTTPRoute changes of the header fields after that, in this order. */
  changeHeaders?: HeaderChange[];
  /** What it changes of the answer's, in this order. */
  changeResponseHeaders?: HeaderChange[];
  bodyFields: { name: string; value: string; set: boolean }[];
  originAllowed?: boolean;
  mirrors?: string[];
  delayMs?: number;
  timeoutMs?: number;
  retries?: { attempts: number; on: string[]; perTryTimeoutMs?: number; backoffMs: number };
}

/** One change of a header field. A value that may be a credential is not shown. */
export type HeaderChange =
  | { change: "remove"; name: string }
  | { change: "set" | "add"; name: string; value: string };

/** A VirtualService's `redirect`, or an HTTPRoute's, answers, or a server for TLS only. */
export interface Redirect {
  decision: "redirect";
  /** `null` when a server's `tls.httpsRedirect` sends everything away. */
  rule: string | null;
  status: number;
  location: string;
  changeHeaders?: HeaderChange[];
}

/** A VirtualService's `directResponse` answers, or its `fault`, its `corsPolicy` a preflight, or an HTTPRoute's rule without backends. */
export interface Respond {
  decision: "respond";
  rule: string;
  status: number;
  /** Bytes that are no UTF-8 are replaced. */
  body: string;
  /** A `fault` answers in place of the upstream. */
  aborted?: true;
  delayMs?: number;
  changeHeaders?: HeaderChange[];
}

/** What happens depends on what an external authorizer says: give it in `checks`. */
export interface Check {
  decision: "check";
  authorizer: string;
  /** The CUSTOM policies that match and ask it: `namespace/name`. */
  policies: string[];
  connect: string[];
  call: string;
  body: string;
}

/** The request carries a token, and what happens depends on it: give its `claims`. */
export interface VerifyToken {
  decision: "verifyToken";
  /** The RequestAuthentications that look where it is: `namespace/name`. */
  authentications: string[];
}

export interface ReadBody {
  decision: "readBody";
  rule: string | null;
}

export interface Refuse {
  decision: "refuse";
  status: number;
  code: string;
  reason: string;
  body: string;
  contentType: string | null;
}

export interface Explanation {
  apiVersion: string;
  snapshot: string;
  request: Seen | null;
  /** The ports of the Gateways, where none of them is that of the request. */
  openPorts?: number[];
  policies: PolicyTrace[];
  passes: { pass: 1 | 2; host: string; virtualHost: string | null; rules: RuleTrace[] }[];
  verdict: Verdict;
  /** Where the provider that it is sent to is written: `file:line:column`. */
  providerAt?: string;
}

/** The request in the normal form that policies and rules see. */
export interface Seen {
  method: string;
  authority: string;
  host: string;
  path: string;
  query: string | null;
  peer: string;
  /** The client's address as far as it can be trusted (`numTrustedProxies`, PROXY protocol): `remoteIpBlocks` compares it. */
  remote: string;
  port: number;
  /** What `destination.ip` compares; the unspecified address when none was given. */
  destinationIp: string;
  /** What `ports` and `destination.port` compare. */
  destinationPort: number;
}

export interface PolicyTrace {
  policy: string;
  action: "ALLOW" | "DENY" | "AUDIT" | "CUSTOM";
  /** It is only tried out: what it says decides nothing. */
  dryRun: boolean;
  /** Whom a CUSTOM policy asks when it matches. */
  asks?: string;
  matched: boolean;
  rules: RuleTrace[];
}

export interface RuleTrace {
  name: string;
  at: string;
  matched: boolean;
  failed: {
    field: string;
    /** The values must not match: a `not` field or `notValues`. */
    negated: boolean;
    /** It is not known to fail: that depends on the body. */
    needsBody: boolean;
    seen: string | null;
    wanted: string[];
  } | null;
}
