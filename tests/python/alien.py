"""A client and a worker that share no code with the broker.

Stubs come from grpcio-tools and proto/; the rest is the standard library. Usage:
    alien.py URL CLIENT_KEY WORKER_KEY
"""

import base64
import json
import sys

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import web
from grid import options_pb2
from grid.v2 import generate_pb2, generate_pb2_grpc, reason_pb2, text_pb2, worker_pb2, worker_pb2_grpc
from worker import PATIENCE, Worker

NOBODY = "00000000-0000-4000-8000-000000000000"
# The smallest picture in lossless WebP.
WEBP = base64.b64decode("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")
TEXTS = ["naïve tests pass, ", "fünf Boote ", "und ", "ein 🚢 ", "на воде"]


class Grid:
    """Where the broker is, and who asks."""

    def __init__(self, url, client_key, worker_key):
        self.url, self.client_key, self.worker_key = url, client_key, worker_key
        self.metadata = [("apikey", client_key)]

    def channel(self):
        """A connection of its own."""
        target = self.url.removeprefix("http://")
        return grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)])

    def api(self, path):
        """URL of a JSON path."""
        return f"{self.url}/api/v2{path}"


def place(cursor):
    """Epoch and sequence number, to be compared."""
    epoch, _, seq = cursor.partition("-")
    return int(epoch), int(seq)


class Reader:
    """Joins tokens by job, over whichever transport they come."""

    def __init__(self):
        self.cursor, self.texts, self.results = "", {}, {}

    def take(self, cursor, kind, event):
        """Takes an event; cursors only ever rise, and never within another epoch."""
        if self.cursor:
            (epoch, seq), (before, last) = place(cursor), place(self.cursor)
            assert (epoch, seq) == (before, last + 1), f"{cursor} follows {self.cursor}"
        self.cursor = cursor
        assert kind != "reset", "nothing starts over here"
        if kind == "token":
            self.texts[event["job"]] = self.texts.get(event["job"], "") + event["text"]
        if kind == "result":
            self.results[event["job"]] = event["text"]

    def take_message(self, message):
        """Takes an event as gRPC has it."""
        kind = message.WhichOneof("event")
        event = json_format.MessageToDict(
            getattr(message, kind),
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        self.take(message.cursor, kind, event)


def watch_until_both_speak(grid, request, reader):
    """Watches over gRPC until two jobs have tokens; then the connection goes, in the middle."""
    channel = grid.channel()
    stub = generate_pb2_grpc.GenerateStub(channel)
    watching = stub.Watch(generate_pb2.WatchRequest(id=request), timeout=PATIENCE)
    for message in watching:
        reader.take_message(message)
        if len(reader.texts) == 2:
            break
    channel.close()
    assert len(reader.texts) == 2 and not reader.results, "both were under way when the line was cut"


def a_text_is_watched_across_a_cut_and_two_transports(grid):
    """Tokens before the cut over gRPC, the rest over SSE: joined, they are the result."""
    with grid.channel() as channel:
        offer = worker_pb2.PopTextRequest(name="alien-scribe", models=["mock/echo-7b"], threads=2)
        worker = Worker(channel, grid.worker_key, text=offer, credits=2)
        client = generate_pb2_grpc.GenerateStub(channel)
        asked = generate_pb2.SubmitTextRequest(prompt="sail", params=text_pb2.TextParams(n=3))
        request = client.SubmitText(asked, metadata=grid.metadata, timeout=PATIENCE).id
        texts, rewards = {}, {}

        def settle(job):
            texts[job] = f"{job}: " + "".join(TEXTS)
            message = worker_pb2.SubmitTextResultRequest(id=job, generation=texts[job])
            rewards[job] = worker.hand_in("SubmitTextResult", message)
            assert rewards[job] > 0

        jobs = [job for _ in range(2) for job in worker.job().ids]
        for job in jobs:
            worker.report(job)
            worker.report(job, text=f"{job}: ", offset=0)
            worker.report(job, text=TEXTS[0], offset=len(f"{job}: "))
        reader = Reader()
        watch_until_both_speak(grid, request, reader)
        rest = web.EventStream(grid.api(f"/generate/{request}/stream"), reader.cursor)
        for job in jobs:
            # Said twice, then on from there, in bytes; the last words are never reported.
            begin = f"{job}: "
            worker.report(job, text=begin + TEXTS[0] + TEXTS[1], offset=0)
            worker.report(job, text=TEXTS[2], offset=len((begin + TEXTS[0] + TEXTS[1]).encode()))
            worker.report(job, text=TEXTS[3])
        worker.end_reports()
        for job in jobs:
            settle(job)
        # A credit came back; nothing is reported on the third at all.
        settle(worker.job().ids[0])
        worker.end()

        ended = False
        for cursor, kind, data in rest:
            assert not ended, "nothing follows the end"
            ended = data == "[DONE]"
            if not ended:
                reader.take(cursor, kind, json.loads(data))
        assert ended, "the stream ends in [DONE]"
        assert sorted(reader.texts.values()) == sorted(texts.values()), "every token once, in order"
        assert reader.results == reader.texts, "a job's tokens, joined, are its result"
        status = client.GetText(generate_pb2.GetTextRequest(id=request), timeout=PATIENCE)
        assert status.done and sorted(g.text for g in status.generations) == sorted(texts.values())
        _, told = web.call_json("GET", grid.api(f"/generate/text/status/{request}"), grid.client_key)
        assert sorted(g["text"] for g in told["generations"]) == sorted(texts.values())
        past, _, _ = web.call("GET", grid.api(f"/generate/{request}/stream?after={reader.cursor}"))
        assert past == 204, "after the end there is nothing"
        return jobs[0], rewards[jobs[0]]


def an_image_goes_in_and_out_by_signed_links(grid):
    """Submitted as JSON, drawn over a stream, PUT to its link, fetched from another."""
    with grid.channel() as channel:
        agent = "AI Horde Worker reGen:13:https://example.org"
        offer = worker_pb2.PopImageRequest(
            name="alien-painter", models=["stable_diffusion"], bridge_agent=agent, max_pixels=1 << 20)
        worker = Worker(channel, grid.worker_key, image=offer, credits=1)
        asked = {"prompt": "a ship", "params": {"steps": 4, "width": 64, "height": 64}}
        code, accepted = web.call_json("POST", grid.api("/generate/async"), grid.client_key, asked)
        assert code == 202, accepted
        job = worker.job()
        assert job.image.payload.prompt == "a ship", job
        worker.report(job.ids[0], current_step=2, total_steps=4)
        worker.end_reports()
        put, _, said = web.call("PUT", job.image.r2_upload, WEBP)
        assert put == 200, said
        message = worker_pb2.SubmitImageResultRequest(id=job.ids[0], generation="R2", seed=7)
        assert worker.hand_in("SubmitImageResult", message) > 0
        worker.end()
        client = generate_pb2_grpc.GenerateStub(channel)
        asked = generate_pb2.GetImageRequest(id=accepted["id"])
        status = client.GetImage(asked, timeout=PATIENCE)
        assert status.done and [g.seed for g in status.generations] == ["7"], status
        got, headers, image = web.call("GET", status.generations[0].img)
        assert (got, headers["Content-Type"], image) == (200, "image/webp", WEBP)


def refusal(call, message, metadata=()):
    """Code, details by type, of a call that must be refused."""
    try:
        call(message, metadata=metadata, timeout=PATIENCE)
    except grpc.RpcError as error:
        status, found = rpc_status.from_call(error), {}
        assert status, f"{error.code()} without details"
        for detail in status.details:
            for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest):
                if detail.Is(kind.DESCRIPTOR):
                    found[kind] = kind()
                    detail.Unpack(found[kind])
        return error.code(), found
    raise AssertionError(f"{message} was not refused")


