// Asks for a file to a key of the bindings: opens the sidebar's page of bindings with the dialog for it.
import { app } from "../../../../scripts/app.js";

const TAB = "astria";

let wanted = "";
let answer = null; // the open sidebar

export function askForBinding(key) {
  wanted = key;
  if (app.extensionManager.sidebarTab.activeSidebarTabId === TAB) answer?.();
  else app.extensionManager.command.execute(`Workspace.ToggleSidebarTab.${TAB}`);
}

// The key that was asked for, once; `look` leaves it for another.
export function takeWanted() {
  const key = wanted;
  wanted = "";
  return key;
}

export const isWanted = () => Boolean(wanted);

// Calls `act()` when a file is asked for while the sidebar is open.
export function whenAsked(act) {
  answer = act;
}

// The keys that a text asks for: "bind upscaler in the Astria sidebar", as BindWords of nodes/tunes/file_search.py says it.
export function keysIn(told) {
  const found = [...told.matchAll(/\bbind (?:'([^']+)'|(\S+)) in the Astria sidebar/gi)];
  return [...new Set(found.map(([, inQuotes, plain]) => inQuotes ?? plain))];
}
