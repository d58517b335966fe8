// The parts that need no page, as the page has them.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createServer } from "vite";

let vite;
before(async () => {
  vite = await createServer({
    root: fileURLToPath(new URL("..", import.meta.url)),
    logLevel: "error",
    appType: "custom",
    server: { middlewareMode: true, watch: null, ws: false },
    optimizeDeps: { noDiscovery: true },
  });
});
after(() => vite?.close());

const load = (name) => vite.ssrLoadModule(`/src/${name}.ts`);

test("curl_commands_are_read_as_shells_and_curl_read_them", async () => {
  const { readCurl, writeCurl } = await load("curl");
  const { shellWords, textOf } = await load("shell");
  assert.deepEqual(shellWords(`a 'b c'"d\\"e"f\\ g $'h\\n\\u00fc' i\\\n j | k`).map(textOf), ["a", `b cd"ef g`, "h\nü", "i", "j"]);
  for (const [word, bytes] of [
    ["$'\\x41\\x4a4\\1018\\0'", "AJ4A8\0"],
    ["$'\\e\\cA\\?\\'\\\"\\\\\\q\\x'", "\x1b\x01?'\"\\\\q\\x"],
    ["$'\\xe9\\351\\u00e9é'", "\xe9\xe9\xc3\xa9\xc3\xa9"],
    ["$'\\U0001F600\\ud83d\\ude00'", "\xf0\x9f\x98\x80".repeat(2)],
    ["\u00a0", "\xc2\xa0"],
  ]) assert.deepEqual(shellWords(word), [bytes], word);
  for (const [command, expected] of [
    ["curl test.com", { method: "GET", target: "/", headers: "host: test.com", body: "", port: "80" }],
    ["curl https://u:p@test.com:8443/a?b#c", { target: "/a?b", headers: "host: test.com:8443\nauthorization: Basic dTpw", port: "443" }],
    ["curl -d a=1 -d b=2 http://x", { method: "POST", headers: "host: x\ncontent-type: application/x-www-form-urlencoded", body: "a=1&b=2" }],
    ["curl -G -d a=1 'http://x/y?z'", { method: "GET", target: "/y?z&a=1", body: "" }],
    [`curl --json '{"a":1}' http://x`, { method: "POST", headers: "host: x\ncontent-type: application/json\naccept: application/json", body: '{"a":1}' }],
    ["curl -sSLX PUT http://x -H 'Host: y' -HA:b -H 'C;' -H 'D:'", { method: "PUT", headers: "Host: y\nA: b\nC: " }],
    ["curl -I -u a:b --url=http://x -o /dev/null", { method: "HEAD", headers: "authorization: Basic YTpi", }],
    ["$ curl -kvd '{}' http://x/ > out", { method: "POST", body: "{}" }],
    ...["--max-redirs 5", "--retry-delay 1", "--noproxy '*'", "--proxy-header 'a: b'", "-fsSLkm5 --no-buffer -4"].map(
      (option) => [`curl ${option} http://x/up`, { method: "GET", target: "/up", headers: "host: x" }],
    ),
    ["curl -r 0-4 http://x/up", { target: "/up", headers: "host: x\nrange: bytes=0-4" }],
    ["curl -d $'a\\n\\nb\\r\\n' http://x", { body: "a\n\nb\r\n" }],
    ["curl --data-urlencode 'a b=c d&é~' --data-urlencode =* -d é http://x", { body: "a b=c+d%26%C3%A9~&%2A&é" }],
    ["curl -G --data-urlencode 'q=a&b' --url-query +r http://x/?", { method: "GET", target: "/?r&q=a%26b", body: "" }],
    ["curl -u 日:é http://x", { headers: "host: x\nauthorization: Basic 5pelOsOp" }],
    ["curl http://u%40x:p%C3%A9@x/", { headers: "host: x\nauthorization: Basic dUB4OnDDqQ==" }],
    ["curl -u a:b http://u@x/", { headers: "host: x\nauthorization: Basic YTpi" }],
    ["curl -u a:b --oauth2-bearer c http://x/", { headers: "host: x\nauthorization: Bearer c" }],
    ["curl -d a http://x -H 'Content-Type:' -H Host:", { headers: "", body: "a" }],
    ["curl -A a -u a:b -b c=d -b e=f -e '' http://x -H 'User-Agent: b' -H Authorization:", { headers: "host: x\nUser-Agent: b\ncookie: c=d;e=f" }],
    ["curl -H $'a: \\xe9\\351' -H $'b: c\\nd: e' -H $'c: {\"base64\":\"/w==\"}' http://x", { headers: 'host: x\na: {"base64":"6ek="}\nb: {"base64":"YwpkOiBl"}\nc: {"base64":"eyJiYXNlNjQiOiIvdz09In0="}' }],
    ["curl http://x/é", { target: "/%c3%a9" }],
    ["curl http://x/y --request-target '/a/../b{c} é'", { target: "/a/../b{c} é" }],
  ]) {
    const draft = readCurl(command);
    for (const [name, value] of Object.entries(expected)) {
      if (name === "headers" && value.startsWith("authorization")) assert.ok(draft.headers.includes(value), command);
      else assert.equal(draft[name], value, `${name} of ${command}`);
    }
  }
  for (const [command, said] of [
    ["wget http://x", /does not begin with curl/],
    ["curl -s", /names no URL/],
    ["curl 'http://x", /not closed/],
    ["curl -d @body.json http://x", /file body\.json/],
    ["curl --data-urlencode a@b.txt http://x", /file b\.txt/],
    ["curl -H @fields http://x", /file fields/],
    ["curl -b jar http://x", /file jar/],
    ["curl -F file=@a.txt http://x/up", /what `--form` sends cannot be told/],
    ["curl -sTa.txt http://x/up", /what `--upload-file` sends cannot be told/],
    ["curl -K a.conf http://x", /what `--config` sends cannot be told/],
    ["curl -u a:b --digest http://x", /what `--digest` sends cannot be told/],
    ["curl http://x --next http://y", /what `--next` sends cannot be told/],
    ["curl --no-such 1 http://x", /`--no-such` is not known/],
    ["curl -s~ http://x", /`-~` is not known/],
    ["curl http://x -X", /`-X` has no value/],
    ["curl -u ann http://x", /asks for the password/],
    ["curl ftp://x/y", /`ftp:\/\/x\/y` is no URL of http or https/],
    ["curl http://x -H 'a b: c'", /`a b` is no name/],
    ["curl http://x -H 'a;b: c'", /`a;b` is no name/],
    ["curl http://x -d $'\\xff'", /body is no text in UTF-8/],
  ]) assert.throws(() => readCurl(command), said);
  const written = readCurl(`curl http://x/p?q -X PATCH -H "a: it's" --data-raw 'b'`);
  assert.deepEqual(readCurl(writeCurl(written)), written);
});

