// The examples of the repository, taken as they are when the page is built, each with requests worth trying.
import { type Draft, EMPTY_DRAFT, EMPTY_GATEWAY, type File, type Workspace } from "./workspace";

const TEXTS = import.meta.glob<string>("../../../examples/*/*.yaml", { query: "?raw", import: "default", eager: true });

export interface Example {
  name: string;
  files: File[];
  variables: Record<string, string>;
  requests: { name: string; draft: Draft }[];
}

function files(...folders: string[]): File[] {
  return folders.flatMap((folder) =>
    Object.entries(TEXTS)
      .filter(([path]) => path.includes(`/examples/${folder}/`))
      .map(([path, text]) => ({ name: path.split("/").at(-1) ?? path, text })),
  );
}

/** What the example's requests are expected to come to. */
function tests(name: string): File {
  return { name: "scenarios.yaml", text: TEXTS[`../../../examples/scenarios/${name}.yaml`] ?? "" };
}

const MESSAGES = '{"messages":[{"role":"user","content":"Tell me about yourself"}]}';

function chat(host: string, change: Partial<Draft> = {}, ...headers: string[]): Draft {
  return {
    ...EMPTY_DRAFT,
    method: "POST",
    headers: [`host: ${host}`, "content-type: application/json", ...headers].join("\n"),
    body: MESSAGES,
    ...change,
  };
}

function get(host: string, target: string, change: Partial<Draft> = {}, ...headers: string[]): Draft {
  return { ...EMPTY_DRAFT, target, headers: [`host: ${host}`, ...headers].join("\n"), ...change };
}

const model = (name: string, more = "") => ({ body: `{"model":"${name}",${more}"messages":[]}` });
const SEED = { API_KEY: "any", YOUR_LOCAL_IP: "203.0.113.9" };
const ISSUER = "https://login.example.com";

export const EXAMPLES: Example[] = [
  {
    name: "ASM's walk-through",
    files: [...files("seed"), tests("seed")],
    variables: SEED,
    requests: [
      { name: "an alias of the provider", draft: chat("test.com") },
      { name: "the provider's own host", draft: chat("dashscope.aliyuncs.com") },
      { name: "a host without a route", draft: chat("other.example") },
      { name: "the denied address", draft: chat("test.com", { peer: "203.0.113.9" }) },
      { name: "a model of the client's", draft: chat("test.com", model("qwen-max")) },
      { name: "a body that reads two ways", draft: chat("test.com", { body: '{"model":"a","mod\\u0065l":"b"}' }) },
      { name: "no body yet", draft: chat("test.com", { body: "" }) },
    ],
  },
  {
    name: "The demo",
    files: files("demo"),
    variables: { API_KEY: "any" },
    requests: [
      { name: "answered", draft: chat("llm.example", { target: "/v1/chat/completions" }) },
      { name: "a host without a route", draft: chat("unknown.example", { target: "/v1/chat/completions" }) },
      { name: "a denied host", draft: chat("denied.example", { target: "/v1/chat/completions" }) },
    ],
  },
  {
    name: "Routing by model",
    files: [...files("models"), tests("models")],
    variables: { DASHSCOPE_API_KEY: "any", DEEPSEEK_API_KEY: "any" },
    requests: [
      { name: "a small model", draft: chat("llm.example.com", model("qwen-turbo")) },
      { name: "reasoning, streamed", draft: chat("llm.example.com", model("deepseek-reasoner", '"stream":true,')) },
      { name: "reasoning, not streamed", draft: chat("llm.example.com", model("deepseek-reasoner")) },
      { name: "no model", draft: chat("llm.example.com") },
    ],
  },
  {
    name: "VirtualServices",
    files: [...files("routing"), tests("routing")],
    variables: {},
    requests: [
      { name: "rewritten, with retries", draft: get("shop.example.com", "/api/orders?page=2") },
      { name: "by a header", draft: get("shop.example.com", "/api/orders", {}, "x-beta: true") },
      { name: "by weight", draft: get("shop.example.com", "/api/orders", { entropy: "18446744073709551615" }) },
      { name: "a redirect", draft: get("shop.example.com", "/catalogue/shoes?size=40") },
      { name: "a direct response", draft: get("shop.example.com", "/healthz") },
      { name: "a regular expression", draft: get("shop.example.com", "/users/42") },
      { name: "a wildcard host", draft: get("old.example.com", "/x") },
    ],
  },
  {
    name: "Gateway API",
    files: [...files("gateway-api"), tests("gateway-api")],
    variables: {},
    requests: [
      { name: "the longest path wins", draft: get("shop.example.com", "/api/orders?page=2") },
      { name: "more headers win", draft: get("shop.example.com", "/api", {}, "x-preview: true") },
      { name: "a redirect", draft: get("shop.example.com", "/cart") },
      { name: "another namespace", draft: get("accounts.example.com", "/") },
    ],
  },
  {
    name: "Tokens",
    files: [...files("seed", "authentication"), tests("authentication")],
    variables: SEED,
    requests: [
      {
        name: "a user's claims",
        draft: chat("test.com", { ...model("qwen-plus"), claims: `{"iss":"${ISSUER}","aud":"llm-gateway","sub":"ann"}` }, "authorization: Bearer …"),
      },
      {
        name: "a model for research only",
        draft: chat("test.com", { ...model("qwen-max"), claims: `{"iss":"${ISSUER}","aud":"llm-gateway","sub":"ann"}` }, "authorization: Bearer …"),
      },
      {
        name: "the same for a researcher",
        draft: chat(
          "test.com",
          { ...model("qwen-max"), claims: `{"iss":"${ISSUER}","aud":"llm-gateway","sub":"eve","groups":["research"]}` },
          "authorization: Bearer …",
        ),
      },
      { name: "no token", draft: chat("test.com", model("qwen-plus")) },
    ],
  },
  {
    name: "External authorization",
    files: [...files("seed", "external-authorization"), tests("external-authorization")],
    variables: SEED,
    requests: [
      { name: "not answered yet", draft: chat("test.com", {}, "x-team: blue") },
      {
        name: "allowed",
        draft: chat("test.com", { checks: '{"team-authz":{"decision":"allow","setHeaders":[["x-user","ann"]]}}' }, "x-team: blue"),
      },
      { name: "denied", draft: chat("test.com", { checks: '{"team-authz":{"decision":"deny","status":403}}' }, "x-team: blue") },
      { name: "out of reach", draft: chat("test.com", { checks: '{"team-authz":{"decision":"error"}}' }, "x-team: blue") },
    ],
  },
  {
    name: "TLS",
    files: [...files("seed"), ...files("tls").map(({ text }) => ({ name: "tls-gateway.yaml", text }))],
    variables: { ...SEED, TLS_CRT: "any", TLS_KEY: "any" },
    requests: [
      { name: "plain text is sent away", draft: chat("llm.example.com") },
      { name: "over TLS", draft: chat("llm.example.com", { port: "443", sni: "llm.example.com" }) },
      { name: "a name without a server", draft: chat("other.example.com", { port: "443", sni: "other.example.com" }) },
    ],
  },
  {
    name: "A provider of your own",
    files: files("seed", "local-provider"),
    variables: SEED,
    requests: [{ name: "to a local address", draft: chat("test.com") }],
  },
];

export function workspaceOf(example: Example): Workspace {
  return {
    files: example.files.map((file) => ({ ...file })),
    variables: { ...example.variables },
    gateway: { ...EMPTY_GATEWAY },
    draft: { ...(example.requests[0]?.draft ?? EMPTY_DRAFT) },
  };
}
