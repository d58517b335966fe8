// Places in files: what the engine calls `file:line:column`, columns in characters from 1.

export interface Place {
  file: string;
  line: number;
  column: number;
}

/** Reads `file:line:column`; the file's name may hold colons. */
export function parsePlace(at: string): Place | null {
  const found = /^(.*):(\d+):(\d+)$/s.exec(at);
  if (found === null) return null;
  return { file: found[1] ?? "", line: Number(found[2]), column: Number(found[3]) };
}

/** Offset in the line (in UTF-16, as JavaScript counts) of a column in characters. */
export function offsetOf(line: string, column: number): number {
  let offset = 0;
  for (const character of line) {
    if ((column -= 1) < 1) break;
    offset += character.length;
  }
  return offset;
}

/** The last line (from 1) of the block that begins there: what is indented as far, up to the next item or key outside. */
export function lastLineOfBlock(lines: string[], line: number, column: number): number {
  let last = line;
  for (let index = line; index < lines.length; index += 1) {
    const text = lines[index] ?? "";
    const trimmed = text.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    if (text.length - text.trimStart().length < column - 1) break;
    last = index + 1;
  }
  return last;
}

/** The word by which a failed field is found in its block: `headers[host]` is where `host` stands. */
export function wordOfField(field: string): string {
  const inner = /\[@?([^[\]]+)\]$/.exec(field);
  return inner?.[1] ?? field.split(".").at(-1) ?? field;
}
