// A curl command line, read as a shell and curl would read it, as far as it says what is sent.
import { optionsOf } from "./curl-options";
import { quote, shellWords, textOf } from "./shell";
import { type Draft, EMPTY_DRAFT, headersOf, typed, valueOf } from "./workspace";

/** What these send stands elsewhere, or is more than one request, or none that can be asked about. */
const UNTOLD = new Set([
  "anyauth", "aws-sigv4", "config", "continue-at", "digest", "etag-compare", "form", "form-string", "negotiate", "netrc",
  "netrc-file", "netrc-optional", "next", "ntlm", "ntlm-wb", "time-cond", "upload-file", "variable",
]);

export function isCurl(text: string): boolean {
  return /^\s*(\$\s+)?curl(\.exe)?\s/.test(text);
}

/** The request that the command sends. Throws with a sentence for people. */
export function readCurl(text: string): Draft {
  const [program = "", ...words] = shellWords(text.replace(/^\s*\$\s+/, ""));
  if (!/^curl(\.exe)?$/.test(program)) throw new Error("it does not begin with curl");
  const fields: [name: string, value: string][] = [];
  // Names that `-H` sets or takes away: curl then leaves out what it would send by itself or by another option.
  const named = new Set<string>();
  const others = new Map<string, string>();
  const query: string[] = [];
  let data: string | null = null;
  let isJson = false;
  let isQuery = false;
  let isHead = false;
  let method: string | null = null;
  let url: string | null = null;
  let requestTarget: string | null = null;
  let user: string | null = null;
  let bearer: string | null = null;
  for (const [option, value] of optionsOf(words)) {
    if (UNTOLD.has(option)) throw new Error(`what \`--${option}\` sends cannot be told from the command: leave it out, or write it with \`-d\` and \`-H\``);
    if (option === "url") url ??= value;
    else if (option === "request") method = value;
    else if (option === "request-target") requestTarget = value;
    else if (option === "header") {
      if (value.startsWith("@")) throw inFile("header fields are", value.slice(1));
      const [, name = "", sign, content = ""] = /^[ \t]*([^:]*?)[ \t]*(?:(:)|;$)[ \t]*([^]*?)[ \t]*$/.exec(value) ?? [];
      // Curl sends nothing for what has neither.
      if (name === "") continue;
      if (!TOKEN.test(name)) throw new Error(`\`${shown(name)}\` is no name of a header field`);
      named.add(name.toLowerCase());
      if (sign === undefined || content !== "") fields.push([name, content]);
    } else if (["data", "data-ascii", "data-binary", "data-raw", "data-urlencode", "json"].includes(option)) {
      if (option !== "data-raw" && value.startsWith("@")) throw inFile("the body is", value.slice(1));
      const piece = option === "data-urlencode" ? urlEncoded(value, "the body is") : value;
      data = data === null ? piece : `${data}${option === "json" ? "" : "&"}${piece}`;
      isJson ||= option === "json";
    } else if (option === "url-query") query.push(value.startsWith("+") ? value.slice(1) : urlEncoded(value, "the query is"));
    else if (option === "get") isQuery = true;
    else if (option === "head") isHead = true;
    else if (option === "user-agent" || option === "referer") others.set(option, value);
    else if (option === "range") others.set("range", `bytes=${value}`);
    else if (option === "cookie") {
      if (value !== "" && !value.includes("=")) throw inFile("cookies are", value);
      others.set("cookie", [others.get("cookie") ?? "", value].filter((cookies) => cookies !== "").join(";"));
    } else if (option === "user") user = value;
    else if (option === "oauth2-bearer") bearer = value;
  }
  if (url === null) throw new Error("it names no URL");
  if (user !== null && !user.includes(":")) throw new Error("curl asks for the password of `--user`: write `NAME:PASSWORD`");
  const address = parseUrl(url);
  user ??= address.user;
  if (isQuery && data !== null) query.push(data);
  if (isQuery) data = null;
  if (bearer !== null) others.set("authorization", `Bearer ${bearer}`);
  else if (user !== null) others.set("authorization", `Basic ${btoa(user)}`);
  if (isJson) others.set("content-type", "application/json").set("accept", "application/json");
  else if (data !== null) others.set("content-type", "application/x-www-form-urlencoded");
  const unnamed = [...others].filter(([name, value]) => !named.has(name) && value !== "");
  const host: typeof fields = named.has("host") ? [] : [["host", address.host]];
  const target = [address.target, ...query].reduce((target, part) => target + (target.endsWith("?") ? "" : target.includes("?") ? "&" : "?") + part);
  return {
    ...EMPTY_DRAFT,
    method: textual(method ?? (isHead ? "HEAD" : data === null ? "GET" : "POST"), "the method"),
    target: textual(requestTarget ?? target, "the path"),
    headers: [...host, ...fields, ...unnamed].map(([name, value]) => `${name}: ${typedBytes(value)}`).join("\n"),
    body: textual(data ?? "", "the body"),
    port: address.isHttps ? "443" : "80",
  };
}

