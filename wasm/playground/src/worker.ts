// The engine, beside the page: a keystroke never waits for a decision.
import { init, Simulator } from "@lockgate/simulator";
import type { Answer, Question, Start, Tested } from "./protocol";

const SILENT: Answer = { id: 0, diagnostics: [], snapshot: null, explanation: null, problem: null, took: 0 };

let simulator: Simulator | null = null;
let start: (loading: Promise<void>) => void;
// Questions may come before the engine does.
const ready = new Promise<void>((resolve) => (start = resolve));

self.addEventListener("message", async ({ data }: MessageEvent<Start | Question>) => {
  if ("module" in data) return start(data.module === null ? init() : init(data.module));
  try {
    await ready;
  } catch (error) {
    const problem = `the engine cannot be loaded: ${error instanceof Error ? error.message : String(error)}`;
    return self.postMessage({ ...SILENT, id: data.id, problem });
  }
  self.postMessage(answer(data));
  // No request changes what comes of them, and the verdict goes first.
  if (data.configuration !== undefined) self.postMessage({ tests: tested() } satisfies Tested);
});

function answer({ id, configuration, request }: Question): Answer {
  const started = performance.now();
  const said: Answer = { ...SILENT, id };
  try {
    if (configuration !== undefined) {
      simulator?.free();
      simulator = null;
      simulator = new Simulator(configuration.files, configuration.options);
    }
    if (simulator !== null) {
      said.diagnostics = simulator.diagnostics;
      said.snapshot = simulator.snapshot ?? null;
      if (said.snapshot !== null) said.explanation = simulator.explain(request);
    }
  } catch (error) {
    said.problem = error instanceof Error ? error.message : String(error);
  }
  said.took = performance.now() - started;
  return said;
}

function tested(): Tested["tests"] {
  if (simulator?.snapshot === undefined) return null;
  const report = simulator.test();
  return report.cases.length > 0 ? report : null;
}