def refusals_say_the_same_over_grpc_and_json(grid, settled):
    """Code and reason over gRPC; HTTP status and rc over JSON, as the protos' own options have them."""
    job, reward = settled
    with grid.channel() as channel:
        client = generate_pb2_grpc.GenerateStub(channel)
        worker = worker_pb2_grpc.WorkerStub(channel)
        own, unknown = [("apikey", grid.worker_key)], [("apikey", "nobody-has-this-key")]
        again = worker_pb2.SubmitTextResultRequest(id=job, generation="something else")
        code = grpc.StatusCode
        for call, message, metadata, wanted, reason, path in [
            (worker.SubmitTextResult, again, own, code.ALREADY_EXISTS, "REASON_DUPLICATE_GEN",
             ("POST", "/generate/text/submit", {"id": job, "generation": "something else"})),
            (worker.SubmitTextResult, worker_pb2.SubmitTextResultRequest(id=NOBODY, generation=""), own,
             code.NOT_FOUND, "REASON_INVALID_JOB_ID",
             ("POST", "/generate/text/submit", {"id": NOBODY, "generation": ""})),
            (client.GetText, generate_pb2.GetTextRequest(id=NOBODY), (), code.NOT_FOUND,
             "REASON_REQUEST_NOT_FOUND", ("GET", f"/generate/text/status/{NOBODY}", None)),
            (client.SubmitText, generate_pb2.SubmitTextRequest(prompt="x"), unknown, code.UNAUTHENTICATED,
             "REASON_INVALID_API_KEY", ("POST", "/generate/text/async", {"prompt": "x"})),
        ]:
            rule = reason_pb2.Reason.DESCRIPTOR.values_by_name[reason].GetOptions()
            rule = rule.Extensions[options_pb2.reason]
            got, details = refusal(call, message, metadata)
            info = details[error_details_pb2.ErrorInfo]
            assert (got, info.reason, info.domain) == (wanted, rule.rc, "gridbroker"), (got, info)
            if reason == "REASON_DUPLICATE_GEN":
                assert float(info.metadata["reward"]) == reward, info
            key = dict(metadata).get("apikey", grid.client_key)
            verb, route, body = path
            status, said = web.call_json(verb, grid.api(route), key, body)
            assert (status, said["rc"]) == (rule.http, rule.rc), (status, said)
        got, details = refusal(client.SubmitText, generate_pb2.SubmitTextRequest(), grid.metadata)
        fields = [v.field for v in details[error_details_pb2.BadRequest].field_violations]
        assert (got, fields) == (code.INVALID_ARGUMENT, ["prompt"]), (got, fields)
        _, told = web.call_json("GET", grid.api("/find_user"), grid.worker_key)
        assert told["records"]["fulfillment"] == {"image": 1, "text": 3, "interrogation": 0}, told


def main():
    """Runs the stories; the first that fails ends it with a traceback."""
    grid = Grid(*sys.argv[1:])
    settled = a_text_is_watched_across_a_cut_and_two_transports(grid)
    print("ok: a text across a cut and two transports", flush=True)
    an_image_goes_in_and_out_by_signed_links(grid)
    print("ok: an image by signed links", flush=True)
    refusals_say_the_same_over_grpc_and_json(grid, settled)
    print("ok: refusals with their reasons", flush=True)


if __name__ == "__main__":
    main()
