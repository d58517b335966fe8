// The walk-through's four files, byte for byte.
import { readdir, readFile } from "node:fs/promises";

const FOLDER = new URL("../../examples/seed/", import.meta.url);

export async function seed() {
  const names = (await readdir(FOLDER)).filter((name) => name.endsWith(".yaml"));
  const files = names.map(async (name) => [name, await readFile(new URL(name, FOLDER), "utf8")]);
  return Object.fromEntries(await Promise.all(files));
}
