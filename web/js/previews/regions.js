// Where people stand: drawn over the picture or the last result, as boxes or by a brush, moved and sized by pointer and keys, and kept in the widget drawn_boxes as plain numbers.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { counted, text } from "../texts.js";
import { brushButtons, LOOKS, makeBar } from "./bar.js";
import { makeBrush } from "./brush.js";
import { dabbed, readShape, writeShape } from "./cells.js";
import { addPicture, caption, change, framed, isLinked, linkOf, onDrag, onKeys, scaled, shownPicture, shownSize, valueOf, widgetOf } from "./picture.js";
import { columns, shares } from "./shares.js";

// As nodes/regions/preview.py tints them.
export const TINTS = [[240, 170, 40], [90, 185, 235], [225, 130, 190], [60, 200, 150], [245, 230, 80], [150, 150, 255], [255, 125, 95], [160, 215, 75]];
const TINT_STRENGTH = 0.5;
const BETWEEN = "|";
const MOST = 8;
const LEAST_SIDE = 0.02; // of the picture
const STEP = 0.01;
const HANDLE_PX = 7;
const NEW_BOX = [0.35, 0.15, 0.3, 0.8];
const GIVEN = ["masks", "boxes", "pose_image"];
const RESULTS_OF = new Set(["regions", "masks", "people"]); // the other outputs show these regions, and no result

const within = (number, least, most) => Math.min(Math.max(number, least), most);
const givenBy = (node) => GIVEN.find((name) => isLinked(node, name));

// The shapes that are drawn, null where the text is none.
function drawnShapes(node) {
  const shapes = String(valueOf(node, "drawn_boxes") ?? "").split(BETWEEN).map(readShape);
  return shapes.every(Boolean) ? shapes : null;
}

const shapesOf = (node) => drawnShapes(node) ?? columns(valueOf(node, "persons")).map((box) => ({ box, cells: null }));
const newShape = () => ({ box: [...NEW_BOX], cells: null });

function namesOf(node, count) {
  const names = String(valueOf(node, "names") ?? "").split(BETWEEN).map((name) => name.trim());
  return Array.from({ length: count }, (_, index) => names[index] ?? "");
}

function write(node, shapes, names) {
  change(node, "drawn_boxes", shapes.map(writeShape).join(` ${BETWEEN} `));
  change(node, "names", names.some(Boolean) ? names.join(` ${BETWEEN} `) : "");
  if (valueOf(node, "persons") !== shapes.length) change(node, "persons", shapes.length);
}

const pictures = new Map(); // address -> the picture, loaded once

function loaded(address) {
  if (!pictures.has(address)) pictures.set(address, Object.assign(new Image(), { src: address }));
  const picture = pictures.get(address);
  return picture.naturalWidth ? picture : null;
}

// The first picture that a node behind this one has made in its last run.
function lastResult(node) {
  const graph = node.graph;
  const seen = new Set([node]);
  let next = node.outputs?.filter((output) => RESULTS_OF.has(output.name)) ?? [];
  while (next.length) {
    const takers = next.flatMap((output) => output.links ?? []).map((id) => graph.getNodeById(linkOf(graph, id)?.target_id));
    const fresh = takers.filter((taker) => taker && !seen.has(taker));
    for (const taker of fresh) {
      const made = app.nodeOutputs?.[taker.id]?.images?.[0];
      if (made?.filename) return loaded(api.apiURL(`/view?${new URLSearchParams({ filename: made.filename, subfolder: made.subfolder ?? "", type: made.type ?? "output" })}`));
      seen.add(taker);
    }
    next = fresh.flatMap((taker) => taker.outputs ?? []);
  }
  return null;
}

const ground = (node) => (isLinked(node, "image") ? shownPicture(node) : lastResult(node));

// The text as far as there is room for it.
function fitted(pen, name, room) {
  let length = name.length;
  while (length && pen.measureText(name.slice(0, length)).width > room) length--;
  return name.slice(0, length);
}

// Each person's share of the picture in their tint, with its soft edge.
function drawShares(pen, box, shapes, size, softness) {
  const { across, down, planes } = shares(shapes, ...size, softness);
  const pixels = new ImageData(across, down);
  for (let cell = 0; cell < across * down; cell++) {
    const all = planes.reduce((sum, plane) => sum + plane[cell], 0);
    if (!all) continue;
    for (let channel = 0; channel < 3; channel++) {
      pixels.data[4 * cell + channel] = planes.reduce((sum, plane, number) => sum + plane[cell] * TINTS[number % TINTS.length][channel], 0) / all;
    }
    pixels.data[4 * cell + 3] = 255 * TINT_STRENGTH * Math.min(all, 1);
  }
  const layer = new OffscreenCanvas(across, down);
  layer.getContext("2d").putImageData(pixels, 0, 0);
  pen.drawImage(layer, box.x, box.y, box.width, box.height);
}

const onCanvas = (box, [x, y, width, height]) => [box.x + x * box.width, box.y + y * box.height, width * box.width, height * box.height];

