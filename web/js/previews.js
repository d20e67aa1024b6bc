// Pictures in nodes, to scale: where the source stands on the outpainted canvas, with nine places to click, and where people stand in columns.
import { app } from "../../../scripts/app.js";

const ANCHORS = ["top-left", "top-center", "top-right", "left-center", "center", "right-center", "bottom-left", "bottom-center", "bottom-right"];
const NAME = "placement";
const ROOM = 170; // what a new node gets
const LEAST = 90; // a node that was saved with less room keeps its size, and opens without the picture
const MARGIN = 8;
// As nodes/regions/preview.py tints them.
const TINTS = ["240,170,40", "90,185,235", "225,130,190", "60,200,150", "245,230,80", "150,150,255", "255,125,95", "160,215,75"];

const widgetOf = (node, name) => node.widgets?.find((widget) => widget.name === name);
const valueOf = (node, name) => widgetOf(node, name)?.value;
const isLinked = (node, name) => node.inputs?.some((input) => input.name === name && input.link != null) ?? false;

// Width and height of the picture at a node's input, null where it is not known before a run.
function sourceSize(node) {
  const link = node.inputs?.find((input) => input.name === "image")?.link;
  const found = link == null ? null : node.graph?.getLink?.(link) ?? node.graph?.links?.[link];
  const shown = found && node.graph.getNodeById(found.origin_id)?.imgs?.[0];
  return shown?.naturalWidth ? [shown.naturalWidth, shown.naturalHeight] : null;
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
    x: box.x + placed(across, wide, width) * box.scale,
    y: box.y + placed(down, high, height) * box.scale,
    width: wide * box.scale,
    height: high * box.scale,
  };
}

function dots(box) {
  return ANCHORS.map((anchor, place) => ({ anchor, x: box.x + (box.width * (place % 3)) / 2, y: box.y + (box.height * Math.floor(place / 3)) / 2 }));
}

function drawCanvas(node, canvas) {
  const [width, height, anchor] = ["width", "height", "anchor"].map((name) => valueOf(node, name));
  const known = sourceSize(node);
  const size = known ?? [width / 2, height / 2];
  const { pen, box, wide, high } = scaled(canvas, width, height);
  framed(pen, box, "rgba(128,128,128,0.18)");
  const source = sourceOn(box, size, width, height, anchor, valueOf(node, "smaller"));
  pen.setLineDash(known ? [] : [4, 3]);
  framed(pen, source, "rgba(74,158,255,0.35)");
  pen.setLineDash([]);
  for (const dot of dots(box)) {
    pen.beginPath();
    pen.arc(dot.x, dot.y, dot.anchor === anchor ? 6 : 4, 0, 2 * Math.PI);
    pen.fillStyle = dot.anchor === anchor ? "#4a9eff" : "rgba(160,160,160,0.95)";
    pen.fill();
  }
  caption(pen, `${width}x${height}, source ${known ? known.join("x") : "size not yet known"}`, wide, high);
  return dots(box);
}

function drawRegions(node, canvas) {
  const [persons, width, height] = ["persons", "width", "height"].map((name) => valueOf(node, name));
  const [across, down] = (isLinked(node, "image") && sourceSize(node)) || [width || 1, height || 1];
  const { pen, box, wide, high } = scaled(canvas, across, down);
  framed(pen, box, "rgba(128,128,128,0.18)");
  const given = ["masks", "boxes", "pose_image"].find((name) => isLinked(node, name));
  if (given) {
    caption(pen, `from ${given}: see the output "preview"`, wide, high);
    return [];
  }
  const column = box.width / persons;
  for (let person = 0; person < persons; person++) {
    pen.fillStyle = `rgba(${TINTS[person % TINTS.length]},0.5)`;
    pen.fillRect(box.x + person * column + 1, box.y + 1, column - 2, box.height - 2);
    pen.fillStyle = getComputedStyle(canvas).color;
    pen.font = "600 13px sans-serif";
    pen.textAlign = "center";
    pen.fillText(String(person + 1), box.x + (person + 0.5) * column, box.y + box.height / 2 + 5);
  }
  caption(pen, `${across}x${down}, ${persons} ${persons === 1 ? "person" : "people in columns"}`, wide, high);
  return [];
}

function addPicture(node, draw, label) {
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
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
  const redraw = () => {
    if (canvas.clientWidth && canvas.clientHeight > 3 * MARGIN) places = draw(node, canvas);
  };
  new ResizeObserver(redraw).observe(box);
  for (const one of node.widgets) {
    const before = one.callback;
    one.callback = function (...given) {
      const result = before?.apply(this, given);
      redraw();
      return result;
    };
  }
  const configured = node.onConfigure;
  node.onConfigure = function (...given) {
    const result = configured?.apply(this, given);
    widget.hidden = widget.options.hidden = node.size[1] < node.computeSize()[1] + LEAST;
    return result;
  };
  for (const name of ["onConfigure", "onConnectionsChange", "onExecuted"]) {
    const before = node[name];
    node[name] = function (...given) {
      const result = before?.apply(this, given);
      requestAnimationFrame(redraw);
      return result;
    };
  }
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
});
