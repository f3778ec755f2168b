// The overview: what waits, who works, which models there are.

import type { ActiveModel, BrokerStatus, KindStatus, WorkerBrief } from "../gen/grid/v2/status_pb";
import { el, keep, say, show, the } from "./dom";
import { onStatus } from "./live";
import { amount, count, some, span } from "./words";

const TITLES: Record<string, string> = { image: "Image", text: "Text", video: "Video", alchemy: "Alchemy" };
const UNITS: Record<string, string> = { image: "MPS", text: "tokens", video: "MPS", alchemy: "forms" };
/** Seconds that a kind's line shows. */
const HISTORY = 60;
const SECOND = 1000;
/** What ListModels says of a queue that nobody works on. */
const NEVER = 10_000n;
const SVG = "http://www.w3.org/2000/svg";

/** Jobs queued of each kind: now, and in the last minute. */
const depths = new Map<string, number>();
const history = new Map<string, number[]>();

export function begin(): void {
  onStatus((picture) => {
    keep(the("kinds"), picture.kinds, (kind) => kind.type, card, fill);
    if (history.size === 0) draw();
    table("models", picture.models, (model) => `${model.type} ${model.name}`, modelRow, fillModel);
    table("workers", picture.workers, (worker) => worker.id, workerRow, fillWorker);
    say(the("models-note"), more(picture.models.length, picture.modelCount, "model"));
    say(the("workers-note"), more(picture.workers.length, picture.workerCount, "worker"));
    say(the("facts"), facts(picture));
  });
  // Pictures come when something changed; lines go on meanwhile.
  window.setInterval(draw, SECOND);
}

function facts(picture: BrokerStatus): string {
  const beat = picture.heartbeat;
  if (!beat) return "";
  const store = beat.dbConnection ? "store answers" : "store does not answer; figures are the last known";
  const unit = "MPS: megapixelsteps, width × height × steps ÷ 10⁶";
  return `version ${beat.version} · ${some(beat.activeCount, "open pop")} · ${store} · ${unit}`;
}

function more(shown: number, all: number, thing: string): string {
  if (all === 0) return "";
  return shown < all ? `${count(shown)} of ${some(all, thing)}` : some(all, thing);
}

function card(): HTMLElement {
  const line = document.createElementNS(SVG, "svg");
  line.setAttribute("viewBox", "0 0 100 24");
  line.setAttribute("preserveAspectRatio", "none");
  line.setAttribute("aria-hidden", "true");
  line.append(document.createElementNS(SVG, "polyline"));
  const figure = (term: string) => el("div", {}, el("dt", {}, term), el("dd"));
  return el(
    "li",
    { class: "card" },
    el("h3"),
    el("p", { class: "big" }, el("span", { class: "number" }), " ", el("span", { class: "unit" })),
    line,
    el("dl", {}, figure("Work waiting"), figure("Workers"), figure("Past minute")),
  );
}

function fill(element: HTMLElement, kind: KindStatus): void {
  const unit = UNITS[kind.type] ?? "";
  const jobs = Number(kind.queuedJobs);
  say(element.querySelector("h3")!, TITLES[kind.type] ?? kind.type);
  say(element.querySelector(".number")!, amount(jobs));
  say(element.querySelector(".unit")!, jobs === 1 ? "job queued" : "jobs queued");
  const [work, workers, minute] = Array.from(element.querySelectorAll("dd"));
  say(work!, `${amount(kind.queuedWork)} ${unit}`);
  const threads = kind.threads === kind.workers ? "" : `, ${some(kind.threads, "thread")}`;
  say(workers!, `${count(kind.workers)}${threads}`);
  say(minute!, `${amount(kind.pastMinuteWork)} ${unit}`);
  depths.set(kind.type, jobs);
}

/** Draws the line of each kind on by a second. */
function draw(): void {
  for (const [kind, depth] of depths) {
    const past = history.get(kind) ?? new Array<number>(HISTORY - 1).fill(depth);
    past.push(depth);
    if (past.length > HISTORY) past.shift();
    history.set(kind, past);
    const most = Math.max(1, ...past);
    const points = past.map((n, i) => `${(i * 100) / (HISTORY - 1)},${(22 - (n / most) * 20).toFixed(1)}`);
    the("kinds").querySelector(`[data-key=${kind}] polyline`)?.setAttribute("points", points.join(" "));
  }
}

function table<T>(
  id: string,
  rows: readonly T[],
  key: (row: T) => string,
  make: () => HTMLTableRowElement,
  update: (row: HTMLElement, item: T) => void,
): void {
  keep(the(`${id}-rows`), rows, key, make, update);
  show(the(`${id}-table`), rows.length > 0);
  show(the(`${id}-none`), rows.length === 0);
}

function row(classes: string[]): HTMLTableRowElement {
  const cells = classes.map((name) => el("td", name === "" ? {} : { class: name }));
  return el("tr", {}, el("th", { scope: "row" }), ...cells);
}

function cells(element: HTMLElement, texts: string[]): void {
  element.querySelectorAll("td").forEach((cell, i) => say(cell, texts[i] ?? ""));
}

const modelRow = () => row(["", "n wide", "n wide", "n", "n wide"]);

function fillModel(element: HTMLElement, model: ActiveModel): void {
  const pixels = model.type !== "text";
  const rate = pixels ? model.performance / 1e6 : model.performance;
  const speed = model.performance > 0 ? `${amount(rate)} ${pixels ? "MPS" : "tokens"}/s` : "–";
  const wait = model.eta >= NEVER ? "no worker" : span(Number(model.eta));
  say(element.querySelector("th")!, model.name);
  cells(element, [model.type, count(model.count), count(model.jobs), wait, speed]);
}

function workerRow(): HTMLTableRowElement {
  const made = row(["", "n wide", "wide", "n", "n wide"]);
  made.querySelector("th")!.append(el("a"), el("span"));
  return made;
}

function fillWorker(element: HTMLElement, worker: WorkerBrief): void {
  const hidden = worker.modelCount - worker.models.length;
  const models = worker.models.join(", ") + (hidden > 0 ? ` and ${count(hidden)} more` : "");
  const marks = [worker.trusted ? "" : "new", worker.maintenanceMode ? "maintenance" : ""];
  const marked = marks.filter((mark) => mark !== "").map((mark) => ` · ${mark}`);
  const kind = worker.type === "interrogation" ? "alchemy" : worker.type;
  const link = element.querySelector("a")!;
  link.href = `#worker/${worker.id}`;
  say(link, worker.name);
  say(element.querySelector("th span")!, marked.join(""));
  cells(element, [kind, count(worker.threads), models, count(worker.requestsFulfilled), speedOf(worker)]);
}

/** The broker says it in words that are long for a table. */
function speedOf(worker: WorkerBrief): string {
  return worker.performance
    .replace("megapixelsteps per second", "MPS/s")
    .replace("tokens per second", "tokens/s")
    .replace("seconds per form", "s/form");
}
