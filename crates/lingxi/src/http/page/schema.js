// Reads an OpenAPI 3.1 document. In: the document and a schema in it; out: what fits there, in a few words, as rows or as an
// example. What is unknown is left out, never refused: the page shows any document.

/** Follows $ref; a name that leads nowhere or back to itself, and "anything", are empty schemas. */
export function resolve(doc, node) {
  for (let hops = 0; node?.$ref && hops < 9; hops++) {
    const steps = node.$ref.split("/").slice(1).map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
    node = steps.reduce((at, step) => at?.[step], doc);
  }
  return typeof node === "object" && node && !node.$ref ? node : {};
}

const named = (schema) => schema?.$ref?.split("/").at(-1);
const choices = (schema) => schema.oneOf ?? schema.anyOf;
const isNull = (schema) => schema.type === "null";
const types = (schema) => [schema.type ?? (schema.properties ? "object" : [])].flat();

/** A schema with the members of allOf taken in. */
function whole(doc, schema) {
  const own = resolve(doc, schema);
  return (own.allOf ?? []).map((part) => whole(doc, part)).reduce(
    (sum, part) => ({ ...sum, ...part, properties: { ...sum.properties, ...part.properties }, required: [...(sum.required ?? []), ...(part.required ?? [])] }), own);
}

/** What fits, in a few words: "array of Feedback, at most 10000 items". */
export function said(doc, schema, depth = 0) {
  const own = whole(doc, schema);
  if (depth > 4) return named(schema) ?? "…";
  if ("const" in own) return JSON.stringify(own.const);
  if (own.enum) return own.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (choices(own)) return choices(own).map((part) => said(doc, part, depth + 1)).join(" | ");
  const kinds = types(own).map((type) => {
    if (type === "array") return `array of ${said(doc, own.items, depth + 1) || "anything"}`;
    if (type !== "object") return type;
    const open = typeof own.additionalProperties === "object" && !own.properties;
    return named(schema) ?? (open ? `object of ${said(doc, own.additionalProperties, depth + 1)}` : type);
  });
  return [kinds.join(" | "), own.format, ...limits(own)].filter(Boolean).join(", ");
}

function limits(schema) {
  const range = (low, high, unit) =>
    low != null && high != null ? `${low} to ${high}${unit}` : low != null ? `at least ${low}${unit}` : high != null && `at most ${high}${unit}`;
  const bytes = types(schema).includes("string") ? " characters" : "";
  return [
    range(schema.minimum, schema.maximum, ""),
    schema.exclusiveMinimum != null && `above ${schema.exclusiveMinimum}`,
    schema.exclusiveMaximum != null && `below ${schema.exclusiveMaximum}`,
    range(schema.minLength, schema.maxLength, bytes),
    range(schema.minItems, schema.maxItems, " items"),
    schema.pattern && `like ${schema.pattern}`,
    schema.default !== undefined && schema.default !== null && `default ${JSON.stringify(schema.default)}`,
  ];
}

/** The fields below a schema: `[{name, required, said, about, fields}]`; a schema inside itself is not opened again. */
export function fields(doc, schema, above = []) {
  const own = whole(doc, schema);
  const name = named(schema);
  if (above.length > 6 || (name && above.includes(name))) return [];
  const below = [...above, name];
  const inner = own.items ?? (choices(own) ? null : own.additionalProperties);
  const rows = Object.entries(own.properties ?? {}).map(([field, part]) => ({
    name: field,
    required: own.required?.includes(field) ?? false,
    said: said(doc, part),
    about: part.description ?? resolve(doc, part).description,
    fields: fields(doc, part, below),
  }));
  const more = (choices(own) ?? []).filter((part) => !isNull(part)).flatMap((part) => fields(doc, part, below));
  return [...rows, ...more, ...(typeof inner === "object" && inner ? fields(doc, inner, below) : [])];
}

/** A value that fits, with the required fields only; what the document gives as an example or default comes first. */
export function example(doc, schema, depth = 0) {
  const own = whole(doc, schema);
  const given = own.example ?? own.examples?.[0] ?? own.default ?? own.const ?? own.enum?.[0];
  if (given != null) return given;
  const choice = choices(own)?.find((part) => !isNull(part));
  if (choice) return example(doc, choice, depth + 1);
  const type = types(own).find((type) => type !== "null");
  if (type === "array") return depth > 5 ? [] : [example(doc, own.items, depth + 1)];
  if (type === "object") {
    const asked = Object.entries(own.properties ?? {}).filter(([name]) => own.required?.includes(name));
    return depth > 5 ? {} : Object.fromEntries(asked.map(([name, part]) => [name, example(doc, part, depth + 1)]));
  }
  if (type === "integer" || type === "number") return own.minimum ?? 1;
  return type === "boolean" ? false : own.format === "date-time" ? new Date().toISOString() : "text";
}
