// Buttons that write a tag into the prompt in hand.
import { promptInHand } from "../editor/focused.js";
import { button } from "./dom.js";

const refusal = (message, hint) => Object.assign(new Error(message), { hint });

function insert(tag, told) {
  const editor = promptInHand();
  if (!editor) return told.fail(refusal("No prompt is chosen.", "Click into the prompt that the tag belongs to, then insert it."));
  if (editor.isLinked()) return told.fail(refusal(`The prompt of ${editor.node.title} comes over a link.`, "Click into a prompt of which the text stands in its node."));
  editor.insert(tag);
  return told.say(`${tag} is written into ${editor.node.title}.`);
}

export const tagButton = (tag, told) =>
  button(tag, () => insert(tag, told), { class: "astria-tag-button", title: "Write this tag into the prompt", "aria-label": `Insert ${tag}` });
