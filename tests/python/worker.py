"""A worker on one pop stream, with the generated stubs alone."""

import queue
import threading

from grid.v2 import worker_pb2, worker_pb2_grpc

PATIENCE = 20


class Worker:
    """Holds a pop stream; reports on all its jobs go out over one client stream."""

    def __init__(self, channel, key, **offer):
        self._stub = worker_pb2_grpc.WorkerStub(channel)
        self._metadata = [("apikey", key)]
        self.credits = offer["credits"]
        self._pushed = queue.Queue()
        self._outstanding = 0
        self._lock = threading.Lock()
        request = worker_pb2.PopStreamRequest(**offer)
        self._stream = self._stub.PopStream(request, metadata=self._metadata)
        threading.Thread(target=self._listen, daemon=True).start()
        first = self._pushed.get(timeout=PATIENCE)
        assert first.WhichOneof("push") == "opened", first
        assert first.opened.credits == self.credits, first
        self.id = first.opened.worker_id
        self._to_report = queue.Queue()
        reports = iter(self._to_report.get, None)
        self._reported = self._stub.Report.future(reports, metadata=self._metadata)
        self._count = 0

    def _listen(self):
        try:
            for message in self._stream:
                if message.WhichOneof("push") != "keep_alive":
                    self._pushed.put(message)
        except Exception as end:  # pylint: disable=broad-except
            self._pushed.put(end)

    def job(self):
        """The next assignment."""
        message = self._pushed.get(timeout=PATIENCE)
        if isinstance(message, Exception):
            raise message
        assert message.WhichOneof("push") == "assignment", message
        with self._lock:
            self._outstanding += len(message.assignment.ids)
            assert self._outstanding <= self.credits, f"{self._outstanding} jobs for {self.credits} credits"
        return message.assignment

    def report(self, job, **what):
        """Says how a job goes; with nothing but its ID: accepted."""
        self._to_report.put(worker_pb2.ReportRequest(id=job, **what))
        self._count += 1

    def hand_in(self, method, request):
        """Hands in a result and returns the reward. The credit is back before the answer is."""
        with self._lock:
            self._outstanding -= 1
        return getattr(self._stub, method)(request, metadata=self._metadata, timeout=PATIENCE).reward

    def end_reports(self):
        """Ends the stream of reports; every one must have counted."""
        self._to_report.put(None)
        said = self._reported.result(timeout=PATIENCE)
        assert (said.accepted, said.closed) == (self._count, 0), said

    def end(self):
        """Goes home."""
        self._stream.cancel()
