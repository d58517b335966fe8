// Plain data as YAML in block style, as people write resources.

export function writeYaml(value: unknown): string {
  return isEmpty(value) ? `${inline(value)}\n` : block(value, 0);
}

function block(value: unknown, indent: number): string {
  const pad = " ".repeat(indent);
  if (Array.isArray(value)) {
    return value.map((item) => {
      if (isEmpty(item)) return `${pad}- ${inline(item)}\n`;
      // The first line of the item stands behind the dash.
      return `${pad}- ${block(item, indent + 2).slice(indent + 2)}`;
    }).join("");
  }
  return Object.entries(value as Record<string, unknown>).map(([key, inner]) => {
    const name = `${pad}${scalar(key)}:`;
    if (typeof inner === "string" && isLiteral(inner)) {
      const lines = inner.replace(/\n$/, "").split("\n").map((line) => (line === "" ? "" : `${pad}  ${line}`));
      return `${name} |${inner.endsWith("\n") ? "" : "-"}\n${lines.join("\n")}\n`;
    }
    if (isEmpty(inner)) return `${name} ${inline(inner)}\n`;
    return `${name}\n${block(inner, Array.isArray(inner) ? indent : indent + 2)}`;
  }).join("");
}

/** What has no block of its own: scalars, `{}` and `[]`. */
function isEmpty(value: unknown): boolean {
  return typeof value !== "object" || value === null || Object.keys(value).length === 0;
}

function inline(value: unknown): string {
  if (Array.isArray(value)) return "[]";
  if (typeof value === "object" && value !== null) return "{}";
  return typeof value === "string" ? scalar(value) : String(value);
}

/** Lines that a literal block keeps as they are. */
function isLiteral(text: string): boolean {
  const lines = text.replace(/\n$/, "").split("\n");
  const isKept = (line: string) => !/\s$/.test(line) && /^[ -~\u00a0-\ud7ff]*$/.test(line);
  return lines.length > 1 && !/^\s|^$/.test(lines[0] ?? "") && lines.at(-1) !== "" && lines.every(isKept);
}

/** Without quotes only what no reader of YAML takes for anything but this text. */
function scalar(text: string): string {
  const isPlain = /^[A-Za-z/$_.][A-Za-z0-9 /._@+=~^-]*$|^\$\{[A-Za-z_][A-Za-z0-9_]*\}$/.test(text)
    && !text.endsWith(" ")
    && !/^(?:true|false|yes|no|on|off|y|n|null|~)$/i.test(text)
    && !/^[-+.]?[0-9]|^\.(?:inf|nan)$/i.test(text);
  return isPlain ? text : JSON.stringify(text);
}
