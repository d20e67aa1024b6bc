// Completion and hover text, both answered by the server from the tree of the whole text.
import {
  Prec,
  acceptCompletion,
  autocompletion,
  completionKeymap,
  completionStatus,
  hoverTooltip,
  keymap,
  selectedCompletion,
  startCompletion,
} from "../vendor/codemirror.js";
import { api } from "../../../../scripts/api.js";
import { complete, describe } from "./server.js";

const GOES_ON = /[ :=]$/; // after these an accepted option is followed by another list: the values of a flag, the names of a tag
const HOVER_MS = 300;

// What fits equally well stands as the server lists it: anchors from top left to bottom right, tunes before files.
const inOrder = (one, other) => one.order - other.order;

// What is looked for is what stands before the cursor; `rest` characters behind it belong to the same word and are replaced with it.
function inserted(text, rest) {
  return (view, option, from, to) => {
    view.dispatch({ changes: { from, to: Math.min(to + rest, view.state.doc.length), insert: text }, selection: { anchor: from + text.length }, userEvent: "input.complete" });
    if (GOES_ON.test(text)) startCompletion(view);
  };
}

function photoOf(address, className) {
  return Object.assign(document.createElement("img"), { className, src: api.apiURL(address), alt: "" });
}

// Beside the chosen entry: a tune's photo, and what a flag does.
function about({ photo, detail, help }) {
  if (!photo) return help || undefined;
  return () => {
    const box = document.createElement("div");
    box.append(photoOf(photo, "astria-photo"), detail);
    return box;
  };
}

const smallPhoto = {
  position: 10, // before the label
  render: ({ photo }) => (photo ? photoOf(photo, "astria-small-photo") : null),
};

async function source(context) {
  const stop = new AbortController();
  // An answer is for one text. Were a question kept while the typing goes on, a "nothing fits" to an
  // earlier text would be taken for an answer to the later one, and no list come up at all.
  context.addEventListener("abort", () => stop.abort(), { onDocChange: true });
  let found;
  try {
    found = await complete(context.state.doc.toString(), context.pos, context.explicit, stop.signal);
  } catch (error) {
    if (error.name !== "AbortError") console.warn(`Astria: no completion: ${error.message}`);
    return null;
  }
  const typed = context.state.sliceDoc(found.start, found.end);
  const options = found.options.map((one, order) => ({
    order,
    label: one.label,
    type: one.kind,
    detail: one.detail,
    photo: one.photo,
    info: about(one),
    apply: inserted(one.text, found.end - context.pos),
    isTyped: one.text.trim() === typed,
  }));
  // What is written in full needs no list, which would only take the next Enter.
  if (!options.length || (!context.explicit && options.some((one) => one.isTyped))) return null;
  return { from: found.start, options };
}

const hover = hoverTooltip(
  async (view, at) => {
    let found;
    try {
      found = await describe(view.state.doc.toString(), at);
    } catch (error) {
      console.warn(`Astria: no hover text: ${error.message}`);
      return null;
    }
    if (!found.text) return null;
    return {
      pos: found.start,
      end: found.end,
      above: true,
      create() {
        const dom = Object.assign(document.createElement("div"), { className: "astria-about", textContent: found.text });
        if (found.photo) dom.prepend(photoOf(found.photo, "astria-photo"));
        return { dom };
      },
    };
  },
  { hoverTime: HOVER_MS },
);

const acceptWithTab = { key: "Tab", run: (view) => completionStatus(view.state) === "active" && !!selectedCompletion(view.state) && acceptCompletion(view) };

export const completing = [
  autocompletion({ override: [source], icons: false, defaultKeymap: false, maxRenderedOptions: 200, compareCompletions: inOrder, addToOptions: [smallPhoto] }),
  Prec.highest(keymap.of([...completionKeymap, acceptWithTab])),
  hover,
];
