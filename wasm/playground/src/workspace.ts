// What a person works on: files, the gateway they are for, and one request. All of it goes into a share link.
import type { FieldValue, Options, SimulatedRequest } from "@lockgate/simulator";
import type { Configuration } from "./protocol";

export interface File {
  name: string;
  text: string;
}

/** The request as it is typed. */
export interface Draft {
  method: string;
  target: string;
  /** `:authority` of HTTP/2. */
  authority: string;
  protocol: string;
  /** `name: value`, one a line; a value that is no UTF-8 as `{"base64": "…"}`. */
  headers: string;
  body: string;
  bodyError: string;
  peer: string;
  port: string;
  /** {@link NO_SERVER_NAME} for none. */
  sni: string;
  proxied: string;
  destinationIp: string;
  destinationPort: string;
  /** One a line. */
  peerUris: string;
  peerCert: string;
  /** JSON. */
  claims: string;
  tokenError: string;
  /** JSON. */
  checks: string;
  entropy: string;
}

/** The gateway as it is typed; empty is the default. */
export interface Gateway {
  namespace: string;
  rootNamespace: string;
  /** `name=value`, separated by commas. */
  labels: string;
  /** Kinds to leave out, separated by commas. */
  ignoreKinds: string;
}

export interface Workspace {
  files: File[];
  variables: Record<string, string>;
  gateway: Gateway;
  draft: Draft;
}

/** What a client's server name is written as that asks for none. */
export const NO_SERVER_NAME = "-";

export const EMPTY_DRAFT: Draft = {
  method: "GET",
  target: "/",
  authority: "",
  protocol: "",
  headers: "",
  body: "",
  bodyError: "",
  peer: "198.51.100.7",
  port: "80",
  sni: "",
  proxied: "",
  destinationIp: "",
  destinationPort: "",
  peerUris: "",
  peerCert: "",
  claims: "",
  tokenError: "",
  checks: "",
  entropy: "",
};

export const EMPTY_GATEWAY: Gateway = { namespace: "", rootNamespace: "", labels: "", ignoreKinds: "" };

/** Names of the variables that the files are written with, in their order. */
export function variablesOf(files: File[]): string[] {
  const names = new Set<string>();
  for (const { text } of files) {
    for (const [, dollars = "", name = ""] of text.matchAll(/(\$+)\{([A-Za-z_][A-Za-z0-9_]*)\}/g)) {
      // `$${` is a literal `${`.
      if (dollars.length === 1) names.add(name);
    }
  }
  return [...names];
}

export function configurationOf({ files, variables, gateway }: Workspace): Configuration {
  const options: Options = {
    // A variable without a value is one that is not set.
    env: Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== "")),
  };
  const words = (text: string) => text.split(",").map((word) => word.trim()).filter((word) => word !== "");
  if (gateway.namespace.trim() !== "") options.namespace = gateway.namespace.trim();
  if (gateway.rootNamespace.trim() !== "") options.rootNamespace = gateway.rootNamespace.trim();
  if (gateway.labels.trim() !== "") options.labels = labelsOf(words(gateway.labels));
  if (gateway.ignoreKinds.trim() !== "") options.ignoreKinds = words(gateway.ignoreKinds);
  return { files: Object.fromEntries(files.map(({ name, text }) => [name, text])), options };
}

function labelsOf(words: string[]): Record<string, string> {
  return Object.fromEntries(words.map((word) => {
    const [name = "", ...value] = word.split("=");
    return [name.trim(), value.join("=").trim()];
  }));
}

export type Problems = Partial<Record<keyof Draft, string>>;

/** The request that the draft describes, or what is wrong with the draft. */
export function requestOf(draft: Draft): { request: SimulatedRequest } | { problems: Problems } {
  const problems: Problems = {};
  const request: SimulatedRequest = { method: draft.method.trim(), url: draft.target.trim() };
  if (request.method === "") problems.method = "a method, such as GET";
  if (!request.url.startsWith("/") && request.url !== "*") problems.target = "a path that begins with /";
  request.headers = headersOf(draft.headers, problems);
  if (draft.body !== "") request.body = draft.body;
  const address = (name: "peer" | "proxied" | "destinationIp") => {
    const value = draft[name].trim();
    if (value === "") return;
    if (!isAddress(value)) problems[name] = "an IP address";
    request[name] = value;
  };
  (["peer", "proxied", "destinationIp"] as const).forEach(address);
  const text = (name: "authority" | "protocol" | "sni" | "peerCert" | "tokenError" | "bodyError") => {
    const value = draft[name].trim();
    if (value !== "") request[name] = name === "sni" && value === NO_SERVER_NAME ? "" : value;
  };
  (["authority", "protocol", "sni", "peerCert", "tokenError", "bodyError"] as const).forEach(text);
  const port = (name: "port" | "destinationPort") => {
    const value = draft[name].trim();
    if (value === "") return;
    if (!/^\d{1,5}$/.test(value) || Number(value) > 65535) problems[name] = "a port, from 0 to 65535";
    else request[name] = Number(value);
  };
  (["port", "destinationPort"] as const).forEach(port);
  const entropy = draft.entropy.trim();
  if (entropy !== "") {
    if (!/^\d{1,20}$/.test(entropy) || BigInt(entropy) > 0xffff_ffff_ffff_ffffn) problems.entropy = "a whole number of at most 64 bits";
    else request.entropy = BigInt(entropy);
  }
  const uris = draft.peerUris.split("\n").map((uri) => uri.trim()).filter((uri) => uri !== "");
  if (uris.length > 0) request.peerUris = uris;
  const object = (name: "claims" | "checks") => {
    const value = draft[name].trim();
    if (value === "") return;
    try {
      const parsed: unknown = JSON.parse(value);
      if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) problems[name] = "a JSON object";
      else Object.assign(request, { [name]: parsed });
    } catch (error) {
      problems[name] = `a JSON object (${error instanceof Error ? error.message : String(error)})`;
    }
  };
  (["claims", "checks"] as const).forEach(object);
  return Object.keys(problems).length > 0 ? { problems } : { request };
}

/** The header fields that are typed. */
export function headersOf(text: string, problems: Problems): [string, FieldValue][] {
  const headers: [string, FieldValue][] = [];
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const colon = line.indexOf(":");
    if (colon < 1) {
      problems.headers ??= `name: value in every line; this one has no colon: ${line.trim()}`;
      continue;
    }
    headers.push([line.slice(0, colon).trim(), valueOf(line.slice(colon + 1).trim())]);
  }
  return headers;
}

/** A header field's value as it is typed. */
export const typed = (value: FieldValue) => (typeof value === "string" ? value : JSON.stringify(value));

export function valueOf(text: string): FieldValue {
  const base64 = /^\{ *"base64" *: *"((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?)" *\}$/.exec(text)?.[1];
  return base64 === undefined ? text : { base64 };
}

/** Roughly: the engine says exactly. */
function isAddress(text: string): boolean {
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(text) || (text.includes(":") && /^[0-9a-fA-F:.]+$/.test(text));
}
