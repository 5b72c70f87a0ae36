"""What a posted request says: events, in one of the forms that are taken.

What belongs here: headers and body in, JSON objects out. What does not: who may post, how much, and writing.

CloudEvents 1.0 (github.com/cloudevents/spec, bindings/http-protocol-binding.md, formats/json-format.md):

- **structured**, `application/cloudevents+json`: the body is the event;
- **batch**, `application/cloudevents-batch+json`: an array of them, possibly empty;
- **binary**: attributes in `ce-` headers, percent-encoded, the body is the data; written in the JSON form.

Plain events: `application/json`, an object or an array of objects; `application/x-ndjson` (or `jsonl`), one a line.
What Amazon SNS posts is JSON that calls itself `text/plain`. Other types are refused: a web page can't send those
that are taken without asking the browser's leave, so no page can post to a collector on its reader's machine.

A request is taken as a whole or not at all.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from dagster_project.landing.collector.refused import Refused
from dagster_project.landing.emit import parsed

Event = dict[str, Any]
Headers = Mapping[str, str]
"""Names in lower case."""

LINES: Final = frozenset(
    f"application/{name}" for name in ("x-ndjson", "ndjson", "jsonl", "x-jsonl", "x-jsonlines", "jsonlines")
)
DELIVERIES: Final = ("idempotency-key", "webhook-id", "x-github-delivery")
"""Headers in which senders name a delivery, the same one when they send it again."""
_STRUCTURED: Final = "application/cloudevents+json"
_BATCH: Final = "application/cloudevents-batch+json"
_REQUIRED: Final = ("id", "source", "type")
_TAKEN: Final = f"Send application/json, application/x-ndjson, {_STRUCTURED} or {_BATCH}."


def read(headers: Headers, body: bytes) -> list[Event]:
    """Return the events of a request, in order; an id is given to those without one if the delivery has a name.

    Raises `Refused`: 400 for what does not hold, 415 for a type that is not taken.
    """
    content_type = headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type.startswith("application/cloudevents"):
        return _cloud_events(media_type, body)
    if "ce-specversion" in headers:
        return [_binary(headers, content_type, media_type, body)]
    return _named(_plain(headers, media_type, body), _delivery(headers))


def unpacked(headers: Headers, body: bytes, *, most: int) -> bytes:
    """Return the body as it was before a `Content-Encoding` of gzip; at most `most` bytes of it are unpacked.

    >>> unpacked({"content-encoding": "gzip"}, zlib.compress(b"[]", wbits=31), most=9)
    b'[]'
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise Refused(415, f"The body is packed as {encoding}.", "Send it as it is, or with gzip.")
    stream = zlib.decompressobj(wbits=31)
    try:
        plain = stream.decompress(body, most + 1)
    except zlib.error as error:
        raise Refused(400, f"The body is no gzip: {error}.", "Send it as it is, or whole.") from error
    if len(plain) > most:
        raise too_large(most)
    if not stream.eof:
        raise Refused(400, "The body's gzip has no end.", "Send all of it.")
    return plain


def too_large(most: int) -> Refused:
    """Return the refusal of a body of more than `most` bytes."""
    return Refused(413, f"The body is larger than {most:,} bytes.", "Send fewer events at a time, or raise --max-body.")


def _cloud_events(media_type: str, body: bytes) -> list[Event]:
    if media_type == _STRUCTURED:
        return [_checked(_object(_json(body, "The body"), "The body"), "The event")]
    if media_type == _BATCH:
        batch = _json(body, "The body")
        if not isinstance(batch, list):
            raise Refused(400, "The batch is no JSON array.", f"Send one event as {_STRUCTURED}, or put it in [ ].")
        places = [f"Event {number} of the batch" for number in range(1, len(batch) + 1)]
        return [_checked(_object(event, place), place) for event, place in zip(batch, places, strict=True)]
    raise Refused(415, f"CloudEvents as {media_type} are not read.", f"Send {_STRUCTURED} or {_BATCH}.")


