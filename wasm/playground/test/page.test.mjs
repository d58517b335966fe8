import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";

import { seed } from "../../test/seed.mjs";
import { cursorBehind, launch, openFile, verdictIs, withPage, word, write } from "./browser.mjs";
import { startGateway } from "./gateway.mjs";

const KEY = "sk-planted-in-the-environment";
const SEED_ENV = { API_KEY: KEY, YOUR_LOCAL_IP: "203.0.113.9" };

let browser;
let gateway;

before(async () => {
  [browser, gateway] = await Promise.all([launch(), startGateway(await seed(), SEED_ENV)]);
});
after(async () => {
  await Promise.all([browser?.close(), gateway?.stop()]);
});

const open = (use, options) => withPage(browser, gateway.admin, use, options);

test("first_verdict_is_the_seeds", async (context) => {
  await open(async (page) => {
    await verdictIs(page, "Forward");
    assert.match(await page.locator("#verdict").innerText(), /to dashscope\.aliyuncs\.com/);
    const upstream = await page.locator("#outcome").innerText();
    assert.match(upstream, /POST \/compatible-mode\/v1\/chat\/completions/);
    assert.match(upstream, /Bearer «key of istio-system\/dashscope-qwen»/);
    const first = await page.evaluate(() => performance.getEntriesByName("verdict")[0].startTime);
    context.diagnostic(`first verdict ${first.toFixed(0)} ms after the navigation began`);
    assert.ok(first < 10_000);
  });
});

test("a_keystroke_changes_the_verdict", async () => {
  await open(async (page) => {
    await openFile(page, "llm-route.yaml");
    await cursorBehind(page, "exact: test.com");
    await page.keyboard.type("x");
    await verdictIs(page, "404");
    await page.keyboard.press("Backspace");
    await verdictIs(page, "Forward");
    await page.getByLabel("Header fields").fill("host: test.com\ncontent-type: text/plain; charset=latin1");
    await verdictIs(page, "415");
    await page.getByText("Connection, token and authorizers").click();
    await page.getByLabel("Client's address").fill("203.0.113.9");
    await verdictIs(page, "403");
    assert.match(await page.locator("#outcome").innerText(), /RBAC: access denied/);
    await page.getByLabel("Client's address").fill("nobody");
    await verdictIs(page, "No question");
    assert.equal(await page.getByLabel("Client's address").getAttribute("aria-invalid"), "true");
  });
});

test("mistakes_are_underlined_where_they_stand", async () => {
  await open(async (page) => {
    await openFile(page, "authorization-policy.yaml");
    // The first character is two units of UTF-16 and four bytes, and one column.
    await write(page, `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, annotations: {a: "😀"}, namspace: istio-system}
spec:
  rules:
  - from:
    - source: {ipBlockz: [10.0.0.0/8]}
`);
    await verdictIs(page, "Not loaded");
    const underlined = page.locator("#editor .cm-lintRange-error");
    await underlined.nth(1).waitFor();
    assert.deepEqual(await underlined.allInnerTexts(), ["namspace", "ipBlockz"]);
    assert.equal(await page.locator('.tab[data-file="authorization-policy.yaml"] .dot.error').count(), 1);
    await openFile(page, "gateway.yaml");
    await page.locator(".finding", { hasText: "ipBlockz" }).click();
    assert.equal(await page.locator("[role=tab][aria-selected=true]").innerText(), "authorization-policy.yaml");
    assert.match(await page.locator("#editor .cm-activeLine").innerText(), /ipBlockz/);
    assert.match(await page.locator("#findings").innerText(), /did you mean ipBlocks/);
  });
});

