import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { seed } from "../../test/seed.mjs";
import { launch, verdictIs, withPage } from "./browser.mjs";
import { startGateway } from "./gateway.mjs";

const KEY = "planted-1Xq7";
const ENV = { API_KEY: `sk-${KEY}`, YOUR_LOCAL_IP: "203.0.113.9" };

// What a writer of YAML could get wrong, and secrets in every place that has one.
const MORE = String.raw`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: odd, namespace: istio-system}
spec:
  hosts: [odd.example.com]
  gateways: [istio-system/ingress-gw]
  http:
  - match:
    - uri: {regex: "/users/[0-9]+\\.(a|b)"}
      headers: {x-a: {exact: "yes"}, x-b: {exact: "0x1F"}, x-c: {exact: " lead # no comment"}, x-d: {exact: "a: b"}, x-e: {exact: "- x"}, x-f: {}}
      queryParams: {q: {exact: "1.0"}, empty: {exact: "null"}, quote: {exact: 'it''s "so"'}, uni: {exact: "grüße 😀"}}
    headers: {request: {set: {x-plain: shown, x-api-key: ${KEY}-header}}}
    directResponse: {status: 200, body: {string: "line one\n  line two\n\nlast\n"}}
  - directResponse: {status: 404, body: {string: "\ttab\n \n"}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: keys, namespace: istio-system, annotations: {kubectl.kubernetes.io/last-applied-configuration: "${KEY}-annotation"}}
spec: {jwtRules: [{issuer: x, jwks: '{"keys":[{"kty":"oct","k":"${Buffer.from(`${KEY}-a-key-of-enough-bytes-for-a-key`).toString("base64url")}","alg":"HS256"}]}'}]}
---
apiVersion: v1
kind: Secret
metadata: {name: other, namespace: istio-system}
data: {password: ${Buffer.from(`${KEY}-data`).toString("base64")}}
stringData: {more: ${KEY}-string}
# A comment with ${KEY}-comment
`;

const WITHHELD = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: by-key, namespace: istio-system}
spec: {action: DENY, rules: [{when: [{key: "request.headers[x-api-key]", values: [${KEY}-value]}]}]}
`;

/** Forms in which the planted text could stand somewhere. */
const PLANTED = [KEY, ...[0, 1, 2].map((shift) => Buffer.from("x".repeat(shift) + KEY).toString("base64").slice(shift === 0 ? 0 : 4, 12))];

let browser;
let files;
before(async () => {
  browser = await launch();
  files = await seed();
});
after(() => browser?.close());

async function withGateway(files, use) {
  const gateway = await startGateway(files, ENV);
  try {
    await use(gateway.admin);
  } finally {
    await gateway.stop();
  }
}

test("a_gateways_configuration_is_the_same_snapshot_here_and_holds_no_secret", async () => {
  await withGateway({ ...files, "more.yaml": MORE }, async (admin) => {
    const told = await (await fetch(`http://${admin}/playground/live.json`)).text();
    for (const text of PLANTED) assert.ok(!told.includes(text), `${text} in ${told}`);
    await withPage(browser, admin, async (page) => {
      const { snapshot } = await (await fetch(`http://${admin}/snapshot`)).json();
      assert.equal(await page.locator("#live-snapshot").innerText(), snapshot);
      assert.match(await page.locator("#live").innerText(), /not what is here/);
      await page.getByRole("button", { name: "Load it" }).click();
      await page.getByRole("tab", { name: "more.yaml" }).waitFor();
      // The examples' verdict, which was here before, is Forward too: only the snapshot tells the two apart.
      await page.waitForFunction((snapshot) => document.querySelector("#snapshot")?.textContent === snapshot, snapshot);
      await verdictIs(page, "Forward");
      await page.locator("#live", { hasText: "the same as here" }).waitFor();
      assert.deepEqual(await page.locator("[role=tab] .tab-name").allInnerTexts(), [...Object.keys(files), "more.yaml"].sort());
      await page.locator("summary", { hasText: "Gateway" }).click();
      assert.equal(await page.getByLabel("${YOUR_LOCAL_IP}").inputValue(), ENV.YOUR_LOCAL_IP);
      assert.equal(await page.getByLabel("${API_KEY}").inputValue(), "redacted");
      await page.getByLabel("Header fields").fill("host: other.example");
      await verdictIs(page, "404");
    });
  });
});

test("values_that_are_not_shown_are_said_to_make_it_another_snapshot", async () => {
  await withGateway({ ...files, "withheld.yaml": WITHHELD }, async (admin) => {
    for (const path of ["playground/live.json", "config_dump"]) {
      const told = await (await fetch(`http://${admin}/${path}`)).text();
      for (const text of PLANTED) assert.ok(!told.includes(text), `${text} in ${path}`);
    }
    await withPage(browser, admin, async (page) => {
      await page.getByRole("button", { name: "Load it" }).click();
      await page.getByRole("tab", { name: "withheld.yaml" }).waitFor();
      await page.waitForFunction(() => document.querySelector("#live").textContent.includes("not the same"));
      assert.match(await page.locator("#live").getAttribute("title"), /does not show values of AuthorizationPolicy istio-system\/by-key/);
    });
  });
});

test("the_page_is_served_as_a_careful_site_would", async () => {
  await withGateway(files, async (admin) => {
    const get = (path, headers = {}) => fetch(`http://${admin}${path}`, { headers, redirect: "manual" });
    assert.equal((await get("/playground")).headers.get("location"), "playground/");
    const page = await get("/playground/");
    const html = await page.text();
    assert.equal(page.headers.get("content-type"), "text/html; charset=utf-8");
    assert.equal(page.headers.get("cache-control"), "no-cache");
    assert.ok(!/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|https?:\/\//.test(html.replaceAll("http://www.w3.org/", "")), "something inline or from elsewhere");
    const assets = [...html.matchAll(/(?:src|href)="\.\/(assets\/[^"]+)"/g)].map(([, name]) => name);
    assert.ok(assets.length >= 2, html);
    for (const name of assets) {
      const packed = await get(`/playground/${name}`, { "accept-encoding": "gzip" });
      assert.equal(packed.status, 200);
      assert.match(packed.headers.get("cache-control"), /immutable/);
      assert.equal(packed.headers.get("content-encoding"), "gzip");
      const plain = await get(`/playground/${name}`, { "accept-encoding": "identity" });
      assert.equal(plain.headers.get("content-encoding"), null);
      assert.equal(await packed.text(), await plain.text());
    }
    for (const path of ["/playground/", `/playground/${assets[0]}`]) {
      const { headers } = await get(path);
      const policy = headers.get("content-security-policy");
      assert.match(policy, /^default-src 'none'; script-src 'self' 'wasm-unsafe-eval';/);
      assert.ok(!policy.includes("unsafe-inline") && policy.includes("frame-ancestors 'none'"));
      assert.equal(headers.get("x-content-type-options"), "nosniff");
    }
    assert.equal((await get("/playground/assets/none.js")).status, 404);
  });
});
