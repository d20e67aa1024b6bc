// A picture in a node, to scale: what the drawings of canvas and people share.
// Values of widgets are drawn at once; sizes and places that only a run finds out are drawn from the output of the last run.
import { app } from "../../../../scripts/app.js";

export const NAME = "placement";
const ROOM = 170; // px of height that a new node gets for the picture
const LEAST = 90; // px of height below which the picture is hidden
const MARGIN = 8;

// Whether a node has an output of its last run, and where: the host keeps the outputs of a workflow that is opened again in app.nodeOutputs.
const IN_NODE_OUTPUTS = "node outputs";
const RECEIVED = "received"; // with the message of onExecuted
const OUTDATED = "outdated"; // links changed after the run

export const widgetOf = (node, name) => node.widgets?.find((widget) => widget.name === name);
export const valueOf = (node, name) => widgetOf(node, name)?.value;
export const isLinked = (node, name) => node.inputs?.some((input) => input.name === name && input.link != null) ?? false;

export const linkOf = (graph, id) => (id == null ? null : graph?.getLink?.(id) ?? graph?.links?.[id] ?? null);

// The picture at a node's input, null where no node before this one shows it.
export function shownPicture(node, name = "image") {
  const link = node.inputs?.find((input) => input.name === name)?.link;
  const found = linkOf(node.graph, link);
  const shown = found && node.graph.getNodeById(found.origin_id)?.imgs?.[0];
  return shown?.naturalWidth ? shown : null;
}

export function shownSize(node) {
  const shown = shownPicture(node);
  return shown && [shown.naturalWidth, shown.naturalHeight];
}

const LOOK_MS = 250;

// Calls `redraw()` when `shownBy(node)` becomes another picture: nothing tells of that.
function followSource(node, shownBy, redraw) {
  let before = "";
  const look = () => {
    const shown = shownBy(node);
    const now = shown ? `${shown.src} ${shown.naturalWidth}x${shown.naturalHeight}` : "";
    if (now === before) return;
    before = now;
    redraw();
  };
  let timer = 0;
  const stop = () => clearInterval(timer);
  const start = () => {
    stop();
    timer = setInterval(look, LOOK_MS);
  };
  return { start, stop };
}

export function scaled(canvas, width, height) {
  const pen = canvas.getContext("2d");
  const [wide, high] = [canvas.clientWidth, canvas.clientHeight];
  const density = Math.max(window.devicePixelRatio, 1) * Math.max(app.canvas?.ds.scale ?? 1, 1);
  [canvas.width, canvas.height] = [Math.round(wide * density), Math.round(high * density)];
  pen.setTransform(density, 0, 0, density, 0, 0);
  const scale = Math.min((wide - 2 * MARGIN) / width, (high - 2 * MARGIN - 14) / height);
  const box = { x: (wide - width * scale) / 2, y: MARGIN, width: width * scale, height: height * scale, scale };
  return { pen, box, wide, high };
}

export function caption(pen, text, wide, high) {
  pen.fillStyle = getComputedStyle(pen.canvas).color;
  pen.font = "11px sans-serif";
  pen.textAlign = "center";
  pen.fillText(text, wide / 2, high - 4);
  pen.canvas.setAttribute("aria-label", `${pen.canvas.dataset.label}: ${text}`);
}

export function framed(pen, box, fill) {
  pen.fillStyle = fill;
  pen.fillRect(box.x, box.y, box.width, box.height);
  pen.strokeStyle = "rgba(128,128,128,0.9)";
  pen.lineWidth = 1;
  pen.strokeRect(box.x, box.y, box.width, box.height);
}

// Sets a widget as a person does who changes it.
export function change(node, name, value) {
  const widget = widgetOf(node, name);
  widget.value = value;
  widget.callback?.(value);
  node.graph?.setDirtyCanvas(true, true);
}

// Where the pointer is, in px of the canvas's own layout: the graph may be zoomed.
export function pointIn(canvas, event) {
  const shown = canvas.getBoundingClientRect();
  const factor = canvas.clientWidth / shown.width;
  return [(event.clientX - shown.left) * factor, (event.clientY - shown.top) * factor];
}

