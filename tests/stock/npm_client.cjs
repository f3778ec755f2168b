// The ecosystem's TypeScript client, as requester and as worker, against a broker.
// Usage: node npm_client.cjs URL CLIENT_KEY WORKER_KEY MODERATOR_KEY, with NODE_PATH naming node_modules.

const assert = require("node:assert/strict");
const { AIHorde, APIError } = require("@zeldafan0225/ai_horde");

const [url, clientKey, workerKey, moderatorKey] = process.argv.slice(2);
const horde = new AIHorde({
  default_token: clientKey,
  api_route: `${url}/api/v2`,
  client_agent: "stock test:1:none",
  cache_interval: 0,
});
const asWorker = { token: workerKey };
// A picture of 64 × 64 pixels, PNG.
const PICTURE =
  "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAT0lEQVR42u3PQQkAAAgEsItiNKMazQi+hcEKLNXzWgQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQELgt2zgEtldSC/gAAAABJRU5ErkJggg==";

async function refused(promise, status, rc) {
  const error = await promise.then(() => assert.fail("it was taken"), (error) => error);
  assert.ok(error instanceof APIError, String(error));
  assert.equal(error.rawError.rc, rc, JSON.stringify(error.rawError));
  assert.equal(error.errorResponse?.status ?? status, status);
}

const imageBridge = {
  name: "npm dreamer", models: ["stable_diffusion"], max_pixels: 1024 * 1024, nsfw: true, amount: 1, threads: 1,
  bridge_agent: "AI Horde Worker:24:https://example.org", allow_img2img: true,
};
const textBridge = {
  name: "npm scribe", models: ["koboldcpp/mistral-7b"], max_length: 512, max_context_length: 4096, nsfw: true,
  bridge_agent: "KoboldCppEmbedWorker:2:https://example.org",
};

async function images() {
  const params = { width: 512, height: 512, steps: 20, sampler_name: "k_euler", n: 1 };
  const body = { prompt: "a lighthouse", models: ["stable_diffusion"], params, r2: false };
  const price = await horde.postAsyncImageGenerate({ ...body, dry_run: true });
  assert.ok(price.kudos > 0);
  const { id } = await horde.postAsyncImageGenerate(body);
  const before = await horde.getImageGenerationCheck(id, { force: true });
  assert.deepEqual([before.waiting, before.done], [1, false]);
  const job = await horde.postImageGenerationPop(imageBridge, asWorker);
  assert.deepEqual(job.ids, [job.id]);
  assert.equal(job.payload.prompt, "a lighthouse");
  assert.equal(typeof job.payload.seed, "string");
  // A picture in the body, as bridges without object storage send it.
  const submit = { id: job.id, generation: PICTURE, seed: 7, state: "ok" };
  assert.ok((await horde.postImageGenerationSubmit(submit, asWorker)).reward > 0);
  await refused(horde.postImageGenerationSubmit(submit, asWorker), 400, "DuplicateGen");
  const status = await horde.getImageGenerationStatus(id, { force: true });
  assert.equal(status.done, true);
  const [generation] = status.generations;
  assert.equal(Buffer.from(generation.img, "base64").subarray(8, 12).toString(), "WEBP");
  assert.deepEqual([generation.seed, generation.worker_name, generation.state], ["7", "npm dreamer", "ok"]);
  const masked = await horde.getImageGenerationStatus(id, { force: true, fields: ["done", "finished"] });
  assert.deepEqual(masked, { done: true, finished: 1 });
}

async function texts() {
  const params = { max_length: 80, max_context_length: 1024 };
  const { id } = await horde.postAsyncTextGenerate({ prompt: "Once", models: textBridge.models, params });
  const job = await horde.postTextGenerationPop(textBridge, asWorker);
  assert.equal(job.payload.prompt, "Once");
  await horde.postTextGenerationSubmit({ id: job.id, generation: " upon a time" }, asWorker);
  const status = await horde.getTextGenerationStatus(id, { force: true });
  assert.equal(status.generations[0].text, " upon a time");
  const waiting = await horde.postAsyncTextGenerate({ prompt: "Once", models: textBridge.models, params });
  assert.equal((await horde.deleteTextGenerationRequest(waiting.id)).waiting, 1);
}

async function alchemy() {
  const forms = [{ name: "caption" }, { name: "GFPGAN" }];
  const { id } = await horde.postAsyncInterrogate({ source_image: PICTURE, forms });
  const bridge = { name: "npm alchemist", forms: ["caption", "GFPGAN"], amount: 2, max_tiles: 16 };
  const popped = [];
  while (popped.length < 2) {
    popped.push(...((await horde.postInterrogationPop(bridge, asWorker)).forms ?? []));
  }
  for (const form of popped) {
    const source = await fetch(form.source_image);
    assert.equal(source.status, 200);
    let result = { caption: "a blue square" };
    if (form.form === "GFPGAN") {
      const bytes = Buffer.from(PICTURE, "base64");
      assert.equal((await fetch(form.r2_upload, { method: "PUT", body: bytes })).status, 200);
      result = { GFPGAN: "R2" };
    }
    await horde.postInterrogationSubmit({ id: form.id, result, state: "ok" }, asWorker);
  }
  const status = await horde.getInterrogationStatus(id, { force: true });
  assert.equal(status.state, "done");
  const results = Object.fromEntries(status.forms.map((form) => [form.form, form.result]));
  assert.equal(results.caption.caption, "a blue square");
  assert.equal((await fetch(results.GFPGAN.GFPGAN)).status, 200);
  const gone = await horde.postAsyncInterrogate({ source_image: PICTURE, forms: [{ name: "nsfw" }] });
  const cancelled = await horde.deleteInterrogationRequest(gone.id);
  assert.equal(cancelled.forms[0].state, "cancelled");
}

