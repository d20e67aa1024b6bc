// Whose each part of the picture is, as nodes/regions works it out, on a grid coarse enough for a drawing.
import { isDrawn } from "./cells.js";

const CELLS = 192; // along the longer side
const MARGIN = 0.08; // of a column that stays scene, as in nodes/regions/layout.py

// Boxes, [x, y, width, height] in parts of the picture, of equal columns.
export const columns = (count) => Array.from({ length: count }, (_, index) => [(index + MARGIN) / count, MARGIN, (1 - 2 * MARGIN) / count, 1 - MARGIN]);

const inFront = ([x, y, width], [left, top, wide]) => left <= x && x + width <= left + wide && (x !== left || width !== wide || y > top);

// The number of the shape that each cell belongs to, -1 for the scene: where they meet, the border lies between their boxes by the widths of these.
// A brushed mask stands in front of boxes.
function owners(shapes, across, down) {
  const ahead = shapes.map((one) => shapes.filter((other) => inFront(one.box, other.box)).length + (one.cells ? shapes.length : 0));
  return Int8Array.from({ length: across * down }, (_, cell) => {
    const [x, y] = [((cell % across) + 0.5) / across, (Math.floor(cell / across) + 0.5) / down];
    let [owner, least] = [-1, Infinity];
    for (const [number, shape] of shapes.entries()) {
      if (!isDrawn(shape, x, y)) continue;
      const [left, , width] = shape.box;
      const distance = Math.abs(x - left - width / 2) / (width / 2);
      const cost = distance / (1 + distance) - ahead[number];
      if (cost < least) [owner, least] = [number, cost];
    }
    return owner;
  });
}

// The average over `reach` cells to each side, along lines of `count` cells that lie `step` apart; the picture's edge goes on.
function softened(plane, lines, count, step, next, reach) {
  const soft = new Float32Array(plane.length);
  for (let line = 0; line < lines; line++) {
    const at = (place) => plane[line * next + Math.min(Math.max(place, 0), count - 1) * step];
    let sum = 0;
    for (let place = -reach; place <= reach; place++) sum += at(place);
    for (let place = 0; place < count; place++) {
      soft[line * next + place * step] = sum / (2 * reach + 1);
      sum += at(place + reach + 1) - at(place - reach);
    }
  }
  return soft;
}

// Each shape's share of the cells: { across, down, planes }, of a picture of width x height with borders `softness` px wide.
export function shares(shapes, width, height, softness) {
  const cell = Math.max(1, Math.max(width, height) / CELLS);
  const [across, down] = [Math.max(1, Math.round(width / cell)), Math.max(1, Math.round(height / cell))];
  const whose = owners(shapes, across, down);
  const reach = Math.round(((2 * Math.floor(softness / 2) + 1) / cell - 1) / 2);
  const planes = shapes.map((_, number) => {
    const hard = Float32Array.from(whose, (owner) => (owner === number ? 1 : 0));
    if (reach <= 0) return hard;
    return softened(softened(hard, down, across, 1, across, reach), across, down, across, 1, reach);
  });
  return { across, down, planes };
}
