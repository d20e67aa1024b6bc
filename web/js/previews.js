// Pictures in nodes, to scale: where the source stands on the outpainted canvas, with nine places to click, and where people stand.
// Values of widgets are drawn at once; sizes and places that only a run finds out are drawn from the output of the last run.
import { app } from "../../../scripts/app.js";

const ANCHORS = ["top-left", "top-center", "top-right", "left-center", "center", "right-center", "bottom-left", "bottom-center", "bottom-right"];
const NAME = "placement";
const ROOM = 170; // px of height that a new node gets for the picture
const LEAST = 90; // px of height below which the picture is hidden
const MARGIN = 8;
// As nodes/regions/preview.py tints them.
const TINTS = ["240,170,40", "90,185,235", "225,130,190", "60,200,150", "245,230,80", "150,150,255", "255,125,95", "160,215,75"];

// Whether a node has an output of its last run, and where: the host keeps the outputs of a workflow that is opened again in app.nodeOutputs.
const IN_NODE_OUTPUTS = "in node outputs";
const RECEIVED = "received"; // with the message of onExecuted
const OUTDATED = "outdated"; // links changed after the run

const widgetOf = (node, name) => node.widgets?.find((widget) => widget.name === name);
const valueOf = (node, name) => widgetOf(node, name)?.value;
const isLinked = (node, name) => node.inputs?.some((input) => input.name === name && input.link != null) ?? false;

// The picture at a node's input, null where no node before this one shows it.
function shownPicture(node) {
  const link = node.inputs?.find((input) => input.name === "image")?.link;
  const found = link == null ? null : node.graph?.getLink?.(link) ?? node.graph?.links?.[link];
  const shown = found && node.graph.getNodeById(found.origin_id)?.imgs?.[0];
  return shown?.naturalWidth ? shown : null;
}

function shownSize(node) {
  const shown = shownPicture(node);
  return shown && [shown.naturalWidth, shown.naturalHeight];
}

const LOOK_MS = 250;

