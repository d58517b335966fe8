// The words of a shell's command line.

/** Splits as a POSIX shell does: quotes, backslashes, `$'…'`. */
export function shellWords(text: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  for (let index = 0; index < text.length; index += 1) {
    const c = text[index] ?? "";
    if (/\s/.test(c)) {
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
      word = word ?? "";
      for (index += 2; text[index] !== "'"; index += 1) {
        if (index >= text.length) throw new Error("a $' is not closed");
        if (text[index] !== "\\") {
          word += text[index];
          continue;
        }
        const code = text[(index += 1)] ?? "";
        const escape = { n: "\n", t: "\t", r: "\r" }[code];
        const unicode = code === "u" ? /^[0-9a-fA-F]{1,4}/.exec(text.slice(index + 1))?.[0] : undefined;
        if (unicode !== undefined) index += unicode.length;
        word += unicode === undefined ? escape ?? code : String.fromCharCode(parseInt(unicode, 16));
      }
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
