"""What an error of a cloud means for us.

One table of wordings tells a cloud without room from a broken one; it is used for answers to our calls and for the
faults of servers alike. Nothing here does I/O.
"""

import html
import json
import re
from email.utils import parsedate_to_datetime

from nodepool_ng.drivers import DriverError, Misconfigured, NoCapacity, Refused, Throttled, Unavailable

LONGEST_MESSAGE = 400  # characters

NO_ROOM = (
    ("quota", "exceed"),
    ("number of ports exceeded",),
)
"""A text that has all the parts of one row (in any case) says that a quota is used up. Seen: Nova's "Quota exceeded
for cores", its "exceeds … quota" in faults, Cinder's "exceeded for quota 'volumes'", Neutron's "Quota exceeded for
resources", Nova's "Maximum number of ports exceeded"."""
NO_HOST = "no valid host"
"""Nova's words, in any case, where its scheduler found none. That all are full, or that they have not reported to it
since an outage, it does not tell apart."""


class BadRequest(Refused):
    """A 400 or 404 on something that was not looked up by id: what we remember of the cloud may be out of date."""


def says_no_room(text: str) -> bool:
    """Tell whether an error's text says that there is no capacity."""
    lower = text.lower()
    return any(all(part in lower for part in row) for row in NO_ROOM)


def says_no_host(text: str) -> bool:
    """Tell whether a fault's text says that there was no host for a server."""
    return NO_HOST in text.lower()


def seconds(retry_after: str | None, now: float) -> float | None:
    """Return what a Retry-After header asks for, in seconds: a number or a date."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    except ValueError:
        return None


def refusal(subject: str, status: int, text: str, retry_after: float | None = None) -> DriverError:
    """Return the error for an answer of 400 and above. `subject` says what was asked of whom."""
    message = f"{subject}: {status} {text}".rstrip()
    if status == 429 or (status in (413, 503) and retry_after is not None):
        return Throttled(message, retry_after)
    if status == 401:
        return Misconfigured(f"{message} (the credentials are not accepted)")
    if status >= 500 or status == 408:
        # Other statuses come from what stands between us and the service, which may still be at it.
        return Unavailable(message, answered=status == 500)
    if says_no_room(text):
        return NoCapacity(message)
    return BadRequest(message) if status in (400, 404) else Refused(message)


def message_of(body: str) -> str:
    """Return the sentence that a human wants to read out of an error's body (JSON, HTML or text)."""
    found = _message_in_json(body)
    if found is None:
        # The title and the heading of such a page repeat the status.
        found = re.sub(r"<(title|style|script).*?</\1>", " ", body, flags=re.DOTALL | re.IGNORECASE)
        found = re.sub(r"<h1>\s*\d{3} .*?</h1>(?=.*\w.*</body>)", " ", found, flags=re.DOTALL | re.IGNORECASE)
        found = html.unescape(re.sub(r"<[^>]*>", " ", found))
    return " ".join(found.split())[:LONGEST_MESSAGE]


def _message_in_json(body: str) -> str | None:
    try:
        content = json.loads(body)
    except ValueError:
        return None
    inner = list(content.values()) if isinstance(content, dict) else []
    for part in inner:
        # Ironic writes JSON into a text of its JSON.
        if isinstance(part, str) and part.startswith("{") and (found := _message_in_json(part)) is not None:
            return found
    for part in (*inner, content):
        if isinstance(part, dict):
            for key in ("message", "faultstring"):
                if isinstance(part.get(key), str) and part[key]:
                    return str(part[key])
    return None
