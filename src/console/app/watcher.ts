// Follows one request, from where it was left.

import { check, generate, type Kind } from "./api";
import { follow, type Connection } from "./follow";
import { take, type Run } from "./run";
import { trouble } from "./words";

/** Between two looks at the place in the queue, in milliseconds. */
const LOOK = 2000;

export interface Watched {
  run: Run;
  /** What is wrong with the connection; empty: nothing. */
  notice: string;
}

/** Reads events into a run until it is over or the signal fires; tells of each change. With a kind it also
 * asks for the place in the queue while the request waits. */
export async function watch(
  run: Run,
  kind: Kind | undefined,
  changed: (watched: Watched) => void,
  signal: AbortSignal,
): Promise<void> {
  let notice = "";
  const tell = () => changed({ run, notice });
  const look = async () => {
    if (!kind || run.isOver || run.state !== "waiting") return;
    try {
      const found = await check(kind, run.id);
      if (run.state !== "waiting" || signal.aborted) return;
      run.position = found.position;
      run.eta = found.eta;
      tell();
    } catch {
      // The stream will say what is wrong.
    }
  };
  tell();
  if (run.isOver) return;
  const timer = window.setInterval(() => void look(), LOOK);
  try {
    await follow(
      {
        open: (own: AbortSignal) => generate.watch({ id: run.id, after: run.cursor }, { signal: own }),
        take: (told) => {
          take(run, told);
          tell();
          return run.isOver;
        },
        report: (connection: Connection) => {
          const next = connection === "live" ? "" : `Connection lost; trying again in ${connection.toFixed(0)} s.`;
          if (next !== notice) {
            notice = next;
            tell();
          }
        },
        mayEnd: true,
      },
      signal,
    );
    // A clean end without an event: the cursor was at the end already.
    if (!signal.aborted) run.isOver = true;
  } catch (error) {
    notice = trouble(error);
    run.message ||= notice;
    run.isOver = true;
  } finally {
    window.clearInterval(timer);
  }
  if (!signal.aborted) tell();
}
