// Shows a run: its state, and what it has made so far.

import { el, keep, say, show } from "./dom";
import type { Job, Run, State } from "./run";
import type { Watched } from "./watcher";
import { span } from "./words";

const STATES: Record<State, string> = {
  unknown: "Looking…",
  waiting: "Waiting",
  running: "Running",
  done: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};

/** The panel of one run, inside an element. */
export class Outcome {
  private readonly state = el("p", { class: "pill", role: "status" });
  private readonly where = el("p", { class: "quiet" });
  private readonly notice = el("p", { class: "notice", role: "alert" });
  // A log is told as it grows, and only what is new.
  private readonly jobs = el("div", { class: "jobs", role: "log", "aria-live": "polite", "aria-label": "Result" });

  constructor(inside: HTMLElement) {
    inside.append(el("div", { class: "line" }, this.state, this.where), this.notice, this.jobs);
  }

  show({ run, notice }: Watched): void {
    say(this.state, STATES[run.state]);
    this.state.dataset["state"] = run.state;
    // Of a request that is not there no state is known, nor will be.
    show(this.state, run.state !== "unknown" || !run.isOver);
    say(this.where, whereabouts(run));
    const wrong = notice || (run.state === "failed" ? run.message : "");
    say(this.notice, wrong);
    show(this.notice, wrong !== "");
    keep(this.jobs, run.jobs, (job) => String(job.index), make, update);
  }
}

function whereabouts(run: Run): string {
  if (run.state === "waiting" && run.position > 0) {
    return `Position ${run.position} in the queue, about ${span(run.eta)}`;
  }
  return run.worker === "" ? "" : `${run.worker} · ${run.model}`;
}

function make(job: Job): HTMLElement {
  const progress = el("progress", { "aria-label": `Steps of job ${job.index + 1}` });
  const text = el("p", { class: "text" }, "");
  const code = el("pre", { tabindex: "0", "aria-label": "What came of the form" });
  const wrong = el("p", { class: "notice" }, "The image could not be loaded: its link may have expired. Reload the page.");
  const image = el("img", { alt: "" });
  image.addEventListener("error", () => show(wrong, true));
  image.addEventListener("load", () => show(wrong, false));
  show(wrong, false);
  return el("article", { class: "job" }, progress, text, image, code, wrong);
}

function update(element: HTMLElement, job: Job): void {
  const progress = element.querySelector("progress")!;
  show(progress, job.steps > 0 && (job.image === "" || job.isPreview));
  progress.max = Math.max(1, job.steps);
  progress.value = job.step;
  grow(element.querySelector<HTMLElement>(".text")!, job.text);
  const image = element.querySelector("img")!;
  show(image, job.image !== "");
  if (job.image !== "" && image.getAttribute("src") !== job.image) image.src = job.image;
  image.alt = job.isPreview ? "A preview of the image" : `Image ${job.index + 1} of this request`;
  image.classList.toggle("preview", job.isPreview);
  const code = element.querySelector("pre")!;
  show(code, job.outcome !== "");
  say(code, job.form === "" ? job.outcome : `${job.form}\n${job.outcome}`);
}

/** Adds what is new of a text at its end, as a node of its own: screen readers tell that alone. */
function grow(where: HTMLElement, text: string): void {
  show(where, text !== "");
  const old = where.textContent ?? "";
  if (text === old) return;
  if (text.startsWith(old)) where.append(text.slice(old.length));
  else where.replaceChildren(text);
}
