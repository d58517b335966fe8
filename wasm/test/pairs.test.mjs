import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import test from "node:test";

import * as simulator from "@lockgate/simulator";
import Ajv from "ajv/dist/2020.js";

import { runInBrowser } from "./browser.mjs";
import { compare, linesOf } from "./pairs.mjs";

const REQUESTS = 50;
const SEED = 3;
// `cargo xtask npm` asks for ten times as many.
const CONFIGURATIONS = Number(process.env.PAIRS_CONFIGURATIONS ?? 100);
// For the larger number, on a machine with other things to do.
const TIMEOUT_MS = 600_000;

// What has to happen, or that nothing differs would say little.
const NEEDED = [
  "a configuration that is refused",
  "a configuration of HTTPRoutes",
  "a configuration of VirtualServices and LLMRoutes",
  "a request that cannot be asked",
  "check",
  "forward to a host",
  "forward to a provider",
  "read the body",
  "redirect",
  "refuse: ambiguous_key",
  "refuse: bad_path",
  "refuse: ext_authz_denied",
  "refuse: invalid_json",
  "refuse: jwt_expired",
  "refuse: rbac_access_denied",
  "refuse: request_too_large",
  "refuse: route_not_found_after_rewrite",
  "respond",
  "verify a token",
];

/** What `lockgate-pairs` writes, and that it wrote all. */
function native(configurations, requests) {
  const program = process.env.PAIRS;
  assert.ok(program, "set PAIRS to the program `lockgate-pairs`; `cargo xtask test` does so");
  const child = spawn(program, [configurations, requests, SEED].map(String), { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => (status === 0 ? resolve() : reject(new Error(`${program} ended with ${status}`))));
  });
  ended.catch(() => {});
  return { child, ended };
}

function shows(context, figures) {
  const { seen, ...counts } = figures;
  context.diagnostic(JSON.stringify(counts));
  context.diagnostic(JSON.stringify(seen));
  assert.equal(counts.configurations, CONFIGURATIONS);
  assert.equal(counts.pairs, CONFIGURATIONS * REQUESTS);
  assert.deepEqual(NEEDED.filter((name) => !(seen[name] > 0)), []);
}

/** Throws unless the JSON schema of explanations knows every member of one. It lets later versions add some; here none may. */
function schema() {
  const lockgate = process.env.LOCKGATE;
  assert.ok(lockgate, "set LOCKGATE to the gateway's program; `cargo xtask test` does so");
  const closed = (_, value) => (value?.properties === undefined ? value : { ...value, additionalProperties: false });
  const text = execFileSync(lockgate, ["schema", "explanation"], { encoding: "utf8" });
  const validate = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true }).compile(JSON.parse(text, closed));
  return (explanation, named) => {
    if (!validate(explanation)) throw new Error(`${named}: ${JSON.stringify(validate.errors)} in ${JSON.stringify(explanation)}`);
  };
}

test("node_answers_what_the_engine_answers_natively", { timeout: TIMEOUT_MS }, async (context) => {
  const { child, ended } = native(CONFIGURATIONS, REQUESTS);
  shows(context, await compare(simulator, linesOf(child.stdout.setEncoding("utf8")), schema()));
  await ended;
});

test("chromium_answers_what_the_engine_answers_natively", { timeout: TIMEOUT_MS }, async (context) => {
  const chromium = process.env.CHROMIUM;
  assert.ok(chromium, "set CHROMIUM to the program of Chromium or Chrome; `cargo xtask test` does so");
  const { child, ended } = native(CONFIGURATIONS, REQUESTS);
  const data = { "/pairs": child.stdout };
  try {
    shows(context, await runInBrowser(chromium, "test/pairs.html", { data, timeoutMs: TIMEOUT_MS }));
    await ended;
  } finally {
    child.kill();
  }
});

test("the_first_difference_is_named", async () => {
  const { child } = native(2, 3);
  const lines = [];
  for await (const line of linesOf(child.stdout.setEncoding("utf8"))) lines.push(line);
  assert.equal((await compare(simulator, lines)).pairs, 6);
  const changed = (change, expected) => assert.rejects(compare(simulator, change(lines)), expected);
  const edit = (what, instead) => (lines) => {
    const place = lines.findIndex((line) => what.test(line));
    return lines.with(place, lines[place].replace(what, instead));
  };
  await changed(edit(/explain\/v1/, "explain/v2"), /^Error: configuration \d+, request 1 \{.*, from character \d+:.*explain\/v2.*explain\/v1/s);
  await changed(edit(/"snapshot":"./, '"snapshot":"?'), /^Error: configuration \d+, its snapshot/);
  await changed(edit(/"diagnostics":"\[/, '"diagnostics":"[ '), /^Error: configuration \d+, its diagnostics/);
  await changed((lines) => lines.slice(0, -1), /before their last line/);
});
