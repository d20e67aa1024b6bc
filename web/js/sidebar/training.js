// How far the training of a tune is: bar, time, likeness, newest sample; stopped and taken up again.
import { api } from "../../../../scripts/api.js";
import { button, h } from "./dom.js";
import { changeTraining } from "./server.js";

const TOLD = { waiting: "It waits in ComfyUI's queue.", preparing: "Its photos are prepared.", saving: "It is saved.", interrupted: "It was interrupted.", done: "" };

function duration(seconds) {
  const minutes = Math.ceil(seconds / 60);
  return minutes < 2 ? "about a minute" : minutes < 120 ? `about ${minutes} minutes` : `about ${Math.round(minutes / 60)} hours`;
}

function about(training) {
  if (training.state !== "training") return training.error || TOLD[training.state] || "";
  const left = training.eta_s == null ? "how long is known after ten steps" : `${duration(training.eta_s)} left`;
  return `Step ${training.step} of ${training.steps}, ${left}.`;
}

const likeness = ({ likeness: value }) => (value == null ? "" : `Likeness ${value.toFixed(2)} above the base.`);

// `changed()` is called when the training was stopped or goes on. `draw(training)` shows it as it is now.
export function trainingLine(tune, changed, told) {
  const bar = h("progress", { "aria-label": `Training of ${tune.title}` });
  const words = h("span", { class: "astria-quiet" });
  const sample = h("img", { alt: `Newest sample of ${tune.title}`, hidden: true });
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
  if (tune.training.can_stop) place.append(button("Stop", act("stop"), { "aria-label": `Stop the training of ${tune.title}` }));
  if (tune.training.can_go_on) place.append(button("Go on", act("go on"), { "aria-label": `Go on with the training of ${tune.title}` }));
  return { root: h("div", { class: "astria-training" }, bar, words, place, sample, notes), draw };
}
