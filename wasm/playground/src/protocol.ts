// What the page and its worker say to each other.
import type { Diagnostic, Explanation, Options, SimulatedRequest, TestReport } from "@lockgate/simulator";

export interface Configuration {
  files: Record<string, string>;
  options: Options;
}

/** The first message: the engine, compiled, unless that failed. */
export interface Start {
  module: WebAssembly.Module | null;
}

export interface Question {
  id: number;
  /** Only when it is another than that of the question before. */
  configuration?: Configuration;
  request: SimulatedRequest;
}

export interface Answer {
  id: number;
  diagnostics: Diagnostic[];
  snapshot: string | null;
  /** `null` when the configuration is refused, or the request cannot be asked about. */
  explanation: Explanation | null;
  /** Why the request cannot be asked about. */
  problem: string | null;
  /** Milliseconds in the worker. */
  took: number;
}

/** Follows the answer to a question with another configuration. */
export interface Tested {
  /** What came of the scenarios among the files; `null` when there are none, or the configuration is refused. */
  tests: TestReport | null;
}
