// The broker, over gRPC-Web, through stubs generated from proto/.

import { createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { Generate } from "../gen/grid/v2/generate_pb";
import { Status } from "../gen/grid/v2/status_pb";
import { Worker } from "../gen/grid/v2/worker_pb";
import { sentence } from "./words";

const transport = createGrpcWebTransport({ baseUrl: window.location.origin });

export const generate = createClient(Generate, transport);
export const status = createClient(Status, transport);
export const worker = createClient(Worker, transport);

/** Under which the API key is kept in the tab. */
export const KEY = "gridbroker key";

/** The kinds that the playground asks for. */
export type Kind = "text" | "image";

export interface Wish {
  kind: Kind;
  prompt: string;
  /** Empty: any. */
  model: string;
  /** Text: tokens at most. */
  length: number;
  /** Image: edges in pixels, and steps. */
  width: number;
  height: number;
  steps: number;
  key: string;
}

/** Submits; the ID of the request, and what the broker has to say about it. */
export async function submit(wish: Wish): Promise<{ id: string; notes: string[] }> {
  const headers = { apikey: wish.key };
  const models = wish.model === "" ? [] : [wish.model];
  const common = { prompt: wish.prompt, clientAgent: "gridbroker console:2:unknown" };
  const accepted =
    wish.kind === "text"
      ? await generate.submitText({ ...common, models, params: { maxLength: wish.length } }, { headers })
      : await generate.submitImage(
          {
            ...common,
            // Unset would be one model in particular; an empty list is any.
            models: { names: models },
            params: { width: wish.width, height: wish.height, steps: wish.steps },
          },
          { headers },
        );
  // What is said for people may stand among the warnings, too.
  const notes = new Set([accepted.message ?? "", ...accepted.warnings.map((warning) => warning.message)]);
  notes.delete("");
  return { id: accepted.id ?? "", notes: Array.from(notes, sentence) };
}

/** Position in the queue (0: nothing waits) and seconds until done, by an estimate. */
export async function check(kind: Kind, id: string): Promise<{ position: number; eta: number }> {
  const found = kind === "text" ? await generate.checkText({ id }) : await generate.checkImage({ id });
  return { position: found.queuePosition, eta: found.waitTime };
}

/** Cancels what waits of a request. */
export async function cancel(kind: Kind, id: string): Promise<void> {
  await (kind === "text" ? generate.cancelText({ id }) : generate.cancelImage({ id }));
}
