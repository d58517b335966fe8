// The page: what a person changes is asked of the engine, and what it says is shown.
import { Engine } from "./engine";

// The engine is on its way before anything else is.
const engine = new Engine();
const parsed = new Promise((resolve) => {
  if (document.readyState !== "loading") resolve(null);
  else document.addEventListener("DOMContentLoaded", resolve);
});
// Not awaited: what is loaded here may share code with this module, which would then wait for itself.
void Promise.all([import("./app"), parsed]).then(([{ start }]) => start(engine));
