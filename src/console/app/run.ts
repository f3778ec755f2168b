// What a request's events amount to. Plain data, so that it can be kept over a reload with its cursor.

import type { WatchResponse } from "../gen/grid/v2/generate_pb";

export type State = "unknown" | "waiting" | "running" | "done" | "failed" | "cancelled";

/** One of a request's jobs. */
export interface Job {
  index: number;
  text: string;
  /** Steps done, and in all. */
  step: number;
  steps: number;
  /** A link to the image, or to a picture of how far it is. */
  image: string;
  isPreview: boolean;
  /** Alchemy: the form, and what came of it. */
  form: string;
  outcome: string;
}

/** A line of a request's life. */
export interface Line {
  /** What events of the same subject, one after the other, are gathered by. */
  subject: string;
  title: string;
  detail: string;
  /** Events in it. */
  count: number;
}

export interface Run {
  id: string;
  /** Of the last event that was taken in; empty: none. */
  cursor: string;
  state: State;
  position: number;
  eta: number;
  worker: string;
  model: string;
  message: string;
  isOver: boolean;
  /** Indices of the jobs that workers have. */
  held: number[];
  jobs: Job[];
  life: Line[];
}

/** Lines that are kept at most. */
const LONGEST_LIFE = 500;

export function begin(id: string): Run {
  return {
    id,
    cursor: "",
    state: "unknown",
    position: 0,
    eta: 0,
    worker: "",
    model: "",
    message: "",
    isOver: false,
    held: [],
    jobs: [],
    life: [],
  };
}

function fresh(index: number): Job {
  return { index, text: "", step: 0, steps: 0, image: "", isPreview: false, form: "", outcome: "" };
}

function job(run: Run, index: number): Job {
  let found = run.jobs.find((one) => one.index === index);
  if (!found) {
    found = fresh(index);
    run.jobs.push(found);
    run.jobs.sort((a, b) => a.index - b.index);
  }
  return found;
}

function note(run: Run, subject: string, title: string, detail: string): void {
  const last = run.life.at(-1);
  if (last && last.subject === subject) {
    last.count += 1;
    last.title = title;
    last.detail = detail;
    return;
  }
  run.life.push({ subject, title, detail, count: 1 });
  if (run.life.length > LONGEST_LIFE) run.life.shift();
}

/** A job that a worker has may still be told of after its request was cancelled. */
function isRunning(run: Run, index: number): void {
  if (!run.held.includes(index)) run.held.push(index);
  if (run.state !== "cancelled" && run.state !== "failed") run.state = "running";
}

/** No worker has the job any more; without an index: any of them. */
function isHeldNoMore(run: Run, index?: number): void {
  run.held = index === undefined ? [] : run.held.filter((one) => one !== index);
}

/** Takes an event in. */
export function take(run: Run, told: WatchResponse): void {
  run.cursor = told.cursor;
  const event = told.event;
  switch (event.case) {
    case "queued":
      // Others of its jobs may run by now.
      if (run.state !== "running" || run.held.length === 0) run.state = "waiting";
      run.position = event.value.position;
      run.eta = event.value.etaSeconds;
      note(run, "queued", "Queued", `position ${run.position}`);
      break;
    case "assigned": {
      const { job: index, attempt, workerName, model } = event.value;
      isRunning(run, index);
      run.position = 0;
      run.worker = workerName;
      run.model = model;
      const again = attempt > 1 ? `, attempt ${attempt}` : "";
      note(run, `assigned ${index} ${attempt}`, `Job ${index + 1} assigned`, `to ${workerName} with ${model}${again}`);
      break;
    }
    case "progress": {
      const { job: index, currentStep, totalSteps } = event.value;
      isRunning(run, index);
      Object.assign(job(run, index), { step: currentStep, steps: totalSteps });
      note(run, `progress ${index}`, `Job ${index + 1} in progress`, `step ${currentStep} of ${totalSteps}`);
      break;
    }
    case "token": {
      const { job: index, text } = event.value;
      isRunning(run, index);
      const one = job(run, index);
      one.text += text;
      note(run, `token ${index}`, `Job ${index + 1} writes`, `${one.text.length} characters`);
      break;
    }
    case "preview": {
      const { job: index, img, step } = event.value;
      Object.assign(job(run, index), { image: img, isPreview: true });
      note(run, `preview ${index}`, `Job ${index + 1} shows a preview`, step ? `at step ${step}` : "");
      break;
    }
    case "result": {
      const { job: index, img, text, form, result, state, workerName, seed } = event.value;
      const one = job(run, index);
      isHeldNoMore(run, index);
      if (text !== undefined) one.text = text;
      if (img !== undefined) Object.assign(one, { image: img, isPreview: false, step: one.steps });
      if (form !== undefined) one.form = form;
      if (result !== undefined) one.outcome = JSON.stringify(result, null, 2);
      // Texts have none.
      const seeded = img === undefined || seed === "" ? "" : `, seed ${seed}`;
      note(run, `result ${index}`, `Job ${index + 1} delivered`, `by ${workerName} (${state}${seeded})`);
      break;
    }
    case "reset": {
      const index = event.value.job;
      isHeldNoMore(run, index);
      run.jobs = index === undefined ? [] : run.jobs.map((one) => (one.index === index ? fresh(index) : one));
      const what = index === undefined ? "All jobs start over" : `Job ${index + 1} starts over`;
      note(run, `reset ${run.cursor}`, what, "what was told of it no longer holds");
      break;
    }
    case "faulted":
      run.state = "failed";
      run.message = event.value.message;
      note(run, "faulted", "Failed", run.message);
      break;
    case "cancelled":
      run.state = "cancelled";
      note(run, "cancelled", "Cancelled", "what waited is not done any more");
      break;
    case "done": {
      const { finished, kudos } = event.value;
      if (run.state !== "failed" && run.state !== "cancelled") run.state = "done";
      run.isOver = true;
      run.position = 0;
      note(run, "done", "Done", `${finished} delivered, ${kudos} kudos`);
      break;
    }
    case undefined:
      // An event of a newer broker.
      break;
  }
}
