// What came of the scenarios, and which rules none of them reached; each line leads to its place.
import type { CoveredRule, TestedCase, TestFailure, TestReport } from "@lockgate/simulator";
import { h } from "./dom";
import { type Place, parsePlace } from "./place";

export function testsView(report: TestReport, show: (place: Place) => void): HTMLElement {
  const missed = report.rules.filter(({ cases }) => cases === 0);
  return h(
    "div",
    {},
    h("ul", {}, ...report.cases.map((tried) => caseView(tried, show))),
    missed.length > 0 && h("h4", { class: "missed-title" }, "No case reaches"),
    missed.length > 0 && h("ul", {}, ...missed.map((rule) => ruleView(rule, show))),
  );
}

/** `11 passed, 3 of 3 rules reached` */
export function testsCount({ cases, rules }: TestReport): string {
  const failed = cases.filter(({ failures }) => failures.length > 0).length;
  const passed = `${cases.length - failed} passed`;
  const reached = `${rules.filter(({ cases }) => cases > 0).length} of ${rules.length} rules reached`;
  return [...(failed > 0 ? [`${failed} failed`] : []), passed, reached].join(", ");
}

function caseView({ name, at, failures }: TestedCase, show: (place: Place) => void): HTMLElement {
  const outcome = failures.length === 0 ? "passed" : "failed";
  const text = h(
    "span",
    { class: "finding-text" },
    h("span", { class: "visually-hidden" }, `${outcome}: `),
    h("span", { class: "finding-message" }, name),
    ...failures.map((failure) => h("span", { class: "finding-help" }, ...reason(failure))),
  );
  // A failure's own place says more than the case's.
  const place = failures[0]?.at ?? at;
  return line(outcome, h("span", { class: `dot ${outcome === "passed" ? "same" : "error"}`, "aria-hidden": "true" }), text, place, show);
}

function reason({ field, expected, seen }: TestFailure): (string | HTMLElement)[] {
  const found = seen === null ? ["the verdict has none"] : ["found ", h("code", {}, seen)];
  return expected === null ? [`${field}: ${seen ?? ""}`] : [`${field}: expected `, h("code", {}, expected), ", ", ...found];
}

function ruleView({ name, at }: CoveredRule, show: (place: Place) => void): HTMLElement {
  const text = h("span", { class: "finding-text" }, h("span", { class: "finding-message" }, name));
  return line("missed", h("span", { class: "dot other", "aria-hidden": "true" }), text, at, show);
}

function line(kind: string, dot: HTMLElement, text: HTMLElement, at: string, show: (place: Place) => void): HTMLElement {
  const place = parsePlace(at);
  const where = place === null ? at : `${place.file}:${place.line}`;
  const click = () => {
    if (place !== null) show(place);
  };
  return h("li", { class: kind }, h("button", { type: "button", class: "finding", click }, dot, text, h("span", { class: "where" }, where)));
}
