// Where in a resource the cursor is, by indentation: it must work while the text around it is half typed.

export interface Spot {
  /** The lines of the document around the cursor. */
  document: string[];
  /** Keys from the outside in; `"[]"` is an item of a list. */
  path: string[];
  /** What is completed: a key, or the value of `path`. */
  part: "key" | "value";
  /** What is typed of it so far. */
  typed: string;
  /** Keys that the same map has already. */
  siblings: Set<string>;
}

interface Line {
  indent: number;
  /** How many `- ` begin it, as the columns after each. */
  dashes: number[];
  key: string | null;
  value: string;
}

const KEY = /^(?:"([^"]*)"|'([^']*)'|([^\s#:{[\]},"'][^:#]*?))\s*:(?:\s+(.*))?$/;

function read(text: string): Line {
  let rest = text.trimStart();
  let indent = text.length - rest.length;
  const dashes: number[] = [];
  while (rest.startsWith("- ") || rest === "-") {
    dashes.push(indent);
    const after = rest.slice(1).trimStart();
    indent += rest.length - after.length;
    rest = after;
  }
  const found = KEY.exec(rest);
  const key = found === null ? null : found[1] ?? found[2] ?? found[3] ?? null;
  return { indent, dashes, key, value: found === null ? rest : found[4] ?? "" };
}

const isBlank = (text: string) => text.trim() === "" || text.trimStart().startsWith("#");

/** Finds the spot; `before` is the cursor's line up to the cursor. */
export function spotAt(lines: string[], row: number, before: string): Spot | null {
  let start = row;
  while (start > 0 && !/^---(\s|$)/.test(lines[start] ?? "")) start -= 1;
  if (/^---(\s|$)/.test(lines[start] ?? "")) start += 1;
  let end = row + 1;
  while (end < lines.length && !/^(---|\.\.\.)(\s|$)/.test(lines[end] ?? "")) end += 1;
  const document = lines.slice(start, end);
  // In flow style, comments and block texts there is nothing to say.
  if (/(^|\s)#/.test(before) || /[{[]/.test(before)) return null;

  const here = read(before);
  const part = here.key !== null && /:\s/.test(before) ? "value" : "key";
  const typed = part === "value" ? here.value : before.trimStart().replace(/^(-\s+)*/, "");
  if (part === "value" && /^[|>]/.test(typed)) return null;
  const path: string[] = [];
  if (part === "value" && here.key !== null) path.unshift(here.key);
  let column = here.indent;
  for (const _ of here.dashes) path.unshift("[]");
  if (here.dashes.length > 0) column = here.dashes[0] ?? column;
  // An item may stand as far left as the key it belongs to.
  let isItem = here.dashes.length > 0;
  for (let index = row - 1; index >= start; index -= 1) {
    const text = lines[index] ?? "";
    if (isBlank(text)) continue;
    const line = read(text);
    const outer = line.dashes[0] ?? line.indent;
    if (line.key !== null && line.value === "" && (line.indent < column || (isItem && line.indent === column))) {
      path.unshift(line.key);
      for (const _ of line.dashes) path.unshift("[]");
      isItem = line.dashes.length > 0;
      column = isItem ? outer : line.indent;
    } else if (!isItem && line.dashes.length > 0 && line.indent === column && outer < column) {
      // The map that the cursor is in began behind a dash.
      for (const _ of line.dashes) path.unshift("[]");
      isItem = true;
      column = outer;
    }
    if (column === 0 && !isItem) break;
  }
  return { document, path, part, typed, siblings: part === "key" ? siblingsOf(lines, start, end, row, here.indent) : new Set() };
}

function siblingsOf(lines: string[], start: number, end: number, row: number, indent: number): Set<string> {
  const found = new Set<string>();
  const walk = (step: 1 | -1) => {
    for (let index = row + step; index >= start && index < end; index += step) {
      const text = lines[index] ?? "";
      if (isBlank(text)) continue;
      const line = read(text);
      if (line.indent < indent) break;
      if (line.indent === indent) {
        if (step === 1 && line.dashes.length > 0) break;
        if (line.key !== null) found.add(line.key);
        if (step === -1 && line.dashes.length > 0) break;
      }
    }
  };
  if (read(lines[row] ?? "").dashes.length === 0) walk(-1);
  walk(1);
  return found;
}
