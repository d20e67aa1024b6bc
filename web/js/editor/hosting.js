// What makes an editor in a node behave as the stock text box does: wheel, panning, clipboard, dropped files, links, removal.
import { app } from "../../../../scripts/app.js";
import { takeDropped } from "./dropped.js";

const TRACKPAD_PX = 50; // a wheel's steps are larger

const isVue = () => Boolean(globalThis.LiteGraph?.vueNodesMode);

function chained(node, name, after) {
  const before = node[name];
  node[name] = function (...given) {
    const result = before?.apply(this, given);
    after.apply(this, given);
    return result;
  };
}

// With LiteGraph the box lies above the canvas, which must go on hearing the wheel: zoom, panning, and where there is nothing to scroll.
function wheeled(event, scroller) {
  if (isVue()) return;
  const gestures = app.extensionManager?.setting.get("LiteGraph.Pointer.TrackpadGestures");
  const isTrackpad = Math.abs(event.deltaX) > 0 || Math.abs(event.deltaY) < TRACKPAD_PX;
  const isSideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
  const scrolls = scroller && scroller.scrollHeight > scroller.clientHeight;
  if (scrolls && !event.ctrlKey && !isSideways && !(gestures && isTrackpad)) {
    event.stopPropagation();
    return;
  }
  event.preventDefault();
  event.stopPropagation();
  app.canvas.processMouseWheel(event);
}

function isMiddle(event) {
  return event.type === "pointermove" ? (event.buttons & 4) === 4 : event.button === 1;
}

function panWithMiddleButton(root) {
  const handlers = { pointerdown: "processMouseDown", pointermove: "processMouseMove", pointerup: "processMouseUp" };
  for (const [kind, handler] of Object.entries(handlers)) {
    root.addEventListener(kind, (event) => {
      if (isMiddle(event)) app.canvas[handler](event);
    });
  }
}

export function behaveAsTextBox(node, widget, root, { view, open, close, linked, insert }) {
  root.addEventListener("wheel", (event) => wheeled(event, view()?.scrollDOM), { passive: false });
  panWithMiddleButton(root);
  // Copy and paste in here are of text; the host would take them for nodes, since the focus is in no text area.
  for (const kind of ["copy", "cut", "paste"]) root.addEventListener(kind, (event) => event.stopPropagation());
  root.addEventListener("contextmenu", (event) => root.contains(document.activeElement) && event.stopPropagation());
  takeDropped(root, insert);
  // The canvas may have been zoomed since the editor was measured.
  root.addEventListener("pointerenter", () => view()?.requestMeasure());
  root.blur = () => view()?.contentDOM.blur();
  // The side panel sets a width on widgets of the selected node and leaves them that narrow; ours always follow the node.
  Object.defineProperty(widget, "width", { get: () => undefined, set: () => {} });
  chained(node, "onAdded", open);
  chained(node, "onRemoved", close);
  const relinked = () => {
    root.inert = node.inputs?.some((input) => input.widget?.name === widget.name && input.link != null) ?? false;
    linked();
  };
  chained(node, "onConnectionsChange", relinked);
  chained(node, "onConfigure", relinked);
}
