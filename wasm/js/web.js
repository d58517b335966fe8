// The entry for browsers, bundlers and workers: wasm must be fetched first, so `init` comes before everything else.
import start from "../pkg/simulator.js";

export * from "./simulator.js";

let ready;

/** Loads the engine once. Call it again as often as you like; a failed attempt may be repeated. */
export async function init(source) {
  ready ??= start(source === undefined ? undefined : { module_or_path: source });
  try {
    await ready;
  } catch (error) {
    ready = undefined;
    throw error;
  }
}
