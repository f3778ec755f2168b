// Why a request waits: asked for while it does, and again when something changed.

import type { ExplainResponse } from "../gen/grid/v2/explain_pb";
import { generate } from "./api";
import { el, say, show } from "./dom";
import { onStatus } from "./live";
import { Reasons } from "./reasons";
import type { Watched } from "./watcher";
import { sentence, some } from "./words";

/** Between two times that it is asked for, in milliseconds: at least, and if nothing is told to have changed. */
const PAUSE = 1000;
const LONGEST_PAUSE = 5000;

/** The panel of one request, inside an element that is shown while the request waits. */
export class Explanation {
  private readonly summary = el("p", { role: "status" });
  private readonly notes = el("p", { class: "quiet" });
  private readonly reasons: Reasons;
  /** The request that waits; empty: none does. */
  private id = "";
  private askedAt = 0;
  private timer = 0;

  constructor(private readonly inside: HTMLElement) {
    inside.append(this.summary, this.notes);
    this.reasons = new Reasons(inside, "Rules that keep workers away", "Workers", "What would help");
    onStatus(() => this.soon());
  }

  show({ run }: Watched): void {
    const id = run.state === "waiting" && !run.isOver ? run.id : "";
    if (id === this.id) return;
    this.id = id;
    show(this.inside, false);
    window.clearTimeout(this.timer);
    this.askedAt = 0;
    this.timer = 0;
    this.soon();
  }

  /** Lets go of the request. */
  close(): void {
    this.id = "";
    window.clearTimeout(this.timer);
    this.timer = 0;
    show(this.inside, false);
  }

  /** Asks as soon as it may. */
  private soon(): void {
    if (this.id !== "") this.within(Math.max(0, this.askedAt + PAUSE - performance.now()));
  }

  private within(pause: number): void {
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.ask(), pause);
  }

  private async ask(): Promise<void> {
    const { id } = this;
    // A page that nobody sees asks for nothing; the next picture of the broker's status wakes it.
    if (id === "" || document.visibilityState === "hidden") return;
    this.askedAt = performance.now();
    try {
      const told = await generate.explain({ id });
      if (id === this.id) this.tell(told);
    } catch {
      // The request's own stream says what is wrong.
    }
    if (id === this.id) this.within(LONGEST_PAUSE);
  }

  private tell(told: ExplainResponse): void {
    const workers = told.workers;
    show(this.inside, told.state === "waiting" && workers !== undefined);
    if (!workers) return;
    say(this.summary, sentence(told.message));
    const part = workers.isPartial ? `, ${some(workers.considered, "worker")} looked at` : "";
    say(this.notes, `${some(workers.online, "worker")} of this kind online, ${workers.able} may take it${part}`);
    this.reasons.show(
      told.rules.map(({ name, message, workers: all, workersOnly: only }) => ({ name, message, all, only })),
      told.changes.map(({ message, workers: takers }) => ({ message, gain: `${some(takers, "worker")} would take it` })),
    );
  }
}
