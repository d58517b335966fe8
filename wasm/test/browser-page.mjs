// Runs in the page: the same scenario as in Node, reported to the server.
import * as simulator from "../js/web.js";
import { scenario } from "./scenario.mjs";

async function report(body) {
  await fetch("/report", { method: "POST", body: JSON.stringify(body) });
}

try {
  await simulator.init();
  await report({ result: scenario(simulator) });
} catch (error) {
  await report({ error: String(error?.stack ?? error) });
}
