// The entry for Node: the engine is read from the package at import and is ready at once.
import { readFileSync } from "node:fs";
import { initSync } from "../pkg/simulator.js";

export * from "./simulator.js";

initSync({ module: readFileSync(new URL("../pkg/simulator_bg.wasm", import.meta.url)) });

/** Nothing to do here; it exists so that the same code runs in a browser. */
export async function init() {}
