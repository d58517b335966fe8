import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";
import { runInNewContext } from "node:vm";

import { Simulator, build } from "@lockgate/simulator";

import { ENV, REQUESTS, chat, scenario } from "./scenario.mjs";
import { seed } from "./seed.mjs";

const files = await seed();
const { answers, diagnostics } = scenario({ Simulator, build }, files);
const verdict = (name) => answers[name].verdict;

test("seed_loads_without_an_error", () => {
  assert.deepEqual(diagnostics.filter(({ severity }) => severity === "error"), []);
});

test("alias_host_is_rewritten_to_the_provider", () => {
  for (const name of ["alias", "aliasWithPort", "provider"]) {
    const { decision, method, path, connect, sni, setHeaders } = verdict(name);
    assert.equal(decision, "forward", name);
    assert.equal(`${method} ${path}`, "POST /compatible-mode/v1/chat/completions");
    assert.deepEqual(connect, ["https://dashscope.aliyuncs.com:443"]);
    assert.equal(sni, "dashscope.aliyuncs.com");
    assert.equal(new Map(setHeaders).get("host"), "dashscope.aliyuncs.com");
  }
});

test("default_model_is_set_only_where_the_client_gave_none", () => {
  const model = (name) => verdict(name).bodyFields.find((field) => field.name === "model");
  assert.deepEqual(model("alias"), { name: "model", value: '"qwen1.5-72b-chat"', set: true });
  assert.equal(model("ownModel").set, false);
});

test("other_hosts_are_an_empty_404", () => {
  const { decision, status, body } = verdict("otherHost");
  assert.deepEqual({ decision, status, body }, { decision: "refuse", status: 404, body: "" });
});

test("denied_address_gets_istios_403_exactly", () => {
  for (const name of ["denied", "deniedMapped"]) {
    const { status, body, contentType } = verdict(name);
    assert.deepEqual({ status, body, contentType }, { status: 403, body: "RBAC: access denied", contentType: "text/plain" });
  }
});

test("body_that_reads_two_ways_is_refused", () => {
  for (const name of ["modelTwice", "notJson", "twoHosts"]) assert.equal(verdict(name).status, 400, name);
});

test("fixed_path_takes_post_only", () => assert.equal(verdict("get").status, 405));

test("verdict_waits_for_the_body", () => assert.equal(verdict("unreadBody").decision, "readBody"));

test("explanation_names_file_and_line", () => {
  const { passes, policies } = answers.alias.explanation;
  assert.deepEqual(passes.map(({ pass, host }) => [pass, host]), [[1, "test.com"], [2, "dashscope.aliyuncs.com"]]);
  assert.match(passes[0].rules.at(-1).at, /^llm-route\.yaml:\d+:\d+$/);
  assert.equal(policies[0].rules[0].failed.field, "ipBlocks");
});

test("no_secret_appears_anywhere", () => {
  const everything = JSON.stringify(answers);
  for (const secret of [ENV.API_KEY, "of-the-client"]) assert.ok(!everything.includes(secret), secret);
});

test("mistakes_are_diagnostics_with_their_place", () => {
  const simulator = new Simulator(files);
  for (const [file, name] of [["authorization-policy.yaml", "YOUR_LOCAL_IP"], ["llm-provider.yaml", "API_KEY"]]) {
    const found = simulator.diagnostics.find((finding) => finding.file === file && finding.message.includes(name));
    assert.equal(found?.severity, "error", file);
    const line = files[file].split("\n").findIndex((text) => text.includes(name)) + 1;
    assert.deepEqual([found.line, found.column], [line, files[file].split("\n")[line - 1].indexOf("${") + 1]);
  }
  assert.equal(simulator.snapshot, undefined);
  assert.throws(() => simulator.decide(REQUESTS.alias), /configuration has errors/);
});