function parseUrl(url: string): { host: string; user: string | null; target: string; isHttps: boolean } {
  const [, scheme = "http", user, host, rest = ""] = /^(?:([a-z][a-z\d+.-]*):\/\/)?(?:([^/?#@]*)@)?([^/?#]+)([^#]*)/i.exec(url) ?? [];
  if (host === undefined || !/^https?$/i.test(scheme)) throw new Error(`\`${shown(url)}\` is no URL of http or https`);
  const decoded = (text: string) => text.replace(/%([\da-f]{2})/gi, (_, byte: string) => String.fromCharCode(parseInt(byte, 16)));
  return {
    host,
    user: user === undefined ? null : decoded(user.includes(":") ? user : `${user}:`),
    target: (rest.startsWith("/") ? rest : `/${rest}`).replace(/[\x80-\xff]/g, percentEncoded),
    isHttps: scheme.toLowerCase() === "https",
  };
}

/** `content`, `=content` or `name=content`, of which the content is encoded. */
function urlEncoded(value: string, what: string): string {
  const sign = value.includes("=") ? value.indexOf("=") : value.indexOf("@");
  if (value[sign] === "@") throw inFile(what, value.slice(sign + 1));
  const content = value.slice(sign + 1).replace(/[^\w.~-]/g, (byte) => (byte === " " ? "+" : percentEncoded(byte).toUpperCase()));
  return (sign > 0 ? value.slice(0, sign + 1) : "") + content;
}

const percentEncoded = (byte: string) => `%${byte.charCodeAt(0).toString(16).padStart(2, "0")}`;

/** A value as it is typed: in base64 where a line of text would say something else. */
function typedBytes(value: string): string {
  const text = textOf(value);
  const isText = text !== null && text === text.trim() && !/[\r\n]/.test(text) && valueOf(text) === text;
  return isText ? text : typed({ base64: btoa(value) });
}

function textual(bytes: string, what: string): string {
  const text = textOf(bytes);
  if (text === null) throw new Error(`${what} is no text in UTF-8, and no other can be asked about`);
  return text;
}

const inFile = (what: string, file: string) => new Error(`${what} in the file ${shown(file)}, which a page cannot read`);

const shown = (bytes: string) => textOf(bytes) ?? bytes;

/** What a URL says as it is; of everything else curl makes something else, or several requests. */
const PLAIN_HOST = /^([\w.-]+|\[[\da-f:.]+\])(:\d+)?$/i;
const PLAIN_TARGET = /^(?!.*\/(\.|%2e){1,2}([/?]|$))\/[\w\-.~!$&'()*+,;=:@%/?]*$/i;

const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;

/** The command that sends what the draft describes, to be pasted into a shell; the draft may be a stranger's. Throws with a sentence for people. */
export function writeCurl(draft: Draft): string {
  // Without names that are no tokens: no gateway takes them, and for one that begins with an @ curl would send a file.
  const fields = headersOf(draft.headers, {}).filter(([name]) => TOKEN.test(name));
  const of = (wanted: string) => fields.filter(([name]) => name.toLowerCase() === wanted);
  const host = typed(of("host")[0]?.[1] ?? "localhost");
  const isPlainHost = of("host").length < 2 && PLAIN_HOST.test(host);
  const scheme = draft.port.trim() === "443" || draft.sni.trim() !== "" ? "https" : "http";
  const target = draft.target.trim();
  const isPlainTarget = target === "" || PLAIN_TARGET.test(target);
  const parts = [`curl ${quote(`${scheme}://${isPlainHost ? host : "localhost"}${isPlainTarget ? target : "/"}`)}`];
  if (!isPlainTarget) parts.push(`--request-target ${quote(target)}`);
  const method = draft.method.trim();
  if (method !== "" && method !== (draft.body === "" ? "GET" : "POST")) parts.push(`-X ${quote(method)}`);
  for (const [name, value] of fields) {
    if (isPlainHost && name.toLowerCase() === "host") continue;
    // To curl, a colon without a value takes a field away.
    const isEmpty = value === "" || (typeof value !== "string" && value.base64 === "");
    parts.push(`-H ${isEmpty ? quote(name, ";") : quote(name, ": ", value)}`);
  }
  if (draft.body !== "" && of("content-type").length === 0) parts.push(`-H ${quote("content-type:")}`);
  if (draft.body !== "") parts.push(`--data-raw ${quote(draft.body)}`);
  return parts.join(" \\\n  ");
}
