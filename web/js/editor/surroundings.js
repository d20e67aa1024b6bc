// What stands around a prompt in the graph: the node that runs it, what is connected there, and the model's file, by which the server tells its family.
import { app } from "../../../../scripts/app.js";

const FILE_WIDGETS = { ckpt_name: "checkpoints", unet_name: "diffusion_models" };
const MOST_STEPS = 50; // from a model back to its loader

const families = new WeakMap(); // node -> the family that its model had in the last run, and the link it came by

const linkOf = (graph, id) => (id == null ? null : graph?.getLink?.(id) ?? graph?.links?.[id] ?? null);
const inputOf = (node, name) => node?.inputs?.find((input) => input.name === name);
export const isLinked = (node, name) => inputOf(node, name)?.link != null;
export const widgetValue = (node, name) => node?.widgets?.find((widget) => widget.name === name)?.value;

function giver(node, name) {
  const link = linkOf(node?.graph, inputOf(node, name)?.link);
  return link ? node.graph.getNodeById(link.origin_id) : null;
}

function takers(node, output) {
  const place = node.outputs?.findIndex((one) => one.name === output || one.type === output) ?? -1;
  const links = node.outputs?.[place]?.links ?? [];
  return links.map((id) => linkOf(node.graph, id)).filter(Boolean).map((link) => node.graph.getNodeById(link.target_id));
}

// The node that runs a prompt: its own, or the one that its request goes to.
export function runner(node) {
  if (inputOf(node, "model")) return node;
  return takers(node, "ASTRIA_REQUEST").find((one) => inputOf(one, "model")) ?? node;
}

// The node in which the prompt of `node` stands: another where its request comes over a link.
export function writer(node) {
  const other = widgetValue(node, "text")?.trim() ? null : giver(node, "request");
  return other && other.widgets?.some((widget) => widget.name === "text") ? other : node;
}

function modelFile(node) {
  for (let steps = 0; node && steps < MOST_STEPS; steps++) {
    for (const [name, folder] of Object.entries(FILE_WIDGETS)) {
      const file = widgetValue(node, name);
      if (typeof file === "string" && !isLinked(node, name)) return `${folder}/${file}`;
    }
    const next = node.inputs?.find((input) => input.type === "MODEL" && input.link != null);
    node = next ? giver(node, next.name) : null;
  }
  return "";
}

// What the server is told of a prompt in `node`. `models` chooses: "", "base:ID" or "family:NAME".
export function surroundings(node, models = "") {
  const [kind, name] = models.split(":");
  const runs = runner(node);
  const gathered = giver(runs, "models");
  const linked = (one) => (one?.inputs ?? []).filter((input) => input.link != null).map((input) => input.name);
  const asked = { sockets: [...linked(runs), ...linked(gathered)].join(" ") };
  const missing = widgetValue(runs, "missing_models");
  if (missing) asked.missing_models = String(missing);
  const bindings = widgetValue(gathered, "bindings");
  if (bindings) asked.bindings = String(bindings);
  if (kind) return { ...asked, [kind]: name };
  if (!isLinked(runs, "model")) return asked;
  const model = modelFile(giver(runs, "model"));
  if (model) asked.model = model;
  const known = families.get(runs);
  if (known?.link === inputOf(runs, "model").link) asked.last_family = known.family;
  return asked;
}

// A run has told the family of a node's model; it holds while the model's link is the same.
export function rememberFamily(node, family) {
  families.set(node, { family, link: inputOf(node, "model")?.link });
}
