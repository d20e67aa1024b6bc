// Where the source stands on the outpainted canvas: dragged, clicked or moved by arrow keys to one of nine places.
import { text } from "../texts.js";
import { addPicture, caption, change, framed, onDrag, onKeys, scaled, shownPicture, shownSize, valueOf } from "./picture.js";

const ANCHORS = ["top-left", "top-center", "top-right", "left-center", "center", "right-center", "bottom-left", "bottom-center", "bottom-right"];

// Where a length stands on an axis: at its start, in its middle or at its end, as nodes/outpaint/geometry.py places it.
const placed = (side, length, room) => [0, Math.floor((room - length) / 2), room - length][side];

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
  const values = { canvas: `${width}x${height}`, source: known?.join("x") };
  caption(pen, text(known ? "outpaint.known" : "outpaint.unknown", values), wide, high);
  return dots(box).map((dot, place) => ({ ...dot, source: sourceOn(box, size, width, height, ANCHORS[place], valueOf(node, "smaller")) }));
}

const nearest = (places, distance) => places.reduce((one, other) => (distance(one) <= distance(other) ? one : other));

const CLICK_PX = 3; // below which a drag is a click

// A drag takes the source along, and leaves it at the nearest of the nine places.
function drag(node, places, [x, y]) {
  const from = places().find((place) => place.anchor === valueOf(node, "anchor"))?.source;
  const isInside = from && x >= from.x && x <= from.x + from.width && y >= from.y && y <= from.y + from.height;
  let isDrag = false;
  const byPoint = ([left, top]) => nearest(places(), (place) => Math.hypot(place.x - left, place.y - top));
  const bySource = ([left, top]) => nearest(places(), ({ source }) => Math.hypot(source.x - from.x - left + x, source.y - from.y - top + y));
  change(node, "anchor", byPoint([x, y]).anchor);
  return (point) => {
    isDrag ||= Math.hypot(point[0] - x, point[1] - y) > CLICK_PX;
    if (isDrag) change(node, "anchor", (isInside ? bySource : byPoint)(point).anchor);
  };
}

function stepped(node, across, down) {
  const place = ANCHORS.indexOf(valueOf(node, "anchor"));
  const within = (at) => Math.min(Math.max(at, 0), 2);
  change(node, "anchor", ANCHORS[within((place % 3) + across) + 3 * within(Math.floor(place / 3) + down)]);
}

export function addPicker(node) {
  const { canvas, places } = addPicture(node, drawCanvas, text("outpaint.label"));
  canvas.style.cursor = "pointer";
  onDrag(canvas, (point) => (places().length ? drag(node, places, point) : null));
  onKeys(canvas, {
    ArrowLeft: () => stepped(node, -1, 0),
    ArrowRight: () => stepped(node, 1, 0),
    ArrowUp: () => stepped(node, 0, -1),
    ArrowDown: () => stepped(node, 0, 1),
  });
}

