// Runs in the page: the same scenario as in Node, reported to the server.
import * as simulator from "../js/web.js";
import { reports } from "./goldens.mjs";
import { scenario } from "./scenario.mjs";

async function report(body) {
  await fetch("/report", { method: "POST", body: JSON.stringify(body) });
}

try {
  let early = "";
  try {
    simulator.build();
  } catch (error) {
    early = error.message;
  }
  if (!early.includes("init()")) throw new Error(`a call before init said: ${early}`);
  await simulator.init();
  const data = async (name) => (await fetch(name)).json();
  const [files, goldens] = [await data("/seed.json"), await data("/goldens.json")];
  await report({ result: { seed: scenario(simulator, files), goldens: reports(simulator, goldens) } });
} catch (error) {
  await report({ error: String(error?.stack ?? error) });
}