/** What a curl is given by a shell that runs the text, as a script and as typed; each character a byte. */
function argumentsIn(shellText) {
  const folder = mkdtempSync(join(tmpdir(), "curl-"));
  try {
    const programs = join(folder, "bin");
    const place = join(folder, "place");
    mkdirSync(programs);
    mkdirSync(place);
    writeFileSync(join(programs, "curl"), `#!/bin/sh\nprintf '%s\\0' "$@"\n`, { mode: 0o755 });
    const env = { PATH: `${programs}:${process.env.PATH}`, LC_ALL: "C", HISTFILE: "" };
    const bash = (options, input) =>
      execFileSync("bash", ["--norc", "--noprofile", ...options], { cwd: place, env, input: Buffer.from(input), encoding: "latin1", stdio: ["pipe", "pipe", "ignore"] });
    const [run, pasted] = [bash(["-c", shellText], ""), bash(["-i"], `${shellText}\n`)];
    assert.equal(pasted, run, shellText);
    assert.deepEqual(readdirSync(place), [], shellText);
    return run.split("\0").slice(0, -1);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const HOSTILE = [
  "';echo PWNED >f;'", '";echo PWNED >f;"', "$(echo PWNED >f)", "`echo PWNED >f`", "GET;echo${IFS}PWNED>f;#", "a\\", "a\\' ; echo PWNED >f #",
  "a!!b !echo", "it's ! it's", "‘;echo PWNED >f;’", "a & b | c > f", "~ * ? [a] {b,c} #", "-K/etc/passwd", "@/etc/passwd", "\x1b[201~;echo PWNED >f\rb", "a\tb", "ü\u202e\u2028日😀", "\ud800",
];

test("no_share_link_makes_a_shell_run_more_than_one_curl_of_what_is_shown", async () => {
  const { readCurl, writeCurl } = await load("curl");
  const { EMPTY_DRAFT } = await load("workspace");
  const bytes = (text) => Buffer.from(text).toString("latin1");
  const url = "http://localhost/";
  for (const text of HOSTILE) {
    const cases = [
      [{ method: text }, [url, "-X", bytes(text)]],
      [{ target: text }, [url, "--request-target", bytes(text)]],
      [{ target: `/"${text}` }, [url, "--request-target", bytes(`/"${text}`)]],
      [{ headers: `host: ${text}` }, [url, "-H", bytes(`host: ${text}`)]],
      [{ headers: `a: ${text}` }, [url, "-H", bytes(`a: ${text}`)]],
      [{ headers: `${text}: b\n${text}\n${text}: {"base64":"/w=="}` }, [url]],
      ...[text, `\n${text}\n`, `${text}!\n`].map((body) => [{ method: "POST", body }, [url, "-H", "content-type:", "--data-raw", bytes(body)]]),
    ];
    const commands = cases.map(([draft]) => writeCurl({ ...EMPTY_DRAFT, ...draft }));
    // As the page writes it, and as it writes what it reads of that.
    for (const written of [commands, commands.map((command) => writeCurl(readCurl(command)))]) {
      assert.deepEqual(argumentsIn(written.join("\n")), cases.flatMap(([, expected]) => expected));
    }
    // Where other shells than bash read the quotes otherwise, nothing of it stands outside of them.
    const outside = writeCurl({ ...EMPTY_DRAFT, method: text, body: text }).split(/['‘-‛]/).filter((_, index) => index % 2 === 0);
    for (const piece of outside) assert.match(piece, /^[\w\s.$\\-]*$/);
  }
  assert.throws(() => writeCurl({ ...EMPTY_DRAFT, body: "a\0b" }), /NUL/);
});

test("a_curl_command_sends_what_the_draft_says", async () => {
  const { readCurl, writeCurl } = await load("curl");
  const { EMPTY_DRAFT } = await load("workspace");
  for (const [draft, expected] of [
    [{}, ["http://localhost/"]],
    [{ headers: "Host: test.com:8080", target: "/a?b=c%20d&e" }, ["http://test.com:8080/a?b=c%20d&e"]],
    [{ headers: "host: [::1]:80", port: "443" }, ["https://[::1]:80/"]],
    [{ headers: "host: a@b.test" }, ["http://localhost/", "-H", "host: a@b.test"]],
    [{ headers: "host: a\nhost: b" }, ["http://localhost/", "-H", "host: a", "-H", "host: b"]],
    [{ target: "*", method: "OPTIONS" }, ["http://localhost/", "--request-target", "*", "-X", "OPTIONS"]],
    // Each of them curl would send otherwise.
    ...["@evil.test/", "/a/../b", "/a/.", "/%2e%2E/b", "/{a,b}", "/[1-9]", "/a#b", "/a b"].map((target) => [{ target }, ["http://localhost/", "--request-target", target]]),
    [{ target: "/a..b/..c?d" }, ["http://localhost/a..b/..c?d"]],
    [{ headers: 'a:\nb : c\nd: {"base64":"/+kx"}\ne: {"base64":""}' }, ["http://localhost/", "-H", "a;", "-H", "b: c", "-H", "d: \xff\xe91", "-H", "e;"]],
    [{ headers: "Content-Type: a/b", method: "POST", body: "c" }, ["http://localhost/", "-H", "Content-Type: a/b", "--data-raw", "c"]],
  ]) {
    const command = writeCurl({ ...EMPTY_DRAFT, ...draft });
    assert.deepEqual(argumentsIn(command), expected);
    assert.equal(writeCurl(readCurl(command)), command);
  }
});

test("values_that_are_no_text_are_typed_in_base64", async () => {
  const { readCapsule } = await load("capsule");
  const { requestOf } = await load("workspace");
  const { writeCurl } = await load("curl");
  const headers = [["host", "test.com"], ["x-place", { base64: "Y2Fm6Q==" }], ["x-place", "{}"]];
  const checks = { team: { decision: "allow", setHeaders: [["x-user", { base64: "/w==" }], ["x-user", "ann"]] } };
  const recorded = { apiVersion: "lockgate.dev/capsule/v1", snapshot: "a", requestId: "b", request: { url: "/", headers, checks }, verdict: {} };
  const { draft } = readCapsule(JSON.stringify(recorded));
  assert.equal(draft.headers, 'host: test.com\nx-place: {"base64":"Y2Fm6Q=="}\nx-place: {}');
  const { request } = requestOf(draft);
  assert.deepEqual([request.headers, request.checks], [headers, checks]);
  assert.ok(writeCurl(draft).includes("-H $'x-place: \\x63\\x61\\x66\\xe9' \\\n  -H 'x-place: {}'"), writeCurl(draft));
  // What is not quite base64 is a text like any other.
  assert.deepEqual(requestOf({ ...draft, headers: 'a: {"base64":"Y2Fm6Q"}' }).request.headers, [["a", '{"base64":"Y2Fm6Q"}']]);
});

test("the_cursors_place_in_yaml_is_found_while_it_is_typed", async () => {
  const { spotAt } = await load("yaml-path");
  const at = (text) => {
    const [before, after] = text.split("|");
    const lines = `${before}${after}`.split("\n");
    const row = before.split("\n").length - 1;
    const spot = spotAt(lines, row, before.split("\n").at(-1));
    return spot && [spot.part, spot.path.join("."), spot.typed, [...spot.siblings].sort().join()];
  };
  const route = "kind: A\nspec:\n  rules:\n  - name: x\n    matches:\n    - uri:\n        exact: /\n      headers: {}\n";
  for (const [text, expected] of [
    ["ki|", ["key", "", "ki", ""]],
    ["kind: A|\n", ["value", "kind", "A", ""]],
    ["a: 1\n---\nkind: A\nsp|", ["key", "", "sp", "kind"]],
    ["kind: A\nspec:\n  ho|\n  path: /\n", ["key", "spec", "ho", "path"]],
    [`${route}    ti|`, ["key", "spec.rules.[]", "ti", "matches,name"]],
    [`${route}      me|`, ["key", "spec.rules.[].matches.[]", "me", "headers,uri"]],
    [`${route}    - me|`, ["key", "spec.rules.[].matches.[]", "me", ""]],
    [`${route}  - na|`, ["key", "spec.rules.[]", "na", ""]],
    [`${route}  ga|`, ["key", "spec", "ga", "rules"]],
    [route.replace("exact: /", "pre|: /"), ["key", "spec.rules.[].matches.[].uri", "pre", ""]],
    ["spec:\n  tls:\n    mode: S|", ["value", "spec.tls.mode", "S", ""]],
    ["spec:\n  rules:\n    - to:\n        - operation:\n            hosts:\n              - a\n            no|", ["key", "spec.rules.[].to.[].operation", "no", "hosts"]],
    ["a: {b|", null],
    ["a: 1 # b|", null],
  ]) assert.deepEqual(at(text), expected, text);
});

test("schemas_offer_what_is_supported_and_not_there_yet", async () => {
  const { optionsAt } = await load("schema");
  const { spotAt } = await load("yaml-path");
  const { default: schema } = await vite.ssrLoadModule("/generated/schema.json");
  const options = (text) => {
    const lines = text.split("\n");
    return optionsAt(schema, spotAt(lines, lines.length - 1, lines.at(-1))).map(({ label }) => label);
  };
  assert.ok(options("kind: Author").includes("AuthorizationPolicy"));
  const istio = options("apiVersion: networking.istio.io/v1\nkind: Gateway\nspec:\n  x");
  const kubernetes = options("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nspec:\n  x");
  assert.ok(istio.includes("servers") && !istio.includes("listeners"), istio.join());
  assert.ok(kubernetes.includes("listeners") && !kubernetes.includes("servers"), kubernetes.join());
  assert.deepEqual(options("kind: LLMProvider\nspec:\n  configs:\n    defaultConfig:\n      openAIConfig:\n        stream: t"), ["true", "false"]);
});

test("plain_data_is_written_as_yaml_that_means_the_same", async () => {
  const { writeYaml } = await load("yaml-write");
  assert.equal(
    writeYaml({ a: { b: [{ c: 1, d: [] }, "x"] }, e: "l1\n  l2\n\nl4\n", f: "yes", g: "10.0.0.0/8", h: "*", i: {}, j: [[1, 2]], "k:": true, l: "${A}", m: "" }),
    `a:
  b:
  - c: 1
    d: []
  - x
e: |
  l1
    l2

  l4
f: "yes"
g: "10.0.0.0/8"
h: "*"
i: {}
j:
- - 1
  - 2
"k:": true
l: \${A}
m: ""
`,
  );
});

test("names_of_a_gateways_files_keep_the_order_of_loading", async () => {
  const { shortNames } = await load("live");
  assert.deepEqual(shortNames(["/etc/lockgate/a.yaml", "/etc/lockgate/b/c.yaml"]), ["a.yaml", "b/c.yaml"]);
  assert.deepEqual(shortNames(["b.yaml", "a.yaml"]), ["1-b.yaml", "2-a.yaml"]);
  assert.deepEqual(shortNames(["<stdin>"]), ["<stdin>"]);
});
