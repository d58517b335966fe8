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
    this.#engine = ready(() => new Engine(JSON.stringify(files), JSON.stringify(options)));
  }

  get diagnostics() {
    return JSON.parse(this.#engine.diagnostics);
  }

  get snapshot() {
    return this.#engine.snapshot;
  }

  decide(request) {
    return JSON.parse(this.#engine.decide(textOf(request)));
  }

  explain(request) {
    return JSON.parse(this.#engine.explain(textOf(request)));
  }

  explainText(request) {
    return this.#engine.explainText(textOf(request));
  }

  lint() {
    return this.diagnostics.filter(({ severity }) => severity === "warning");
  }

  test(scenarios) {
    const [report, diagnostics] = JSON.parse(this.#engine.test(JSON.stringify(scenarios ?? null)));
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
function textOf(request) {
  if (typeof request?.entropy !== "bigint") return JSON.stringify(request);
  const { entropy, ...others } = request;
  const text = JSON.stringify(others);
  return text === "{}" ? text : `${text.slice(0, -1)},"entropy":${entropy}}`;
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