test("virtual_services_decide_as_the_gateway_explains_them", async () => {
  const text = await readFile(new URL("../../examples/routing/routing.yaml", import.meta.url), "utf8");
  const simulator = new Simulator({ "policy.yaml": text });
  assert.deepEqual(simulator.diagnostics, []);
  // The engine's own tests hold these texts; the simulator must say the same, byte for byte.
  for (const [name, host, target, headers] of [
    ["health", "shop.example.com", "/healthz", []],
    ["redirect", "shop.example.com", "/catalogue/shoes?size=40", []],
    ["beta", "shop.example.com", "/api/orders", [["x-beta", "true"]]],
    ["api", "shop.example.com", "/api/orders?page=2", []],
    ["users", "shop.example.com", "/users/42", []],
    ["moved", "old.example.com", "/x", []],
  ]) {
    const request = { method: "GET", url: target, peer: "198.51.100.1", headers: [["host", host], ...headers] };
    const expected = await readFile(new URL(`../../core/tests/explain/routing-${name}.txt`, import.meta.url), "utf8");
    assert.equal(simulator.explainText(request), expected, name);
  }
  const api = { method: "GET", url: "/api/orders", headers: [["host", "shop.example.com"]] };
  const verdict = simulator.decide(api);
  assert.deepEqual([verdict.decision, verdict.provider, verdict.upstream], ["forward", null, "shop.internal"]);
  assert.deepEqual(verdict.changeHeaders[0], { change: "remove", name: "x-debug" });
  assert.equal(simulator.decide({ ...api, url: "/healthz" }).decision, "respond");
  assert.equal(simulator.decide({ ...api, url: "/catalogue" }).location, "http://shop.example.com/products");
});

test("all_64_bits_of_entropy_can_be_given", async () => {
  const text = await readFile(new URL("../../examples/routing/routing.yaml", import.meta.url), "utf8");
  const simulator = new Simulator({ "policy.yaml": text });
  const request = { method: "GET", url: "/api/orders", headers: [["host", "shop.example.com"]] };
  const upstream = (entropy) => simulator.decide({ ...request, entropy }).upstream;
  // Of 95 to 5.
  assert.deepEqual([0, 0n, (1n << 64n) - 1n, 96n << 57n].map(upstream), ["shop.internal", "shop.internal", "shop-next.internal", "shop.internal"]);
  assert.throws(() => upstream(1n << 64n), /whole number/);
  simulator.free();
});

test("http_routes_decide_by_how_specific_they_are", async () => {
  const text = await readFile(new URL("../../examples/gateway-api/gateway-api.yaml", import.meta.url), "utf8");
  const simulator = new Simulator({ "gateway-api.yaml": text });
  assert.deepEqual(simulator.diagnostics, []);
  const get = (target, ...more) =>
    simulator.decide({ method: "GET", url: target, headers: [["host", "shop.example.com"], ...more] });
  const api = get("/api/orders?page=2");
  assert.deepEqual([api.decision, api.rule, api.path], ["forward", "shop/shop/api", "/orders?page=2"]);
  assert.equal(get("/api", ["x-preview", "true"]).rule, "shop/shop/preview");
  assert.equal(get("/cart").location, "https://shop.example.com/basket");
  assert.equal(get("/").rule, "shop/shop/pages");
});

test("wrong_arguments_throw_and_say_what_is_wrong", () => {
  const simulator = new Simulator(files, { env: ENV });
  assert.throws(() => new Simulator({ a: 1 }), /expected a string/);
  assert.throws(() => new Simulator({}, { enviroment: {} }), /enviroment/);
  assert.throws(() => simulator.decide({ method: "GET" }), /url/);
  assert.throws(() => simulator.decide(chat("test.com", { peer: "nobody" })), /IP address/);
});

