// When a run fails in one of the pack's nodes, the node itself says why, with the line and the caret of the prompt, until the next run starts.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const NAME = "run_error";
const HEIGHT = 90;
const ERROR_STYLE = { color: "light-dark(#b3261e, #ff9b9b)", outline: "1px solid #d64545", outlineOffset: "-1px" };

const shown = new Set(); // what takes each message away again

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

function inReport(box, text) {
  const before = Object.fromEntries(Object.keys(ERROR_STYLE).map((name) => [name, box.style[name]]));
  const { wrap } = box;
  box.value = text;
  box.wrap = wrapOf(text);
  Object.assign(box.style, ERROR_STYLE);
  box.setAttribute("role", "alert");
  return () => {
    if (box.value === text) box.value = "";
    Object.assign(box.style, before);
    box.wrap = wrap;
    box.removeAttribute("role");
  };
}

function inBox(node, text) {
  const box = document.createElement("textarea");
  box.readOnly = true;
  box.wrap = wrapOf(text);
  box.value = text;
  box.setAttribute("role", "alert");
  box.setAttribute("aria-label", "Error of the last run");
  Object.assign(box.style, {
    width: "100%",
    height: "100%",
    minHeight: `${HEIGHT}px`,
    resize: "none",
    boxSizing: "border-box",
    border: "none",
    padding: "6px",
    font: "11px monospace",
    background: "var(--comfy-input-bg)",
    ...ERROR_STYLE,
  });
  const size = [...node.size];
  const widget = node.addDOMWidget(NAME, "ASTRIA_RUN_ERROR", box, { serialize: false, hideOnZoom: false, getMinHeight: () => HEIGHT, getValue: () => text, setValue: () => {} });
  widget.serialize = false; // keeps it out of widgets_values as well
  Object.defineProperty(widget, "width", { get: () => undefined, set: () => {} }); // see hosting.js
  node.setSize([Math.max(size[0], node.computeSize()[0]), Math.max(size[1] + HEIGHT, node.computeSize()[1])]);
  return () => {
    if (!node.widgets?.includes(widget)) return;
    node.removeWidget(widget);
    node.setSize(size);
  };
}

function show({ node_id, exception_message }) {
  const node = nodeAt(node_id);
  const text = exception_message?.trim();
  if (!text || !node?.comfyClass?.startsWith("Astria")) return;
  const report = node.widgets?.find((widget) => widget.name === "report" && widget.element);
  shown.add(report ? inReport(report.element, text) : inBox(node, text));
  app.canvas?.setDirty(true, true);
}

function clear() {
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
