// The words of a shell's command line, read and written.
import type { FieldValue } from "@lockgate/simulator";

/**
 * Splits as bash does: quotes, backslashes, `$'…'`. Words can be any bytes, so each of their characters is one: see
 * {@link textOf}. Throws with a sentence for people.
 */
export function shellWords(command: string): string[] {
  const text = bytesOf(command);
  const words: string[] = [];
  let word: string | null = null;
  for (let index = 0; index < text.length; index += 1) {
    const c = text[index] ?? "";
    if (/[ \t\r\n]/.test(c)) {
      if (word !== null) words.push(word);
      word = null;
    } else if (c === "\\") {
      const next = text[(index += 1)] ?? "";
      // A backslash at a line's end joins lines.
      if (next === "\r" && text[index + 1] === "\n") index += 1;
      else if (next !== "\n") word = (word ?? "") + next;
    } else if (c === "'") {
      const end = text.indexOf("'", index + 1);
      if (end < 0) throw new Error("a ' is not closed");
      word = (word ?? "") + text.slice(index + 1, end);
      index = end;
    } else if (c === "$" && text[index + 1] === "'") {
      const start = (index += 2);
      for (; text[index] !== "'"; index += text[index] === "\\" ? 2 : 1) {
        if (index >= text.length) throw new Error("a $' is not closed");
      }
      word = (word ?? "") + unescaped(text.slice(start, index));
    } else if (c === '"') {
      word = word ?? "";
      for (index += 1; text[index] !== '"'; index += 1) {
        if (index >= text.length) throw new Error('a " is not closed');
        if (text[index] === "\\" && /["\\$`\n]/.test(text[index + 1] ?? "")) {
          index += 1;
          if (text[index] !== "\n") word += text[index];
        } else word += text[index];
      }
    } else if (c === ";" || c === "|" || c === "&" || c === ">") {
      break;
    } else {
      word = (word ?? "") + c;
    }
  }
  if (word !== null) words.push(word);
  return words;
}

/** What stands within `$'…'`. */
function unescaped(text: string): string {
  const letters: Record<string, string> = { a: "\x07", b: "\b", e: "\x1b", E: "\x1b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v", "\\": "\\", "'": "'", '"': '"', "?": "?" };
  // Several `\u` together, since browsers write characters beyond U+FFFF as two.
  const escape = /((?:\\u[\da-fA-F]{1,4})+)|\\(?:U(0*(?:10|[\da-fA-F])?[\da-fA-F]{1,4})|x([\da-fA-F]{1,2})|([0-7]{1,3})|c([^])|([^]))/g;
  return text.replace(escape, (all: string, units?: string, point?: string, hex?: string, octal?: string, control?: string, letter = "") => {
    if (units !== undefined) return bytesOf(units.replace(/\\u([\da-fA-F]+)/g, (_, unit: string) => String.fromCharCode(parseInt(unit, 16))));
    if (point !== undefined) return bytesOf(String.fromCodePoint(parseInt(point, 16)));
    if (hex !== undefined) return String.fromCharCode(parseInt(hex, 16));
    if (octal !== undefined) return String.fromCharCode(parseInt(octal, 8) & 0xff);
    return control === undefined ? letters[letter] ?? all : String.fromCharCode(control.charCodeAt(0) & 0x1f);
  });
}

/**
 * What does something in the quotes of some shell or to the terminal that it is pasted into, or cannot be seen. In bash
 * `'\''` would do for a quote, but fish and PowerShell read that otherwise, and run what follows; PowerShell takes four
 * more characters for one.
 */
const SPECIAL = /[\p{C}\p{Zl}\p{Zp}!'‘-‛\\]/gu;

/** One word of these pieces, whatever they are, as bash and zsh read it. Throws with a sentence for people. */
export function quote(...pieces: FieldValue[]): string {
  if (pieces.every((piece) => typeof piece === "string")) {
    const text = pieces.join("");
    if (/^[\w.-]+$/.test(text)) return text;
    if (text.search(SPECIAL) < 0) return `'${text}'`;
  }
  const escaped = pieces.map((piece) => (typeof piece === "string" ? piece.replace(SPECIAL, escapedText) : escapedBytes(atob(piece.base64))));
  return `$'${escaped.join("")}'`;
}

function escapedText(character: string): string {
  return { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" }[character] ?? escapedBytes(bytesOf(character));
}

function escapedBytes(bytes: string): string {
  if (bytes.includes("\0")) throw new Error("a NUL byte cannot be in a command");
  return [...bytes].map((byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, "0")}`).join("");
}

/** In UTF-8, each byte as the character of its number. */
function bytesOf(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
}

/** The text of such bytes; `null` when they are no UTF-8. */
export function textOf(bytes: string): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)));
  } catch {
    return null;
  }
}
