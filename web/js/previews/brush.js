// A brush on a picture in a node: by pointer and by keys, what it draws or wipes, its size, and the buttons that choose it.
import { text } from "../texts.js";

const RADIUS = 0.05; // of the picture's longer side
const [LEAST, MOST] = [0.008, 0.25];
const GROWTH = 1.25;
const STEP = 0.02;
const within = (number, least, most) => Math.min(Math.max(number, least), most);

// `paint(points, radius, isOn, isFirst)` draws dabs at places in parts of the picture, `frame()` is where the picture is on the canvas, null without one.
export function makeBrush(canvas, { paint, frame, redraw, chosen = () => {} }) {
  const brush = { tool: "", radius: RADIUS, at: [0.5, 0.5], isOver: false };
  const slider = Object.assign(document.createElement("input"), { type: "range", min: LEAST, max: MOST, step: "any", value: RADIUS, title: text("brush.size") });
  slider.setAttribute("aria-label", text("brush.size"));
  Object.assign(slider.style, { flex: "1 1 0", minWidth: "40px", display: "none" });
  slider.addEventListener("input", () => resize(Number(slider.value)));

  function resize(radius) {
    brush.radius = within(radius, LEAST, MOST);
    slider.value = brush.radius;
    redraw();
  }
  const placeOf = ([x, y]) => {
    const box = frame();
    return box && [(x - box.x) / box.width, (y - box.y) / box.height];
  };
  // Dabs along the way from one place to another, close enough to be a line.
  const between = ([x, y], [left, top]) => {
    const count = Math.max(1, Math.ceil(Math.hypot(left - x, top - y) / (brush.radius / 2)));
    return Array.from({ length: count }, (_, one) => [x + ((left - x) * (one + 1)) / count, y + ((top - y) * (one + 1)) / count]);
  };
  const dab = (points, isFirst) => paint(points, brush.radius, brush.tool === "brush", isFirst);

  brush.slider = slider;
  brush.use = (tool) => {
    brush.tool = brush.tool === tool ? "" : tool;
    slider.style.display = brush.tool ? "" : "none";
    canvas.style.cursor = brush.tool ? "crosshair" : "";
    chosen();
    redraw();
  };
  // What a pointer that goes down at `point` does with further points.
  brush.begin = (point) => {
    const place = placeOf(point);
    if (!place) return null;
    let last = (brush.at = place);
    dab([place], true);
    return (next) => {
      const there = placeOf(next);
      dab(between(last, there), false);
      last = there;
    };
  };
  brush.draw = (pen, box) => {
    if (!brush.tool || !(brush.isOver || document.activeElement === canvas)) return;
    pen.beginPath();
    pen.arc(box.x + brush.at[0] * box.width, box.y + brush.at[1] * box.height, brush.radius * Math.max(box.width, box.height), 0, 2 * Math.PI);
    pen.lineWidth = 1.5;
    pen.strokeStyle = "rgba(0,0,0,0.8)";
    pen.stroke();
    pen.setLineDash(brush.tool === "brush" ? [] : [4, 3]);
    pen.strokeStyle = "white";
    pen.stroke();
    pen.setLineDash([]);
  };
  const move = (across, down) => () => {
    brush.at = [within(brush.at[0] + across * STEP, 0, 1), within(brush.at[1] + down * STEP, 0, 1)];
    redraw();
  };
  // Keys while a tool is chosen, and those that choose one.
  const own = {
    ArrowLeft: move(-1, 0),
    ArrowRight: move(1, 0),
    ArrowUp: move(0, -1),
    ArrowDown: move(0, 1),
    " ": () => dab([brush.at], true),
    "[": () => resize(brush.radius / GROWTH),
    "]": () => resize(brush.radius * GROWTH),
    Escape: () => brush.use(brush.tool),
  };
  brush.keys = (others) => {
    const choosing = { b: () => brush.use("brush"), e: () => brush.use("eraser") };
    const left = () => false; // such as Escape, which closes a dialog
    const both = Object.keys({ ...own, ...others }).map((key) => [key, (event) => (brush.tool && own[key] ? own[key] : others[key] ?? left)(event)]);
    return { ...Object.fromEntries(both), ...choosing };
  };
  canvas.addEventListener("pointermove", (event) => {
    if (!brush.tool) return;
    const shown = canvas.getBoundingClientRect();
    const factor = canvas.clientWidth / shown.width;
    brush.at = placeOf([(event.clientX - shown.left) * factor, (event.clientY - shown.top) * factor]) ?? brush.at;
    brush.isOver = true;
    redraw();
  });
  canvas.addEventListener("pointerleave", () => {
    brush.isOver = false;
    if (brush.tool) redraw();
  });
  return brush;
}
