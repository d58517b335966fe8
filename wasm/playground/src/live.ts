// The gateway that serves this page, if one does: what it runs, as far as it shows it.
import { EMPTY_GATEWAY, type File, type Workspace } from "./workspace";
import { writeYaml } from "./yaml-write";

/** `/playground/live.json`. */
export interface LiveConfiguration {
  snapshot: string;
  version: string;
  namespace: string;
  rootNamespace: string;
  labels: Record<string, string>;
  files: { name: string; resources: string[] }[];
  /** A secret's variable has something as good as its value. */
  variables: { name: string; value: string; isSecret: boolean }[];
  /** Resources with values that the gateway does not show although its snapshot has them. */
  withheld: string[];
}

/** `null` where no gateway serves the page. */
export async function fetchLive(): Promise<LiveConfiguration | null> {
  try {
    const response = await fetch("./live.json", { cache: "no-store" });
    return response.ok ? ((await response.json()) as LiveConfiguration | null) : null;
  } catch {
    return null;
  }
}

/** The gateway's configuration with the request that is there. */
export function workspaceOf(live: LiveConfiguration, draft: Workspace["draft"]): Workspace {
  const labels = Object.entries(live.labels).map(([name, value]) => `${name}=${value}`);
  return {
    files: filesOf(live),
    variables: Object.fromEntries(live.variables.map(({ name, value }) => [name, value])),
    gateway: { ...EMPTY_GATEWAY, namespace: live.namespace, rootNamespace: live.rootNamespace, labels: labels.join(",") },
    draft,
  };
}

function filesOf({ files }: LiveConfiguration): File[] {
  const kept = files.filter(({ resources }) => resources.length > 0);
  const names = shortNames(kept.map(({ name }) => name));
  return kept.map(({ resources }, index) => ({
    name: names[index] ?? `${index}.yaml`,
    text: resources.map((resource) => writeYaml(JSON.parse(resource))).join("---\n"),
  }));
}

/** Names without the folders that all share, in the order of loading: the simulator loads in the order of names. */
export function shortNames(names: string[]): string[] {
  const parts = names.map((name) => name.split("/"));
  const first = parts[0] ?? [];
  let shared = 0;
  while (shared < first.length - 1 && parts.every((part) => part.length - 1 > shared && part[shared] === first[shared])) shared += 1;
  const short = parts.map((part) => part.slice(shared).join("/"));
  const isSorted = short.every((name, index) => index === 0 || (short[index - 1] ?? "") < name);
  const digits = String(short.length).length;
  return isSorted ? short : short.map((name, index) => `${String(index + 1).padStart(digits, "0")}-${name}`);
}
