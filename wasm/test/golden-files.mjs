// Reads the golden scenarios, each with the example that its first lines say it is tried over.
import { readdir, readFile } from "node:fs/promises";

export const ROOT = new URL("../../", import.meta.url);

async function texts(folder) {
  const names = (await readdir(new URL(`${folder}/`, ROOT))).filter((name) => name.endsWith(".yaml")).sort();
  return Promise.all(names.map(async (name) => [`${folder}/${name}`, await readFile(new URL(`${folder}/${name}`, ROOT), "utf8")]));
}

/** `file`, `folders` of the example, and `files`: all texts by name. */
export async function goldens() {
  const scenarios = await texts("examples/scenarios");
  return Promise.all(scenarios.map(async ([file, text]) => {
    const folders = [...text.matchAll(/-f (\S+)/g)].map(([, folder]) => folder);
    const files = Object.fromEntries([...(await Promise.all(folders.map(texts))).flat(), [file, text]]);
    return { file, folders, files };
  }));
}
