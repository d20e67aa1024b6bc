// The mask of a node before a run, over its picture, and what a person draws over it: Astria Prompt Mask, Adjust Mask and Find People.
import { app } from "../../../../scripts/app.js";
import { text } from "../texts.js";
import { runAlone } from "../queueing.js";
import { brushButtons, makeBar } from "./bar.js";
import { makeBrush } from "./brush.js";
import { dabbedStrokes, drawMask, readStrokes } from "./drawn_mask.js";
import { addPicture, change, isLinked, onDrag, onKeys, shownPicture, valueOf, widgetOf } from "./picture.js";
import { TINTS } from "./regions.js";

const WIDGET = "drawn_mask";
const PICTURES = ["image", "mask"]; // the input that a picture comes by; a mask often comes with one

const shownBy = (node) => PICTURES.map((name) => shownPicture(node, name)).find(Boolean) ?? null;

async function showMask(node) {
  const slot = node.outputs.findIndex(({ name }) => name === "info");
  try {
    await runAlone(node, (id) => ({ [`${id}.told`]: { class_type: "PreviewAny", inputs: { source: [id, slot] } } }));
  } catch (error) {
    app.extensionManager.toast.add({ severity: "error", summary: node.title, detail: error.response?.error?.message ?? error.message });
  }
}

export function addMask(node) {
  let [bar, brush] = [null, null];
  const isDrawable = Boolean(widgetOf(node, WIDGET));
  const draw = (one, canvas, output) => {
    const found = output?.astria_mask ?? [];
    const strokes = isDrawable ? readStrokes(valueOf(node, WIDGET)) ?? [] : [];
    const key = found.length ? (strokes.length ? "mask.drawn" : "mask.found") : strokes.length ? "mask.drawn_only" : "mask.unknown";
    const told = (size) => text(key, { picture: found.length ? size.join("x") : "" });
    bar?.look();
    return drawMask(canvas, { found, strokes, picture: shownBy(node), told, brush, tints: isDrawable ? undefined : TINTS });
  };
  const picture = addPicture(node, draw, text(isDrawable ? "mask.label" : "mask.people_label"), shownBy);
  const { canvas, redraw, places } = picture;
  const acts = { show: { sign: text("acts.mask"), act: () => showMask(node), key: "acts.mask_hint" } };
  const isByHand = () => isDrawable && !isLinked(node, WIDGET);
  if (isDrawable) {
    const paint = (points, radius, isOn) => {
      if (!isByHand() || !places().length) return;
      change(node, WIDGET, dabbedStrokes(valueOf(node, WIDGET), places()[0].size, points, radius, isOn));
      redraw();
    };
    brush = makeBrush(canvas, { paint, frame: () => places()[0], redraw });
    onDrag(canvas, (point) => (brush.tool && isByHand() ? brush.begin(point) : null));
    onKeys(canvas, brush.keys({}));
    Object.assign(acts, brushButtons(brush), { clear: { sign: "↺", act: () => change(node, WIDGET, ""), key: "mask.clear" } });
  }
  bar = makeBar(acts);
  if (brush) bar.root.append(brush.slider);
  bar.below(picture);
}
