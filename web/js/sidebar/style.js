// Looks of the sidebar and its dialogs, in the host's own colours; on light-dark() see editor/box.js.
const ID = "astria-sidebar-style";

const STYLE = `
.astria-panel { color: var(--input-text); font-family: inherit; font-size: 13px; line-height: 1.4; --astria-accent: light-dark(#2f7fd6, #4a9eff); --astria-bad: light-dark(#b3261e, #ff8f8f); --astria-good: light-dark(#2f7a1f, #8fd67a);
  --astria-field: color-mix(in srgb, var(--comfy-input-bg) 45%, var(--comfy-menu-bg)); --astria-line: color-mix(in srgb, currentColor 18%, transparent); --astria-faint: color-mix(in srgb, currentColor 7%, transparent); }
.dark-theme .astria-panel { color-scheme: dark; }
.astria-panel *, .astria-panel { box-sizing: border-box; }
.astria-sidebar { display: flex; flex-direction: column; height: 100%; min-height: 0; container-type: inline-size; }
.astria-sidebar > h2 { margin: 0; padding: 14px 16px 6px; font-size: 14px; font-weight: 600; }
.astria-panel h3 { display: flex; justify-content: space-between; align-items: baseline; gap: 8px; margin: 14px 0 6px; font-size: 12px; font-weight: 600; }
.astria-panel p { margin: 0; overflow-wrap: anywhere; }
.astria-panel ul { list-style: none; margin: 0; padding: 0; }
.astria-panel [hidden] { display: none; }
.astria-panel :is(button, input, select, summary, [tabindex]):focus-visible { outline: 2px solid var(--astria-accent); outline-offset: 1px; }

.astria-tabs { display: flex; flex-wrap: wrap; gap: 0 4px; padding: 0 12px; border-bottom: 1px solid var(--astria-line); }
.astria-tabs button { padding: 7px clamp(4px, 1.8cqi, 10px); border: 0; border-bottom: 2px solid transparent; background: none; color: inherit; font: inherit; opacity: 0.7; cursor: pointer; }
.astria-tabs button:hover { opacity: 1; }
.astria-tabs button[aria-selected="true"] { opacity: 1; font-weight: 600; border-bottom-color: var(--astria-accent); }
.astria-tab { flex: 1 1 0; min-height: 0; overflow: hidden auto; display: flex; flex-direction: column; gap: 10px; padding: 12px; }
.astria-tab.astria-over { box-shadow: inset 0 0 0 2px var(--astria-accent); background: color-mix(in srgb, var(--astria-accent) 10%, transparent); }
.astria-bar { display: flex; gap: 8px; }
.astria-bar input { flex: 1 1 0; min-width: 0; }

.astria-panel :is(input:not([type="file"]), select) { width: 100%; min-height: 32px; padding: 4px 9px; border: 1px solid var(--astria-line); border-radius: 6px;
  background: var(--astria-field); color: var(--input-text); font: inherit; }
.astria-panel input::placeholder { color: currentColor; opacity: 0.5; }
.astria-panel select[size] { padding: 3px; min-height: 150px; }
.astria-panel select[size] option { padding: 3px 6px; border-radius: 4px; }
.astria-button { min-height: 32px; padding: 4px 12px; border: 1px solid var(--astria-line); border-radius: 6px; background: var(--astria-faint); color: inherit; font: inherit; white-space: nowrap; cursor: pointer; }
.astria-button:hover:not(:disabled) { background: color-mix(in srgb, currentColor 14%, transparent); }
.astria-button:disabled { opacity: 0.45; cursor: default; }
.astria-main { background: #2467b0; border-color: #2467b0; color: #fff; }
.astria-main:hover:not(:disabled) { background: #2f7fd6; }
.astria-grave { background: #b3261e; border-color: #b3261e; color: #fff; }
.astria-grave:hover:not(:disabled) { background: #cf3a31; }
.astria-icon { flex: none; width: 28px; height: 28px; padding: 0; border: 0; border-radius: 6px; background: none; color: inherit; opacity: 0.6; cursor: pointer; font-size: 13px; }
.astria-icon:hover, .astria-icon:focus-visible { opacity: 1; background: var(--astria-faint); }

.astria-list { display: flex; flex-direction: column; gap: 6px; }
.astria-card { display: flex; gap: 10px; align-items: flex-start; padding: 8px; border: 1px solid var(--astria-line); border-radius: 8px; background: var(--astria-faint); }
.astria-card.astria-missing { border-color: color-mix(in srgb, var(--astria-bad) 55%, transparent); }
.astria-portrait { flex: none; width: 52px; height: 52px; border-radius: 6px; object-fit: cover; background: var(--astria-faint); display: grid; place-items: center; font-size: 20px; }
.astria-words { flex: 1 1 0; min-width: 0; display: flex; flex-direction: column; gap: 2px; }
.astria-words > strong { font-weight: 600; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.astria-quiet, .astria-field small, .astria-zone small { font-size: 11.5px; font-weight: 400; color: color-mix(in srgb, currentColor 68%, transparent); overflow-wrap: anywhere; }
.astria-file { font-family: monospace; font-size: 11.5px; overflow-wrap: anywhere; }
.astria-tags { display: flex; flex-wrap: wrap; gap: 4px; margin-top: 3px; }
.astria-tag-button { padding: 2px 7px; border: 1px solid color-mix(in srgb, var(--astria-accent) 50%, transparent); border-radius: 5px; background: color-mix(in srgb, var(--astria-accent) 12%, transparent);
  color: inherit; font: 11.5px monospace; cursor: pointer; }
.astria-tag-button:hover { background: color-mix(in srgb, var(--astria-accent) 28%, transparent); }
.astria-panel .astria-loras { display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: 8px; }
.astria-loras .astria-empty { grid-column: 1 / -1; }
.astria-lora { display: flex; flex-direction: column; gap: 2px; width: 100%; padding: 5px; border: 1px solid var(--astria-line); border-radius: 8px; background: var(--astria-faint); color: inherit; font: inherit; font-size: 12px; text-align: left; cursor: pointer; }
.astria-lora:hover { border-color: var(--astria-accent); }
.astria-lora-picture { width: 100%; aspect-ratio: 3 / 4; border-radius: 5px; object-fit: cover; background: var(--astria-faint); display: grid; place-items: center; font-size: 20px; }
.astria-lora :is(strong, .astria-quiet) { max-width: 100%; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-weight: 600; }
.astria-pages { display: flex; justify-content: space-between; align-items: center; gap: 8px; }
.astria-empty { display: flex; flex-direction: column; gap: 4px; padding: 18px 14px; border: 1px dashed var(--astria-line); border-radius: 8px; text-align: center; }
.astria-panel summary { cursor: pointer; padding: 6px 2px; font-size: 12px; font-weight: 600; }
.astria-panel details { margin-top: 12px; }
.astria-path { margin-top: 14px !important; }
.astria-problem { color: var(--astria-bad); font-size: 11.5px; overflow-wrap: anywhere; }
.astria-words details { margin: 2px 0 0; }
.astria-words summary { padding: 0; font-size: 11.5px; font-weight: 400; }

.astria-messages :is(.astria-error, .astria-note):not(:empty) { padding: 8px 10px; border-radius: 6px; border-left: 3px solid var(--astria-accent); background: var(--astria-faint); }
.astria-messages .astria-error:not(:empty) { border-left-color: var(--astria-bad); }
.astria-messages .astria-error p:first-child { color: var(--astria-bad); }
.astria-messages:not(:has(p)) { display: none; }
.astria-warning { color: var(--astria-bad); }

.astria-dialog { width: min(440px, 94vw); max-height: 90vh; margin: auto; padding: 0; border: 1px solid var(--astria-line); border-radius: 10px; background: var(--comfy-menu-bg); color: var(--input-text); box-shadow: 0 12px 40px rgb(0 0 0 / 50%); }
.astria-dialog::backdrop { background: rgb(0 0 0 / 45%); }
.astria-dialog form { display: flex; flex-direction: column; gap: 12px; padding: 18px; }
.astria-dialog h2 { margin: 0; font-size: 16px; font-weight: 600; overflow-wrap: anywhere; }
.astria-field { display: flex; flex-direction: column; gap: 4px; margin: 0; }
.astria-fields { display: flex; flex-direction: column; gap: 12px; }
.astria-fields:empty { display: none; }
.astria-field > :is(label, .astria-label) { font-size: 12px; font-weight: 600; }
.astria-pair { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; }
.astria-actions { display: flex; justify-content: flex-end; gap: 8px; }
.astria-zone { display: flex; flex-direction: column; gap: 2px; align-items: center; padding: 20px 12px; border: 1px dashed var(--astria-line); border-radius: 8px; text-align: center; cursor: pointer; }
.astria-zone:hover, .astria-zone.astria-over, .astria-zone:focus-within { border-color: var(--astria-accent); background: color-mix(in srgb, var(--astria-accent) 10%, transparent); }
.astria-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.astria-photos { display: flex; flex-wrap: wrap; gap: 8px; }
.astria-photos:not(:empty) { margin-top: 10px !important; }
.astria-photos li { position: relative; width: 68px; height: 68px; }
.astria-photos img { width: 100%; height: 100%; object-fit: cover; border-radius: 6px; }
.astria-remove { position: absolute; top: -6px; right: -6px; width: 20px; height: 20px; padding: 0; border: 0; border-radius: 50%; background: #222; color: #fff; font: 14px/1 sans-serif; cursor: pointer; }

.astria-way { display: flex; gap: 8px; align-items: flex-start; cursor: pointer; }
.astria-panel .astria-way input { flex: none; width: 15px; min-height: 0; height: 15px; margin: 2px 0 0; }
.astria-way small { display: block; font-size: 11.5px; color: color-mix(in srgb, currentColor 68%, transparent); }
.astria-way:has(input:disabled) { cursor: default; opacity: 0.6; }
.astria-training { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; margin-top: 3px; font-size: 11.5px; }
.astria-training progress { flex: 1 1 100%; width: 100%; height: 6px; accent-color: var(--astria-accent); }
.astria-training img { width: 100%; max-width: 192px; border-radius: 6px; }
.astria-training p { flex: 1 1 100%; }
.astria-state { font-weight: 600; }
.astria-state:empty { display: none; }
.astria-good { color: var(--astria-good); }
.astria-bad { color: var(--astria-bad); }
.astria-report { font-size: 12px; overflow-wrap: anywhere; }
.astria-quoted-line { margin: 4px 0; padding: 6px 8px; border-radius: 6px; background: var(--astria-field); font: 11.5px/1.35 monospace; overflow-x: auto; }
.astria-heading { margin: 12px 0 4px; font-weight: 600; }
.astria-heading:first-child { margin-top: 0; }
.astria-row { display: grid; grid-template-columns: minmax(0, 9em) minmax(0, 1fr); gap: 0 10px; padding: 3px 0; border-top: 1px solid var(--astria-faint); }
.astria-row span:nth-child(2) { font-weight: 600; }
.astria-row span:nth-child(n + 3) { grid-column: 2; font-size: 11.5px; color: color-mix(in srgb, currentColor 68%, transparent); }
.astria-line, .astria-report .astria-problem { padding: 2px 0; font-size: 12px; }
.astria-line span + span, .astria-report .astria-problem span + span { margin-left: 8px; }
.astria-hint-line { padding: 0 0 4px 12px; font-size: 11.5px; color: color-mix(in srgb, currentColor 68%, transparent); }
`;

export function addStyle() {
  if (!document.getElementById(ID)) document.head.append(Object.assign(document.createElement("style"), { id: ID, textContent: STYLE }));
}