test("fields_and_words_are_completed_from_the_schema", async () => {
  await open(async (page) => {
    await openFile(page, "authorization-policy.yaml");
    await cursorBehind(page, "- test.com");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Home");
    await page.keyboard.type("            not");
    const options = page.locator("#editor .cm-tooltip-autocomplete li");
    await options.first().waitFor();
    assert.deepEqual((await options.locator(".cm-completionLabel").allInnerTexts()).sort(), ["notHosts", "notMethods", "notPaths", "notPorts"]);
    await page.keyboard.press("Escape");
    await cursorBehind(page, "action: DENY");
    for (let step = 0; step < 4; step += 1) await page.keyboard.press("Backspace");
    await page.keyboard.type("A");
    await options.first().waitFor();
    assert.deepEqual((await options.locator(".cm-completionLabel").allInnerTexts()).sort(), ["ALLOW", "AUDIT"]);
  });
});

test("lines_of_the_trace_lead_to_the_yaml_that_caused_them", async () => {
  await open(async (page) => {
    const marked = page.locator("#editor .cm-caused");
    await page.locator("#trace button.row", { hasText: "ipBlocks" }).click();
    assert.equal(await page.locator("[role=tab][aria-selected=true]").innerText(), "authorization-policy.yaml");
    assert.match((await marked.allInnerTexts()).join("\n"), /from:[^]*ipBlocks:[^]*test\.com$/);
    assert.equal(await page.locator("#editor .cm-caused-field").innerText(), "ipBlocks");
    await page.locator("#trace button.row", { hasText: "llm-route.yaml:15" }).press("Enter");
    assert.equal(await page.locator("[role=tab][aria-selected=true]").innerText(), "llm-route.yaml");
    const block = (await marked.allInnerTexts()).join("\n");
    assert.ok(block.includes("exact: test.com") && !block.includes("exact: dashscope") && !block.includes("backendRefs"), block);
    await page.locator("#verdict button.link").click();
    assert.match((await marked.allInnerTexts()).join("\n"), /exact: test\.com/);
  });
});

test("scenarios_are_tried_at_each_keystroke", async () => {
  await open(async (page) => {
    const count = page.locator("#tests-count");
    await count.filter({ hasText: "13 passed, 3 of 3 rules reached" }).waitFor();
    await openFile(page, "llm-route.yaml");
    await cursorBehind(page, "exact: test.com");
    await page.keyboard.type("x");
    await count.filter({ hasText: /^[1-9] failed, / }).waitFor();
    await page.locator("#tests-drawer summary").click();
    const failed = page.locator("#tests li.failed .finding").first();
    assert.match(await failed.innerText(), /decision: expected forward, found refuse/);
    await failed.click();
    assert.equal(await page.locator("[role=tab][aria-selected=true]").innerText(), "scenarios.yaml");
    assert.match(await page.locator("#editor .cm-activeLine").innerText(), /decision: forward/);
    assert.match(await page.locator("#tests").innerText(), /No case reaches/);
    await openFile(page, "scenarios.yaml");
    await write(page, "");
    await page.locator("#tests-drawer").waitFor({ state: "hidden" });
  });
});

