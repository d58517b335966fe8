// The engine, beside the page: a keystroke never waits for a decision.
import { init, Simulator, type TestReport } from "@lockgate/simulator";
import type { Answer, Question, Start } from "./protocol";

const SILENT: Answer = { id: 0, diagnostics: [], snapshot: null, explanation: null, tests: null, problem: null, took: 0 };

let simulator: Simulator | null = null;
/** Of the configuration: no request changes it. */
let tests: TestReport | null = null;
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
});

function answer({ id, configuration, request }: Question): Answer {
  const started = performance.now();
  const said: Answer = { ...SILENT, id };
  try {
    if (configuration !== undefined) {
      simulator?.free();
      simulator = null;
      tests = null;
      simulator = new Simulator(configuration.files, configuration.options);
      const report = simulator.snapshot === undefined ? null : simulator.test();
      tests = report?.cases.length ? report : null;
    }
    if (simulator !== null) {
      said.tests = tests;
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
