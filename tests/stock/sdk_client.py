"""The ecosystem's own Python SDK, as requester and as worker, against a broker.

Nothing here builds or reads JSON: requests and responses are the SDK's models, which refuse what does not
fit them. Usage: sdk_client.py URL CLIENT_KEY WORKER_KEY MODERATOR_KEY
"""

import base64
import io
import os
import sys
import threading
import time

URL, CLIENT_KEY, WORKER_KEY, MODERATOR_KEY = sys.argv[1:]
# The SDK reads this once, when it is loaded.
os.environ["AI_HORDE_URL"] = f"{URL}/api/"

import loguru  # noqa: E402
import PIL.Image  # noqa: E402
import requests  # noqa: E402
from horde_sdk import ANON_API_KEY  # noqa: E402
from horde_sdk.ai_horde_api import apimodels as api  # noqa: E402
from horde_sdk.ai_horde_api import consts  # noqa: E402
from horde_sdk.ai_horde_api.ai_horde_clients import (  # noqa: E402
    AIHordeAPIManualClient,
    AIHordeAPISimpleClient,
)
from horde_sdk.ai_horde_api.exceptions import AIHordeRequestError  # noqa: E402
from horde_sdk.generic_api.apimodels import RequestErrorResponse  # noqa: E402

# What it logs of each call would drown what the stories say.
loguru.logger.remove()

IMAGE_MODEL, TEXT_MODEL = "stable_diffusion", "koboldcpp/mistral-7b"
STORY = "Once upon a time a lighthouse "


def webp(width, height, colour):
    """A picture of one colour, as bytes."""
    file = io.BytesIO()
    PIL.Image.new("RGB", (width, height), colour).save(file, "WEBP")
    return file.getvalue()


def ask(request, client=None):
    """The answer to a request that must succeed."""
    answer = (client or AIHordeAPIManualClient()).submit_request(
        request, request.get_default_success_response_type()
    )
    assert not isinstance(answer, RequestErrorResponse), f"{type(request).__name__}: {answer}"
    return answer


def refusal(request):
    """The answer to a request that must be refused."""
    answer = AIHordeAPIManualClient().submit_request(request, request.get_default_success_response_type())
    assert isinstance(answer, RequestErrorResponse), answer
    return answer


class Worker(threading.Thread):
    """Pops and does jobs until it is told to stop; what went wrong is told at the end."""

    def __init__(self):
        super().__init__(daemon=True)
        self.is_over, self.trouble, self.done = threading.Event(), None, []

    def run(self):
        try:
            while not self.is_over.is_set():
                self.work()
        except BaseException as trouble:  # noqa: BLE001
            self.trouble = trouble

    def check(self):
        """Raises what went wrong; else the one who asks would wait in vain."""
        if self.trouble:
            raise self.trouble

    def finish(self):
        self.is_over.set()
        self.join(60)
        self.check()


class ImageWorker(Worker):
    def work(self):
        job = ask(
            api.ImageGenerateJobPopRequest(
                apikey=WORKER_KEY,
                name="sdk dreamer",
                bridge_agent="AI Horde Worker reGen:13.0.0:https://example.org",
                models=[IMAGE_MODEL],
                max_pixels=1024 * 1024,
                amount=2,
                threads=1,
                nsfw=True,
                allow_painting=True,
                allow_lora=True,
                allow_controlnet=True,
            )
        )
        if not job.ids:
            assert job.id_ is None and job.skipped is not None
            return
        assert job.model == IMAGE_MODEL and len(job.r2_uploads) == len(job.ids) == job.payload.n_iter
        assert job.ttl >= 150 and job.payload.seed
        if job.source_image:
            # The bridge can fetch, so it is given a link.
            source = PIL.Image.open(io.BytesIO(requests.get(job.source_image, timeout=30).content))
            assert source.size == (128, 64), source.size
        for place, (job_id, link) in enumerate(zip(job.ids, job.r2_uploads)):
            # As the image worker does: raw bytes, and no media type.
            picture = webp(job.payload.width, job.payload.height, (place, 100, 200))
            assert requests.put(link, data=picture, timeout=30).status_code == 200
            submit = api.ImageGenerationJobSubmitRequest(
                apikey=WORKER_KEY,
                id=job_id,
                generation="R2",
                state=consts.GENERATION_STATE.ok,
                seed=int(job.payload.seed) + place,
            )
            reward = ask(submit).reward
            assert reward > 0, reward
            assert refusal(submit).rc == "DuplicateGen"
            self.done.append(job_id)


