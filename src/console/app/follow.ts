// A stream that is opened again whenever it breaks.

import { ConnectError, Code } from "@connectrpc/connect";
import { mayPass } from "./words";

/** How a stream is: messages come; or it broke, and is tried again in so many seconds. */
export type Connection = "live" | number;

const FIRST_PAUSE = 0.5;
const LONGEST_PAUSE = 10;

export interface Stream<T> {
  /** Opens it from where the reader is now. */
  open(signal: AbortSignal): AsyncIterable<T>;
  /** Takes a message; true: it was the last. */
  take(message: T): boolean;
  /** Told when the connection changes. */
  report(connection: Connection): void;
  /** Whether a clean end is the end of what there is to read. */
  mayEnd: boolean;
  /** Seconds of silence after which a connection is taken for dead. */
  longestSilence?: number;
}

/** Reads a stream to its end. Resolves then, or when the signal fires; fails if trying again is no use. */
export async function follow<T>(stream: Stream<T>, signal: AbortSignal): Promise<void> {
  let pause = FIRST_PAUSE;
  while (!signal.aborted) {
    try {
      const isOver = await read(stream, signal, () => {
        pause = FIRST_PAUSE;
        stream.report("live");
      });
      if (isOver || stream.mayEnd) return;
    } catch (error) {
      if (signal.aborted) return;
      if (!mayPass(error)) throw error;
    }
    if (signal.aborted) return;
    // Many pages that lost the same broker do not come back all at once.
    const wait = pause * (0.75 + Math.random() / 2);
    stream.report(wait);
    await rest(wait, signal);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }
}

async function read<T>(stream: Stream<T>, signal: AbortSignal, isLive: () => void): Promise<boolean> {
  const own = new AbortController();
  const leave = () => own.abort(new ConnectError("left", Code.Unavailable));
  signal.addEventListener("abort", leave);
  // A network that changed leaves connections behind that nobody closes.
  window.addEventListener("online", leave);
  let alarm = 0;
  const listen = () => {
    window.clearTimeout(alarm);
    if (stream.longestSilence) alarm = window.setTimeout(leave, stream.longestSilence * 1000);
  };
  try {
    listen();
    for await (const message of stream.open(own.signal)) {
      listen();
      isLive();
      if (stream.take(message)) return true;
    }
    return false;
  } catch (error) {
    // What we left ourselves is a break, however the transport puts it.
    throw own.signal.aborted ? new ConnectError("left", Code.Unavailable) : error;
  } finally {
    own.abort();
    window.clearTimeout(alarm);
    signal.removeEventListener("abort", leave);
    window.removeEventListener("online", leave);
  }
}

/** Waits; less if the page is left or the network comes back. */
function rest(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      window.clearTimeout(timer);
      signal.removeEventListener("abort", done);
      window.removeEventListener("online", done);
      resolve();
    };
    const timer = window.setTimeout(done, seconds * 1000);
    signal.addEventListener("abort", done);
    window.addEventListener("online", done);
  });
}
