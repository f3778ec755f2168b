// One request, by its ID: its state, what came of it, and its life.

import { el, keep, say, show, the } from "./dom";
import { Explanation } from "./explanation";
import { Outcome } from "./outcome";
import { begin as fresh, type Line } from "./run";
import { watch, type Watched } from "./watcher";

/** Shows a part of what is known of a request. Further parts join the list below. */
interface Part {
  show(watched: Watched): void;
  /** Lets go of the request. */
  close?(): void;
}

let parts: Part[] = [];
let watching: AbortController | undefined;
let shown = "";

export function begin(): void {
  parts = [new Outcome(the("request-outcome")), new Explanation(the("request-why")), { show: life }];
  the("find").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = the<HTMLInputElement>("request-id").value.trim();
    if (id === "") return;
    if (location.hash === `#request/${encodeURIComponent(id)}`) open([id]);
    else location.hash = `#request/${encodeURIComponent(id)}`;
  });
}

/** Goes to the request that the address names, if it names one. */
export function open([id]: string[]): void {
  if (!id || (id === shown && watching && !watching.signal.aborted)) return;
  close();
  shown = id;
  the<HTMLInputElement>("request-id").value = id;
  show(the("request-shown"), true);
  watching = new AbortController();
  const own = watching.signal;
  const tell = (watched: Watched) => parts.forEach((part) => own.aborted || part.show(watched));
  void watch(fresh(id), undefined, tell, own);
}

/** Lets go of the request: nobody looks at it any more. */
export function close(): void {
  watching?.abort();
  watching = undefined;
  for (const part of parts) part.close?.();
}

function life({ run }: Watched): void {
  const lines = run.life.map((line, at) => ({ ...line, at }));
  keep(the("life"), lines, ({ at, subject }) => `${at} ${subject}`, make, update);
  show(the("life-none"), lines.length === 0);
}

function make(): HTMLElement {
  return el("li", {}, el("strong"), " ", el("span"), " ", el("small"));
}

function update(element: HTMLElement, line: Line): void {
  say(element.querySelector("strong")!, line.title);
  say(element.querySelector("span")!, line.detail);
  say(element.querySelector("small")!, line.count > 1 ? `${line.count} events` : "");
}