async function people() {
  const user = await horde.findUser({ token: clientKey });
  assert.match(user.username, /^alice#\d+$/);
  const workers = await horde.getWorkers({});
  const dreamer = workers.find((worker) => worker.name === "npm dreamer");
  assert.equal(dreamer.type, "image");
  assert.match(workers.find((worker) => worker.name === "npm scribe").performance, / tokens per second$/);
  const details = await horde.getWorkerDetails(dreamer.id, { force: true });
  assert.equal(details.requests_fulfilled, 1);
  const models = await horde.getModels({ force: true });
  assert.equal(models.find((model) => model.name === "stable_diffusion").type, "image");
  const changed = await horde.updateWorker({ maintenance: true, maintenance_msg: "gone fishing" }, dreamer.id, asWorker);
  assert.equal(changed.maintenance, true);
  await refused(horde.postImageGenerationPop(imageBridge, asWorker), 403, "WorkerMaintenance");
  await refused(horde.updateWorker({ paused: true }, dreamer.id, asWorker), 403, "NotModerator");
  await horde.updateWorker({ paused: true }, dreamer.id, { token: moderatorKey });
  assert.equal((await horde.getPerformance({ force: true })).queued_text_requests, 0);
  await horde.getHeartbeat();
  assert.ok(Array.isArray(await horde.getNews({ force: true })));
  await figuresAndFilters();
  const modes = await horde.putStatusModes({ raid_mode: true }, { token: moderatorKey });
  assert.equal(modes.raid_mode, true);
  await horde.putStatusModes({ raid_mode: false }, { token: moderatorKey });
  assert.equal((await horde.getModes({ force: true, token: moderatorKey })).raid_mode, false);
  const lent = await horde.putSharedKey({ name: "friends", kudos: 100 });
  assert.equal((await horde.getSharedKey(lent.id)).kudos, 100);
  assert.equal((await horde.updateSharedKey({ kudos: 50 }, lent.id)).kudos, 50);
  assert.equal((await horde.deleteSharedKey(lent.id)).message, "OK");
  await refused(horde.createTeam({ name: "npm team" }), 403, "UntrustedTeamCreation");
  const team = await horde.createTeam({ name: "npm team", info: "we draw" }, asWorker);
  assert.equal((await horde.updateTeam({ info: "we draw more" }, team.id, asWorker)).id, team.id);
  assert.equal((await horde.updateWorker({ team: team.id }, dreamer.id, asWorker)).team, "npm team");
  assert.equal((await horde.getTeam(team.id, { token: moderatorKey, force: true })).worker_count, 1);
  assert.ok((await horde.getTeams({})).some((other) => other.id === team.id));
  assert.equal((await horde.deleteTeam(team.id, asWorker)).deleted_name, "npm team");
  assert.equal((await horde.deleteIPTimeout({ ipaddr: "203.0.113.7" }, { token: moderatorKey })).message, "OK");
  await horde.deleteWorker(dreamer.id, asWorker).catch((error) => assert.equal(error.rawError.rc, "Locked"));
}

async function figuresAndFilters() {
  assert.ok((await horde.getImageTotalStats()).total.images >= 1);
  assert.ok((await horde.getImageModelStats()).day.stable_diffusion >= 1);
  assert.ok((await horde.getTextTotalStats()).minute.requests >= 1);
  assert.ok(Object.keys((await horde.getTextModelStats()).total).length >= 1);
  const asModerator = { token: moderatorKey };
  const cubs = { regex: "\\bcubs?\\b", filter_type: 10, description: "animals" };
  const filter = await horde.addFilter(cubs, "", asModerator);
  assert.match(filter.user, /^mona#/);
  assert.equal((await horde.updateFilter({ replacement: "bear" }, filter.id, asModerator)).replacement, "bear");
  assert.equal((await horde.getFilters({ filter_type: "10", contains: "cub" }, asModerator)).length, 1);
  assert.deepEqual(await horde.postFilters({ prompt: "a cub" }, asModerator), { suspicion: "1", matches: ["cub"] });
  await horde.deleteFilter(filter.id, asModerator);
  await refused(horde.getFilter(filter.id, asModerator), 404, "FilterNotFound");
}

async function refusals() {
  await refused(horde.postAsyncTextGenerate({ prompt: "x" }, { token: "y".repeat(22) }), 401, "InvalidAPIKey");
  await refused(horde.postAsyncTextGenerate({ prompt: "" }), 400, "MissingPrompt");
  await refused(horde.findUser({ token: "y".repeat(22) }), 404, "UserNotFound");
  await refused(horde.getWorkerDetails("00000000-0000-4000-8000-000000000000"), 404, "WorkerNotFound");
}

(async () => {
  for (const story of [images, texts, alchemy, people, refusals]) {
    await story();
    console.log(`ok: ${story.name}`);
  }
})().catch((error) => {
  console.error(error, error.rawError ?? "");
  process.exit(1);
});
