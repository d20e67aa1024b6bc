// Buttons that write a tag into the prompt in hand.
import { promptInHand } from "../editor/focused.js";
import { text } from "../texts.js";
import { button } from "./dom.js";

const refusal = (message, hint) => Object.assign(new Error(message), { hint });

export function insertTag(tag, told) {
  const editor = promptInHand();
  if (!editor) return told.fail(refusal(text("tags.no_prompt"), text("tags.no_prompt_hint")));
  if (editor.isLinked()) return told.fail(refusal(text("tags.linked", editor.node), text("tags.linked_hint")));
  editor.insert(tag);
  return told.say(text("tags.written", { tag, title: editor.node.title }));
}

export const tagButton = (tag, told) =>
  button(tag, () => insertTag(tag, told), { class: "astria-tag-button", title: text("tags.write"), "aria-label": text("tags.insert", { tag }) });
