// Runs in the page: the pairs that the server streams, compared here.
import * as simulator from "../js/web.js";
import { compare, linesOf } from "./pairs.mjs";

async function report(body) {
  await fetch("/report", { method: "POST", body: JSON.stringify(body) });
}

try {
  await simulator.init();
  const { body } = await fetch("/pairs");
  await report({ result: await compare(simulator, linesOf(body.pipeThrough(new TextDecoderStream()))) });
} catch (error) {
  await report({ error: String(error?.stack ?? error) });
}
