import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";
import { brotliCompressSync } from "node:zlib";

import { Simulator, build } from "@lockgate/simulator";

import { ENV, REQUESTS } from "./scenario.mjs";
import { seed } from "./seed.mjs";

// What it is made of stands in the README. `wasm-opt -Oz` was tried: a tenth less raw, but 5 % more after compression,
// which is what travels. What is allowed is what it was with all that routes, Gateway API,
// delegates, subsets, the lints of shadowed rules, scenarios, capsules, TLS of upstreams, clients' certificates,
// WebSocket over HTTP/2, fields as a gateway shows them to policies, expressions refused that RE2 reads otherwise and
// keys hidden however they are written included, and a little more.
const KIB = 1024;
const RAW_MAX = 1152 * KIB;
const BROTLI_MAX = 350 * KIB;

test("build_is_of_the_package's_version_and_of_this_commit", async () => {
  const manifest = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8"));
  const { version, commit, snapshotFormat } = build();
  assert.equal(version, manifest.version);
  assert.match(commit ?? "none", /^(none|[0-9a-f]{40}(-dirty)?)$/);
  assert.ok(Number.isInteger(snapshotFormat));
});

test("module_stays_within_its_size_budget", async (context) => {
  const module = await readFile(new URL("../pkg/simulator_bg.wasm", import.meta.url));
  const compressed = brotliCompressSync(module).length;
  context.diagnostic(`simulator_bg.wasm: ${module.length} bytes, ${compressed} with brotli`);
  assert.ok(module.length <= RAW_MAX, `${module.length} bytes of wasm, at most ${RAW_MAX} are wanted`);
  assert.ok(compressed <= BROTLI_MAX, `${compressed} bytes with brotli, at most ${BROTLI_MAX} are wanted`);
});

/** The shortest time of a call in microseconds: what else the machine does only makes it longer. */
function microseconds(call) {
  const CALLS = 200;
  const rounds = Array.from({ length: 50 }, () => {
    const begun = process.hrtime.bigint();
    for (let index = 0; index < CALLS; index += 1) call();
    return Number(process.hrtime.bigint() - begun) / CALLS / 1000;
  });
  return Math.min(...rounds);
}

test("decision_takes_microseconds", async (context) => {
  const simulator = new Simulator(await seed(), { env: ENV });
  const times = ["decide", "explain"].map((ask) => [ask, microseconds(() => simulator[ask](REQUESTS.alias))]);
  for (const [ask, time] of times) context.diagnostic(`${ask}: ${time.toFixed(1)} µs`);
  // Twenty times what it takes: only another order of magnitude is a failure on whatever machine.
  for (const [ask, time] of times) assert.ok(time < 500, `${ask} takes ${time} µs`);
  simulator.free();
});
