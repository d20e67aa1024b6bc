// How far the training of a tune is: bar, time, likeness, newest sample; stopped and taken up again.
import { api } from "../../../../scripts/api.js";
import { text } from "../texts.js";
import { button, h } from "./dom.js";
import { changeTraining } from "./server.js";

const TOLD = new Set(["waiting", "preparing", "saving", "interrupted"]);

function duration(seconds) {
  const minutes = Math.ceil(seconds / 60);
  if (minutes < 2) return text("training.a_minute");
  return minutes < 120 ? text("training.minutes", { count: minutes }) : text("training.hours", { count: Math.round(minutes / 60) });
}

function about(training) {
  if (training.state !== "training") return training.error || (TOLD.has(training.state) ? text(`training.${training.state}`) : "");
  const { step, steps } = training;
  if (training.eta_s == null) return text("training.step_unknown", { step, steps });
  return text("training.step", { step, steps, left: duration(training.eta_s) });
}

const likeness = ({ likeness: value }) => (value == null ? "" : text("training.likeness", { value: value.toFixed(2) }));

// `changed()` is called when the training was stopped or goes on. `draw(training)` shows it as it is now.
export function trainingLine(tune, changed, told) {
  const bar = h("progress", { "aria-label": text("training.label", tune) });
  const words = h("span", { class: "astria-quiet" });
  const sample = h("img", { alt: text("training.sample", tune), hidden: true });
  const notes = h("p", { class: "astria-problem" });
  const place = h("span", {});
  let address = "";
  const act = (what) => async () => {
    try {
      await changeTraining(tune, what);
      await changed();
    } catch (error) {
      told.fail(error);
    }
  };
  function draw(training) {
    if (!training) return;
    bar.hidden = !training.can_stop;
    if (training.steps && training.state === "training") [bar.max, bar.value] = [training.steps, training.step];
    else bar.removeAttribute("value");
    words.textContent = [about(training), likeness(training)].filter(Boolean).join(" ");
    notes.textContent = training.notes.join(" ");
    if (training.sample !== address) {
      address = training.sample;
      sample.hidden = !address;
      if (address) sample.src = api.apiURL(address);
    }
  }
  draw(tune.training);
  if (tune.training.can_stop) place.append(button(text("training.stop"), act("stop"), { "aria-label": text("training.stop_label", tune) }));
  if (tune.training.can_go_on) place.append(button(text("training.go_on"), act("go on"), { "aria-label": text("training.go_on_label", tune) }));
  return { root: h("div", { class: "astria-training" }, bar, words, place, sample, notes), draw };
}