test("what_json_would_leave_out_or_change_is_refused", () => {
  const simulator = new Simulator(files, { env: ENV });
  const circle = {};
  circle.list = [{ circle }];
  const yaml = new Map([["a.yaml", "kind: Gatewey"]]);
  const request = (more) => simulator.decide(chat("test.com", more));
  for (const [call, said] of [
    [() => new Simulator(), "`files`: expected a plain object, found undefined"],
    [() => new Simulator(null), "`files`: expected a plain object, found null"],
    [() => new Simulator("kind: Gateway"), "`files`: expected a plain object, found a string"],
    [() => new Simulator(yaml), "`files`: expected a plain object, found a Map"],
    [() => new Simulator({ a: 1n }), "`a`: expected what JSON can say, found a bigint"],
    [() => new Simulator({ "a.yaml": Promise.resolve("") }), "`a.yaml`: expected a plain object, found a Promise"],
    [() => new Simulator({}, null), "`options`: expected a plain object, found null"],
    [() => new Simulator({}, circle), "`circle`: expected what JSON can say, found an object that is inside itself"],
    [() => new Simulator({}, { env: { A: 1n } }), "`A`: expected what JSON can say, found a bigint"],
    [() => new Simulator({}, { env: new Map() }), "`env`: expected a plain object, found a Map"],
    [() => simulator.test(yaml), "`scenarios`: expected a plain object, found a Map"],
    [() => simulator.decide(), "`request`: expected a plain object, found undefined"],
    [() => simulator.explain("/"), "`request`: expected a plain object, found a string"],
    [() => request({ port: NaN }), "`port`: expected a finite number, found NaN"],
    [() => request({ headers: [["a", -Infinity]] }), "`headers`: expected a finite number, found -Infinity"],
    [() => request({ entropy: 1n, port: 80n }), "`port`: expected what JSON can say, found a bigint"],
    [() => request({ claims: { groups: new Set(["red"]) } }), "`groups`: expected a plain object, found a Set"],
    [() => request({ claims: { groups: () => [] } }), "`groups`: expected what JSON can say, found a function"],
  ]) assert.throws(call, { name: "TypeError", message: said });
  for (const call of [() => new Simulator({ "a.yaml": undefined }), () => simulator.test({ "a.yaml": undefined })]) {
    assert.throws(call, /`a\.yaml`: expected a string/);
  }
  // Plain ones of another realm, without a prototype, and what says itself how it is in JSON.
  const foreign = runInNewContext("({ url: '/', headers: [['host', 'test.com']] })");
  for (const given of [foreign, Object.assign(Object.create(null), { url: "http://test.com/" }), { url: new URL("http://test.com/"), peer: undefined }]) {
    assert.equal(simulator.decide(given).code, simulator.decide({ url: "http://test.com/" }).code);
  }
  assert.deepEqual(simulator.test(null), simulator.test());
  simulator.free();
});

test("what_external_authorizers_would_say_is_given_with_the_request", () => {
  const mesh = `
apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {name: edge, namespace: istio-system}
spec: {extensionProviders: [{name: authz, envoyExtAuthzGrpc: {service: authz.test, port: 9000}}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: istio-system}
spec: {action: CUSTOM, provider: {name: authz}, rules: [{}]}`;
  const simulator = new Simulator({ ...files, "mesh.yaml": mesh }, { env: ENV });
  assert.deepEqual(simulator.diagnostics.filter(({ severity }) => severity === "error"), []);
  const asked = simulator.decide(REQUESTS.alias);
  assert.equal(asked.decision, "check");
  assert.deepEqual([asked.authorizer, asked.policies, asked.connect], ["authz", ["istio-system/ask"], ["grpc://authz.test:9000"]]);
  const decide = (answer) => simulator.decide(chat("test.com", { checks: { authz: answer } }));
  const allowed = decide({ decision: "allow", setHeaders: [["x-user", "ann"]] });
  assert.equal(allowed.decision, "forward");
  assert.ok(allowed.setHeaders.some(([name, value]) => name === "x-user" && value === "ann"));
  const several = decide({ decision: "allow", setHeaders: [["x-user", "ann"], ["x-user", { base64: "Y2Fm6Q==" }]] });
  assert.deepEqual(several.setHeaders.filter(([name]) => name === "x-user").map(([, value]) => value), ["ann", "caf\ufffd"]);
  for (const [value, said] of [
    [{ base64: "Y2Fm6Q" }, /`base64` is not base64/],
    [{ text: "a" }, /unknown field `text`, expected one of `base64`/],
    [{}, /missing field `base64`/],
    [7, /`setHeaders`: expected a string/],
  ]) assert.throws(() => decide({ decision: "allow", setHeaders: [["x-user", value]] }), said);
  assert.equal(decide({ decision: "deny", status: 401 }).status, 401);
  assert.equal(decide({ decision: "error" }).code, "ext_authz_error");
  assert.throws(() => decide({ decision: "maybe" }), /maybe/);
  assert.throws(() => simulator.decide(chat("test.com", { checks: { auth: { decision: "deny" } } })), /did you mean `authz`/);
});