function drawNames(pen, box, places) {
  pen.fillStyle = getComputedStyle(pen.canvas).color;
  pen.font = "600 13px sans-serif";
  pen.textAlign = "center";
  for (const { name, box: place } of places) {
    const [left, top, wide, high] = onCanvas(box, place);
    pen.fillText(fitted(pen, name, wide - 4), left + wide / 2, top + high / 2 + 5);
  }
}

const corners = ([left, top, wide, high]) => [[left, top], [left + wide, top], [left, top + high], [left + wide, top + high]];

function drawSelected(pen, place, number) {
  pen.strokeStyle = pen.fillStyle = `rgb(${TINTS[number % TINTS.length]})`;
  pen.lineWidth = 2;
  pen.strokeRect(...place);
  for (const [x, y] of corners(place)) pen.fillRect(x - HANDLE_PX / 2, y - HANDLE_PX / 2, HANDLE_PX, HANDLE_PX);
}

function sizeOf(node, lastRun) {
  const own = [valueOf(node, "width") || 1, valueOf(node, "height") || 1];
  if (givenBy(node)) return lastRun?.size ?? own;
  return isLinked(node, "image") ? shownSize(node) ?? lastRun?.size ?? own : own;
}

function told(node, size, places, lastRun) {
  const picture = size.join("x");
  const by = givenBy(node);
  if (by) return lastRun ? counted("regions.given", places.length, { picture, by }) : text("regions.given_later", { picture, by });
  return counted(drawnShapes(node) ? "regions.drawn" : "regions.columns", places.length, { picture });
}

function drawRegions(node, canvas, output, selected, brush) {
  const lastRun = output?.astria_regions?.[0]; // size of the picture, and name and box of each region
  const size = sizeOf(node, lastRun);
  const by = givenBy(node);
  const shapes = by ? [] : shapesOf(node);
  const names = namesOf(node, shapes.length);
  const given = (lastRun?.regions ?? []).map((one) => ({ ...one, cells: null }));
  const places = by ? given : shapes.map((shape, index) => ({ ...shape, name: names[index] ? `${index + 1}: ${names[index]}` : String(index + 1) }));
  const { pen, box, wide, high } = scaled(canvas, ...size);
  framed(pen, box, "rgba(128,128,128,0.18)");
  const behind = ground(node);
  if (behind) pen.drawImage(behind, box.x, box.y, box.width, box.height);
  drawShares(pen, box, places, size, by ? 0 : valueOf(node, "softness_px"));
  drawNames(pen, box, places);
  if (shapes[selected]) drawSelected(pen, onCanvas(box, shapes[selected].box), selected);
  brush?.draw(pen, box);
  caption(pen, told(node, size, places, lastRun), wide, high);
  return [{ ...box, size }];
}

// Which sides of a box the pointer holds: none of them moves it.
function held(place, [x, y]) {
  const [left, top, wide, high] = place;
  const near = (one, other) => Math.abs(one - other) <= HANDLE_PX;
  const isBeside = x >= left - HANDLE_PX && x <= left + wide + HANDLE_PX && y >= top - HANDLE_PX && y <= top + high + HANDLE_PX;
  return isBeside ? { left: near(x, left), right: near(x, left + wide), top: near(y, top), bottom: near(y, top + high) } : null;
}

// The box with its held sides moved by parts of the picture, inside the picture and not too thin.
function pulled([x, y, width, height], sides, [across, down]) {
  const isWhole = !Object.values(sides).some(Boolean);
  if (isWhole) return [within(x + across, 0, Math.max(1 - width, 0)), within(y + down, 0, Math.max(1 - height, 0)), width, height];
  const left = sides.left ? within(x + across, 0, x + width - LEAST_SIDE) : x;
  const top = sides.top ? within(y + down, 0, y + height - LEAST_SIDE) : y;
  const right = sides.right && !sides.left ? within(x + width + across, x + LEAST_SIDE, 1) : x + width;
  const bottom = sides.bottom && !sides.top ? within(y + height + down, y + LEAST_SIDE, 1) : y + height;
  return [left, top, right - left, bottom - top];
}

