// Decisions of a gateway under load, made again here: what production did is what the simulator says.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { promisify } from "node:util";

import { Simulator } from "@lockgate/simulator";

/** Of these a few compare a key, and are not to be made again without it. */
const REQUESTS = 10_500;
const REPRODUCED_MIN = 10_000;
const AT_ONCE = 64;
const STARTS_MS = 20_000;
const KEY = "a-key-of-32-bytes-for-capsules-!!";
const PLANTED = "planted-3fQz";

/** A generator of numbers (mulberry32), so that each run asks the same. */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function configuration(upstream, authorizer) {
  const jwks = JSON.stringify({ keys: [{ kty: "oct", alg: "HS256", k: Buffer.from(KEY).toString("base64url") }] });
  return `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    extensionProviders:
    - name: team
      envoyExtAuthzHttp: {service: authz.example.com, port: ${authorizer}, timeout: 5s, clearRouteCache: true, includeRequestHeadersInCheck: [x-team], headersToUpstreamOnAllow: [x-user, x-auth-token]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: all, namespace: istio-system}
spec:
  hosts: [authz.example.com, llm.example.com, shop.internal]
  resolution: STATIC
  ports: [{name: http, number: ${upstream}, protocol: HTTP}, {name: authz, number: ${authorizer}, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: plain, namespace: istio-system}
spec: {host: llm.example.com, trafficPolicy: {tls: {mode: DISABLE}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: lockgate.dev/v1
kind: LLMProvider
metadata: {name: llm, namespace: istio-system}
spec:
  host: llm.example.com
  configs: {defaultConfig: {openAIConfig: {model: small, stream: false, apiKey: "sk-${PLANTED}-provider"}}}
---
apiVersion: lockgate.dev/v1
kind: LLMRoute
metadata: {name: chat, namespace: istio-system}
spec:
  host: chat.example.com
  gateways: [istio-system/gw]
  rules:
  - name: large
    matches: [{model: {prefix: large-}}]
    backendRefs: [{providerHost: llm.example.com}]
  - name: any
    backendRefs: [{providerHost: llm.example.com}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: istio-system}
spec:
  hosts: [shop.example.com]
  gateways: [istio-system/gw]
  http:
  - match: [{uri: {prefix: /old}}]
    redirect: {uri: /new}
  - match: [{queryParams: {plan: {exact: gold}}, headers: {x-team: {regex: "a|b"}}}]
    directResponse: {status: 299, body: {string: gold}}
  - match: [{headers: {x-api-key: {exact: ${PLANTED}-client}}}]
    directResponse: {status: 298, body: {string: known}}
  - match: [{headers: {x-user: {regex: "caf."}}}]
    directResponse: {status: 297}
  - match: [{headers: {x-team: {regex: "[^a-z]"}}}]
    directResponse: {status: 296}
  - route:
    - {destination: {host: shop.internal, port: {number: ${upstream}}}, weight: 70}
    - {destination: {host: authz.example.com, port: {number: ${upstream}}}, weight: 30}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: people, namespace: istio-system}
spec: {jwtRules: [{issuer: https://issuer.example, jwks: '${jwks}', outputClaimToHeaders: [{header: x-sub, claim: sub}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: admins, namespace: istio-system}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/admin*]}}], when: [{key: "request.auth.claims[groups]", notValues: [admin]}]}]}
---
apiVersion: lockgate.dev/v1
kind: AuthorizationPolicy
metadata: {name: tools, namespace: istio-system}
spec: {action: DENY, rules: [{to: [{operation: {hosts: [chat.example.com]}}], when: [{key: "request.llm[tools]", values: [shell]}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: istio-system}
spec: {action: CUSTOM, provider: {name: team}, rules: [{to: [{operation: {paths: [/asked*]}}]}]}
`;
}

