// The files as tabs: arrow keys move between them, Delete and F2 do what they do in file managers.
import type { Diagnostic } from "@lockgate/simulator";
import { h } from "./dom";
import type { File } from "./workspace";

export class Tabs {
  constructor(
    private readonly list: HTMLElement,
    private readonly act: { select: (name: string) => void; rename: () => void; remove: () => void },
  ) {
    list.addEventListener("keydown", (event) => this.#key(event));
  }

  draw(files: File[], current: string, findings: Diagnostic[]) {
    const hadFocus = this.list.contains(document.activeElement);
    this.list.replaceChildren(...files.map(({ name }) => {
      const here = findings.filter(({ file }) => file === name);
      const worst = here.some(({ severity }) => severity === "error") ? "error" : here.length > 0 ? "warning" : null;
      const isCurrent = name === current;
      return h(
        "button",
        {
          type: "button",
          role: "tab",
          id: isCurrent ? "current-tab" : undefined,
          "aria-selected": String(isCurrent),
          "aria-controls": "editor",
          tabindex: isCurrent ? 0 : -1,
          class: "tab",
          "data-file": name,
          click: () => this.act.select(name),
          dblclick: () => this.act.rename(),
        },
        h("span", { class: "tab-name" }, name),
        worst !== null && h("span", { class: `dot ${worst}`, "aria-label": `${here.length} ${here.length === 1 ? "finding" : "findings"}`, role: "img" }),
      );
    }));
    const selected = this.list.querySelector<HTMLElement>("[aria-selected=true]");
    if (hadFocus) selected?.focus();
    selected?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  #key(event: KeyboardEvent) {
    const tabs = [...this.list.querySelectorAll<HTMLElement>("[role=tab]")];
    const at = tabs.findIndex((tab) => tab === document.activeElement);
    if (at < 0) return;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to !== undefined) this.act.select(tabs[(to + tabs.length) % tabs.length]?.dataset["file"] ?? "");
    else if (event.key === "F2") this.act.rename();
    else if (event.key === "Delete") this.act.remove();
    else return;
    event.preventDefault();
  }
}