test("proxied_connection_is_judged_by_what_its_header_names", () => {
  const policy = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: proxied, namespace: istio-system }
spec:
  action: DENY
  rules:
  - from: [{ source: { ipBlocks: [198.51.100.7], remoteIpBlocks: [192.0.2.1] } }]
    to: [{ operation: { ports: ["443"] } }]
    when: [{ key: destination.ip, values: [203.0.113.1] }]
`;
  const simulator = new Simulator({ ...files, "proxied.yaml": policy }, { env: ENV });
  const header = { proxied: "::ffff:192.0.2.1", destinationIp: "203.0.113.1", destinationPort: 443 };
  assert.equal(simulator.decide(chat("test.com", header)).status, 403);
  const { peer, remote, port, destinationIp, destinationPort } = simulator.explain(chat("test.com", header)).request;
  assert.deepEqual(
    { peer, remote, port, destinationIp, destinationPort },
    { peer: "198.51.100.7", remote: "192.0.2.1", port: 80, destinationIp: "203.0.113.1", destinationPort: 443 },
  );
  for (const left of Object.keys(header)) {
    assert.equal(simulator.decide(chat("test.com", { ...header, [left]: undefined })).decision, "forward", left);
  }
  simulator.free();
});

test("a_client_says_what_its_certificate_is_and_may_connect", () => {
  const plain = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: plain, namespace: istio-system }
spec:
  hosts: [plain.test]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
  endpoints: [{ address: 127.0.0.1 }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: plain, namespace: istio-system }
spec:
  hosts: [plain.test]
  gateways: [ingress-gw]
  http: [{ route: [{ destination: { host: plain.test } }] }]
`;
  const simulator = new Simulator({ ...files, "plain.yaml": plain }, { env: ENV });
  const told = (request) => {
    const verdict = simulator.decide({ url: "http://plain.test/", ...request });
    assert.equal(verdict.decision, "forward");
    return Object.fromEntries(verdict.setHeaders);
  };
  const peerCert = 'Subject="CN=a"';
  assert.equal(told({ peerCert })["x-forwarded-client-cert"], peerCert);
  assert.equal(told({ headers: [["x-forwarded-client-cert", peerCert]] })["x-forwarded-client-cert"], undefined);
  assert.equal(told({ protocol: "websocket" }).upgrade, "websocket");
  assert.equal(simulator.decide({ url: "http://test.com/", protocol: "websocket" }).code, "upgrade_not_allowed");
  assert.throws(() => simulator.decide({ url: "http://plain.test/", protocol: "masque" }), /only `websocket`/);
  simulator.free();
});

test("many_simulators_can_come_and_go", () => {
  for (let round = 0; round < 50; round += 1) {
    const simulator = new Simulator(files, { env: ENV });
    assert.equal(simulator.decide(REQUESTS.alias).decision, "forward");
    simulator.free();
  }
});
