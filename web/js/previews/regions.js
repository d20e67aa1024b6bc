// Where people stand: drawn over the picture or the last result, moved and sized by pointer and keys, and kept in the widget drawn_boxes as plain numbers.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { counted, text } from "../texts.js";
import { addPicture, caption, change, framed, isLinked, linkOf, onDrag, onKeys, scaled, shownPicture, shownSize, valueOf, widgetOf } from "./picture.js";
import { columns, shares } from "./shares.js";

// As nodes/regions/preview.py tints them.
const TINTS = [[240, 170, 40], [90, 185, 235], [225, 130, 190], [60, 200, 150], [245, 230, 80], [150, 150, 255], [255, 125, 95], [160, 215, 75]];
const TINT_STRENGTH = 0.5;
const BETWEEN = "|";
const MOST = 8;
const LEAST_SIDE = 0.02; // of the picture
const STEP = 0.01;
const HANDLE_PX = 7;
const NEW_BOX = [0.35, 0.15, 0.3, 0.8];
const GIVEN = ["masks", "boxes", "pose_image"];
const RESULTS_OF = new Set(["regions", "masks", "people"]); // the other outputs show these regions, and no result
const BAR_PX = 28;

const rounded = (number) => Number(number.toFixed(3));
const within = (number, least, most) => Math.min(Math.max(number, least), most);
const givenBy = (node) => GIVEN.find((name) => isLinked(node, name));

// The boxes that are drawn, null where the text is none.
function drawnBoxes(node) {
  const boxes = String(valueOf(node, "drawn_boxes") ?? "").split(BETWEEN).map((one) => one.trim().split(/\s+/).map(Number));
  return boxes.every((box) => box.length === 4 && box.every(Number.isFinite) && box[2] > 0 && box[3] > 0) ? boxes : null;
}

const boxesOf = (node) => drawnBoxes(node) ?? columns(valueOf(node, "persons"));

function namesOf(node, count) {
  const names = String(valueOf(node, "names") ?? "").split(BETWEEN).map((name) => name.trim());
  return Array.from({ length: count }, (_, index) => names[index] ?? "");
}

