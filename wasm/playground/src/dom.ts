// Elements in one line each. Text is always text: nothing of a configuration or a request is ever markup.

type Child = Node | string | null | undefined | false;

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number | boolean | ((event: Event) => void) | undefined> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
  return element;
}

export function byId<T extends HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no #${id}`);
  return element as T;
}

let clearing = 0;

/** Says something for a moment, to eyes and to screen readers. */
export function toast(text: string) {
  const element = byId("toast");
  element.textContent = text;
  element.classList.add("shown");
  clearTimeout(clearing);
  clearing = window.setTimeout(() => {
    element.classList.remove("shown");
    element.textContent = "";
  }, 6000);
}

/** Asks for one text; `null` when it is given up. `check` says what is wrong with a text. */
export function ask(options: {
  title: string;
  label: string;
  value: string;
  action: string;
  rows?: number;
  check?: (value: string) => string | null;
}): Promise<string | null> {
  const dialog = byId<HTMLDialogElement>("dialog");
  const id = "dialog-field";
  const field = options.rows === undefined
    ? h("input", { id, type: "text", spellcheck: "false" })
    : h("textarea", { id, rows: options.rows, spellcheck: "false" });
  field.value = options.value;
  const problem = h("p", { class: "problem", role: "alert" });
  return new Promise((resolve) => {
    let answer: string | null = null;
    const submit = (event: Event) => {
      event.preventDefault();
      const wrong = options.check?.(field.value) ?? null;
      problem.textContent = wrong ?? "";
      if (wrong !== null) return field.focus();
      answer = field.value;
      dialog.close();
    };
    const form = h(
      "form",
      { submit, keydown: (event) => {
        const key = event as KeyboardEvent;
        if (key.key === "Enter" && (key.ctrlKey || key.metaKey)) submit(event);
      } },
      h("h2", { id: "dialog-title" }, options.title),
      h("label", { for: id }, options.label),
      field,
      problem,
      h(
        "div",
        { class: "dialog-actions" },
        h("button", { type: "button", class: "quiet", click: () => dialog.close() }, "Cancel"),
        h("button", { type: "submit", class: "primary" }, options.action),
      ),
    );
    dialog.replaceChildren(form);
    dialog.addEventListener("close", () => resolve(answer), { once: true });
    dialog.showModal();
    field.select();
  });
}