// Calls `redraw()` when the picture at the node's input becomes another one: nothing tells of that.
function followSource(node, redraw) {
  let before = "";
  const look = () => {
    const shown = shownPicture(node);
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

// Where a length stands on an axis: at its start, in its middle or at its end, as nodes/outpaint/geometry.py places it.
const placed = (side, length, room) => [0, Math.floor((room - length) / 2), room - length][side];

function scaled(canvas, width, height) {
  const pen = canvas.getContext("2d");
  const [wide, high] = [canvas.clientWidth, canvas.clientHeight];
  const density = Math.max(window.devicePixelRatio, 1) * Math.max(app.canvas?.ds.scale ?? 1, 1);
  [canvas.width, canvas.height] = [Math.round(wide * density), Math.round(high * density)];
  pen.setTransform(density, 0, 0, density, 0, 0);
  const scale = Math.min((wide - 2 * MARGIN) / width, (high - 2 * MARGIN - 14) / height);
  const box = { x: (wide - width * scale) / 2, y: MARGIN, width: width * scale, height: height * scale, scale };
  return { pen, box, wide, high };
}

function caption(pen, text, wide, high) {
  pen.fillStyle = getComputedStyle(pen.canvas).color;
  pen.font = "11px sans-serif";
  pen.textAlign = "center";
  pen.fillText(text, wide / 2, high - 4);
  pen.canvas.setAttribute("aria-label", `${pen.canvas.dataset.label}: ${text}`);
}

function framed(pen, box, fill) {
  pen.fillStyle = fill;
  pen.fillRect(box.x, box.y, box.width, box.height);
  pen.strokeStyle = "rgba(128,128,128,0.9)";
  pen.lineWidth = 1;
  pen.strokeRect(box.x, box.y, box.width, box.height);
}

function sourceOn(box, size, width, height, anchor, smaller) {
  let [wide, high] = size;
  if (smaller === "shrink") {
    const factor = Math.min(1, width / wide, height / high);
    [wide, high] = [wide * factor, high * factor];
  }
  [wide, high] = [Math.min(wide, width), Math.min(high, height)];
  const place = ANCHORS.indexOf(anchor);
  const [across, down] = [place % 3, Math.floor(place / 3)];
  return {
    across,
    down,
    x: box.x + placed(across, wide, width) * box.scale,
    y: box.y + placed(down, high, height) * box.scale,
    width: wide * box.scale,
    height: high * box.scale,
  };
}

// The part of the photo that the canvas has room for, as the anchor keeps it.
function drawPhoto(pen, photo, source, scale, isShrunk) {
  const [whole, tall] = [photo.naturalWidth, photo.naturalHeight];
  const [wide, high] = isShrunk ? [whole, tall] : [Math.min(whole, source.width / scale), Math.min(tall, source.height / scale)];
  pen.drawImage(photo, placed(source.across, wide, whole), placed(source.down, high, tall), wide, high, source.x, source.y, source.width, source.height);
}

function dots(box) {
  return ANCHORS.map((anchor, place) => ({ anchor, x: box.x + (box.width * (place % 3)) / 2, y: box.y + (box.height * Math.floor(place / 3)) / 2 }));
}

function drawCanvas(node, canvas, output) {
  const [width, height, anchor] = ["width", "height", "anchor"].map((name) => valueOf(node, name));
  const known = shownSize(node) ?? output?.astria_source?.[0];
  const size = known ?? [width / 2, height / 2];
  const { pen, box, wide, high } = scaled(canvas, width, height);
  framed(pen, box, "rgba(128,128,128,0.18)");
  const source = sourceOn(box, size, width, height, anchor, valueOf(node, "smaller"));
  pen.setLineDash(known ? [] : [4, 3]);
  const photo = shownPicture(node);
  if (photo) drawPhoto(pen, photo, source, box.scale, valueOf(node, "smaller") === "shrink");
  framed(pen, source, photo ? "rgba(74,158,255,0.08)" : "rgba(74,158,255,0.35)");
  pen.setLineDash([]);
  for (const dot of dots(box)) {
    pen.beginPath();
    pen.arc(dot.x, dot.y, dot.anchor === anchor ? 6 : 4, 0, 2 * Math.PI);
    pen.fillStyle = dot.anchor === anchor ? "#4a9eff" : "rgba(160,160,160,0.95)";
    pen.fill();
  }
  caption(pen, `${width}x${height}, source ${known ? known.join("x") : "size known after a run"}`, wide, high);
  return dots(box);
}

// The text as far as there is room for it.
function fitted(pen, text, room) {
  let length = text.length;
  while (length && pen.measureText(text.slice(0, length)).width > room) length--;
  return text.slice(0, length);
}

// A place is given in parts of the picture: x, y, width, height.
function drawPlaces(pen, box, places) {
  const text = getComputedStyle(pen.canvas).color;
  for (const [index, { name, box: [x, y, width, height] }] of places.entries()) {
    const [left, top, wide, high] = [box.x + x * box.width, box.y + y * box.height, width * box.width, height * box.height];
    pen.fillStyle = `rgba(${TINTS[index % TINTS.length]},0.5)`;
    pen.fillRect(left + 1, top + 1, wide - 2, high - 2);
    pen.fillStyle = text;
    pen.font = "600 13px sans-serif";
    pen.textAlign = "center";
    pen.fillText(fitted(pen, name, wide - 4), left + wide / 2, top + high / 2 + 5);
  }
}

function drawRegions(node, canvas, output) {
  const [persons, width, height] = ["persons", "width", "height"].map((name) => valueOf(node, name));
  const lastRun = output?.astria_regions?.[0]; // size of the picture, and name and box of each region
  const given = ["masks", "boxes", "pose_image"].find((name) => isLinked(node, name));
  let size = null;
  if (given) size = lastRun?.size;
  else if (isLinked(node, "image")) size = shownSize(node) ?? lastRun?.size;
  const [across, down] = size ?? [width || 1, height || 1];
  const columns = Array.from({ length: persons }, (_, index) => ({ name: String(index + 1), box: [index / persons, 0, 1 / persons, 1] }));
  const places = given ? lastRun?.regions ?? [] : columns;
  const { pen, box, wide, high } = scaled(canvas, across, down);
  framed(pen, box, "rgba(128,128,128,0.18)");
  drawPlaces(pen, box, places);
  const people = places.length === 1 ? "person" : "people";
  let about = `${persons} ${people} in columns`;
  if (given) about = lastRun ? `${places.length} ${people} by ${given}, in the last run` : `by ${given}, known after a run`;
  caption(pen, `${across}x${down}, ${about}`, wide, high);
  return [];
}

function addPicture(node, draw, label) {
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", (canvas.dataset.label = label));
  // A canvas has a height of its own, which would make a saved node taller; one that lies in a box has not.
  const box = document.createElement("div");
  Object.assign(box.style, { position: "relative", overflow: "hidden", width: "100%", height: "100%", minHeight: "0" });
  Object.assign(canvas.style, { position: "absolute", inset: "0", width: "100%", height: "100%", color: "var(--input-text)" });
  Object.assign(canvas.style, { background: "var(--comfy-input-bg)", borderRadius: "4px" });
  box.append(canvas);
  const widget = node.addDOMWidget(NAME, "ASTRIA_PICTURE", box, { serialize: false, hideOnZoom: true, getMinHeight: () => 0, getValue: () => "", setValue: () => {} });
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
  const source = followSource(node, redraw);
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
  return { canvas, redraw, places: () => places };
}

function addPicker(node) {
  const { canvas, redraw, places } = addPicture(node, drawCanvas, "Where the source stands on the canvas; the widget 'anchor' says it in words");
  canvas.style.cursor = "pointer";
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !places().length) return;
    const shown = canvas.getBoundingClientRect();
    const factor = canvas.clientWidth / shown.width; // of the zoomed graph
    const [x, y] = [(event.clientX - shown.left) * factor, (event.clientY - shown.top) * factor];
    const nearest = places().reduce((one, other) => (Math.hypot(one.x - x, one.y - y) <= Math.hypot(other.x - x, other.y - y) ? one : other));
    const anchor = widgetOf(node, "anchor");
    anchor.value = nearest.anchor;
    anchor.callback?.(anchor.value);
    redraw();
    node.graph?.setDirtyCanvas(true, true);
  });
}

app.registerExtension({
  name: "astria.previews",
  nodeCreated(node) {
    if (node.comfyClass === "AstriaOutpaintCanvas") addPicker(node);
    if (node.comfyClass === "AstriaRegions") addPicture(node, drawRegions, "Where the people stand");
  },
  onNodeOutputsUpdated() {
    for (const node of app.graph?.nodes ?? []) widgetOf(node, NAME)?.redraw?.();
  },
});
