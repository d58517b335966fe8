// What the parts of the page say to each other.
import type { Capsule, Diagnostic, SimulatedRequest } from "@lockgate/simulator";
import { isCapsule, readCapsule, recordedView } from "./capsule";
import { isCurl, readCurl, writeCurl } from "./curl";
import { ask, byId, h, toast } from "./dom";
import type { Editor } from "./editor";
import type { Engine } from "./engine";
import { EXAMPLES, workspaceOf as workspaceOfExample } from "./examples";
import { findingsView } from "./findings";
import { fetchLive, type LiveConfiguration, workspaceOf as workspaceOfLive } from "./live";
import { outcomeView } from "./outcome";
import { type Place, parsePlace } from "./place";
import type { Answer } from "./protocol";
import { RequestForm } from "./request-form";
import { isLink, readLink, writeLink } from "./share";
import { Tabs } from "./tabs";
import { testsCount, testsView } from "./tests";
import { startTheme } from "./theme";
import { traceView } from "./trace";
import { problemView, refusedView, verdictView } from "./verdict";
import { type Draft, EMPTY_DRAFT, type Gateway, type Problems, type Workspace, configurationOf, requestOf, variablesOf } from "./workspace";

const SETTINGS: { name: keyof Gateway; label: string; placeholder: string }[] = [
  { name: "namespace", label: "Namespace", placeholder: "istio-system" },
  { name: "rootNamespace", label: "Root namespace", placeholder: "istio-system" },
  { name: "labels", label: "Labels", placeholder: "istio=ingressgateway" },
  { name: "ignoreKinds", label: "Ignored kinds", placeholder: "none" },
];

/** The editor's code keeps the page busy, so the first verdict goes first, if it comes soon. */
const EDITOR_WAITS_MS = 500;

