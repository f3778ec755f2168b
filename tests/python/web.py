"""HTTP with nothing but the standard library: JSON calls, signed links, Server-Sent Events."""

import json
import urllib.error
import urllib.request

# Loopback is reached directly, whatever proxy the environment names.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def call(verb, url, body=None, headers=None, timeout=20):
    """Sends a request, and returns status, headers and body. A refusal is an answer like any other."""
    request = urllib.request.Request(url, data=body, method=verb, headers=headers or {})
    try:
        with _open(request, timeout=timeout) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.headers, refusal.read()


def call_json(verb, url, key, message=None):
    """A JSON call with a key; returns status and what the body says."""
    headers = {"apikey": key, "Content-Type": "application/json"}
    body = None if message is None else json.dumps(message).encode()
    status, _, said = call(verb, url, body, headers)
    return status, json.loads(said)


class EventStream:
    """Server-Sent Events from a cursor on. It is open once this is made."""

    def __init__(self, url, last_event_id):
        request = urllib.request.Request(url, headers={"Last-Event-ID": last_event_id})
        self._response = _open(request, timeout=20)
        assert self._response.status == 200, self._response.status
        kind = self._response.headers["Content-Type"]
        assert kind.startswith("text/event-stream"), kind

    def __iter__(self):
        """Yields (id, event, data) until the stream ends."""
        fields = {}
        for line in self._response:
            line = line.decode().rstrip("\r\n")
            if not line:
                if "data" in fields:
                    yield fields.get("id"), fields.get("event"), fields["data"]
                fields = {}
            elif not line.startswith(":"):
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
