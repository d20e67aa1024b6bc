// Shapes drawn by hand: a box, [x, y, width, height] in parts of the picture, and cells of it that a brush has drawn, null for all of it.
// As text they are what nodes/base/drawn.py reads: "0.2 0.1 0.5 0.6", and behind it "4x2 1 2 3 1", COLUMNSxROWS and runs of cells by turns without and with.
export const CELLS = 128; // along the longer side of a picture, of a new brushed mask

const isNumber = (text) => /^\d+$/.test(text);
const grid = (columns, rows) => ({ columns, rows, on: new Uint8Array(columns * rows) });

function readCells(words) {
  const [, columns, rows] = /^(\d{1,3})x(\d{1,3})$/.exec(words[0]) ?? [];
  if (!columns || !words.slice(1).every(isNumber)) return null;
  const cells = grid(Number(columns), Number(rows));
  let end = 0;
  for (const [place, run] of words.slice(1).map(Number).entries()) cells.on.fill(place % 2, end, (end += run));
  return end <= cells.on.length && cells.on.includes(1) ? cells : null;
}

// The shape of a text, null where it is none.
export function readShape(text) {
  const words = text.trim().split(/\s+/);
  const box = words.slice(0, 4).map(Number);
  if (words.length < 4 || !box.every(Number.isFinite) || box[2] <= 0 || box[3] <= 0) return null;
  if (words.length === 4) return { box, cells: null };
  const cells = readCells(words.slice(4));
  return cells && { box, cells };
}

export function writeShape({ box, cells }) {
  const digits = cells ? 5 : 3; // a mask's cells must not drift while it is painted
  const words = box.map((number) => Number(number.toFixed(digits)));
  if (!cells) return words.join(" ");
  const runs = [0];
  for (const on of cells.on) {
    if (on !== (runs.length - 1) % 2) runs.push(0);
    runs[runs.length - 1]++;
  }
  if (runs.length % 2) runs.pop(); // what is left over is without
  return [...words, `${cells.columns}x${cells.rows}`, ...runs].join(" ");
}

// Whether a place of the picture is drawn: in the box, and where cells, blended between their centres, are half drawn or more.
export function isDrawn({ box: [left, top, width, height], cells }, x, y) {
  if (x < left || x > left + width || y < top || y > top + height) return false;
  if (!cells) return true;
  const { columns, rows, on } = cells;
  const place = (part, count) => Math.min(Math.max(part * count - 0.5, 0), count - 1);
  const [across, down] = [place((x - left) / width, columns), place((y - top) / height, rows)];
  const [column, row] = [Math.floor(across), Math.floor(down)];
  const at = (one, other) => on[Math.min(other, rows - 1) * columns + Math.min(one, columns - 1)];
  const [u, v] = [across - column, down - row];
  return (at(column, row) * (1 - u) + at(column + 1, row) * u) * (1 - v) + (at(column, row + 1) * (1 - u) + at(column + 1, row + 1) * u) * v >= 0.5 - 1e-6;
}

// The shape with the cells of another part of its lattice, which begins at `left`, `top` cells from its own.
function reframed({ box, cells }, left, top, columns, rows) {
  const [wide, high] = [box[2] / cells.columns, box[3] / cells.rows];
  const made = grid(columns, rows);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const [x, y] = [column + left, row + top];
      if (x >= 0 && x < cells.columns && y >= 0 && y < cells.rows) made.on[row * columns + column] = cells.on[y * cells.columns + x];
    }
  }
  return { box: [box[0] + left * wide, box[1] + top * high, columns * wide, rows * high], cells: made };
}

// The shape without rows and columns at its sides in which nothing is drawn; null where nothing is.
function trimmed(shape) {
  const { columns, rows, on } = shape.cells;
  let [left, top, right, bottom] = [columns, rows, -1, -1];
  for (let place = 0; place < on.length; place++) {
    if (!on[place]) continue;
    const [column, row] = [place % columns, Math.floor(place / columns)];
    [left, right, top, bottom] = [Math.min(left, column), Math.max(right, column), Math.min(top, row), Math.max(bottom, row)];
  }
  return right < 0 ? null : reframed(shape, left, top, right - left + 1, bottom - top + 1);
}

// A box as cells, all drawn; without one, a lattice at the picture's corner with nothing drawn.
function asCells(shape, [width, height]) {
  if (shape?.cells) return shape;
  const cell = Math.max(width, height) / CELLS;
  const [x, y, wide, high] = shape?.box ?? [0, 0, cell / width, cell / height];
  const cells = grid(Math.max(1, Math.round((wide * width) / cell)), Math.max(1, Math.round((high * height) / cell)));
  if (shape) cells.on.fill(1);
  return { box: [x, y, wide, high], cells };
}

// The shape with a dab of the brush: a disc of `radius`, in parts of the longer side of a picture of `size`, is drawn or wiped. Null where nothing is left.
export function dabbed(shape, size, [x, y], radius, isOn) {
  const whole = asCells(shape, size);
  const [wide, high] = [whole.box[2] / whole.cells.columns, whole.box[3] / whole.cells.rows];
  const reach = radius * Math.max(...size);
  const [across, down] = [reach / size[0], reach / size[1]];
  // Cells of the lattice under the disc, none outside the picture.
  const first = (place, start, step) => Math.floor((Math.max(place, 0) - start) / step + 1e-6);
  const last = (place, start, step) => Math.ceil((Math.min(place, 1) - start) / step - 1e-6) - 1;
  const under = [first(x - across, whole.box[0], wide), first(y - down, whole.box[1], high), last(x + across, whole.box[0], wide), last(y + down, whole.box[1], high)];
  const [left, top] = isOn ? [Math.min(under[0], 0), Math.min(under[1], 0)] : [0, 0];
  const [right, bottom] = [whole.cells.columns - 1, whole.cells.rows - 1].map((end, axis) => (isOn ? Math.max(under[axis + 2], end) : end));
  const made = reframed(whole, left, top, right - left + 1, bottom - top + 1);
  const { columns, rows, on } = made.cells;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const [dx, dy] = [made.box[0] + (column + 0.5) * wide - x, made.box[1] + (row + 0.5) * high - y];
      const isHit = Math.hypot(dx * size[0], dy * size[1]) <= Math.max(reach, Math.min(wide * size[0], high * size[1]) / 2);
      if (isHit) on[row * columns + column] = Number(isOn);
    }
  }
  return trimmed(made);
}
