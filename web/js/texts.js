// The texts of prompt box, sidebar, dialogs and pictures in the reader's language, from locales/LANGUAGE/main.json; English where a language lacks one.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const FALLBACK = "en";

const languages = await api
  .fetchApi("/i18n")
  .then((answer) => answer.json())
  .catch(() => ({}));

const inLanguage = (language, key) => key.split(".").reduce((part, name) => part?.[name], languages[language]?.astria);

const chosen = () => app.extensionManager?.setting.get("Comfy.Locale") ?? FALLBACK;

// The text of a key such as "editor.bind", with {name} replaced by `values.name`.
export function text(key, values = {}) {
  const found = inLanguage(chosen(), key) ?? inLanguage(FALLBACK, key) ?? key;
  return found.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

// The text of KEY_one or KEY_other, by `count`, which it may name as {count}.
export const counted = (key, count, values = {}) => text(`${key}_${count === 1 ? "one" : "other"}`, { count, ...values });
