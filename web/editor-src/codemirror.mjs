// What the prompt editor uses of CodeMirror, and nothing else: what is not named here is left out of the bundle.
export { acceptCompletion, autocompletion, completionKeymap, completionStatus, selectedCompletion, startCompletion } from "@codemirror/autocomplete";
export { history, redo, standardKeymap, undo } from "@codemirror/commands";
export { nextDiagnostic, previousDiagnostic, setDiagnostics } from "@codemirror/lint";
export { Annotation, EditorState, Prec, StateEffect, StateField, Transaction } from "@codemirror/state";
export { Decoration, EditorView, highlightSpecialChars, hoverTooltip, keymap, placeholder, tooltips } from "@codemirror/view";
