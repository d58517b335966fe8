// A decision that a gateway has logged, taken into the request form, and compared with what is decided here.
import type { Capsule, Explanation, SimulatedRequest, Verdict } from "@lockgate/simulator";
import { h } from "./dom";
import { headline } from "./verdict";
import { type Draft, EMPTY_DRAFT, NO_SERVER_NAME, typed } from "./workspace";

const API_VERSION = "lockgate.dev/capsule/v1";

export const isCapsule = (text: string) => text.trimStart().startsWith("{");

/** Throws with what is wrong, in words. */
export function readCapsule(text: string): { capsule: Capsule; draft: Draft } {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  // One that was printed over several lines is one as well.
  const first = lines.length > 1 && isCapsule(lines[1] ?? "") ? lines[0] : text;
  const capsule = JSON.parse(first ?? "") as Partial<Capsule>;
  if (capsule.apiVersion !== API_VERSION) throw new Error(`it is not of ${API_VERSION}`);
  const { request, verdict, snapshot, requestId } = capsule;
  const isObject = (value: unknown) => typeof value === "object" && value !== null;
  if (!isObject(request) || !isObject(verdict) || typeof snapshot !== "string" || typeof requestId !== "string") {
    throw new Error("a part of it is not there");
  }
  return { capsule: capsule as Capsule, draft: draftOf(request as SimulatedRequest) };
}

function draftOf(request: SimulatedRequest): Draft {
  const json = (value: unknown) => (value === undefined ? "" : JSON.stringify(value));
  const text = (value: string | number | bigint | undefined) => (value === undefined ? "" : String(value));
  return {
    ...EMPTY_DRAFT,
    method: request.method ?? EMPTY_DRAFT.method,
    target: request.url,
    authority: request.authority ?? "",
    protocol: request.protocol ?? "",
    headers: (request.headers ?? []).map(([name, value]) => `${name}: ${typed(value)}`).join("\n"),
    body: request.body ?? "",
    bodyError: request.bodyError ?? "",
    peer: request.peer ?? "",
    port: text(request.port),
    sni: request.sni === "" ? NO_SERVER_NAME : (request.sni ?? ""),
    proxied: request.proxied ?? "",
    destinationIp: request.destinationIp ?? "",
    destinationPort: text(request.destinationPort),
    peerUris: (request.peerUris ?? []).join("\n"),
    peerCert: request.peerCert ?? "",
    claims: json(request.claims),
    tokenError: request.tokenError ?? "",
    checks: json(request.checks),
    entropy: text(request.entropy),
  };
}

/** Whether what was recorded is what is decided here; if not, the members of the verdict that differ. */
export function recordedView({ requestId, snapshot, reproduces, withheld, verdict }: Capsule, here: Explanation): HTMLElement {
  const differing = members(verdict, here.verdict);
  const isOpen = !reproduces;
  const isSame = differing.length === 0;
  const { word, line } = headline(verdict);
  const said = isOpen
    ? `It cannot be decided again without ${withheld === undefined ? "what no capsule can hold" : withheld.join(", ")}.`
    : isSame
      ? "The same is decided here."
      : `Here it is decided otherwise: ${differing.join(", ")}.`;
  return h(
    "p",
    { id: "recorded", class: `recorded ${isOpen ? "open" : isSame ? "same" : "other"}` },
    h("span", { class: `dot ${!isOpen && isSame ? "same" : "other"}`, "aria-hidden": "true" }),
    h("span", {}, "Recorded as ", h("strong", {}, word), ` ${line}. ${said} `, h("span", { class: "faint" }, "Request ", h("code", {}, requestId), ", snapshot ", h("code", {}, snapshot))),
  );
}

function members(recorded: Verdict, here: Verdict): string[] {
  const of = (verdict: Verdict, name: string) => JSON.stringify((verdict as unknown as Record<string, unknown>)[name]);
  const names = new Set([...Object.keys(recorded), ...Object.keys(here)]);
  return [...names].filter((name) => of(recorded, name) !== of(here, name));
}
