// Packs what the page is made of, so that the gateway need not: `NAME.gz` beside each file that gets smaller.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const PAGE = fileURLToPath(new URL("dist/page/", import.meta.url));

const files = readdirSync(PAGE, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
for (const file of files.map((entry) => join(entry.parentPath ?? entry.path, entry.name))) {
  const content = readFileSync(file);
  const packed = gzipSync(content, { level: 9 });
  if (packed.length < content.length * 0.9) writeFileSync(`${file}.gz`, packed);
}