test("a_link_holds_everything", async () => {
  let hash = "";
  await open(async (page) => {
    await openFile(page, "llm-provider.yaml");
    await cursorBehind(page, "stream: false");
    await page.keyboard.insertText("  # grüße 😀");
    await page.locator("summary", { hasText: "Gateway" }).click();
    await page.getByLabel("${YOUR_LOCAL_IP}").fill("192.0.2.7");
    await page.getByText("Connection, token and authorizers").click();
    await page.getByLabel("Client's address").fill("192.0.2.7");
    await verdictIs(page, "403");
    await page.getByRole("button", { name: "Share" }).click();
    await page.waitForFunction(() => location.hash.length > 100);
    hash = new URL(page.url()).hash;
    assert.match(hash, /^#1\.[A-Za-z0-9_-]+$/);
  });
  await open(async (page) => {
    await verdictIs(page, "403");
    await openFile(page, "llm-provider.yaml");
    assert.match(await page.locator("#editor .cm-content").innerText(), /# grüße 😀/);
    assert.equal(await page.locator("#request-peer").inputValue(), "192.0.2.7");
  }, { hash });
});

test("a_link_that_is_no_link_is_refused_in_words", async () => {
  const bomb = await deflated(`{"files":[{"name":"a","text":"${"x".repeat(3_000_000)}"}]}`);
  for (const [hash, said] of [
    ["#1.%%%", "damaged"],
    [`#1.${bomb.slice(0, 40)}`, "damaged"],
    [`#1.${bomb}`, "unpacks to more"],
    [`#1.${"A".repeat(70_000)}`, "too long"],
    [`#1.${await deflated("{}")}`, "no files"],
  ]) {
    await open(async (page) => {
      await page.locator(".toast", { hasText: said }).waitFor();
      await verdictIs(page, "Forward");
    }, { hash });
  }
});

async function deflated(text) {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  return Buffer.from(await new Response(stream).arrayBuffer()).toString("base64url");
}

test("a_curl_command_fills_the_request", async () => {
  await open(async (page) => {
    await page.getByRole("button", { name: "Paste request" }).click();
    const field = page.getByLabel(/^The command as you would run it/);
    await field.fill("wget http://test.com");
    await page.getByRole("button", { name: "Take it" }).click();
    assert.match(await page.locator("dialog .problem").innerText(), /does not begin with curl/);
    await field.fill("curl -sN http://127.0.0.1:8080/v1/x?y=1 -H 'host: other.example' \\\n  -d '{\"messages\":[]}'");
    await field.press("ControlOrMeta+Enter");
    await verdictIs(page, "404");
    assert.equal(await page.locator("#request-method").inputValue(), "POST");
    assert.equal(await page.locator("#request-target").inputValue(), "/v1/x?y=1");
    assert.match(await page.locator("#request-headers").inputValue(), /^host: other\.example\n/);
    assert.equal(await page.locator("#request-port").inputValue(), "80");
  });
});

test("a_capsule_is_decided_again_and_compared", async () => {
  // As a gateway that runs the seed logs it.
  const capsule = {
    apiVersion: "lockgate.dev/capsule/v1",
    time: "2026-11-29T08:59:04.117Z",
    requestId: "230b1765-c7e3-4a47-b06b-be6d1e86294c",
    snapshot: "c0ce7e27b5151561",
    reproduces: true,
    request: { method: "POST", url: "/v1/chat", authority: "test.com", headers: [], peer: "203.0.113.9", destinationIp: "127.0.0.1", destinationPort: 80, port: 80, entropy: "12174192082418754979" },
    verdict: { decision: "refuse", status: 403, code: "rbac_access_denied", reason: "denied by rules[0] of AuthorizationPolicy `istio-system/auth-policy`", body: "RBAC: access denied", contentType: "text/plain" },
  };
  await open(async (page) => {
    const paste = async (text) => {
      await page.getByRole("button", { name: "Paste request" }).click();
      await page.locator("#dialog-field").fill(text);
      await page.getByRole("button", { name: "Take it" }).click();
    };
    const recorded = page.locator("#recorded");
    await paste('{"apiVersion":"lockgate.dev/capsule/v9"}');
    assert.match(await page.locator("dialog .problem").innerText(), /no capsule: it is not of lockgate\.dev\/capsule\/v1/);
    await page.keyboard.press("Escape");
    await paste(`${JSON.stringify(capsule)}\n`);
    await recorded.filter({ hasText: "The same is decided here." }).waitFor();
    await verdictIs(page, "403");
    assert.equal(await page.locator("#request-entropy").inputValue(), capsule.request.entropy);
    // The rule is about other hosts from here on.
    await openFile(page, "authorization-policy.yaml");
    await cursorBehind(page, "- test.com");
    await page.keyboard.type("x");
    await recorded.filter({ hasText: "Here it is decided otherwise: decision, " }).waitFor();
    await page.keyboard.press("Backspace");
    await recorded.filter({ hasText: "The same is decided here." }).waitFor();
    await paste(JSON.stringify({ ...capsule, reproduces: false, withheld: ["x-api-key"] }));
    await recorded.filter({ hasText: "cannot be decided again without x-api-key" }).waitFor();
    // Another request is another matter.
    await page.getByLabel("Path and query").fill("/other");
    await page.locator("#verdict[aria-busy=false]").waitFor();
    assert.equal(await recorded.count(), 0);
    await page.getByText("Connection, token and authorizers").click();
    await page.getByLabel("What is wrong with the token").fill("Jwt is late");
    await verdictIs(page, "No question");
    assert.match(await page.locator("#verdict").innerText(), /an example is `Jwt is expired`|did you mean/);
  });
});

test("files_are_added_renamed_and_deleted_by_keyboard", async () => {
  await open(async (page) => {
    const tab = (name) => page.getByRole("tab", { name });
    await tab("authorization-policy.yaml").focus();
    await page.keyboard.press("ArrowRight");
    assert.equal(await page.locator("[role=tab][aria-selected=true]").innerText(), "gateway.yaml");
    await page.keyboard.press("F2");
    await page.keyboard.type("llm-route.yaml");
    await page.keyboard.press("Enter");
    assert.match(await page.locator("dialog .problem").innerText(), /of this name/);
    await page.keyboard.press("ControlOrMeta+a");
    await page.keyboard.type("edge.yaml");
    await page.keyboard.press("Enter");
    await tab("edge.yaml").waitFor();
    await verdictIs(page, "Forward");
    await tab("edge.yaml").focus();
    await page.keyboard.press("Delete");
    await verdictIs(page, "Not loaded");
    await page.getByRole("button", { name: "Undo" }).click();
    await verdictIs(page, "Forward");
    await page.getByRole("button", { name: "Add a file" }).click();
    await page.keyboard.type("more.yaml");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement?.id === "editor");
    await page.keyboard.insertText("kind: Nothing\n");
    await verdictIs(page, "Not loaded");
  });
});

test("every_example_decides_each_of_its_requests", async () => {
  await open(async (page) => {
    const examples = await page.locator("#examples option:not([hidden])").allInnerTexts();
    const verdicts = {};
    for (const example of examples.filter((name) => name !== "This gateway")) {
      await page.selectOption("#examples", { label: example });
      verdicts[example] = [];
      for (const request of await page.locator("#try option:not([disabled])").allInnerTexts()) {
        await page.selectOption("#try", { label: request });
        await page.locator("#verdict[aria-busy=false]").waitFor();
        verdicts[example].push(await word(page));
      }
    }
    assert.deepEqual(verdicts, {
      "ASM's walk-through": ["Forward", "Forward", "404", "403", "Forward", "400", "Body first"],
      "The demo": ["Forward", "404", "403"],
      "Routing by model": ["Forward", "Forward", "Forward", "Forward"],
      VirtualServices: ["Forward", "Forward", "Forward", "308", "200", "Forward", "301"],
      "Gateway API": ["Forward", "Forward", "301", "Forward"],
      Tokens: ["Forward", "403", "Forward", "403"],
      "External authorization": ["Asks first", "Forward", "403", "403"],
      TLS: ["301", "200", "421"],
      "A provider of your own": ["Forward"],
    });
  });
});

test("what_chance_chose_among_is_shown", async () => {
  await open(async (page) => {
    await page.selectOption("#examples", { label: "VirtualServices" });
    await page.getByLabel("Path and query").fill("/api/orders");
    await page.getByLabel("Header fields").fill("host: shop.example.com");
    const outcome = page.locator("#outcome");
    await outcome.filter({ hasText: "95 shop.internal, chosen · 5 shop-next.internal" }).waitFor();
    await page.getByText("Connection, token and authorizers").click();
    await page.getByLabel("Random number").fill("18446744073709551615");
    await outcome.filter({ hasText: "95 shop.internal · 5 shop-next.internal, chosen" }).waitFor();
  });
});

test("what_takes_the_clients_own_fields_away_is_marked", async () => {
  await open(async (page) => {
    await page.selectOption("#examples", { label: "VirtualServices" });
    await page.getByLabel("Path and query").fill("/api/orders");
    await page.getByLabel("Header fields").fill("host: shop.example.com\nconnection: x-once\nx-once: 1\nx-gateway: mine\nx-own: 1");
    const line = (kind, hasText) => page.locator(`#outcome .http-line.${kind}`).filter({ hasText });
    for (const gone of ["connection: x-once", "x-once: 1", "x-gateway: mine"]) await line("removed", gone).waitFor();
    await line("added", "x-gateway: lockgate").waitFor();
    await line("same", "x-own: 1").waitFor();
  });
});

test("a_thousand_rules_are_answered_while_one_types", async (context) => {
  const rules = Array.from({ length: 1000 }, (_, index) => `  - name: r${index}
    match: [{uri: {prefix: /a${index}/}}]
    directResponse: {status: 200}
`).join("");
  const routes = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: many, namespace: istio-system}
spec:
  hosts: [many.example.com]
  gateways: [istio-system/ingress-gw]
  http:
${rules}`;
  await open(async (page) => {
    await openFile(page, "llm-route.yaml");
    await write(page, routes);
    await page.getByLabel("Header fields").fill("host: many.example.com");
    await page.getByLabel("Path and query").fill("/a999/");
    await verdictIs(page, "200");
    assert.equal(await page.locator("#trace .fold").innerText(), "997 rules do not match");
    await page.locator("#trace .fold summary").click();
    await page.locator("#trace .fold .row").nth(199).waitFor();
    assert.equal(await page.locator("#trace .fold .row").count(), 200);
    await page.evaluate(() => addEventListener("keydown", () => {
      performance.clearMarks("verdict");
      globalThis.pressed = performance.now();
    }, true));
    const took = async (selector, keys) => {
      const times = [];
      await page.locator(selector).click();
      await page.keyboard.press("End");
      // The engine is compiled better while it runs; a person has typed more than this, too.
      for (let round = 0; round < 24; round += 1) {
        await page.keyboard.press(keys[round % 2]);
        await page.waitForFunction(() => performance.getEntriesByName("verdict").length > 0, undefined, { polling: 5 });
        times.push(await page.evaluate(() => performance.getEntriesByName("verdict")[0].startTime - globalThis.pressed));
      }
      return times.slice(12).sort((a, b) => a - b)[6];
    };
    const inRequest = await took("#request-target", ["x", "Backspace"]);
    const inYaml = await took("#editor .cm-content", ["Space", "Backspace"]);
    context.diagnostic(`1,000 rules: ${inRequest.toFixed(0)} ms from a key in the request to its verdict, ${inYaml.toFixed(0)} ms from one in the YAML`);
    assert.ok(inRequest < 5_000 && inYaml < 5_000);
  });
});

test("nothing_serious_stands_in_the_way_of_anybody", async () => {
  const axe = await readFile(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
  const looks = [
    { colorScheme: "light" },
    { colorScheme: "dark" },
    { colorScheme: "light", viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
  ];
  for (const look of looks) {
    await open(async (page) => {
      const check = async (where) => {
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
        const found = violations.map(({ id, impact, nodes }) => ({ id, impact, at: nodes.map(({ target, failureSummary }) => `${target}: ${failureSummary}`) }));
        assert.deepEqual(found, [], `${where}, ${JSON.stringify(look)}`);
      };
      await check("at first");
      await page.getByText("Connection, token and authorizers").click();
      await page.locator("summary", { hasText: "Gateway" }).click();
      await page.locator("#trace button.row").first().click();
      await check("with all of it open");
      await page.selectOption("#try", { label: "the denied address" });
      await verdictIs(page, "403");
      await check("denied");
      await openFile(page, "gateway.yaml");
      await write(page, "kind: [\n");
      await verdictIs(page, "Not loaded");
      await check("with errors");
      await page.getByRole("button", { name: "Add a file" }).click();
      await check("asking");
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `the page is ${wide} pixels wider than the window`);
    }, look);
  }
});

test("colours_are_the_systems_until_somebody_chooses", async () => {
  await open(async (page) => {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await ground();
    await page.locator("#theme").click();
    const light = await ground();
    assert.notEqual(light, dark);
    await page.reload();
    await page.waitForFunction(() => document.querySelector(".verdict-word:not(.waiting)") !== null);
    assert.equal(await ground(), light);
  }, { colorScheme: "dark" });
});
