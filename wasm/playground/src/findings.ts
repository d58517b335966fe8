// Everything that is wrong or probably not meant, as a list; each leads to its place.
import type { Diagnostic } from "@lockgate/simulator";
import { h } from "./dom";

export function findingsView(findings: Diagnostic[], show: (finding: Diagnostic) => void): HTMLElement {
  if (findings.length === 0) return h("p", { class: "faint none" }, "None: nothing is wrong, and nothing looks like a slip.");
  return h(
    "ul",
    {},
    ...findings.map((finding) =>
      h(
        "li",
        { class: finding.severity },
        h(
          "button",
          { type: "button", class: "finding", click: () => show(finding) },
          h("span", { class: `dot ${finding.severity}`, "aria-hidden": "true" }),
          h(
            "span",
            { class: "finding-text" },
            h("span", { class: "visually-hidden" }, `${finding.severity}: `),
            h("span", { class: "finding-message" }, ...ticked(finding.message)),
            finding.help !== undefined && h("span", { class: "finding-help" }, ...ticked(finding.help)),
          ),
          h("span", { class: "where" }, `${finding.file}:${finding.line}`),
        ),
      ),
    ),
  );
}

/** Text with its `backticks` as code. */
function ticked(text: string): (string | HTMLElement)[] {
  return text.split(/`([^`]*)`/).map((piece, index) => (index % 2 === 1 ? h("code", {}, piece) : piece));
}
