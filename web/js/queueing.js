// Runs a part of the graph: one node with what it needs.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { text } from "./texts.js";

const isLink = (value) => Array.isArray(value) && value.length === 2 && typeof value[0] === "string";

// The graph as the editor would queue it, and the node's id there, which is a path in a subgraph.
export async function queued(node) {
  const { output, workflow } = await app.graphToPrompt();
  const id = Object.keys(output).find((one) => one === String(node.id) || one.endsWith(`:${node.id}`));
  if (!id) throw new Error(text("acts.not_queued"));
  return { output, workflow, id };
}

function needed(output, id, found = {}) {
  if (found[id] || !output[id]) return found;
  found[id] = output[id];
  for (const value of Object.values(output[id].inputs)) if (isLink(value)) needed(output, value[0], found);
  return found;
}

// Runs `node` and what it needs, with the nodes that `more(id)` adds: the host runs only what an output node asks for.
export async function runAlone(node, more) {
  const { output, workflow, id } = await queued(node);
  await api.queuePrompt(0, { output: { ...needed(output, id), ...more(id) }, workflow });
}
