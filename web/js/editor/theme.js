// Looks: the host's own colours for box and text, so that every palette fits, and one hue for each kind of mark.
// Each has a contrast of 4.5:1 or more to the box of the host's light palette (#c9c9c9) and of its dark one (#222), on each person's ground as well.
import { EditorView } from "../vendor/codemirror.js";

const hue = (dark, light) => `light-dark(${light}, ${dark})`;

const colours = {
  ".astria-break": { color: "inherit", fontWeight: "700", letterSpacing: "0.06em" },
  ".astria-tag": { color: hue("#a3a3b1", "#484853") },
  ".astria-tag-kind": { color: hue("#c89bff", "#5e2f99") },
  ".astria-tag-name, .astria-embedding": { color: hue("#ffb86b", "#733900") },
  ".astria-tag-number, .astria-flag-value, .astria-param-value": { color: hue("#9fe08a", "#205315") },
  ".astria-flag-name": { color: hue("#6fc3ff", "#004a83") },
  ".astria-key": { color: hue("#6fc3ff", "#004a83") },
  ".astria-quoted": { color: hue("#9fe08a", "#205315") },
  ".astria-idle": { color: hue("#a3a3b1", "#484853") },
  ".astria-junk": { color: hue("#ff8f8f", "#8d1e18") },
};

const PEOPLE = ["#e0527d", "#3f9be0", "#d19a2e", "#46b070", "#9a6be0", "#3fb5b5"];

const parts = Object.fromEntries(
  PEOPLE.map((colour, number) => [
    `.astria-person-${number}`,
    { backgroundColor: `color-mix(in srgb, ${colour} 16%, transparent)`, "& .astria-break": { color: `color-mix(in srgb, ${colour} 30%, var(--input-text))` } },
  ]),
);

const tooltip = {
  border: "1px solid var(--border-color, #4e4e4e)",
  borderRadius: "6px",
  backgroundColor: "var(--comfy-menu-bg, #353535)",
  color: "var(--input-text, #ddd)",
  boxShadow: "0 4px 14px rgb(0 0 0 / 40%)",
  zIndex: "10000",
};

export const theme = EditorView.theme({
  "&.cm-editor": { height: "100%", color: "var(--input-text)", backgroundColor: "transparent", fontSize: "var(--comfy-textarea-font-size, 10px)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "inherit", lineHeight: "1.5", overflow: "auto" },
  ".cm-content": { padding: "4px 0", caretColor: "var(--input-text)" },
  ".cm-line": { padding: "0 6px" },
  ".cm-placeholder": { color: "var(--input-text)", opacity: "0.5" },
  ...colours,
  ...parts,
  ".astria-scene .astria-break": { color: hue("#ffd66b", "#614400") },
  ".cm-tooltip": tooltip,
  ".cm-tooltip.cm-tooltip-hover": { maxWidth: "min(440px, 80vw)" },
  ".cm-diagnostic": { padding: "5px 9px", fontSize: "12px" },
  ".cm-diagnosticAction": { display: "block", margin: "4px 0 0", padding: "2px 8px", borderRadius: "4px", font: "inherit", color: "inherit", backgroundColor: "color-mix(in srgb, #4a9eff 35%, transparent)", cursor: "pointer" },
  ".cm-diagnosticText, .astria-about": { whiteSpace: "pre-wrap" },
  ".astria-about": { padding: "5px 9px", fontSize: "12px", overflowWrap: "anywhere" },
  ".astria-hint": { opacity: "0.75", display: "block", overflowWrap: "anywhere" },
  ".astria-photo": { display: "block", maxWidth: "128px", maxHeight: "128px", margin: "2px 0 6px", borderRadius: "4px" },
  ".astria-small-photo": { width: "22px", height: "22px", objectFit: "cover", borderRadius: "3px", marginRight: "8px", verticalAlign: "middle" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "inherit", fontSize: "12px", maxHeight: "22em", maxWidth: "min(560px, 90vw)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "2px 8px", lineHeight: "1.5" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "color-mix(in srgb, #4a9eff 35%, transparent)", color: "inherit" },
  ".cm-completionDetail": { opacity: "0.65", fontStyle: "normal", marginLeft: "1em" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700" },
  ".cm-tooltip.cm-completionInfo": { padding: "5px 9px", fontSize: "12px", maxWidth: "300px" },
});
