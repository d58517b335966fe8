// Why: what the request is to policies and routes, every policy, every rule, in the order in which they are judged.
import type { Explanation, PolicyTrace, RuleTrace } from "@lockgate/simulator";
import { h } from "./dom";
import { type Place, parsePlace, wordOfField } from "./place";

export type Jump = (place: Place, field: string | undefined) => void;

/** Rules in a row without a match that are shown as they are; more are folded. */
const ROW_MAX = 8;

/** Rules that a fold shows at once. */
const FOLD_MAX = 200;

export function traceView({ request, policies, passes }: Explanation, jump: Jump): HTMLElement {
  const sections: HTMLElement[] = [];
  if (request !== null) {
    const facts: [string, string][] = [
      ["method", request.method],
      ["host", request.host],
      ["path", request.path],
      ...(request.query === null ? [] : [["query", request.query] as [string, string]]),
      ["port", String(request.port)],
      ["peer", request.peer],
      ...(request.remote === request.peer ? [] : [["client", request.remote] as [string, string]]),
    ];
    sections.push(step("Seen as", "", h("dl", { class: "facts" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))));
  } else {
    sections.push(step("Seen as", "", h("p", { class: "faint" }, "nothing: this head cannot be read in one way only")));
  }
  if (policies.length > 0) {
    sections.push(step("Policies", "", h("ul", { class: "tree" }, ...policies.map((policy) => policyView(policy, jump)))));
  } else if (request !== null) {
    sections.push(step("Policies", "", h("p", { class: "faint" }, "none selects this gateway")));
  }
  for (const { pass, host, virtualHost, rules } of passes) {
    const title = passes.length > 1 || pass === 2 ? `Routes, pass ${pass}` : "Routes";
    const where = virtualHost === null ? `${host}: no virtual host` : `${host} → virtual host ${virtualHost}`;
    const found = rules.length === 0 ? h("p", { class: "faint" }, "no rule for this host") : rulesView(rules, jump);
    sections.push(step(title, where, found));
  }
  if (passes.length === 0 && request !== null) {
    sections.push(step("Routes", "", h("p", { class: "faint" }, "not asked")));
  }
  return h("ol", { class: "steps" }, ...sections);
}

function step(title: string, note: string, ...content: HTMLElement[]): HTMLElement {
  return h("li", { class: "step" }, h("h3", {}, title, note === "" ? null : h("span", { class: "step-note" }, ` ${note}`)), ...content);
}

function policyView(policy: PolicyTrace, jump: Jump): HTMLElement {
  const places = policy.rules.map((rule) => parsePlace(rule.at)).filter((place) => place !== null);
  const outcome = policy.matched ? "matches" : "does not match";
  const consequence = policy.matched && !policy.dryRun ? policy.action.toLowerCase() : "quiet";
  const head = [
    mark(policy.matched, policy.action),
    h(
      "span",
      { class: "said" },
      h("span", { class: `action ${consequence}` }, policy.action),
      " ",
      h("span", { class: "name" }, policy.policy),
      " ",
      h("span", { class: "reason" }, outcome, policy.dryRun ? ", dry run: decides nothing" : "", policy.asks === undefined ? "" : `, asks ${policy.asks}`),
    ),
  ];
  const first = places[0];
  return h(
    "li",
    { class: `node ${policy.matched ? "matched" : "unmatched"}` },
    first === undefined
      ? h("div", { class: "row" }, ...head)
      : h("button", { type: "button", class: "row", click: () => jump(first, undefined) }, ...head, where(first)),
    policy.rules.length === 0 ? h("p", { class: "faint indent" }, "it has no rules") : rulesView(policy.rules, jump, policy.action),
  );
}

function rulesView(rules: RuleTrace[], jump: Jump, action?: PolicyTrace["action"]): HTMLElement {
  const list = h("ul", { class: "tree" });
  for (let index = 0; index < rules.length; ) {
    let end = index;
    while (end < rules.length && rules[end]?.matched === false) end += 1;
    if (end - index > ROW_MAX) {
      // The last ones are those that a reader looks at: they are right before what matched.
      const shown = end < rules.length ? 2 : 0;
      list.append(fold(rules.slice(index, end - shown), jump, action));
      index = end - shown;
      end = index + shown;
    }
    for (; index < end; index += 1) append(list, rules[index], jump, action);
    append(list, rules[index], jump, action);
    index += 1;
  }
  return list;
}

function append(list: HTMLElement, rule: RuleTrace | undefined, jump: Jump, action?: PolicyTrace["action"]) {
  if (rule !== undefined) list.append(ruleView(rule, jump, action));
}

/** Rules that do not match, made only when somebody looks. */
function fold(rules: RuleTrace[], jump: Jump, action?: PolicyTrace["action"]): HTMLElement {
  const inner = h("ul", { class: "tree" });
  const more = (from: number) => {
    for (const rule of rules.slice(from, from + FOLD_MAX)) append(inner, rule, jump, action);
    const left = rules.length - from - FOLD_MAX;
    if (left <= 0) return;
    const button = h("button", { type: "button", class: "link", click: () => {
      item.remove();
      more(from + FOLD_MAX);
    } }, `${left.toLocaleString("en")} more`);
    const item = h("li", {}, button);
    inner.append(item);
  };
  const details = h("details", { class: "fold", toggle: () => {
    if (details.open && inner.childElementCount === 0) more(0);
  } }, h("summary", {}, `${rules.length.toLocaleString("en")} rules do not match`), inner);
  return h("li", {}, details);
}

function ruleView(rule: RuleTrace, jump: Jump, action?: PolicyTrace["action"]): HTMLElement {
  const place = parsePlace(rule.at);
  const said = h("span", { class: "said" }, h("span", { class: "name" }, rule.name), " ", h("span", { class: "reason" }, ...reason(rule)));
  const row = [mark(rule.matched, action), said];
  const field = rule.failed === null ? undefined : wordOfField(rule.failed.field);
  return h(
    "li",
    { class: `node ${rule.matched ? "matched" : "unmatched"}` },
    place === null
      ? h("div", { class: "row" }, ...row)
      : h("button", { type: "button", class: "row", click: () => jump(place, field) }, ...row, where(place)),
  );
}

function reason({ matched, failed }: RuleTrace): (string | HTMLElement)[] {
  if (matched) return ["matches"];
  if (failed === null) return ["does not match"];
  const field = h("code", {}, failed.field);
  if (failed.needsBody) return [field, " depends on the body"];
  const wanted = failed.wanted.map((value) => value);
  const many = wanted.length > 4 ? [...wanted.slice(0, 3), `and ${wanted.length - 3} more`] : wanted;
  const seen = failed.seen === null ? [" is absent"] : [" is ", h("code", { class: "seen" }, failed.seen)];
  const verb = failed.negated ? ", which is excluded: " : ", wanted ";
  return [field, ...seen, verb, h("code", { class: "wanted" }, many.join(" | "))];
}

function mark(matched: boolean, action?: PolicyTrace["action"]): HTMLElement {
  const denies = matched && action === "DENY";
  return h("span", { class: `mark ${matched ? (denies ? "denies" : "yes") : "no"}`, "aria-hidden": "true" }, matched ? (denies ? "✕" : "✓") : "–");
}

function where({ file, line }: Place): HTMLElement {
  return h("span", { class: "where" }, `${file}:${line}`);
}
