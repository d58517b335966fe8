// What goes upstream, or what the client is told, with every change from what the client sent.
import type { Check, Forward, HeaderChange, Redirect, Refuse, Respond, SimulatedRequest, Verdict } from "@lockgate/simulator";
import { h } from "./dom";
import { typed } from "./workspace";

type Line = { kind: "same" | "added" | "removed" | "start"; text: string; note?: string };

/** The title of the panel and what is in it; `null` when nothing is sent yet. */
export function outcomeView(verdict: Verdict, request: SimulatedRequest): { title: string; content: HTMLElement } | null {
  switch (verdict.decision) {
    case "forward":
      return { title: "Upstream request", content: forwarded(verdict, request) };
    case "check":
      return { title: "What the authorizer is asked", content: asked(verdict) };
    case "redirect":
      return { title: "Answer", content: http(redirected(verdict)) };
    case "respond":
      return { title: "Answer", content: http(responded(verdict)) };
    case "refuse":
      return { title: "Answer", content: http(refused(verdict)) };
    default:
      return null;
  }
}

function forwarded(verdict: Forward, request: SimulatedRequest): HTMLElement {
  const backends = (verdict.backends ?? []).map(({ upstream, subset, weight, chosen }) =>
    `${weight} ${upstream}${subset === undefined ? "" : ` (${subset})`}${chosen ? ", chosen" : ""}`);
  const facts: [string, string][] = [
    ...(backends.length === 0 ? [] : [["weights", backends.join(" · ")] as [string, string]]),
    ["connect", verdict.connect.join(", ")],
    ...(verdict.sni === null ? [] : [["server name", verdict.sni] as [string, string]]),
    ...(verdict.provider === null ? [] : [["provider", verdict.provider] as [string, string]]),
    ...(verdict.admittedBy === null ? [] : [["admitted by", verdict.admittedBy] as [string, string]]),
    ...(verdict.upgrade === undefined ? [] : [["upgrade", `${verdict.upgrade}, once the upstream agrees`] as [string, string]]),
    ...(verdict.timeoutMs === undefined ? [] : [["timeout", `${verdict.timeoutMs} ms`] as [string, string]]),
    ...(verdict.retries === undefined
      ? []
      : [["retries", `${verdict.retries.attempts}, on ${verdict.retries.on.join(", ")}`] as [string, string]]),
    ...(verdict.delayMs === undefined ? [] : [["held up", `${verdict.delayMs} ms`] as [string, string]]),
    ...(verdict.mirrors === undefined ? [] : [["copies to", verdict.mirrors.join(", ")] as [string, string]]),
  ];
  const lines: Line[] = [{ kind: "start", text: `${verdict.method} ${verdict.path}` }];
  const set = new Map<string, string[]>();
  for (const [name, value] of verdict.setHeaders) set.set(name.toLowerCase(), [...(set.get(name.toLowerCase()) ?? []), value]);
  const changes = verdict.changeHeaders ?? [];
  const isReplaced = (name: string) => changes.some((change) => change.change !== "add" && change.name.toLowerCase() === name);
  const isRemoved = (name: string) =>
    verdict.removeHeaders.some((pattern) => (pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern));
  for (const [name, sent] of request.headers ?? []) {
    const lower = name.toLowerCase();
    const value = typed(sent);
    const next = set.get(lower);
    const gone = isRemoved(lower) || isReplaced(lower);
    if (next?.includes(value) && !gone) {
      next.splice(next.indexOf(value), 1);
      lines.push({ kind: "same", text: `${lower}: ${value}` });
    } else if (gone || next !== undefined) {
      lines.push({ kind: "removed", text: `${lower}: ${gone && isSecret(lower) ? "«not shown»" : value}` });
    } else {
      lines.push({ kind: "same", text: `${lower}: ${value}` });
    }
  }
  for (const [name, values] of set) if (!isReplaced(name)) lines.push(...values.map((value): Line => ({ kind: "added", text: `${name}: ${value}` })));
  lines.push(...changed(changes));
  const body = verdict.bodyFields.map(({ name, value, set }): Line =>
    set
      ? { kind: "added", text: `"${name}": ${value}`, note: "the client gave none" }
      : { kind: "same", text: `"${name}"`, note: "stays as the client gave it" });
  return h(
    "div",
    {},
    h("dl", { class: "facts" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    http(lines),
    body.length > 0 && h("h3", { class: "sub" }, "In the body"),
    body.length > 0 && http(body),
    verdict.removeHeaders.length > 0 && h("p", { class: "faint small-print" }, `Never sent on: ${verdict.removeHeaders.join(", ")}.`),
    (verdict.changeResponseHeaders ?? []).length > 0 && h("h3", { class: "sub" }, "In the answer"),
    (verdict.changeResponseHeaders ?? []).length > 0 && http(changed(verdict.changeResponseHeaders ?? [])),
  );
}

function changed(changes: HeaderChange[]): Line[] {
  return changes.map((change): Line =>
    change.change === "remove"
      ? { kind: "removed", text: change.name }
      : { kind: "added", text: `${change.name}: ${change.value}`, ...(change.change === "add" ? { note: "one more value" } : {}) });
}

const isSecret = (name: string) => /authorization|cookie|api-key|token|secret/.test(name);

function redirected(verdict: Redirect): Line[] {
  return [{ kind: "start", text: `HTTP ${verdict.status}` }, { kind: "same", text: `location: ${verdict.location}` }, ...changed(verdict.changeHeaders ?? [])];
}

function responded(verdict: Respond): Line[] {
  return [{ kind: "start", text: `HTTP ${verdict.status}` }, ...changed(verdict.changeHeaders ?? []), ...bodyOf(verdict.body)];
}

function refused(verdict: Refuse): Line[] {
  const type: Line[] = verdict.contentType === null ? [] : [{ kind: "same", text: `content-type: ${verdict.contentType}` }];
  return [{ kind: "start", text: `HTTP ${verdict.status}` }, ...type, ...bodyOf(verdict.body)];
}

function bodyOf(body: string): Line[] {
  if (body === "") return [{ kind: "same", text: "", note: "no body" }];
  let text = body;
  try {
    text = JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    // It is no JSON.
  }
  return [{ kind: "same", text: "" }, ...text.replace(/\n$/, "").split("\n").map((line): Line => ({ kind: "same", text: line }))];
}

function asked(verdict: Check): HTMLElement {
  const facts: [string, string][] = [
    ["authorizer", verdict.authorizer],
    ["connect", verdict.connect.join(", ")],
    ["call", verdict.call],
    ["body", verdict.body],
    ["asked by", verdict.policies.join(", ")],
  ];
  return h("dl", { class: "facts" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

const SIGN = { same: " ", added: "+", removed: "−", start: " " };
const SAID = { same: "", added: "added: ", removed: "removed: ", start: "" };

function http(lines: Line[]): HTMLElement {
  return h(
    "div",
    { class: "http", tabindex: "0", role: "group", "aria-label": "Message" },
    ...lines.map(({ kind, text, note }) =>
      h(
        "div",
        { class: `http-line ${kind}` },
        h("span", { class: "sign", "aria-hidden": "true" }, SIGN[kind]),
        h("span", { class: "http-text" }, SAID[kind] === "" ? null : h("span", { class: "visually-hidden" }, SAID[kind]), text),
        note === undefined ? null : h("span", { class: "note" }, note),
      ),
    ),
  );
}
