// When a run fails in one of the pack's nodes, the node itself says why, with the line and the caret of the prompt, until the next run starts.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { bindButtons, showBinding } from "./binding_buttons.js";
import { text } from "./texts.js";

const NAME = "run_error";
const HEIGHT = 90;
const ERROR_STYLE = { color: "light-dark(#801b16, #ff9b9b)", outline: "1px solid #d64545", outlineOffset: "-1px" };

const shown = new Set(); // what takes each message away again
let runs = 0;

// An id is a path through subgraphs: "12:5".
function nodeAt(id) {
  let graph = app.rootGraph ?? app.graph;
  let node = null;
  for (const part of String(id).split(":")) {
    node = graph?.getNodeById(Number(part)) ?? graph?.getNodeById(part);
    graph = node?.subgraph;
  }
  return node;
}

// Prose is wrapped; with a caret, which stands under its place, each line stays one.
const wrapOf = (text) => (/^\s*\^+$/m.test(text) ? "off" : "soft");

function inReport(report, error) {
  const box = report.told;
  const before = Object.fromEntries(Object.keys(ERROR_STYLE).map((name) => [name, box.style[name]]));
  const { wrap } = box;
  report.tell(error);
  box.wrap = wrapOf(error);
  Object.assign(box.style, ERROR_STYLE);
  box.setAttribute("role", "alert");
  return () => {
    if (box.value === error) report.tell("");
    Object.assign(box.style, before);
    box.wrap = wrap;
    box.removeAttribute("role");
  };
}

function inBox(node, error, size) {
  const box = document.createElement("textarea");
  box.readOnly = true;
  box.wrap = wrapOf(error);
  box.value = error;
  box.setAttribute("role", "alert");
  box.setAttribute("aria-label", text("report.error"));
  Object.assign(box.style, {
    flex: "1 1 0",
    width: "100%",
    minHeight: "0",
    resize: "none",
    boxSizing: "border-box",
    border: "none",
    padding: "6px",
    font: "11px monospace",
    background: "var(--comfy-input-bg)",
    ...ERROR_STYLE,
  });
  const root = document.createElement("div");
  Object.assign(root.style, { display: "flex", flexDirection: "column", width: "100%", height: "100%", minHeight: `${HEIGHT}px` });
  const buttons = bindButtons();
  showBinding(buttons, error);
  root.append(box, buttons);
  const widget = node.addDOMWidget(NAME, "ASTRIA_RUN_ERROR", root, { serialize: false, hideOnZoom: false, getMinHeight: () => HEIGHT, getValue: () => error, setValue: () => {} });
  widget.serialize = false; // keeps it out of widgets_values as well
  Object.defineProperty(widget, "width", { get: () => undefined, set: () => {} }); // see hosting.js
  node.setSize([Math.max(size[0], node.computeSize()[0]), Math.max(size[1] + HEIGHT, node.computeSize()[1])]);
  return () => {
    if (!node.widgets?.includes(widget)) return;
    node.removeWidget(widget);
    node.setSize(size);
  };
}

// The id of the workflow that a run was queued from: an error names its run only, and ComfyUI keeps the rest with that, while it runs and after.
async function queuedFrom(run) {
  const { queue_running } = await (await api.fetchApi("/queue")).json();
  const entry = queue_running.find(([, id]) => id === run) ?? (await (await api.fetchApi(`/history/${run}`)).json())[run]?.prompt;
  return entry?.[3]?.extra_pnginfo?.workflow?.id;
}

async function show({ prompt_id, node_id, node_type, exception_message }) {
  const error = exception_message?.trim();
  if (!error || !node_type?.startsWith("Astria")) return;
  const node = nodeAt(node_id);
  if (node?.comfyClass !== node_type) return;
  const size = [...node.size]; // before the editor marks the node
  const run = runs;
  const workflow = await queuedFrom(prompt_id);
  // Another workflow may be open, with a node of the same number.
  if (run !== runs || workflow !== (app.rootGraph ?? app.graph).id || node !== nodeAt(node_id)) return;
  const report = node.widgets?.find((widget) => widget.name === "report" && widget.tell);
  shown.add(report ? inReport(report, error) : inBox(node, error, size));
  app.canvas?.setDirty(true, true);
}

function clear() {
  runs++;
  for (const takeAway of shown) takeAway();
  shown.clear();
}

app.registerExtension({
  name: "astria.run_errors",
  setup() {
    api.addEventListener("execution_error", ({ detail }) => show(detail));
    api.addEventListener("execution_start", clear);
  },
});
