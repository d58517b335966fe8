// Asks the worker: one question at a time, and of those that pile up meanwhile only the last.
import type { SimulatedRequest } from "@lockgate/simulator";
import moduleAddress from "../pkg/simulator_bg.wasm?url";
import type { Answer, Configuration, Question, Start, Tested } from "./protocol";

export class Engine {
  #worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  #id = 0;
  #waiting = false;
  #configuration: Configuration | undefined;
  #request: SimulatedRequest | undefined;
  #answered: (answer: Answer) => void = () => {};
  #early: Answer | undefined;
  /** Who hears what came of the scenarios, after the verdict. */
  tested: (tested: Tested) => void = () => {};

  constructor() {
    // Compiled here while the worker starts. Where that fails the worker fetches the module itself.
    const compiled = WebAssembly.compileStreaming(fetch(moduleAddress)).catch(() => null);
    void compiled.then((module) => this.#worker.postMessage({ module } satisfies Start));
    this.#worker.addEventListener("message", (event: MessageEvent<Answer | Tested>) => {
      if ("tests" in event.data) return this.tested(event.data);
      this.#waiting = false;
      const isLast = this.#request === undefined;
      this.#send();
      if (isLast || event.data.id % 8 === 0) this.#deliver(event.data);
    });
    this.#worker.addEventListener("error", (event) => {
      this.#waiting = false;
      this.#request = undefined;
      this.#deliver({
        id: 0,
        diagnostics: [],
        snapshot: null,
        explanation: null,
        problem: `the engine does not run here: ${event.message || "its worker cannot be loaded"}`,
        took: 0,
      });
    });
  }

  /** Who hears the answers; one that came before is told at once. */
  set answered(hear: (answer: Answer) => void) {
    this.#answered = hear;
    if (this.#early !== undefined) hear(this.#early);
    this.#early = undefined;
  }

  /** Whether every question is answered. */
  get isIdle(): boolean {
    return !this.#waiting && this.#request === undefined;
  }

  /** `configuration` only when it has changed. */
  ask(configuration: Configuration | undefined, request: SimulatedRequest) {
    this.#configuration = configuration ?? this.#configuration;
    this.#request = request;
    this.#send();
  }

  #send() {
    if (this.#waiting || this.#request === undefined) return;
    const question: Question = { id: (this.#id += 1), request: this.#request };
    if (this.#configuration !== undefined) question.configuration = this.#configuration;
    this.#configuration = undefined;
    this.#request = undefined;
    this.#waiting = true;
    this.#worker.postMessage(question);
  }

  #deliver(answer: Answer) {
    this.#early = answer;
    this.#answered(answer);
  }
}