def _checked(event: Event, what: str) -> Event:
    """Return a CloudEvent that has what all must have (spec.md, Required Attributes)."""
    if event.get("specversion") != "1.0":
        raise Refused(
            400,
            f"{what} is a CloudEvent of version {event.get('specversion')!r}.",
            'Send "specversion": "1.0", or plain JSON as application/json.',
        )
    for name in _REQUIRED:
        if not isinstance(event.get(name), str) or not event[name]:
            raise Refused(
                400, f"{what} has no {name}, or one that is no text.", f"A CloudEvent has {', '.join(_REQUIRED)}."
            )
    return event


def _binary(headers: Headers, content_type: str, media_type: str, body: bytes) -> Event:
    """Return a CloudEvent of binary mode in the JSON form: data as JSON, text or base64, as its type says."""
    event: Event = {
        name[3:]: _attribute(value) for name, value in headers.items() if name.startswith("ce-") and len(name) > 3
    }
    event.pop("data", None)
    if content_type:
        event["datacontenttype"] = content_type
    if body:
        event |= _data(content_type, media_type, body)
    return _checked(event, "The event")


def _attribute(value: str) -> str:
    """Return the text of a header's value: quotes taken off, then percent-decoded (HTTP binding, 3.1.3.2).

    >>> _attribute('"Euro %E2%82%AC"')
    'Euro €'
    """
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return unquote(value, errors="replace")


def _data(content_type: str, media_type: str, body: bytes) -> Event:
    if not media_type or media_type.endswith(("/json", "+json")):
        try:
            return {"data": _json(body, "The event's data")}
        except Refused:
            if media_type:
                raise
    elif media_type.startswith("text/") or media_type.endswith(("/xml", "+xml")):
        charset = content_type.lower().partition("charset=")[2].partition(";")[0].strip(' "') or "utf-8"
        try:
            return {"data": body.decode(charset)}
        except (LookupError, ValueError):  # what it says it is, it is not: the bytes are kept
            pass
    return {"data_base64": b64encode(body).decode()}


def _plain(headers: Headers, media_type: str, body: bytes) -> list[Event]:
    if media_type in LINES:
        lines = [(number, line) for number, line in enumerate(body.split(b"\n"), start=1) if line.strip()]
        return [_object(_json(line, f"Line {number}"), f"Line {number}") for number, line in lines]
    is_json = media_type == "application/json" or (media_type.startswith("application/") and media_type[-5:] == "+json")
    if not is_json and "x-amz-sns-message-type" not in headers:
        raise Refused(415, f"Events as {media_type or 'what has no content-type'} are not taken.", _TAKEN)
    read = _json(body, "The body")
    if not isinstance(read, list):
        return [_object(read, "The body")]
    return [_object(event, f"Event {number} of the array") for number, event in enumerate(read, start=1)]


def _delivery(headers: Headers) -> str | None:
    return next((headers[name] for name in DELIVERIES if headers.get(name)), None)


def _named(events: list[Event], delivery: str | None) -> list[Event]:
    """Give events without an id one of their delivery's, so that one that is sent again is known.

    >>> _named([{"a": 1}], "d7"), _named([{"a": 1}, {"id": "x"}, {}], "d7")
    ([{'a': 1, 'id': 'd7'}], [{'a': 1, 'id': 'd7-1'}, {'id': 'x'}, {'id': 'd7-3'}])
    """
    if delivery is None:
        return events
    if len(events) == 1:
        return [{**events[0], "id": delivery} if _has_no_id(events[0]) else events[0]]
    return [
        {**event, "id": f"{delivery}-{number}"} if _has_no_id(event) else event
        for number, event in enumerate(events, start=1)
    ]


def _has_no_id(event: Event) -> bool:
    return not {"id", "event_id"} & event.keys()


def _json(text: bytes, what: str) -> Any:
    try:
        return parsed(text)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"{what} is no JSON: {error}.", "Send JSON (RFC 8259) in UTF-8.") from error


def _object(read: Any, what: str) -> Event:
    if isinstance(read, dict):
        return read
    raise Refused(400, f"{what} is JSON, but no object.", "An event is a JSON object.")
