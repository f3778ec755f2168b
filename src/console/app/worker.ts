// One worker, for its owner and for moderators: why it has nothing to do, and what it would get.

import { Code, ConnectError } from "@connectrpc/connect";
import type { ExplainedKind, ExplainWorkerResponse } from "../gen/grid/v2/explain_pb";
import { KEY, worker } from "./api";
import { el, keep, say, show, the } from "./dom";
import { Reasons } from "./reasons";
import { count, mayPass, sentence, some, trouble } from "./words";

/** Between two times that it is asked for, in milliseconds. */
const PAUSE = 2000;
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

let wanted = "";
/** Counts who was looked at: an answer for an earlier look comes too late, though the worker be the same. */
let look = 0;
let timer = 0;
/** What each kind's table is shown by. */
const reasons = new WeakMap<HTMLElement, Reasons>();

export function begin(): void {
  the("find-worker").addEventListener("submit", (event) => {
    event.preventDefault();
    const named = the<HTMLInputElement>("worker-id").value.trim();
    sessionStorage.setItem(KEY, key().value.trim());
    if (named === "") return;
    if (location.hash === `#worker/${encodeURIComponent(named)}`) open([named]);
    else location.hash = `#worker/${encodeURIComponent(named)}`;
  });
}

function key(): HTMLInputElement {
  return the<HTMLInputElement>("worker-key");
}

/** Goes to the worker that the address names, if it names one. */
export function open([named]: string[]): void {
  close();
  key().value = sessionStorage.getItem(KEY) ?? "";
  if (!named) return;
  the<HTMLInputElement>("worker-id").value = named;
  wanted = named;
  show(the("worker-shown"), false);
  wrong("");
  if (key().value === "") wrong("Enter the key of the worker's owner, or a moderator's.");
  else void ask();
}

/** Lets go of the worker: nobody looks at it any more. */
export function close(): void {
  wanted = "";
  look += 1;
  window.clearTimeout(timer);
}

async function ask(): Promise<void> {
  const [named, asked] = [wanted, look];
  if (named === "") return;
  let isOver = false;
  if (document.visibilityState !== "hidden") {
    try {
      const id = ID.test(named) ? named : (await worker.getWorkerByName({ name: named })).id;
      const told = await worker.explainWorker({ id }, { headers: { apikey: key().value.trim() } });
      if (asked !== look) return;
      wrong("");
      tell(told);
    } catch (error) {
      if (asked !== look) return;
      isOver = !mayPass(error);
      wrong(words(error));
      if (isOver) show(the("worker-shown"), false);
    }
  }
  if (!isOver) timer = window.setTimeout(() => void ask(), PAUSE);
}

function words(error: unknown): string {
  switch (ConnectError.from(error).code) {
    case Code.NotFound:
      return "There is no such worker. Check its name or ID; a worker is known once it has asked for work.";
    case Code.PermissionDenied:
      return "This worker is another account's. Enter the key of its owner, or a moderator's.";
    case Code.Unauthenticated:
      return "No account has this API key. Check it.";
    default:
      return trouble(error);
  }
}

function wrong(text: string): void {
  say(the("worker-wrong"), text);
  show(the("worker-wrong"), text !== "");
}

function tell(told: ExplainWorkerResponse): void {
  show(the("worker-shown"), true);
  say(the("worker-name"), told.name);
  say(the("worker-state"), told.online ? "Online" : "Offline");
  the("worker-state").dataset["state"] = told.online ? "done" : "failed";
  say(the("worker-summary"), sentence(told.message));
  keep(the("worker-kinds"), told.kinds, (kind) => kind.type, make, update);
}

function make(kind: ExplainedKind): HTMLElement {
  const name = kind.type === "interrogation" ? "Alchemy" : kind.type.charAt(0).toUpperCase() + kind.type.slice(1);
  const card = el("div", { class: "card" }, el("h2", {}, name), el("p", { class: "quiet" }));
  reasons.set(card, new Reasons(card, `Rules that keep jobs away: ${name}`, "Jobs", "What it could get besides"));
  return card;
}

function update(card: HTMLElement, kind: ExplainedKind): void {
  const part = kind.isPartial ? ` (${some(kind.requestsConsidered, "request")} looked at)` : "";
  say(card.querySelector(".quiet")!, `${some(kind.jobs, "job")} waiting, ${count(kind.ableJobs)} of them for it${part}`);
  reasons.get(card)?.show(
    kind.rules.map(({ name, message, jobs: all, jobsOnly: only }) => ({ name, message, all, only })),
    [...kind.models, ...kind.offers].map(({ message, jobs }) => ({ message, gain: `${some(jobs, "job")} more` })),
  );
}
