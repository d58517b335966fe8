// Plain objects around the wasm module, which takes and gives JSON.
import { Simulator as Engine, version as engineVersion } from "../pkg/simulator.js";

/** The version of the engine, equal to the gateway's. */
export function version() {
  return ready(engineVersion);
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
    return JSON.parse(this.#engine.decide(JSON.stringify(request)));
  }

  explain(request) {
    return JSON.parse(this.#engine.explain(JSON.stringify(request)));
  }

  explainText(request) {
    return this.#engine.explainText(JSON.stringify(request));
  }

  free() {
    this.#engine.free();
  }
}

if (Symbol.dispose !== undefined) {
  Simulator.prototype[Symbol.dispose] = Simulator.prototype.free;
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
