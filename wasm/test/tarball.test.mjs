// The package as npm would publish it, installed into projects that have nothing else.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";

import { publint } from "publint";
import { formatMessage } from "publint/utils";

import { runInBrowser } from "./browser.mjs";

const run = promisify(execFile);
const PACKAGE = fileURLToPath(new URL("../", import.meta.url));
const tool = (path) => join(PACKAGE, "node_modules", path);

// Of pages that are one file: their script stands in them.
const INLINE = "default-src 'none'; connect-src 'self'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'";

let folder, tarball, project;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "lockgate-package-"));
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", folder], { cwd: PACKAGE });
  tarball = join(folder, JSON.parse(stdout)[0].filename);
  project = await install("project");
});

after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));

/** A project that has this package and no other. */
async function install(name) {
  const project = join(folder, name);
  await mkdir(project);
  await writeFile(join(project, "package.json"), '{"private": true, "type": "module"}');
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", tarball], { cwd: project });
  return project;
}

/** The examples of the README in a language, as they are in the package. */
async function examples(language) {
  const readme = await readFile(join(project, "node_modules/@lockgate/simulator/README.md"), "utf8");
  return [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gms)].filter(([, of]) => of === language).map(([, , text]) => text);
}

/** What the comments behind an example's lines say that comes of them. */
function promised(text) {
  return [...text.matchAll(/^\s*(?:console\.log|document\.body\.textContent =?).*?; \/\/ (.*)$/gm)].map(([, what]) => what);
}

/** Runs a program of a project and returns its lines. */
async function node(file) {
  const { stdout } = await run(process.execPath, [file], { cwd: project });
  return stdout.trimEnd().split("\n");
}

/** What a page shows, which a script beside its own reports. */
function shown(root, page, html, policy) {
  const { CHROMIUM: chromium } = process.env;
  assert.ok(chromium, "set CHROMIUM to the program of Chromium or Chrome; `cargo xtask test` does so");
  const reporter = `
    const report = (body) => fetch("/report", { method: "POST", body: JSON.stringify(body) });
    addEventListener("error", ({ message }) => report({ error: message }));
    addEventListener("unhandledrejection", ({ reason }) => report({ error: String(reason) }));
    const look = () => document.body.innerText.trim() && report({ result: document.body.innerText.trim() });
    new MutationObserver(look).observe(document, { childList: true, subtree: true });`;
  const watched = html.replace("<meta", '<script type="module" src="/reporter.mjs"></script><meta');
  const data = { [`/${page}`]: watched, "/reporter.mjs": reporter };
  return runInBrowser(chromium, page, { root: pathToFileURL(`${root}/`), data, ...(policy && { policy }) });
}

test("package_holds_what_runs_and_nothing_else", async () => {
  const installed = join(project, "node_modules/@lockgate/simulator");
  const files = (await readdir(installed, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  assert.deepEqual(files.map(({ parentPath, name }) => join(parentPath, name).slice(installed.length + 1)).sort(), [
    "README.md",
    "js/index.d.ts",
    "js/node.js",
    "js/simulator.js",
    "js/web.js",
    "package.json",
    "pkg/LICENSE",
    "pkg/simulator.js",
    "pkg/simulator_bg.wasm",
  ]);
});

test("publint_finds_nothing", async () => {
  const file = await readFile(tarball);
  const bytes = file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength);
  const { messages, pkg } = await publint({ pack: { tarball: bytes }, strict: true });
  assert.deepEqual(messages.map((message) => formatMessage(message, pkg)), []);
});

test("types_resolve_to_what_runs", async () => {
  // The module itself has no types: a bundler gives its address, by whatever way it has. CommonJS gets the package by
  // `await import()`, which every Node has.
  const options = ["--profile", "esm-only", "--exclude-entrypoints", "./simulator.wasm", "--no-color"];
  await run(process.execPath, [tool("@arethetypeswrong/cli/dist/index.js"), tarball, ...options]);
});

test("strict_compiler_takes_all_of_the_types", async () => {
  await cp(join(PACKAGE, "test/consumer.ts"), join(project, "consumer.ts"));
  const [main] = await examples("ts");
  await writeFile(join(project, "main.ts"), main);
  const strict = { strict: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, skipLibCheck: false };
  for (const [name, file, options] of [
    // Without the types of browsers, and with them.
    ["node", "consumer.ts", { module: "nodenext", lib: ["ES2022"] }],
    ["bundler", "consumer.ts", { module: "esnext", moduleResolution: "bundler", lib: ["ES2022", "DOM"] }],
    ["page", "main.ts", { module: "esnext", moduleResolution: "bundler", lib: ["ES2022", "DOM"] }],
  ]) {
    const compilerOptions = { ...strict, target: "ES2022", types: [], noEmit: true, ...options };
    await writeFile(join(project, `${name}.json`), JSON.stringify({ compilerOptions, files: [file] }));
    const compiled = run(process.execPath, [tool("typescript/bin/tsc"), "-p", `${name}.json`], { cwd: project });
    await assert.doesNotReject(compiled.catch(({ stdout, stderr }) => Promise.reject(new Error(`${name}: ${stdout}${stderr}`))));
  }
});

test("node_runs_it_at_once_and_after_init", async () => {
  const ask = 'new Simulator({}).decide({ url: "http://a.test/" })';
  for (const [file, text] of [
    ["sync.mjs", `import { Simulator } from "@lockgate/simulator"; console.log(${ask}.status);`],
    ["async.mjs", `import { init, Simulator } from "@lockgate/simulator"; await init(); await init(); console.log(${ask}.status);`],
    ["common.cjs", `import("@lockgate/simulator").then(({ Simulator }) => console.log(${ask}.status));`],
  ]) {
    await writeFile(join(project, file), text);
    assert.deepEqual(await node(file), ["404"], file);
  }
});

test("example_for_node_runs_and_prints_what_it_says", async () => {
  const [text, ...others] = await examples("js");
  assert.deepEqual(others, []);
  await writeFile(join(project, "example.mjs"), text);
  const expected = promised(text);
  assert.equal(expected.length, 4);
  assert.deepEqual(await node("example.mjs"), expected);
});

test("example_for_vite_is_built_and_shows_what_it_says", async () => {
  const [text, ...others] = await examples("ts");
  assert.deepEqual(others, []);
  await writeFile(join(project, "main.ts"), text);
  const html = '<!doctype html><meta charset="utf-8"><title>built</title><body></body><script type="module" src="/main.ts"></script>';
  await writeFile(join(project, "index.html"), html);
  await run(process.execPath, [tool("vite/bin/vite.js"), "build", "--target", "es2022", "--logLevel", "warn"], { cwd: project });
  const assets = await readdir(join(project, "dist/assets"));
  assert.deepEqual(assets.map((name) => name.split(".").pop()).sort(), ["js", "wasm"]);
  const built = await readFile(join(project, "dist/index.html"), "utf8");
  assert.deepEqual([await shown(join(project, "dist"), "index.html", built)], promised(text));
});

test("example_without_a_bundler_shows_what_it_says", async () => {
  const [html, ...others] = await examples("html");
  assert.deepEqual(others, []);
  assert.deepEqual([await shown(project, "page.html", html, INLINE)], promised(html));
});
