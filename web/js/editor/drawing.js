// A dialog to draw over the mask of a prompt: what it adds and takes away is kept in the node's widget drawn_mask.
import { api } from "../../../../scripts/api.js";
import { brushButtons, makeBar } from "../previews/bar.js";
import { makeBrush } from "../previews/brush.js";
import { dabbedStrokes, drawMask, readStrokes } from "../previews/drawn_mask.js";
import { change, onDrag, onKeys, shownPicture, valueOf } from "../previews/picture.js";
import { h, openDialog } from "../sidebar/dom.js";
import { text } from "../texts.js";

const WIDGET = "drawn_mask";
const KNOWN = new WeakMap(); // node -> the mask that a run has told last
const waiting = new Map(); // id of a node inside of a run -> what takes the mask that it tells

api.addEventListener("executed", ({ detail }) => {
  const take = detail?.output?.astria_mask && waiting.get(detail.node);
  if (!take) return;
  waiting.delete(detail.node);
  take(detail.output.astria_mask);
});

// Remembers the mask that the node `id` will tell as that of `node`.
export function expectMask(node, id, told = () => {}) {
  if (!id) return;
  waiting.set(id, (found) => {
    KNOWN.set(node, found);
    told();
  });
}

// Opens the dialog; `look(told)` has the mask found, and calls `told()` when it is.
export function openDrawing(node, look) {
  let drawn = String(valueOf(node, WIDGET) ?? "");
  const canvas = h("canvas", { role: "img", "data-label": text("mask.label"), "aria-label": text("mask.label") });
  const frame = h("div", { style: "position: relative; width: min(80vw, 1100px); height: min(66vh, 760px);" }, canvas);
  Object.assign(canvas.style, { position: "absolute", inset: "0", width: "100%", height: "100%", background: "var(--comfy-input-bg)", borderRadius: "4px" });
  let [places, bar] = [[], null];
  const redraw = () => {
    if (!canvas.clientWidth) return;
    const found = KNOWN.get(node) ?? [];
    bar?.look();
    const told = (size) => (found.length ? text(drawn ? "mask.drawn" : "mask.found", { picture: size.join("x") }) : text("mask.looked_for"));
    places = drawMask(canvas, { found, strokes: readStrokes(drawn) ?? [], picture: shownPicture(node), told, brush });
  };
  const paint = (points, radius, isOn) => {
    drawn = dabbedStrokes(drawn, places[0].size, points, radius, isOn);
    redraw();
  };
  const brush = makeBrush(canvas, { paint, frame: () => places[0], redraw });
  const clear = () => {
    drawn = "";
    redraw();
  };
  bar = makeBar({ ...brushButtons(brush), clear: { sign: "↺", act: clear, key: "mask.clear" } });
  bar.root.append(brush.slider);
  bar.below({ canvas, box: frame });
  onDrag(canvas, (point) => (brush.tool ? brush.begin(point) : null));
  onKeys(canvas, brush.keys({}));
  const act = async () => change(node, WIDGET, drawn);
  const { dialog, told } = openDialog({ title: text("mask.title", { title: node.title }), content: [frame], action: text("mask.keep"), act });
  Object.assign(dialog.style, { width: "fit-content", maxWidth: "none" });
  new ResizeObserver(redraw).observe(frame);
  brush.use("brush");
  canvas.focus();
  look(redraw).catch((error) => told.fail(error));
}