export async function start(engine: Engine) {
  startTheme();
  const first = EXAMPLES[0];
  if (first === undefined) throw new Error("the page was built without examples");
  let workspace: Workspace = workspaceOfExample(first);
  let current = "";
  let answer: Answer | null = null;
  let asked: SimulatedRequest | null = null;
  let live: LiveConfiguration | null = null;
  /** What the request was taken from, until it is changed. */
  let recorded: Capsule | null = null;

  // The verdict does not wait for the editor, which is most of the page.
  let editor: Editor | null = null;
  let verdictIsThere = () => {};
  const firstVerdict = new Promise<void>((resolve) => (verdictIsThere = resolve));
  const loadEditor = async () => {
    await Promise.race([firstVerdict, new Promise((resolve) => setTimeout(resolve, EDITOR_WAITS_MS))]);
    const module = await import("./editor");
    editor = new module.Editor(byId("editor"), (name, text) => {
      const file = workspace.files.find((file) => file.name === name);
      if (file === undefined) return;
      file.text = text;
      drawVariables();
      question(true);
    });
    editor.load(workspace.files);
    editor.show(current);
    editor.underline(answer?.diagnostics ?? []);
  };
  const form = new RequestForm(byId<HTMLFormElement>("request"), (draft) => {
    workspace.draft = draft;
    recorded = null;
    byId<HTMLSelectElement>("try").value = "";
    question(false);
  });
  const tabs = new Tabs(byId("tabs"), { select, rename, remove });
  const examples = byId<HTMLSelectElement>("examples");
  const requests = byId<HTMLSelectElement>("try");

  function question(isConfiguration: boolean) {
    const made = requestOf(workspace.draft);
    form.problems = "problems" in made ? made.problems : {};
    if ("problems" in made) {
      showProblem(made.problems);
      if (!isConfiguration) return;
    }
    asked = "request" in made ? made.request : asked;
    engine.ask(isConfiguration ? configurationOf(workspace) : undefined, asked ?? { method: "GET", url: "/" });
    showBusy();
  }

  /** Says to screen readers, and to tests, that a newer verdict is on its way. */
  function showBusy() {
    byId("verdict").ariaBusy = String(!engine.isIdle);
  }

  engine.answered = (said) => {
    answer = said;
    draw(said);
    showBusy();
    verdictIsThere();
  };

  engine.tested = ({ tests }) => {
    byId("tests-drawer").hidden = tests === null;
    if (tests === null) return;
    byId("tests-count").textContent = testsCount(tests);
    byId("tests-drawer").classList.toggle("wanting", tests.cases.some(({ failures }) => failures.length > 0));
    byId("tests").replaceChildren(testsView(tests, (place) => open(place, { block: false })));
  };

  function draw(said: Answer) {
    editor?.underline(said.diagnostics);
    tabs.draw(workspace.files, current, said.diagnostics);
    const errors = said.diagnostics.filter(({ severity }) => severity === "error").length;
    const warnings = said.diagnostics.length - errors;
    const counts = [errors > 0 ? `${errors} ${errors === 1 ? "error" : "errors"}` : "", warnings > 0 ? `${warnings} ${warnings === 1 ? "warning" : "warnings"}` : ""];
    byId("findings-count").textContent = counts.filter((text) => text !== "").join(", ");
    byId("findings").replaceChildren(findingsView(said.diagnostics, showFinding));
    drawLive();
    const made = requestOf(workspace.draft);
    if ("problems" in made) return showProblem(made.problems);
    const body = byId("verdict-body");
    const { explanation } = said;
    if (explanation === null) {
      const firstError = said.diagnostics.find(({ severity }) => severity === "error");
      body.replaceChildren(
        said.problem === null && firstError !== undefined
          ? refusedView(errors, () => showFinding(firstError))
          : problemView(said.problem ?? "there is nothing to ask"),
      );
      clear(said.problem === null ? "Nothing can be decided by a configuration with errors." : "There is no verdict.");
      return;
    }
    body.replaceChildren(verdictView(explanation, jumpToRule, (field) => form.focus(field)));
    if (recorded !== null) body.append(recordedView(recorded, explanation));
    byId("trace").replaceChildren(traceView(explanation, jump));
    byId("took").textContent = `found out in ${said.took < 1 ? said.took.toFixed(2) : said.took.toFixed(0)} ms`;
    performance.mark("verdict");
    const outcome = asked === null ? null : outcomeView(explanation.verdict, asked);
    byId("outcome-card").hidden = outcome === null;
    if (outcome !== null) {
      byId("outcome-title").textContent = outcome.title;
      byId("outcome").replaceChildren(outcome.content);
    }
  }

  function clear(why: string) {
    byId("trace").replaceChildren(h("p", { class: "faint none" }, why));
    byId("took").textContent = "";
    byId("outcome-card").hidden = true;
  }

  function showProblem(problems: Problems) {
    const [name, wrong] = Object.entries(problems)[0] ?? ["", ""];
    byId("verdict-body").replaceChildren(problemView(`${name} must be ${wrong}`));
    clear("There is no verdict.");
  }

  // Places

  function jump(place: Place, field?: string) {
    open(place, { field, block: true });
  }

  function open(place: Place, options: { field?: string | undefined; block: boolean }) {
    if (!workspace.files.some(({ name }) => name === place.file)) return toast(`There is no file ${place.file} here`);
    select(place.file);
    editor?.jump(place, options);
  }

  function showFinding(finding: Diagnostic) {
    open(finding, { block: false });
  }

  function jumpToRule(rule: string): (() => void) | null {
    const found = answer?.explanation?.passes.flatMap(({ rules }) => rules).find(({ name, matched }) => matched && name === rule);
    const place = found === undefined ? null : parsePlace(found.at);
    return place === null ? null : () => jump(place);
  }

  // Files

  function select(name: string) {
    if (!workspace.files.some((file) => file.name === name)) return;
    current = name;
    editor?.show(name);
    tabs.draw(workspace.files, current, answer?.diagnostics ?? []);
    editor?.underline(answer?.diagnostics ?? []);
  }

  const nameProblem = (name: string, except?: string) => {
    if (name.trim() === "") return "A file needs a name.";
    const isTaken = workspace.files.some((file) => file.name === name.trim() && file.name !== except);
    return isTaken ? "There is a file of this name." : null;
  };

  async function add() {
    let number = workspace.files.length + 1;
    while (workspace.files.some(({ name }) => name === `file-${number}.yaml`)) number += 1;
    const name = await ask({ title: "Add a file", label: "Name", value: `file-${number}.yaml`, action: "Add", check: (text) => nameProblem(text) });
    if (name === null) return;
    workspace.files.push({ name: name.trim(), text: "" });
    select(name.trim());
    editor?.focus();
    question(true);
  }

  async function rename() {
    const old = current;
    const name = await ask({ title: "Rename the file", label: "Name", value: old, action: "Rename", check: (text) => nameProblem(text, old) });
    const file = workspace.files.find((file) => file.name === old);
    if (name === null || file === undefined || name.trim() === old) return;
    file.name = name.trim();
    editor?.rename(old, file.name);
    current = file.name;
    tabs.draw(workspace.files, current, []);
    question(true);
  }

  function remove() {
    const index = workspace.files.findIndex(({ name }) => name === current);
    const file = workspace.files[index];
    if (file === undefined) return;
    if (workspace.files.length === 1) return toast("The last file stays; empty it instead.");
    workspace.files.splice(index, 1);
    editor?.delete(file.name);
    select((workspace.files[index] ?? workspace.files[index - 1])?.name ?? "");
    drawVariables();
    question(true);
    const undo = h("button", { type: "button", class: "link", click: () => {
      if (workspace.files.some(({ name }) => name === file.name)) return;
      workspace.files.splice(index, 0, file);
      editor?.load(workspace.files);
      select(file.name);
      drawVariables();
      question(true);
      toast(`${file.name} is back`);
    } }, "Undo");
    toast(`${file.name} is deleted. `);
    byId("toast").append(undo);
  }

  // The gateway

  function drawVariables() {
    const names = variablesOf(workspace.files);
    const host = byId("variables");
    const shown = [...host.querySelectorAll("input")].map((input) => input.name);
    const unset = names.filter((name) => (workspace.variables[name] ?? "") === "").length;
    const variables = names.length === 1 ? "1 variable" : `${names.length} variables`;
    byId("variables-count").textContent = names.length === 0 ? "" : unset === 0 ? variables : `${variables}, ${unset} not set`;
    byId<HTMLDetailsElement>("gateway-drawer").classList.toggle("wanting", unset > 0);
    if (shown.join() === names.join()) return;
    host.replaceChildren(...names.map((name) => {
      const id = `variable-${name}`;
      const input = h("input", { id, name, type: "text", spellcheck: "false", placeholder: "not set", input: () => {
        workspace.variables[name] = input.value;
        drawVariables();
        question(true);
      } });
      input.value = workspace.variables[name] ?? "";
      return h("div", { class: "field" }, h("label", { for: id }, h("code", {}, `\${${name}}`)), input);
    }));
  }

  function drawSettings() {
    byId("settings").replaceChildren(...SETTINGS.map(({ name, label, placeholder }) => {
      const id = `setting-${name}`;
      const input = h("input", { id, name, type: "text", spellcheck: "false", placeholder, input: () => {
        workspace.gateway[name] = input.value;
        question(true);
      } });
      input.value = workspace.gateway[name];
      return h("div", { class: "field" }, h("label", { for: id }, label), input);
    }));
  }

  // Whole workspaces

  function load(next: Workspace) {
    workspace = next;
    recorded = null;
    answer = null;
    editor?.load(workspace.files);
    form.draft = workspace.draft;
    byId("variables").replaceChildren();
    drawVariables();
    drawSettings();
    select(workspace.files[0]?.name ?? "");
    question(true);
  }

  function loadExample(index: number) {
    const example = EXAMPLES[index];
    if (example === undefined) return;
    load(workspaceOfExample(example));
    drawRequests(index);
  }

  function drawRequests(index: number | null) {
    const example = index === null ? undefined : EXAMPLES[index];
    byId("try-label").hidden = example === undefined;
    requests.replaceChildren(
      h("option", { value: "", disabled: true }, "your own"),
      ...(example?.requests ?? []).map(({ name }, at) => h("option", { value: at }, name)),
    );
    requests.value = example === undefined ? "" : "0";
    requests.onchange = () => {
      const draft = example?.requests[Number(requests.value)]?.draft;
      if (draft !== undefined) setDraft(draft, false);
    };
  }

  function setDraft(draft: Draft, isOwn = true, of: Capsule | null = null) {
    recorded = of;
    workspace.draft = { ...draft };
    form.draft = workspace.draft;
    if (isOwn) requests.value = "";
    question(false);
  }

  examples.replaceChildren(
    ...EXAMPLES.map(({ name }, index) => h("option", { value: index }, name)),
    h("option", { value: "own", hidden: true }, "Your own"),
    h("option", { value: "live", hidden: true }, "This gateway"),
  );
  examples.addEventListener("change", () => {
    if (examples.value === "live") loadLive();
    else loadExample(Number(examples.value));
  });

  // The gateway that serves the page

  async function loadLive() {
    live = (await fetchLive()) ?? live;
    if (live === null) return;
    load(workspaceOfLive(live, workspace.draft.headers === "" ? EMPTY_DRAFT : workspace.draft));
    examples.value = "live";
    drawRequests(null);
  }

  function drawLive() {
    const place = byId("live");
    place.hidden = live === null;
    if (live === null) return;
    const here = answer?.snapshot ?? null;
    const isSame = here === live.snapshot;
    const isLoaded = examples.value === "live";
    const withheld = live.withheld.length === 0 ? "" : ` It does not show values of ${live.withheld.join(", ")}.`;
    const said = isSame
      ? "the same as here"
      : isLoaded
        ? `here ${here === null ? "nothing is loaded" : here}: not the same.${withheld}`
        : "not what is here";
    const parts = [
      h("span", { class: `dot ${isSame ? "same" : "other"}`, "aria-hidden": "true" }),
      h("span", { class: "live-text" }, "This gateway runs ", h("code", { id: "live-snapshot" }, live.snapshot), h("span", { class: "live-said" }, ` · ${said}`)),
    ];
    if (!isSame) {
      parts.push(h("button", { type: "button", class: "quiet", id: "live-load", click: () => void loadLive() }, isLoaded ? "Load again" : "Load it"));
    }
    place.replaceChildren(...parts);
    place.title = `This gateway runs ${live.snapshot}, ${said}`;
  }

  // Buttons

  byId("file-add").addEventListener("click", () => void add());
  byId("file-rename").addEventListener("click", () => void rename());
  byId("file-delete").addEventListener("click", remove);

  /** Takes the request of a curl command or of a capsule, or says why not. */
  function take(text: string): string | null {
    if (!isCapsule(text)) return takeCurl(text);
    try {
      const { capsule, draft } = readCapsule(text);
      setDraft(draft, true, capsule);
      return null;
    } catch (error) {
      return `This is no capsule: ${error instanceof Error ? error.message : String(error)}.`;
    }
  }

  function takeCurl(text: string): string | null {
    try {
      const draft = readCurl(text);
      const { peer, proxied, destinationIp, destinationPort, peerUris, peerCert, claims, checks, entropy } = workspace.draft;
      const port = configurationListens(draft.port) ? draft.port : workspace.draft.port;
      setDraft({ ...draft, peer, proxied, destinationIp, destinationPort, peerUris, peerCert, claims, checks, entropy, port });
      return null;
    } catch (error) {
      return `This command cannot be taken: ${error instanceof Error ? error.message : String(error)}.`;
    }
  }

  /** A port of a development machine's is no port of the Gateway's. */
  function configurationListens(port: string): boolean {
    return workspace.files.some(({ text }) => new RegExp(`\\b(number|port):\\s*${port}\\b`).test(text));
  }

  byId("request-paste").addEventListener("click", async () => {
    const text = await ask({
      title: "Paste a curl command or a capsule",
      label: "The command as you would run it, or a line that a gateway has logged",
      value: "",
      action: "Take it",
      rows: 6,
      check: take,
    });
    if (text !== null) toast(`The request is taken from the ${isCapsule(text) ? "capsule" : "command"}.`);
  });
  byId("request").addEventListener("paste", (event) => {
    const text = event.clipboardData?.getData("text/plain") ?? "";
    const isLogged = isCapsule(text) && text.includes("lockgate.dev/capsule/");
    if (!isCurl(text) && !isLogged) return;
    event.preventDefault();
    toast(take(text) ?? `The request is taken from the ${isLogged ? "capsule" : "curl command"}.`);
  });
  byId("curl-copy").addEventListener("click", async () => {
    try {
      await copy(writeCurl(workspace.draft), "The curl command is copied.");
    } catch (error) {
      toast(`There is no command: ${error instanceof Error ? error.message : String(error)}.`);
    }
  });
  byId("share").addEventListener("click", async () => {
    try {
      history.replaceState(null, "", await writeLink(workspace));
      await copy(location.href, "The link is copied. It holds everything on this page, and nothing is stored anywhere else.");
    } catch (error) {
      toast(`There is no link: ${error instanceof Error ? error.message : String(error)}.`);
    }
  });

  async function copy(text: string, said: string) {
    try {
      await navigator.clipboard.writeText(text);
      toast(said);
    } catch {
      await ask({ title: "Copy this", label: "Your browser does not let the page copy", value: text, action: "Done", rows: 6 });
    }
  }

  async function fromLink(): Promise<boolean> {
    if (!isLink(location.hash)) return false;
    try {
      load(await readLink(location.hash));
      examples.value = "own";
      drawRequests(null);
      return true;
    } catch (error) {
      toast(`The link cannot be opened: ${error instanceof Error ? error.message : String(error)}.`);
      return false;
    }
  }

  addEventListener("hashchange", () => void fromLink());
  if (!(await fromLink())) loadExample(0);
  await loadEditor();
  live = await fetchLive();
  const option = examples.querySelector<HTMLOptionElement>("option[value=live]");
  if (option !== null) option.hidden = live === null;
  drawLive();
}
