// Everything that the types offer, as a strict compiler takes it. It is compiled, not run.
import { build, init, Simulator } from "@lockgate/simulator";
import type { Build, Diagnostic, EngineSource, Explanation, Options, SimulatedRequest, TestReport, Verdict } from "@lockgate/simulator";

type IsAny<T> = 0 extends 1 & T ? true : false;
const nothingIsAny: [
  IsAny<Build[keyof Build]>,
  IsAny<EngineSource>,
  IsAny<Diagnostic[keyof Diagnostic]>,
  IsAny<Explanation[keyof Explanation]>,
  IsAny<Options[keyof Options]>,
  IsAny<SimulatedRequest[keyof SimulatedRequest]>,
  IsAny<TestReport[keyof TestReport]>,
  IsAny<Verdict[keyof Verdict]>,
] = [false, false, false, false, false, false, false, false];

const sources: EngineSource[] = ["/simulator.wasm", new Uint8Array(8), new ArrayBuffer(8)];
// @ts-expect-error: no number says where the engine is.
await init(80);
await Promise.all(sources.map((source) => init(source)));

const options: Options = { env: { API_KEY: "any" }, labels: { istio: "ingressgateway" }, namespace: "istio-system" };
using simulator = new Simulator({ "config.yaml": "" }, options);
const request: SimulatedRequest = {
  url: "http://chat.example.com/v1/chat/completions",
  headers: [["x-team", "red"], ["x-place", { base64: "Y2Fm6Q==" }]],
  claims: { iss: "https://i.test", groups: ["red"] },
  checks: { authz: { decision: "allow", setHeaders: [["x-user", "ann"], ["x-user", { base64: "/w==" }]] } },
  body: "{}",
  entropy: 1n << 63n,
};
// @ts-expect-error: a request needs a URL.
simulator.decide({ method: "GET" });
// @ts-expect-error: what it says is not for changing.
simulator.snapshot = "";

/** Each verdict has what it has, and there is no other. */
function status(verdict: Verdict): number | string {
  switch (verdict.decision) {
    case "forward":
      return verdict.provider ?? verdict.upstream;
    case "redirect":
    case "respond":
    case "refuse":
      return verdict.status;
    case "check":
      return verdict.authorizer;
    case "verifyToken":
      return verdict.authentications.join();
    case "readBody":
      return verdict.rule ?? "";
    default:
      return verdict satisfies never;
  }
}

const explanation = simulator.explain(request);
const seen: string | undefined = explanation.request?.host;
const lines: string[] = simulator.lint().map(({ file, line, message }) => `${file}:${line} ${message}`);
const report = simulator.test({ "tests.yaml": "" });
const failed: string[] = report.cases.flatMap(({ failures }) => failures.map(({ field }) => field));
const { commit, snapshotFormat }: Build = build();
export { nothingIsAny, status, seen, lines, failed, commit, snapshotFormat };
export const text: string = simulator.explainText(request);
export const verdict: Verdict = simulator.decide(request);