class TextWorker(Worker):
    def work(self):
        job = ask(
            api.TextGenerateJobPopRequest(
                apikey=WORKER_KEY,
                name="sdk scribe",
                bridge_agent="KoboldCppEmbedWorker:2:https://example.org",
                models=[TEXT_MODEL],
                max_length=512,
                max_context_length=4096,
                amount=1,
                threads=1,
                nsfw=True,
            )
        )
        if not job.ids:
            assert job.id_ is None and job.skipped is not None
            return
        for job_id in job.ids:
            submit = api.TextGenerationJobSubmitRequest(
                apikey=WORKER_KEY,
                id=job_id,
                generation=STORY + job.payload.prompt,
                state=consts.GENERATION_STATE.ok,
                seed=0,
            )
            assert ask(submit).reward > 0
            self.done.append(job_id)


class Alchemist(Worker):
    """`result` is free-form on the wire; the SDK's field for it is a string, which the API refuses."""

    class Submit(api.AlchemyJobSubmitRequest):
        result: dict

    def work(self):
        job = ask(
            api.AlchemyPopRequest(
                apikey=WORKER_KEY,
                name="sdk alchemist",
                bridge_agent="AI Horde Worker reGen:13.0.0:https://example.org",
                forms=["caption", "nsfw", "RealESRGAN_x4plus"],
                amount=3,
                threads=1,
                max_tiles=64,
                priority_usernames=[],
            )
        )
        if not job.forms:
            return
        for form in job.forms:
            source = PIL.Image.open(io.BytesIO(requests.get(form.source_image, timeout=30).content))
            result = {
                "caption": {"caption": f"{source.width} by {source.height}"},
                "nsfw": {"nsfw": False},
            }.get(form.form)
            if result is None:
                assert requests.put(form.r2_upload, data=webp(256, 256, "red"), timeout=30).status_code == 200
                result = {form.form: "R2"}
            else:
                assert form.r2_upload is None
            submit = self.Submit(
                apikey=WORKER_KEY, id=form.id_, result=result, state=consts.GENERATION_STATE.ok
            )
            assert ask(submit).reward > 0
            assert refusal(submit).rc == "DuplicateGen"
            self.done.append(form.id_)


def images():
    """An image request with a source and two jobs: made, checked, fetched as links and as base64."""
    simple, worker = AIHordeAPISimpleClient(), ImageWorker()
    params = api.ImageGenerationInputPayload(
        width=512, height=512, steps=20, n=2, sampler_name="k_euler", cfg_scale=7.5, denoising_strength=0.5
    )
    source = base64.b64encode(webp(128, 64, "blue")).decode()
    request = api.ImageGenerateAsyncRequest(
        apikey=CLIENT_KEY,
        prompt="a lighthouse at dusk ### fog",
        models=[IMAGE_MODEL],
        params=params,
        source_image=source,
        source_processing="img2img",
    )
    assert simple.image_generate_request_dry_run(request.model_copy(update={"dry_run": True})).kudos > 0
    seen = []
    worker.start()
    status, _ = simple.image_generate_request(request, timeout=40, check_callback=seen.append)
    assert len(status.generations) == 2 and status.done and not status.faulted, status
    for generation in status.generations:
        assert simple.download_image_from_generation(generation).size == (512, 512)
        assert generation.worker_name == "sdk dreamer" and generation.state == "ok"
    assert seen, "the progress was told"
    plain = api.ImageGenerateAsyncRequest(
        apikey=CLIENT_KEY, prompt="a boat", models=[IMAGE_MODEL], r2=False,
        params=api.ImageGenerationInputPayload(width=512, height=512, steps=20, n=1),
    )
    status, _ = simple.image_generate_request(plain, timeout=40)
    assert AIHordeAPISimpleClient.parse_image_from_base64(status.generations[0].img).size == (512, 512)
    worker.finish()
    assert len(worker.done) == 3
    # Cancelled while nobody works.
    waiting = ask(plain)
    status = ask(api.DeleteImageGenerateRequest(id=waiting.id_))
    assert status.waiting == 1, "the status is the one of before"
    assert ask(api.ImageGenerateCheckRequest(id=waiting.id_)).waiting == 0


def texts():
    """A text request, anonymous."""
    simple, worker = AIHordeAPISimpleClient(), TextWorker()
    request = api.TextGenerateAsyncRequest(
        apikey=ANON_API_KEY,
        prompt="told",
        models=[TEXT_MODEL],
        params=api.ModelGenerationInputKobold(max_length=80, max_context_length=1024, temperature=0.7),
    )
    worker.start()
    status, _ = simple.text_generate_request(request, timeout=40)
    assert [generation.text for generation in status.generations] == [STORY + "told"], status
    worker.finish()
    assert len(worker.done) == 1


