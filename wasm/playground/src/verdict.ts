// The verdict in large letters, and what follows from it.
import type { Explanation, Verdict } from "@lockgate/simulator";
import { h } from "./dom";
import type { Draft } from "./workspace";

export type Tone = "forward" | "refuse" | "answer" | "ask" | "waiting";

interface Headline {
  tone: Tone;
  word: string;
  line: string;
  /** In what field of the request the missing piece goes. */
  missing?: { field: keyof Draft; label: string };
}

export function headline(verdict: Verdict): Headline {
  switch (verdict.decision) {
    case "forward":
      return { tone: "forward", word: "Forward", line: `to ${verdict.upstream}` };
    case "redirect":
      return { tone: "answer", word: `${verdict.status}`, line: `redirect to ${verdict.location}` };
    case "respond":
      return { tone: "answer", word: `${verdict.status}`, line: verdict.aborted ? "in place of the upstream, by a fault" : "answered by the configuration" };
    case "refuse":
      return { tone: "refuse", word: `${verdict.status}`, line: verdict.reason };
    case "check":
      return {
        tone: "ask",
        word: "Asks first",
        line: `what happens depends on the authorizer ${verdict.authorizer}`,
        missing: { field: "checks", label: "Give its answer" },
      };
    case "verifyToken":
      return {
        tone: "ask",
        word: "Token first",
        line: "what happens depends on the token of the request",
        missing: { field: "claims", label: "Give its claims" },
      };
    case "readBody":
      return { tone: "ask", word: "Body first", line: "what happens depends on the body", missing: { field: "body", label: "Give a body" } };
  }
}

export function verdictView(explanation: Explanation, jumpToRule: (rule: string) => (() => void) | null, focus: (field: keyof Draft) => void): HTMLElement {
  const { verdict } = explanation;
  const { tone, word, line, missing } = headline(verdict);
  const rule = "rule" in verdict ? verdict.rule : null;
  const jump = rule === null ? null : jumpToRule(rule);
  return h(
    "div",
    { class: `verdict-inner ${tone}` },
    h("p", { class: "verdict-line" }, h("span", { class: `verdict-word ${tone}` }, word), " ", h("span", { class: "verdict-what" }, line)),
    h(
      "p",
      { class: "verdict-facts" },
      verdict.decision === "refuse" && h("code", {}, verdict.code),
      rule !== null && (jump === null ? h("span", {}, "by ", h("code", {}, rule)) : h("button", { type: "button", class: "link", click: jump }, "by ", h("code", {}, rule))),
      missing !== undefined && h("button", { type: "button", class: "primary small", click: () => focus(missing.field) }, missing.label),
      h("span", { class: "faint" }, "snapshot ", h("code", { id: "snapshot" }, explanation.snapshot)),
    ),
  );
}

export function refusedView(errors: number, showFirst: () => void): HTMLElement {
  return h(
    "div",
    { class: "verdict-inner refuse" },
    h(
      "p",
      { class: "verdict-line" },
      h("span", { class: "verdict-word refuse" }, "Not loaded"),
      " ",
      h("span", { class: "verdict-what" }, errors === 1 ? "the configuration has an error" : `the configuration has ${errors} errors`),
    ),
    h(
      "p",
      { class: "verdict-facts" },
      h("button", { type: "button", class: "link", click: showFirst }, errors === 1 ? "Show it" : "Show the first"),
      h("span", { class: "faint" }, "a gateway would keep what it has"),
    ),
  );
}

export function problemView(line: string): HTMLElement {
  return h(
    "div",
    { class: "verdict-inner ask" },
    h("p", { class: "verdict-line" }, h("span", { class: "verdict-word ask" }, "No question"), " ", h("span", { class: "verdict-what" }, line)),
  );
}
