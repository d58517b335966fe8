// Completion from the JSON schema that `lockgate schema` prints.
import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { type Spot, spotAt } from "./yaml-path";

interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  type?: string;
  description?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  anyOf?: Schema[];
  allOf?: Schema[];
  not?: Schema;
  enum?: string[];
  const?: string;
  required?: string[];
}

let loading: Promise<Schema> | undefined;

/** Loaded when it is first wanted: the verdict does not need it. */
function load(): Promise<Schema> {
  loading ??= import("../generated/schema.json").then((module) => module.default as unknown as Schema);
  return loading;
}

export async function complete(context: CompletionContext): Promise<CompletionResult | null> {
  const line = context.state.doc.lineAt(context.pos);
  const before = line.text.slice(0, context.pos - line.from);
  const spot = spotAt(context.state.doc.toString().split("\n"), line.number - 1, before);
  if (spot === null || (spot.typed === "" && !context.explicit && spot.part === "key")) return null;
  const root = await load();
  const options = optionsAt(root, spot);
  if (options.length === 0) return null;
  return { from: context.pos - spot.typed.length, options, validFor: /^[\w./-]*$/ };
}

export function optionsAt(root: Schema, spot: Spot): Completion[] {
  const value = (name: string) => {
    const found = spot.document.map((line) => new RegExp(`^${name}:\\s*["']?([^\\s"'#]+)`).exec(line)?.[1]);
    return found.find((text) => text !== undefined);
  };
  const kind = value("kind");
  const apiVersion = value("apiVersion");
  if (spot.path.length === 1 && spot.part === "value" && spot.path[0] === "kind") {
    const kinds = variants(root, root.properties?.["kind"] ?? {}).flatMap((one) => one.enum ?? []);
    return words(kinds, (word) => root.$defs?.[word]?.description);
  }
  if (spot.path.length === 1 && spot.part === "value" && spot.path[0] === "apiVersion" && kind === undefined) {
    const all = Object.values(root.$defs ?? {}).flatMap((one) => one.properties?.["apiVersion"]?.enum ?? []);
    return words([...new Set(all)], () => undefined);
  }
  let schema = ofKind(root, kind, apiVersion);
  if (schema === undefined) {
    return spot.path.length === 0 && spot.part === "key" ? keys(root, root, spot.siblings) : [];
  }
  for (const step of spot.path) {
    const inner: Schema | undefined = step === "[]" ? listOf(root, schema) : fieldOf(root, schema, step);
    if (inner === undefined) return [];
    schema = inner;
  }
  if (spot.part === "key") {
    // Below a list whose first item is not begun, what is typed is no key yet.
    return keys(root, resolve(root, schema), spot.siblings);
  }
  return values(root, schema);
}

function ofKind(root: Schema, kind: string | undefined, apiVersion: string | undefined): Schema | undefined {
  if (kind === undefined) return undefined;
  const group = apiVersion?.split("/")[0] ?? "";
  return root.$defs?.[`${kind}.${group}`] ?? root.$defs?.[kind];
}

function resolve(root: Schema, schema: Schema): Schema {
  const name = schema.$ref?.replace("#/$defs/", "");
  return name === undefined ? schema : { ...root.$defs?.[name], ...schema };
}

/** The schema and those it may be instead, without that of a variable. */
function variants(root: Schema, schema: Schema): Schema[] {
  const whole = resolve(root, schema);
  return [whole, ...[...(whole.anyOf ?? []), ...(whole.allOf ?? [])].map((one) => resolve(root, one))];
}

function fieldOf(root: Schema, schema: Schema, name: string): Schema | undefined {
  for (const one of variants(root, schema)) {
    const found = one.properties?.[name] ?? (typeof one.additionalProperties === "object" ? one.additionalProperties : undefined);
    if (found !== undefined) return found;
  }
  return undefined;
}

function listOf(root: Schema, schema: Schema): Schema | undefined {
  return variants(root, schema).find((one) => one.items !== undefined)?.items;
}

/** A field that is known and not supported has a schema that nothing fits. */
const isSupported = (schema: Schema) => schema.not === undefined || Object.keys(schema.not).length > 0;

function keys(root: Schema, schema: Schema, taken: Set<string>): Completion[] {
  const options: Completion[] = [];
  for (const one of variants(root, schema)) {
    for (const [name, field] of Object.entries(one.properties ?? {})) {
      if (taken.has(name) || !isSupported(field)) continue;
      const holds = variants(root, field);
      const isMap = holds.some((inner) => inner.properties !== undefined || inner.type === "object");
      const isList = holds.some((inner) => inner.items !== undefined);
      options.push({
        label: name,
        type: "property",
        apply: isMap || isList ? `${name}:` : `${name}: `,
        detail: isList ? "list" : isMap ? "fields" : "",
        boost: one.required?.includes(name) === true ? 1 : 0,
        ...(field.description === undefined ? {} : { info: field.description }),
      });
    }
  }
  return options;
}

function values(root: Schema, schema: Schema): Completion[] {
  const all = variants(root, schema).flatMap((one) => {
    if (one.enum !== undefined) return one.enum;
    if (one.const !== undefined) return [one.const];
    return one.type === "boolean" ? ["true", "false"] : [];
  });
  return words([...new Set(all.map(String))], () => undefined);
}

function words(texts: string[], info: (text: string) => string | undefined): Completion[] {
  return texts.map((label) => {
    const said = info(label);
    return { label, type: "enum", ...(said === undefined ? {} : { info: said }) };
  });
}