def alchemy():
    """Three forms. Of `interrogation` the API and the SDK have different ideas: it is left out here."""
    simple, worker = AIHordeAPISimpleClient(), Alchemist()
    forms = [
        api.AlchemyAsyncRequestFormItem(name=name)
        for name in ("caption", "nsfw", "RealESRGAN_x4plus")
    ]
    request = api.AlchemyAsyncRequest(
        apikey=CLIENT_KEY, source_image=base64.b64encode(webp(128, 64, "blue")).decode(), forms=forms
    )
    worker.start()
    status, _ = simple.alchemy_request(request, timeout=40)
    worker.finish()
    results = {form.form: form.result for form in status.forms}
    assert results["caption"].caption == "128 by 64", results
    assert results["nsfw"].nsfw is False
    upscaled = [form for form in status.forms if form.form == "RealESRGAN_x4plus"]
    link = dict(upscaled[0].result.model_dump())
    link = next(value for value in link.values() if isinstance(value, str) and value.startswith("http"))
    assert simple.download_image_from_url(link).size == (256, 256)
    assert len(worker.done) == 3


def people():
    """Workers, users, models, figures, news."""
    simple = AIHordeAPISimpleClient()
    assert simple.heartbeat_request().version
    mine = {worker.name: worker for worker in simple.workers_all_details()}
    assert {"sdk dreamer", "sdk scribe"} <= set(mine), mine
    dreamer = simple.worker_details_by_name("sdk dreamer", api_key=WORKER_KEY)
    assert dreamer.requests_fulfilled >= 3 and dreamer.type_ == "image"
    assert mine["sdk scribe"].models == [TEXT_MODEL]
    changed = simple.worker_modify(
        api.ModifyWorkerRequest(worker_id=dreamer.id_, apikey=WORKER_KEY, maintenance=True)
    )
    assert changed.maintenance is True
    pop = api.ImageGenerateJobPopRequest(
        apikey=WORKER_KEY, name="sdk dreamer", models=[IMAGE_MODEL], max_pixels=262144, amount=1,
        bridge_agent="AI Horde Worker reGen:13.0.0:https://example.org", threads=1, nsfw=True,
    )
    refused = refusal(pop)
    assert refused.rc == "WorkerMaintenance" and "maintenance mode" in refused.message.lower(), refused
    simple.worker_modify(
        api.ModifyWorkerRequest(worker_id=dreamer.id_, apikey=WORKER_KEY, maintenance=False)
    )
    user = ask(api.FindUserRequest(apikey=CLIENT_KEY))
    assert "#" in user.username and user.kudos is not None
    performance = ask(api.HordePerformanceRequest())
    assert performance.worker_count >= 1
    models = simple.image_status_models_all()
    assert any(model.name == IMAGE_MODEL for model in models)
    simple.get_news()
    figures()


def figures():
    """What was made by then. Documents are left out: the SDK puts their `format` into a body, and refuses to."""
    images, texts = ask(api.ImageStatsModelsTotalRequest()), ask(api.TextStatsModelsTotalRequest())
    assert images.minute.images >= 3 and images.total.ps > 0, images
    assert texts.total["requests"] >= 1 and texts.day["tokens"] >= 80, texts
    models = ask(api.ImageStatsModelsRequest())
    assert models.day[IMAGE_MODEL] >= 3 and models.total.keys() == models.month.keys(), models
    assert ask(api.TextStatsModelsRequest()).total[TEXT_MODEL] >= 1


def refusals():
    """What the SDK makes of errors."""
    wrong = api.TextGenerateAsyncRequest(
        apikey="x" * 22, prompt="told", models=[TEXT_MODEL],
        params=api.ModelGenerationInputKobold(max_length=80, max_context_length=1024),
    )
    assert refusal(wrong).rc == "InvalidAPIKey"
    unknown = api.ImageGenerateCheckRequest(id="00000000-0000-4000-8000-000000000000")
    assert refusal(unknown).rc == "RequestNotFound"
    too_short = wrong.model_copy(
        update={
            "apikey": CLIENT_KEY,
            "params": api.ModelGenerationInputKobold(max_length=512, max_context_length=256),
        }
    )
    try:
        AIHordeAPISimpleClient().text_generate_request(too_short, timeout=10)
    except AIHordeRequestError as error:
        assert "max_context_length" in str(error), error
    else:
        raise AssertionError("a context shorter than the output was taken")


for story in (images, texts, alchemy, people, refusals):
    began = time.monotonic()
    story()
    print(f"ok: {story.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
