// Plain objects around the wasm module, which takes and gives JSON.
import { Simulator as Engine, build as engineBuild } from "../pkg/simulator.js";

/** Which build this is. */
export function build() {
  return JSON.parse(ready(engineBuild));
}

/** A configuration and what the gateway does with requests under it. */
export class Simulator {
  #engine;

  constructor(files, options = {}) {
    const texts = [textOf("files", files, (_, text) => text ?? null), textOf("options", options)];
    this.#engine = ready(() => new Engine(...texts));
  }

  get diagnostics() {
    return JSON.parse(this.#engine.diagnostics);
  }

  get snapshot() {
    return this.#engine.snapshot;
  }

  decide(request) {
    return JSON.parse(this.#engine.decide(textOfRequest(request)));
  }

  explain(request) {
    return JSON.parse(this.#engine.explain(textOfRequest(request)));
  }

  explainText(request) {
    return this.#engine.explainText(textOfRequest(request));
  }

  lint() {
    return this.diagnostics.filter(({ severity }) => severity === "warning");
  }

  test(scenarios) {
    const [report, diagnostics] = JSON.parse(this.#engine.test(scenarios == null ? "null" : textOf("scenarios", scenarios, (_, text) => text ?? null)));
    return { ...report, diagnostics };
  }

  free() {
    this.#engine.free();
  }
}

if (Symbol.dispose !== undefined) {
  Simulator.prototype[Symbol.dispose] = Simulator.prototype.free;
}

/** The request as JSON; of numbers, only `entropy` may be beyond those that JavaScript's have room for. */
function textOfRequest(request) {
  if (typeof request?.entropy !== "bigint") return textOf("request", request);
  const { entropy, ...others } = request;
  const text = textOf("request", others);
  return text === "{}" ? text : `${text.slice(0, -1)},"entropy":${entropy}}`;
}

/** An object as JSON, unless JSON says it otherwise: a `Map` as an empty object, `NaN` as `null`. */
function textOf(name, value, replacer) {
  if (typeof value !== "object" || value === null) throw wrong(name, value, "a plain object");
  check(name, value, []);
  return JSON.stringify(value, replacer);
}

function check(name, value, around) {
  if (typeof value === "number" && !Number.isFinite(value)) throw wrong(name, value, "a finite number");
  if (["bigint", "function", "symbol"].includes(typeof value)) throw wrong(name, value, "what JSON can say");
  if (typeof value !== "object" || value === null || typeof value.toJSON === "function") return;
  if (around.includes(value)) throw new TypeError(`\`${name}\`: expected what JSON can say, found an object that is inside itself`);
  const inside = [...around, value];
  if (Array.isArray(value)) return value.forEach((item) => check(name, item, inside));
  // Not compared with this realm's own `Object`: a plain object of another window or context is one too.
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) throw wrong(name, value, "a plain object");
  for (const [key, member] of Object.entries(value)) check(key, member, inside);
}

function wrong(name, value, expected) {
  const found = typeof value === "number" || value == null ? String(value) : `a ${(typeof value === "object" && value.constructor?.name) || typeof value}`;
  return new TypeError(`\`${name}\`: expected ${expected}, found ${found}`);
}

/** What a call before `init` fails with says nothing to a person; this does. */
function ready(call) {
  try {
    return call();
  } catch (error) {
    if (error instanceof TypeError) throw new Error("call and await `init()` first", { cause: error });
    throw error;
  }
}
