import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import test from "node:test";

import * as simulator from "@lockgate/simulator";

import { goldens, ROOT } from "./golden-files.mjs";
import { reports } from "./goldens.mjs";

/** What the gateway's own program prints. The simulator loads files in the order of their names, so it is told that order. */
function native({ file, folders }) {
  const lockgate = process.env.LOCKGATE;
  assert.ok(lockgate, "set LOCKGATE to the gateway's program; `cargo xtask test` does so");
  const inputs = [...folders].sort().flatMap((folder) => ["-f", folder]);
  return JSON.parse(execFileSync(lockgate, ["test", ...inputs, "-o", "json", file], { cwd: ROOT, encoding: "utf8" }));
}

test("golden_scenarios_are_what_the_gateway_says", async () => {
  const all = await goldens();
  assert.ok(all.length >= 6);
  for (const [index, { file, diagnostics, report }] of reports(simulator, all).entries()) {
    assert.deepEqual(diagnostics, [], file);
    assert.ok(report.cases.length >= 4 && report.cases.every(({ failures }) => failures.length === 0), file);
    assert.equal(JSON.stringify(report), JSON.stringify(native(all[index])), file);
  }
});

test("scenarios_can_be_given_later_and_mistakes_in_them_are_data", async () => {
  const [{ file, files }] = (await goldens()).filter(({ file }) => file.endsWith("/routing.yaml"));
  const { [file]: text, ...others } = files;
  const engine = new simulator.Simulator(others);
  assert.equal(engine.test().cases.length, 0);
  const given = engine.test({ "later.yaml": text });
  assert.deepEqual([given.diagnostics, given.cases.length > 0, given.cases[0].at], [[], true, "later.yaml:11:13"]);
  const wrong = engine.test({ "later.yaml": text.replace("expect:", "expct:") });
  assert.deepEqual([wrong.cases.length, wrong.diagnostics.map(({ code }) => code)], [0, ["unknown-field"]]);
  assert.throws(() => engine.test({ "later.yaml": others["examples/routing/routing.yaml"] }), /the scenarios hold the Gateway/);
  assert.ok(engine.lint().every(({ severity }) => severity === "warning"));
  engine.free();
  const refused = new simulator.Simulator({ "a.yaml": "kind: x" });
  assert.throws(() => refused.test(), /configuration has errors/);
  refused.free();
});
