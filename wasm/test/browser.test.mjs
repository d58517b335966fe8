import assert from "node:assert/strict";
import test from "node:test";

import * as simulator from "@lockgate/simulator";

import { runInBrowser } from "./browser.mjs";
import { goldens } from "./golden-files.mjs";
import { reports } from "./goldens.mjs";
import { scenario } from "./scenario.mjs";
import { seed } from "./seed.mjs";

test("chromium_answers_what_node_answers", async () => {
  const chromium = process.env.CHROMIUM;
  assert.ok(chromium, "set CHROMIUM to the program of Chromium or Chrome; `cargo xtask test` does so");
  const files = await seed();
  const golden = await goldens();
  const data = { "/seed.json": JSON.stringify(files), "/goldens.json": JSON.stringify(golden) };
  const inBrowser = await runInBrowser(chromium, "test/browser.html", { data });
  const inNode = { seed: scenario(simulator, files), goldens: reports(simulator, golden) };
  assert.equal(JSON.stringify(inBrowser), JSON.stringify(inNode));
});
