// Runs a page in headless Chromium and returns what it reports.
//
// The page posts its result back to the server it came from. Waiting for that is exact; dumping the page's DOM
// after a while is not, because wasm starts asynchronously.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

const PACKAGE = new URL("../", import.meta.url);
const TYPES = { html: "text/html", js: "text/javascript", mjs: "text/javascript", wasm: "application/wasm" };
const TIMEOUT_MS = 60_000;

// What a careful site would send: nothing from elsewhere, and wasm but no eval.
const POLICY = "default-src 'none'; connect-src 'self'; script-src 'self' 'wasm-unsafe-eval'";

/**
 * The page is one below `root`, a folder, this package's by default. `data` maps further paths to what is served there: a
 * text, or a stream for the first who asks.
 */
export async function runInBrowser(chromium, page, { root = PACKAGE, data = {}, policy = POLICY, timeoutMs = TIMEOUT_MS } = {}) {
  const profile = await mkdtemp(join(tmpdir(), "lockgate-chromium-"));
  const server = createServer();
  try {
    const reported = report(server, root, data, policy);
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const browser = launch(chromium, profile, `http://127.0.0.1:${server.address().port}/${page}`);
    try {
      return await Promise.race([reported, browser.died, timeout(timeoutMs)]);
    } finally {
      await browser.stop();
    }
  } finally {
    server.closeAllConnections();
    server.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Serves the folder, and resolves with the JSON that the page posts. */
function report(server, root, data, policy) {
  return new Promise((resolve, reject) => {
    server.on("request", async (request, response) => {
      const path = new URL(request.url, "http://localhost").pathname;
      if (request.method === "POST" && path === "/report") {
        let body = "";
        for await (const chunk of request) body += chunk;
        response.writeHead(204).end();
        const { result, error } = JSON.parse(body);
        return error === undefined ? resolve(result) : reject(new Error(`the page failed: ${error}`));
      }
      try {
        const content = data[path] ?? await readFile(fileURLToPath(new URL(`.${path}`, root)));
        const type = TYPES[path.split(".").pop()] ?? "application/octet-stream";
        response.writeHead(200, { "content-type": type, "content-security-policy": policy });
        if (content instanceof Readable) content.pipe(response);
        else response.end(content);
      } catch {
        response.writeHead(404).end();
      }
    });
  });
}

function launch(chromium, profile, url) {
  const flags = [
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    `--user-data-dir=${profile}`,
  ];
  // Chromium refuses its sandbox to root, which is what containers run as.
  if (process.getuid?.() === 0) flags.push("--no-sandbox");
  const child = spawn(chromium, [...flags, url], { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr.on("data", (chunk) => (log = (log + chunk).slice(-4000)));
  const exited = new Promise((resolve) => child.once("close", resolve));
  const died = new Promise((_, reject) => {
    child.once("error", (error) => reject(new Error(`${chromium} cannot be started: ${error.message}`)));
    exited.then((status) => reject(new Error(`${chromium} ended with ${status} before the page reported:\n${log}`)));
  });
  died.catch(() => {});
  const stop = () => {
    child.kill("SIGKILL");
    return exited;
  };
  return { died, stop };
}

function timeout(timeoutMs) {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`no report from the page within ${timeoutMs} ms`)), timeoutMs).unref();
  });
}