// Calls `begin(point, event)` when the left button goes down; what it returns is called with each further point until the button is up.
export function onDrag(canvas, begin) {
  let moved = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.stopPropagation(); // the node stays where it is
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    moved = begin(pointIn(canvas, event), event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!moved) return;
    event.stopPropagation();
    moved(pointIn(canvas, event));
  });
  for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => (moved = null));
}

// Calls the key's handler, and keeps the key from the host, whose shortcuts move nodes, unless the handler returns false.
export function onKeys(canvas, handlers) {
  canvas.tabIndex = 0;
  canvas.addEventListener("keydown", (event) => {
    const act = !event.ctrlKey && !event.metaKey && !event.altKey && handlers[event.key];
    if (!act || act(event) === false) return;
    event.preventDefault();
    event.stopPropagation();
  });
}

export function addPicture(node, draw, label, shownBy = shownPicture) {
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", (canvas.dataset.label = label));
  // A canvas has a height of its own, which would make a saved node taller; one that lies in a box has not.
  const box = document.createElement("div");
  Object.assign(box.style, { position: "relative", overflow: "hidden", width: "100%", height: "100%", minHeight: "0" });
  Object.assign(canvas.style, { position: "absolute", inset: "0", width: "100%", height: "100%", color: "var(--input-text)" });
  Object.assign(canvas.style, { background: "var(--comfy-input-bg)", borderRadius: "4px" });
  box.append(canvas);
  const widget = node.addDOMWidget(NAME, "ASTRIA_PICTURE", box, { serialize: false, hideOnZoom: false, getMinHeight: () => 0, getValue: () => "", setValue: () => {} });
  widget.serialize = false; // keeps it out of widgets_values as well
  Object.defineProperty(widget, "width", { get: () => undefined, set: () => {} }); // see editor/hosting.js
  let places = [];
  let lastRun = { state: IN_NODE_OUTPUTS };
  const outputOfLastRun = () => {
    if (lastRun.state === RECEIVED) return lastRun.message;
    return lastRun.state === IN_NODE_OUTPUTS ? app.nodeOutputs?.[node.id] : undefined;
  };
  const redraw = () => {
    if (canvas.clientWidth && canvas.clientHeight > 3 * MARGIN) places = draw(node, canvas, outputOfLastRun());
  };
  widget.redraw = redraw;
  new ResizeObserver(redraw).observe(box);
  const source = followSource(node, shownBy, redraw);
  source.start();
  for (const one of node.widgets) {
    const before = one.callback;
    one.callback = function (...given) {
      const result = before?.apply(this, given);
      redraw();
      return result;
    };
  }
  // A node that was saved with too little room keeps its size. Vue nodes look at a widget's `hidden` but once.
  const showWhereThereIsRoom = () => {
    box.style.display = node.size[1] < node.computeSize()[1] + LEAST ? "none" : "";
  };
  const after = (name, act) => {
    const before = node[name];
    node[name] = function (...given) {
      const result = before?.apply(this, given);
      act(...given);
      return result;
    };
  };
  for (const name of ["onConfigure", "onResize"]) after(name, showWhereThereIsRoom);
  after("onAdded", source.start);
  after("onRemoved", source.stop);
  after("onExecuted", (message) => (lastRun = { state: RECEIVED, message }));
  after("onConnectionsChange", () => (lastRun = { state: OUTDATED }));
  after("onConfigure", () => (lastRun = { state: IN_NODE_OUTPUTS }));
  for (const name of ["onConfigure", "onConnectionsChange", "onExecuted"]) after(name, () => requestAnimationFrame(redraw));
  canvas.addEventListener("pointerenter", redraw); // a picture may have been loaded into the node before this one
  const [width, height] = node.computeSize();
  node.setSize([Math.max(width, node.size[0]), height + ROOM]);
  return { canvas, box, redraw, places: () => places };
}