function write(node, boxes, names) {
  change(node, "drawn_boxes", boxes.map((box) => box.map(rounded).join(" ")).join(` ${BETWEEN} `));
  change(node, "names", names.some(Boolean) ? names.join(` ${BETWEEN} `) : "");
  if (valueOf(node, "persons") !== boxes.length) change(node, "persons", boxes.length);
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
function drawShares(pen, box, boxes, size, softness) {
  const { across, down, planes } = shares(boxes, ...size, softness);
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
  return counted(drawnBoxes(node) ? "regions.drawn" : "regions.columns", places.length, { picture });
}

function drawRegions(node, canvas, output, selected) {
  const lastRun = output?.astria_regions?.[0]; // size of the picture, and name and box of each region
  const size = sizeOf(node, lastRun);
  const by = givenBy(node);
  const boxes = by ? [] : boxesOf(node);
  const names = namesOf(node, boxes.length);
  const places = by ? lastRun?.regions ?? [] : boxes.map((box, index) => ({ name: names[index] ? `${index + 1}: ${names[index]}` : String(index + 1), box }));
  const { pen, box, wide, high } = scaled(canvas, ...size);
  framed(pen, box, "rgba(128,128,128,0.18)");
  const behind = ground(node);
  if (behind) pen.drawImage(behind, box.x, box.y, box.width, box.height);
  drawShares(pen, box, places.map((place) => place.box), size, by ? 0 : valueOf(node, "softness_px"));
  drawNames(pen, box, places);
  if (boxes[selected]) drawSelected(pen, onCanvas(box, boxes[selected]), selected);
  caption(pen, told(node, size, places, lastRun), wide, high);
  return [box];
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

function makeBar(acts) {
  const bar = document.createElement("div");
  Object.assign(bar.style, { position: "absolute", inset: "auto 0 0 0", height: `${BAR_PX}px`, display: "flex", gap: "4px", alignItems: "center", background: "var(--comfy-input-bg)" });
  const looks = { height: "22px", border: "0", borderRadius: "4px", font: "12px sans-serif", color: "var(--input-text)", background: "color-mix(in srgb, currentColor 14%, transparent)" };
  const buttons = Object.entries(acts).map(([name, { sign, act }]) => {
    const label = text(`regions.${name}`);
    const one = Object.assign(document.createElement("button"), { type: "button", textContent: sign, title: label });
    one.setAttribute("aria-label", label);
    Object.assign(one.style, looks, { minWidth: "24px", cursor: "pointer" });
    one.addEventListener("click", act);
    return one;
  });
  const name = Object.assign(document.createElement("input"), { type: "text", placeholder: text("regions.name") });
  name.setAttribute("aria-label", text("regions.name"));
  Object.assign(name.style, looks, { flex: "1 1 0", minWidth: "40px", padding: "0 6px", boxSizing: "border-box" });
  bar.append(...buttons, name);
  for (const kind of ["pointerdown", "keydown", "keyup", "copy", "cut", "paste"]) bar.addEventListener(kind, (event) => event.stopPropagation());
  return { bar, name };
}

export function addRegions(node) {
  let selected = -1;
  let bar = null;
  const draw = (one, canvas, output) => {
    const drawn = drawRegions(one, canvas, output, selected);
    if (bar) show();
    return drawn;
  };
  const picture = addPicture(node, draw, text("regions.label"), ground);
  const { canvas, redraw, places } = picture;
  const isByHand = () => !givenBy(node) && !["drawn_boxes", "names", "persons"].some((name) => isLinked(node, name));
  const edit = (act) => {
    if (!isByHand()) return;
    const boxes = boxesOf(node);
    const names = namesOf(node, boxes.length);
    act(boxes, names);
    write(node, boxes, names);
    redraw();
  };
  const select = (number) => {
    selected = number;
    redraw();
  };
  const add = () =>
    edit((boxes, names) => {
      if (boxes.length >= MOST) return;
      boxes.push([...NEW_BOX]);
      names.push("");
      selected = boxes.length - 1;
    });
  const remove = () =>
    edit((boxes, names) => {
      if (boxes.length < 2) return;
      const place = selected < 0 ? boxes.length - 1 : selected;
      boxes.splice(place, 1);
      names.splice(place, 1);
      selected = Math.min(place, boxes.length - 1);
    });
  const reorder = (by) =>
    edit((boxes, names) => {
      const other = selected + by;
      if (selected < 0 || other < 0 || other >= boxes.length) return;
      for (const list of [boxes, names]) [list[selected], list[other]] = [list[other], list[selected]];
      selected = other;
    });
  const pull = (sides, by) => edit((boxes) => selected >= 0 && (boxes[selected] = pulled(boxes[selected], sides, by)));
  const reset = () => {
    change(node, "drawn_boxes", "");
    select(-1);
  };
  bar = makeBar({
    add: { sign: "+", act: add },
    remove: { sign: "−", act: remove },
    earlier: { sign: "◀", act: () => reorder(-1) },
    later: { sign: "▶", act: () => reorder(1) },
    reset: { sign: "↺", act: reset },
  });
  const show = () => {
    bar.bar.style.visibility = isByHand() ? "" : "hidden";
    bar.name.disabled = selected < 0;
    if (document.activeElement !== bar.name) bar.name.value = namesOf(node, boxesOf(node).length)[selected] ?? "";
  };
  bar.name.addEventListener("input", () => edit((_, names) => (names[selected] = bar.name.value.replaceAll(BETWEEN, "/"))));
  canvas.style.height = `calc(100% - ${BAR_PX}px)`;
  picture.box.append(bar.bar);

  onDrag(canvas, (point) => {
    const [box] = places();
    if (!box || !isByHand()) return null;
    const found = boxesOf(node).map((one, number) => ({ number, one, sides: held(onCanvas(box, one), point) })).filter(({ sides }) => sides);
    // The selected one, else the smallest: a box in front of another is the smaller one.
    const hit = found.find(({ number }) => number === selected) ?? found.sort((one, other) => one.one[2] * one.one[3] - other.one[2] * other.one[3])[0];
    select(hit?.number ?? -1);
    if (!hit) return null;
    const before = hit.one;
    return ([x, y]) => edit((boxes) => (boxes[hit.number] = pulled(before, hit.sides, [(x - point[0]) / box.width, (y - point[1]) / box.height])));
  });
  const arrow = (across, down) => (event) => pull(event.shiftKey ? { right: across !== 0, bottom: down !== 0 } : {}, [across * STEP, down * STEP]);
  const turn = (by) => () => select((Math.max(selected, by < 0 ? 0 : -1) + by + boxesOf(node).length) % boxesOf(node).length);
  onKeys(canvas, {
    ArrowLeft: arrow(-1, 0),
    ArrowRight: arrow(1, 0),
    ArrowUp: arrow(0, -1),
    ArrowDown: arrow(0, 1),
    PageDown: turn(1),
    PageUp: turn(-1),
    Insert: add,
    Delete: remove,
    Backspace: remove,
  });
  followPersons(node, () => selected, select);
}

// Another number of persons adds boxes, or takes the last ones away.
function followPersons(node, selected, select) {
  const widget = widgetOf(node, "persons");
  const before = widget.callback;
  widget.callback = function (...given) {
    const boxes = drawnBoxes(node);
    const count = valueOf(node, "persons");
    if (boxes && boxes.length !== count && !isLinked(node, "persons")) {
      while (boxes.length < count) boxes.push([...NEW_BOX]);
      const names = namesOf(node, boxes.length);
      write(node, boxes.slice(0, count), names.slice(0, count));
      if (selected() >= count) select(count - 1);
    }
    return before?.apply(this, given);
  };
}
