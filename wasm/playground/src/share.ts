// A link that holds everything: JSON, deflated, in base64url, behind the `#` that no browser sends anywhere.
import { EMPTY_DRAFT, EMPTY_GATEWAY, type Workspace } from "./workspace";

/** Characters of a link: longer ones are cut by mail programs and chats. */
export const LINK_CHARACTERS_MAX = 64_000;

/** Bytes of what a link unpacks to: a few hundred characters can unpack to gigabytes. */
export const UNPACKED_BYTES_MAX = 2_000_000;

const PREFIX = "#1.";

export async function writeLink(workspace: Workspace): Promise<string> {
  const packed = await bytesOf(
    new Blob([JSON.stringify(workspace)]).stream().pipeThrough(new CompressionStream("deflate-raw")),
    Number.MAX_SAFE_INTEGER,
  );
  let binary = "";
  for (const byte of packed) binary += String.fromCharCode(byte);
  const link = PREFIX + btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  if (link.length > LINK_CHARACTERS_MAX) {
    throw new Error(`a link would have ${link.length.toLocaleString("en")} characters, and at most ${LINK_CHARACTERS_MAX.toLocaleString("en")} travel safely`);
  }
  return link;
}

export const isLink = (hash: string) => hash.startsWith(PREFIX);

/** What a link holds. Throws with a sentence for people. */
export async function readLink(hash: string): Promise<Workspace> {
  if (hash.length > LINK_CHARACTERS_MAX) throw new Error("the link is too long");
  let json: string;
  try {
    const binary = atob(hash.slice(PREFIX.length).replaceAll("-", "+").replaceAll("_", "/"));
    const packed = Uint8Array.from(binary, (character) => character.charCodeAt(0));
    const unpacked = await bytesOf(
      new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw")),
      UNPACKED_BYTES_MAX,
    );
    json = new TextDecoder("utf-8", { fatal: true }).decode(unpacked);
  } catch (error) {
    if (error instanceof TooLong) throw error;
    throw new Error("the link is damaged or cut off");
  }
  return checked(JSON.parse(json));
}

class TooLong extends Error {}

async function bytesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>, max: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > max) {
      void reader.cancel();
      throw new TooLong("the link unpacks to more than this page takes");
    }
    chunks.push(value);
  }
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** Anybody can write a link: only texts of known names are taken from it. */
function checked(value: unknown): Workspace {
  const object = (value: unknown) => (typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {});
  const texts = <T extends object>(empty: T, from: unknown): T => {
    const given = object(from);
    const known = Object.entries(empty).map(([name, text]) => [name, typeof given[name] === "string" ? given[name] : text]);
    return Object.fromEntries(known) as T;
  };
  const { files, variables, gateway, draft } = object(value);
  const taken = (Array.isArray(files) ? files : []).map((file) => texts({ name: "", text: "" }, file));
  const byName = new Map(taken.filter(({ name }) => name !== "").map((file) => [file.name, file]));
  if (byName.size === 0) throw new Error("the link holds no files");
  const entries = Object.entries(object(variables)).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return {
    files: [...byName.values()],
    variables: Object.fromEntries(entries),
    gateway: texts(EMPTY_GATEWAY, gateway),
    draft: texts(EMPTY_DRAFT, draft),
  };
}
