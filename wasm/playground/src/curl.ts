// A curl command line, read as a shell and curl would read it, as far as it says what is sent.
import { quote, shellWords } from "./shell";
import { type Draft, EMPTY_DRAFT, headersOf, typed } from "./workspace";

/** Options that take a value and say nothing about what is sent here. */
const OTHERS_WITH_VALUE = new Set([
  "-o", "--output", "-m", "--max-time", "--connect-timeout", "-w", "--write-out", "--cacert", "--cert", "-E", "--key",
  "--retry", "-x", "--proxy", "--limit-rate", "-c", "--cookie-jar", "--interface", "-D", "--dump-header",
]);

const DATA = new Set(["-d", "--data", "--data-raw", "--data-ascii", "--data-binary", "--json", "--data-urlencode"]);

export function isCurl(text: string): boolean {
  return /^\s*(\$\s+)?curl(\.exe)?\s/.test(text);
}

/** The request that the command sends. Throws with a sentence for people. */
export function readCurl(text: string): Draft {
  const words = shellWords(text.replace(/^\s*\$\s+/, ""));
  if (!/^curl(\.exe)?$/.test(words.shift() ?? "")) throw new Error("it does not begin with curl");
  const headers: [string, string][] = [];
  const data: string[] = [];
  let method: string | null = null;
  let url: string | null = null;
  let asQuery = false;
  let isJson = false;
  const has = (name: string) => headers.some(([known]) => known.toLowerCase() === name);
  while (words.length > 0) {
    let option = words.shift() ?? "";
    let attached: string | undefined;
    if (/^--[^=]+=/.test(option)) [option, attached] = [option.slice(0, option.indexOf("=")), option.slice(option.indexOf("=") + 1)];
    else if (/^-[A-Za-z]./.test(option) && !option.startsWith("--")) {
      // Short options stand together; one that takes a value takes the rest.
      const takes = /[XHdAbeuomwEcxD]/.exec(option.slice(1));
      if (takes === null) continue;
      const at = takes.index + 1;
      attached = option.slice(at + 1) || undefined;
      option = `-${option[at]}`;
    }
    const value = () => attached ?? words.shift() ?? "";
    if (option === "-X" || option === "--request") method = value();
    else if (option === "-H" || option === "--header") {
      const field = value();
      const colon = field.indexOf(":");
      if (colon > 0 && field.slice(colon + 1).trim() !== "") headers.push([field.slice(0, colon).trim(), field.slice(colon + 1).trim()]);
      else if (field.endsWith(";")) headers.push([field.slice(0, -1), ""]);
    } else if (DATA.has(option)) {
      const body = value();
      if (option !== "--data-raw" && body.startsWith("@")) throw new Error(`the body is in the file ${body.slice(1)}, which a page cannot read`);
      data.push(option === "-d" || option === "--data" ? body.replace(/[\r\n]/g, "") : body);
      if (option === "--json") isJson = true;
    } else if (option === "-G" || option === "--get") asQuery = true;
    else if (option === "-I" || option === "--head") method = method ?? "HEAD";
    else if (option === "-A" || option === "--user-agent") headers.push(["user-agent", value()]);
    else if (option === "-e" || option === "--referer") headers.push(["referer", value()]);
    else if (option === "-b" || option === "--cookie") headers.push(["cookie", value()]);
    else if (option === "-u" || option === "--user") headers.push(["authorization", `Basic ${btoa(value())}`]);
    else if (option === "--oauth2-bearer") headers.push(["authorization", `Bearer ${value()}`]);
    else if (option === "--url") url = value();
    else if (option === "--resolve" || option === "--connect-to" || OTHERS_WITH_VALUE.has(option)) value();
    else if (!option.startsWith("-")) url ??= option;
  }
  if (url === null) throw new Error("it names no URL");
  const address = parseUrl(url);
  let target = address.target;
  if (asQuery && data.length > 0) target += (target.includes("?") ? "&" : "?") + data.splice(0).join("&");
  const body = data.join(isJson ? "" : "&");
  if (isJson) {
    if (!has("content-type")) headers.push(["content-type", "application/json"]);
    if (!has("accept")) headers.push(["accept", "application/json"]);
  } else if (data.length > 0 && !has("content-type")) {
    headers.push(["content-type", "application/x-www-form-urlencoded"]);
  }
  // A header that names the host wins over the URL's, as it does on the wire.
  if (!has("host")) headers.unshift(["host", address.host]);
  return {
    ...EMPTY_DRAFT,
    method: method ?? (data.length > 0 ? "POST" : "GET"),
    target,
    headers: headers.map(([name, value]) => `${name}: ${value}`).join("\n"),
    body,
    port: address.isHttps ? "443" : "80",
  };
}

function parseUrl(text: string): { host: string; target: string; isHttps: boolean } {
  const found = /^(?:(https?):\/\/)?([^/?#]+)([^#]*)/i.exec(text);
  if (found === null) throw new Error(`${text} is no URL`);
  const authority = (found[2] ?? "").replace(/^[^@]*@/, "");
  const rest = found[3] ?? "";
  return {
    host: authority,
    target: rest.startsWith("/") ? rest : `/${rest}`,
    isHttps: found[1]?.toLowerCase() === "https",
  };
}

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