export function addRegions(node) {
  let selected = -1;
  let bar = null;
  let brush = null;
  const draw = (one, canvas, output) => {
    const drawn = drawRegions(one, canvas, output, selected, brush);
    if (bar) show();
    return drawn;
  };
  const picture = addPicture(node, draw, text("regions.label"), ground);
  const { canvas, redraw, places } = picture;
  const isByHand = () => !givenBy(node) && !["drawn_boxes", "names", "persons"].some((name) => isLinked(node, name));
  const edit = (act) => {
    if (!isByHand()) return;
    const shapes = shapesOf(node);
    const names = namesOf(node, shapes.length);
    act(shapes, names);
    write(node, shapes, names);
    redraw();
  };
  const select = (number) => {
    selected = number;
    redraw();
  };
  const add = () =>
    edit((shapes, names) => {
      if (shapes.length >= MOST) return;
      shapes.push(newShape());
      names.push("");
      selected = shapes.length - 1;
    });
  const remove = () =>
    edit((shapes, names) => {
      if (shapes.length < 2) return;
      const place = selected < 0 ? shapes.length - 1 : selected;
      shapes.splice(place, 1);
      names.splice(place, 1);
      selected = Math.min(place, shapes.length - 1);
    });
  const reorder = (by) =>
    edit((shapes, names) => {
      const other = selected + by;
      if (selected < 0 || other < 0 || other >= shapes.length) return;
      for (const list of [shapes, names]) [list[selected], list[other]] = [list[other], list[selected]];
      selected = other;
    });
  const pull = (sides, by) => edit((shapes) => selected >= 0 && (shapes[selected].box = pulled(shapes[selected].box, sides, by)));
  // The first stroke of the brush takes the place of a box; wiping begins with all of it, and what would leave nothing is left out.
  const paint = (points, radius, isOn, isFirst) =>
    edit((shapes) => {
      if (selected < 0) return;
      const { size } = places()[0];
      let shape = isOn && isFirst && !shapes[selected].cells ? null : shapes[selected];
      for (const point of points) shape = dabbed(shape, size, point, radius, isOn) ?? shape;
      shapes[selected] = shape ?? shapes[selected];
    });
  const reset = () => {
    change(node, "drawn_boxes", "");
    select(-1);
  };
  brush = makeBrush(canvas, { paint, frame: () => places()[0], redraw, chosen: () => selected < 0 && brush.tool && isByHand() && select(0) });
  bar = makeBar({
    add: { sign: "+", act: add },
    remove: { sign: "−", act: remove },
    earlier: { sign: "◀", act: () => reorder(-1) },
    later: { sign: "▶", act: () => reorder(1) },
    reset: { sign: "↺", act: reset },
    ...brushButtons(brush),
  });
  const name = Object.assign(document.createElement("input"), { type: "text", placeholder: text("regions.name") });
  name.setAttribute("aria-label", text("regions.name"));
  Object.assign(name.style, LOOKS, { flex: "1 1 0", minWidth: "40px", padding: "0 6px", boxSizing: "border-box" });
  bar.root.append(brush.slider, name);
  const show = () => {
    bar.root.style.visibility = isByHand() ? "" : "hidden";
    bar.look();
    name.style.display = brush.tool ? "none" : "";
    name.disabled = selected < 0;
    if (document.activeElement !== name) name.value = namesOf(node, shapesOf(node).length)[selected] ?? "";
  };
  name.addEventListener("input", () => edit((_, names) => (names[selected] = name.value.replaceAll(BETWEEN, "/"))));
  bar.below(picture);

  const moving = (box, point) => {
    const found = shapesOf(node).map((one, number) => ({ number, box: one.box, sides: held(onCanvas(box, one.box), point) })).filter(({ sides }) => sides);
    // The selected one, else the smallest: a box in front of another is the smaller one.
    const hit = found.find(({ number }) => number === selected) ?? found.sort((one, other) => one.box[2] * one.box[3] - other.box[2] * other.box[3])[0];
    select(hit?.number ?? -1);
    if (!hit) return null;
    return ([x, y]) => edit((shapes) => (shapes[hit.number].box = pulled(hit.box, hit.sides, [(x - point[0]) / box.width, (y - point[1]) / box.height])));
  };
  onDrag(canvas, (point) => {
    const [box] = places();
    if (!box || !isByHand()) return null;
    return brush.tool ? brush.begin(point) : moving(box, point);
  });
  const arrow = (across, down) => (event) => pull(event.shiftKey ? { right: across !== 0, bottom: down !== 0 } : {}, [across * STEP, down * STEP]);
  const turn = (by) => () => select((Math.max(selected, by < 0 ? 0 : -1) + by + shapesOf(node).length) % shapesOf(node).length);
  const keys = {
    ArrowLeft: arrow(-1, 0),
    ArrowRight: arrow(1, 0),
    ArrowUp: arrow(0, -1),
    ArrowDown: arrow(0, 1),
    PageDown: turn(1),
    PageUp: turn(-1),
    Insert: add,
    Delete: remove,
    Backspace: remove,
  };
  onKeys(canvas, brush.keys(keys));
  followPersons(node, () => selected, select);
}

// Another number of persons adds boxes, or takes the last ones away.
function followPersons(node, selected, select) {
  const widget = widgetOf(node, "persons");
  const before = widget.callback;
  widget.callback = function (...given) {
    const shapes = drawnShapes(node);
    const count = valueOf(node, "persons");
    if (shapes && shapes.length !== count && !isLinked(node, "persons")) {
      while (shapes.length < count) shapes.push(newShape());
      const names = namesOf(node, shapes.length);
      write(node, shapes.slice(0, count), names.slice(0, count));
      if (selected() >= count) select(count - 1);
    }
    return before?.apply(this, given);
  };
}
