// The request as a form. Every keystroke is a question.
import { h } from "./dom";
import type { Draft, Problems } from "./workspace";

interface Field {
  name: keyof Draft;
  label: string;
  hint?: string;
  rows?: number;
  mode?: "numeric";
  list?: string;
}

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

const FIRST: Field[] = [
  { name: "method", label: "Method", list: "methods" },
  { name: "target", label: "Path and query" },
];

const MAIN: Field[] = [
  { name: "headers", label: "Header fields", hint: "name: value, one a line", rows: 2 },
  { name: "body", label: "Body", hint: "empty: not read yet", rows: 2 },
];

const CONNECTION: Field[] = [
  { name: "peer", label: "Client's address" },
  { name: "port", label: "Gateway's port", mode: "numeric" },
  { name: "authority", label: ":authority (HTTP/2)" },
  { name: "protocol", label: ":protocol (HTTP/2)", hint: "websocket" },
  { name: "sni", label: "Server name (TLS)", hint: "- for none" },
  { name: "proxied", label: "PROXY protocol client" },
  { name: "destinationIp", label: "Destination address" },
  { name: "destinationPort", label: "Destination port", mode: "numeric" },
  { name: "entropy", label: "Random number", mode: "numeric" },
];

const WIDE: Field[] = [
  { name: "peerUris", label: "Names in the client's certificate", hint: "spiffe://…, one a line", rows: 1 },
  { name: "peerCert", label: "What x-forwarded-client-cert says of it", hint: 'Subject="CN=a";URI=spiffe://…', rows: 1 },
  { name: "claims", label: "Claims of the token", hint: "JSON, taken as verified", rows: 2 },
  { name: "tokenError", label: "What is wrong with the token", hint: "as it is answered: Jwt is expired", rows: 1 },
  { name: "bodyError", label: "What is wrong with the body", hint: "as it is answered: the request body is too large", rows: 1 },
  { name: "checks", label: "External authorizers' answers", hint: '{"NAME": {"decision": "allow"}}', rows: 2 },
];

export class RequestForm {
  #inputs = new Map<keyof Draft, HTMLInputElement | HTMLTextAreaElement>();
  #problems = new Map<keyof Draft, HTMLElement>();
  #more: HTMLDetailsElement;

  constructor(form: HTMLFormElement, changed: (draft: Draft) => void) {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      this.#grow();
      changed(this.draft);
    });
    const connection = h("div", { class: "form-grid" }, ...CONNECTION.map((field) => this.#field(field)));
    this.#more = h(
      "details",
      { class: "more" },
      h("summary", {}, "Connection, token and authorizers ", h("span", { class: "faint", id: "connection-summary" })),
      connection,
      ...WIDE.map((field) => this.#field(field)),
    );
    form.append(
      h("datalist", { id: "methods" }, ...METHODS.map((method) => h("option", { value: method }))),
      h("div", { class: "request-line" }, ...FIRST.map((field) => this.#field(field))),
      ...MAIN.map((field) => this.#field(field)),
      this.#more,
    );
  }

  get draft(): Draft {
    const entries = [...this.#inputs].map(([name, input]) => [name, input.value]);
    return Object.fromEntries(entries) as Draft;
  }

  set draft(draft: Draft) {
    for (const [name, input] of this.#inputs) input.value = draft[name];
    this.#grow();
  }

  set problems(problems: Problems) {
    for (const [name, element] of this.#problems) {
      const wrong = problems[name];
      element.textContent = wrong === undefined ? "" : `This must be ${wrong}`;
      this.#inputs.get(name)?.setAttribute("aria-invalid", String(wrong !== undefined));
    }
  }

  /** Shows a field that is folded away, and puts the cursor there. */
  focus(name: keyof Draft) {
    if (![...FIRST, ...MAIN].some((field) => field.name === name)) this.#more.open = true;
    this.#inputs.get(name)?.focus();
  }

  /** Lines in the fields as many as there are in the texts, within reason. */
  #grow() {
    for (const field of [...MAIN, ...WIDE]) {
      const input = this.#inputs.get(field.name);
      if (input instanceof HTMLTextAreaElement) {
        const lines = input.value.split("\n").reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / 70)), 0);
        input.rows = Math.min(Math.max(lines, field.rows ?? 1), 12);
      }
    }
    const draft = this.draft;
    const said = [draft.peer, draft.port === "" ? "" : `port ${draft.port}`, draft.sni === "" ? "" : `sni ${draft.sni}`];
    const given = [draft.claims === "" ? "" : "claims", draft.tokenError === "" ? "" : "no good token", draft.bodyError === "" ? "" : "no good body", draft.checks === "" ? "" : "answers"];
    const summary = this.#more.querySelector("#connection-summary");
    if (summary !== null) summary.textContent = [...said, ...given].filter((text) => text !== "").join(" · ");
  }

  #field({ name, label, hint, rows, mode, list }: Field): HTMLElement {
    const id = `request-${name}`;
    const shared = { id, name, spellcheck: "false", autocapitalize: "off", "aria-describedby": `${id}-problem` };
    const input = rows === undefined
      ? h("input", { ...shared, type: "text", inputmode: mode, list })
      : h("textarea", { ...shared, rows });
    const problem = h("p", { class: "problem", id: `${id}-problem`, "aria-live": "polite" });
    this.#inputs.set(name, input);
    this.#problems.set(name, problem);
    const said = hint === undefined ? null : h("span", { class: "hint" }, hint);
    return h("div", { class: `field field-${name}` }, h("label", { for: id }, label, said === null ? null : " ", said), input, problem);
  }
}
