// A mask over its picture: what was found in red, and what a person draws over it, kept in a widget as plain numbers.
import { CELLS, dabbed, isDrawn, readShape, writeShape } from "./cells.js";
import { caption, framed, scaled } from "./picture.js";

const RED = [224, 32, 32];
const STRENGTH = 0.5;
const BETWEEN = "|";
const SIGNS = { "+": true, "-": false };
const UNKNOWN = [512, 512]; // the size of a picture of which nothing is known

// What is drawn: { isAdded, shape } in their order; null where the text is none.
export function readStrokes(text) {
  const parts = String(text ?? "").split(BETWEEN).map((part) => part.trim()).filter(Boolean);
  const strokes = parts.map((part) => ({ isAdded: SIGNS[part[0]], shape: readShape(part.slice(1)) }));
  return strokes.every(({ isAdded, shape }) => isAdded !== undefined && shape) ? strokes : null;
}

const writeStrokes = (strokes) => strokes.map(({ isAdded, shape }) => `${isAdded ? "+" : "-"} ${writeShape(shape)}`).join(` ${BETWEEN} `);

// The text with dabs of the brush drawn, or wiped: one shape of what is added and one of what is taken away, which share no place.
export function dabbedStrokes(text, size, points, radius, isOn) {
  const strokes = readStrokes(text) ?? [];
  const of = (wanted) => strokes.find(({ isAdded }) => isAdded === wanted)?.shape ?? null;
  let [mine, other] = [of(isOn), of(!isOn)];
  for (const point of points) {
    mine = dabbed(mine, size, point, radius, true) ?? mine;
    other = other && dabbed(other, size, point, radius, false);
  }
  return writeStrokes([{ isAdded: isOn, shape: mine }, { isAdded: !isOn, shape: other }].filter(({ shape }) => shape));
}

// `found` are masks as a run tells them, { size, cells }, of one thing each; several are told apart by `tints`.
export function drawMask(canvas, { found, strokes, picture, told, tints = [RED], brush }) {
  const size = found[0]?.size ?? (picture ? [picture.naturalWidth, picture.naturalHeight] : UNKNOWN);
  const { pen, box, wide, high } = scaled(canvas, ...size);
  framed(pen, box, "rgba(128,128,128,0.18)");
  if (picture) pen.drawImage(picture, box.x, box.y, box.width, box.height);
  const fine = (2 * CELLS) / Math.max(...size);
  const [across, down] = size.map((side) => Math.max(1, Math.round(side * Math.min(fine, 1))));
  const shapes = found.map(({ cells }) => readShape(cells));
  const pixels = new ImageData(across, down);
  for (let cell = 0; cell < across * down; cell++) {
    const [x, y] = [((cell % across) + 0.5) / across, (Math.floor(cell / across) + 0.5) / down];
    let whose = shapes.findIndex((shape) => shape && isDrawn(shape, x, y));
    for (const { isAdded, shape } of strokes) if (isDrawn(shape, x, y)) whose = isAdded ? 0 : -1;
    if (whose >= 0) pixels.data.set([...tints[whose % tints.length], 255 * STRENGTH], 4 * cell);
  }
  const layer = new OffscreenCanvas(across, down);
  layer.getContext("2d").putImageData(pixels, 0, 0);
  pen.drawImage(layer, box.x, box.y, box.width, box.height);
  brush?.draw(pen, box);
  caption(pen, told(size), wide, high);
  return [{ ...box, size }];
}
