"""Why a request was not taken: a status of HTTP, and state, fact and way out, as problem details.

What belongs here: the one form of all refusals. What does not: when something is refused (`posted`, `app`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus


class Refused(Exception):
    """A request that was not taken; nothing of it is in the log."""

    def __init__(self, status: int, fact: str, way_out: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(fact)
        self.status = status
        self.fact = fact
        self.way_out = way_out
        self.headers = dict(headers or {})

    def problem(self) -> bytes:
        """Return it as problem details (RFC 9457), `application/problem+json`.

        >>> told = json.loads(Refused(413, "The body is too large.", "Send less.").problem())
        >>> told["status"], told["detail"]
        (413, 'Nothing was taken. The body is too large. Send less.')
        """
        state = "Nothing was taken."
        told = {
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": f"{state} {self.fact} {self.way_out}",
            "state": state,
            "fact": self.fact,
            "way_out": self.way_out,
        }
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