/** A server on loopback, and its port. */
async function serve(answer) {
  const server = http.createServer((request, response) => {
    request.resume();
    request.on("end", () => answer(request, response));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function token(next, pick) {
  const part = (json) => Buffer.from(JSON.stringify(json)).toString("base64url");
  const payload = {
    iss: pick(["https://issuer.example", "https://issuer.example", "https://issuer.example", "https://other.example"]),
    sub: pick(["ann", "bob «ü»", 'q"uote']),
    exp: pick([4_000_000_000, 4_000_000_000, 1_000_000_000]),
    groups: pick([["admin"], ["staff", "admin"], "staff", []]),
    email: `${PLANTED}@example.com`,
  };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(payload)}`;
  const key = next() < 0.1 ? `${KEY}x` : KEY;
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
}

function request(next) {
  const pick = (values) => values[Math.floor(next() * values.length)];
  const host = pick(["chat.example.com", "chat.example.com", "shop.example.com", "shop.example.com", "SHOP.example.com:80", "none.example.com"]);
  const path = pick(["/", "/v1/chat/completions", "/old/shoes", "/admin/x", "/asked/y", "/a/../b", "/%2e%2e/c", "/x%2fy"]);
  const query = pick(["", "", "?plan=gold", "?plan=tin", `?key=${PLANTED}-query`, `?${PLANTED}-bare`, "?a=1&plan=gold&b"]);
  const headers = { host };
  if (next() < 0.4) headers["x-team"] = pick(["a", "b", "c", "ü"]);
  if (next() < 0.4) headers.authorization = `Bearer ${pick([token(next, pick), token(next, pick), "no.token"])}`;
  if (next() < 0.2) headers["x-api-key"] = pick([`${PLANTED}-client`, `${PLANTED}-other`]);
  if (next() < 0.2) headers["x-forwarded-for"] = "198.51.100.7";
  if (next() < 0.2) headers["x-unread"] = `${PLANTED}-unread`;
  const message = { role: "user", content: `${PLANTED} prompt` };
  const body = pick([
    () => ({ messages: [message] }),
    () => ({ model: pick(["large-1", "small", "mïd"]), messages: [message], stream: pick([true, false]) }),
    () => ({ model: "large-2", messages: [message], tools: [{ type: "function", function: { name: pick(["shell", "search"]) } }] }),
    () => ({ Model: "x", messages: [message] }),
    () => ({ model: 7 }),
    () => `{"messages": [${PLANTED}`,
    () => "",
  ])();
  const method = pick(["POST", "POST", "POST", "GET", "PUT"]);
  return { method, path: path + query, headers, body: method === "GET" ? "" : typeof body === "string" ? body : JSON.stringify(body) };
}

async function load(port, requests) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE });
  const statuses = {};
  const send = ({ body, ...options }) =>
    new Promise((resolve, reject) => {
      const sent = http.request({ agent, host: "127.0.0.1", port, ...options }, (response) => {
        statuses[response.statusCode] = (statuses[response.statusCode] ?? 0) + 1;
        response.resume();
        response.on("end", resolve);
        response.on("error", reject);
      });
      sent.on("error", reject);
      sent.end(body);
    });
  const queue = requests[Symbol.iterator]();
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (const request of queue) await send(request);
  }));
  agent.destroy();
  return statuses;
}

async function gateway(folder, env) {
  const program = process.env.LOCKGATE;
  assert.ok(program, "set LOCKGATE to the gateway's program; `cargo xtask test` does so");
  const options = ["--listen", "80=127.0.0.1:0", "--admin", "off", "--access-log", join(folder, "access.log"), "--capsule", join(folder, "capsules.jsonl")];
  const child = spawn(program, ["serve", "-f", join(folder, "all.yaml"), ...options], { env, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  const port = new Promise((resolve, reject) => {
    child.stderr.on("data", (chunk) => {
      said += chunk;
      const address = /"address":"127\.0\.0\.1:(\d+)"/.exec(said)?.[1];
      if (address !== undefined) resolve(Number(address));
    });
    child.once("close", (status) => reject(new Error(`the gateway ended with ${status}:\n${said}`)));
    setTimeout(() => reject(new Error(`the gateway does not start:\n${said}`)), STARTS_MS).unref();
  });
  return { port: await port, child };
}

test("what_a_loaded_gateway_decided_is_decided_again_without_a_difference", async (context) => {
  const folder = await mkdtemp(join(tmpdir(), "lockgate-capsules-"));
  const upstream = await serve((_, response) => {
    response.setHeader("content-type", "application/json");
    response.end('{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}');
  });
  const authorizer = await serve((request, response) => {
    if (request.headers["x-team"] === "c") response.statusCode = 403;
    else if (request.headers["x-team"] === "b") response.setHeader("x-auth-token", `${PLANTED}-issued`);
    // A byte that is no UTF-8 comes as `!` and goes as it is.
    response.setHeader("x-user", request.headers["x-team"] === "!" ? "caf\u00e9" : "ann");
    response.end();
  });
  try {
    const text = configuration(upstream.address().port, authorizer.address().port);
    await writeFile(join(folder, "all.yaml"), text);
    const next = random(7);
    const requests = Array.from({ length: REQUESTS }, () => request(next));
    const { port, child } = await gateway(folder, { PATH: process.env.PATH });
    const ended = once(child, "close");
    const statuses = await load(port, requests);
    child.kill("SIGTERM");
    assert.deepEqual(await ended, [0, null]);
    context.diagnostic(`answers: ${JSON.stringify(statuses)}`);
    assert.ok(Object.keys(statuses).length >= 10, JSON.stringify(statuses));
    assert.ok(statuses[297] > 0 && statuses[296] > 0, JSON.stringify(statuses));

    const log = await readFile(join(folder, "capsules.jsonl"), "utf8");
    assert.ok(!log.includes(PLANTED), `a secret: ${log.split("\n").find((line) => line.includes(PLANTED))}`);
    const capsules = log.trimEnd().split("\n").map((line) => JSON.parse(line));
    assert.equal(capsules.length, REQUESTS);

    const simulator = new Simulator({ "all.yaml": text });
    assert.deepEqual(simulator.diagnostics.filter(({ severity }) => severity === "error"), []);
    const decisions = {};
    let open = 0;
    for (const { snapshot, request, verdict, reproduces, withheld } of capsules) {
      assert.equal(snapshot, simulator.snapshot);
      decisions[verdict.decision] = (decisions[verdict.decision] ?? 0) + 1;
      if (reproduces) assert.equal(JSON.stringify(simulator.decide(request)), JSON.stringify(verdict), JSON.stringify(request));
      else {
        open += 1;
        // The one rule that compares a key.
        assert.ok(withheld.includes("x-api-key"), JSON.stringify(withheld));
      }
    }
    context.diagnostic(`decisions: ${JSON.stringify(decisions)}, ${open} open`);
    assert.ok(REQUESTS - open >= REPRODUCED_MIN, `${open} open`);
    assert.deepEqual(Object.keys(decisions).sort(), ["forward", "redirect", "refuse", "respond"]);
    simulator.free();

    const explain = promisify(execFile);
    const arguments_ = ["explain", "-f", join(folder, "all.yaml"), "--capsule", join(folder, "capsules.jsonl"), "-o", "json"];
    const { stdout } = await explain(process.env.LOCKGATE, arguments_, { maxBuffer: 1 << 28 });
    const replay = JSON.parse(stdout);
    assert.deepEqual([replay.capsules, replay.ofThisSnapshot, replay.differing.length, replay.notReproducible.length], [REQUESTS, REQUESTS, 0, open]);
  } finally {
    upstream.close();
    authorizer.close();
    await rm(folder, { recursive: true, force: true });
  }
});
