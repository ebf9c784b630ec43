"""What errors of clouds mean."""

import pytest

from nodepool_ng.drivers import Misconfigured, NoCapacity, Refused, Throttled, Unavailable
from nodepool_ng.drivers.openstack.refusal import BadRequest, message_of, refusal, says_no_room, seconds


@pytest.mark.parametrize(
    ("status", "text", "retry_after", "means"),
    [
        (403, "Quota exceeded for cores: Requested 8, but already used 100 of 100 cores", None, NoCapacity),
        (413, "Quota exceeded for instances", None, NoCapacity),
        (403, "Maximum number of ports exceeded", None, NoCapacity),
        (409, "Quota exceeded for resources: ['floatingip'].", None, NoCapacity),
        (403, "Policy doesn't allow os_compute_api:servers:create", None, Refused),
        (429, "Too many requests", None, Throttled),
        (429, "Too many requests", 3.0, Throttled),
        (413, "This request was rate-limited.", 2.0, Throttled),
        (503, "", 10.0, Throttled),
        (503, "", None, Unavailable),
        (500, "Unexpected API Error", None, Unavailable),
        (504, "Gateway Timeout", None, Unavailable),
        (408, "", None, Unavailable),
        (400, "Invalid key_name provided.", None, BadRequest),
        (404, "Network x could not be found.", None, BadRequest),
        (409, "Cannot 'delete' while it is in task_state deleting", None, Refused),
        (401, "The request you have made requires authentication.", None, Misconfigured),
    ],
)
def test_each_answer_has_one_meaning(status, text, retry_after, means):
    error = refusal("acme: compute POST /servers", status, text, retry_after)
    assert type(error) is means
    assert str(error).startswith(f"acme: compute POST /servers: {status}")
    if isinstance(error, Throttled):
        assert error.retry_after == retry_after
    if isinstance(error, Unavailable):
        assert error.answered == (status == 500), "others may come from what stands in between"


@pytest.mark.parametrize(
    "fault",
    [
        "Build of instance 1 aborted: VolumeSizeExceedsAvailableQuota: exceeds allowed gigabytes QUOTA",
        "Build of instance 1 aborted: Maximum number of volumes allowed (10) exceeded for quota 'volumes'.",
        "Build of instance 1 aborted: Maximum number of ports exceeded",
    ],
)
def test_a_fault_can_say_that_there_is_no_room(fault):
    assert says_no_room(fault)


@pytest.mark.parametrize("fault", ["No valid host was found. ", "Exceeded maximum number of retries.", ""])
def test_other_faults_do_not(fault):
    assert not says_no_room(fault)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header, wait):
    assert seconds(header, now=40.0) == wait


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"forbidden": {"code": 403, "message": "Quota exceeded"}}', "Quota exceeded"),
        ('{"NeutronError": {"type": "OverQuota", "message": "Over", "detail": ""}}', "Over"),
        ('{"message": "plain", "code": "500"}', "plain"),
        ("<html><head><title>413</title></head><body><h1>Too large</h1>\n\n It is.</body></html>", "Too large It is."),
        (
            "<html>\n <head>\n  <title>403 Forbidden</title>\n </head>\n <body>\n  <h1>403 Forbidden</h1>\n"
            "  Attribute &#x27;status&#x27; is read-only.<br /><br />\n\n </body>\n</html>",
            "Attribute 'status' is read-only.",
        ),
        ("<html><body><h1>502 Bad Gateway</h1></body></html>", "502 Bad Gateway"),
        ("upstream gone", "upstream gone"),
        ("[1]", "[1]"),
        ("", ""),
        ("x" * 1000, "x" * 400),
    ],
)
def test_a_sentence_is_found_in_every_kind_of_body(body, message):
    assert message_of(body) == message
