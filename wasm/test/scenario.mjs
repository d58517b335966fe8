// ASM's walk-through, run against the simulator: the same calls in Node and in a browser.

/** What the seed's files take from the environment. */
export const ENV = { API_KEY: "sk-secret-of-the-provider", YOUR_LOCAL_IP: "203.0.113.9" };

const BODY = '{"messages":[{"role":"user","content":"Tell me about yourself"}]}';

/** A chat request as the walk-through's `curl` sends it. */
export function chat(host, change = {}) {
  const headers = [["host", host], ["content-type", "application/json"], ...(change.headers ?? [])];
  return { method: "POST", url: "/", peer: "198.51.100.7", body: BODY, ...change, headers };
}

export const REQUESTS = {
  alias: chat("test.com"),
  aliasWithPort: chat("TEST.com:80"),
  provider: chat("dashscope.aliyuncs.com"),
  otherHost: chat("other.example"),
  denied: chat("test.com", { peer: ENV.YOUR_LOCAL_IP }),
  deniedMapped: chat("test.com", { peer: `::ffff:${ENV.YOUR_LOCAL_IP}` }),
  ownModel: chat("test.com", { body: '{"model":"mine","messages":[]}' }),
  modelTwice: chat("test.com", { body: '{"model":"a","mod\\u0065l":"b"}' }),
  notJson: chat("test.com", { body: "model=a" }),
  unreadBody: chat("test.com", { body: undefined }),
  get: chat("test.com", { method: "GET" }),
  twoHosts: chat("test.com", { headers: [["Host", "dashscope.aliyuncs.com"]] }),
  ownKey: chat("test.com", { headers: [["authorization", "Bearer of-the-client"]] }),
};

/** Everything the simulator says about every request. */
export function scenario({ Simulator, build }, files) {
  const simulator = new Simulator(files, { env: ENV });
  try {
    const { diagnostics, snapshot } = simulator;
    const answers = Object.entries(REQUESTS).map(([name, request]) => [
      name,
      { verdict: simulator.decide(request), explanation: simulator.explain(request), text: simulator.explainText(request) },
    ]);
    return { build: build(), diagnostics, snapshot, answers: Object.fromEntries(answers) };
  } finally {
    simulator.free();
  }
}
