import assert from "node:assert/strict";
import test from "node:test";

import * as simulator from "@lockgate/simulator";

import { runInBrowser } from "./browser.mjs";
import { scenario } from "./scenario.mjs";
import { seed } from "./seed.mjs";

test("chromium_answers_what_node_answers", async () => {
  const chromium = process.env.CHROMIUM;
  assert.ok(chromium, "set CHROMIUM to the program of Chromium or Chrome; `cargo xtask test` does so");
  const files = await seed();
  const inBrowser = await runInBrowser(chromium, "browser.html", { "/seed.json": JSON.stringify(files) });
  assert.deepEqual(inBrowser, JSON.parse(JSON.stringify(scenario(simulator, files))));
});
