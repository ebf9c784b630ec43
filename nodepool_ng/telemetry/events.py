"""What can only be counted when it happens: one function for each kind of event, samples come out."""

from collections.abc import Iterator, Mapping

from nodepool_ng.model.ids import Seconds, Timestamp
from nodepool_ng.telemetry import metrics
from nodepool_ng.telemetry.sample import Sample, sample

MIN_READY = "NodePool_min-ready"
"""What stands for a requestor where nobody asked."""
SEVERAL = "several"
READY = "ready"
SLOW: Seconds = 1.0


def error(kind: str) -> str:
    """Return the result of a launch attempt that failed."""
    return f"error.{kind}"


def launched(
    result: str, took: Seconds, *, provider: str, az: str | None, requestor: str | None, image: str | None
) -> Iterator[Sample]:
    """A launch attempt has ended; `took` counts from the first attempt's start."""
    yield sample(metrics.LAUNCH, took, result=result)
    yield sample(metrics.LAUNCH_PROVIDER, took, provider=provider, result=result)
    if az:
        yield sample(metrics.LAUNCH_AZ, took, provider=provider, az=az, result=result)
    yield sample(metrics.LAUNCH_REQUESTOR, took, requestor=requestor or MIN_READY, result=result)
    if image:
        yield sample(metrics.LAUNCH_IMAGE, took, image=image, result=result)


def leaked(provider: str, kind: str, count: int = 1) -> Iterator[Sample]:
    """Leaked resources were removed; `kind` is their plural."""
    yield sample(metrics.LEAKED, count, provider=provider, resource=kind)


def request_served(waited: Seconds, *, provider: str, label: str, warm: bool) -> Iterator[Sample]:
    yield sample(metrics.REQUEST_WAIT, waited, provider=provider, label=label)
    yield sample(metrics.REQUESTS_ENDED, 1, result="warm" if warm else "cold")


def request_failed() -> Iterator[Sample]:
    yield sample(metrics.REQUESTS_ENDED, 1, result="failed")


def api_call(
    prefix: str | None, provider: str, service: str, method: str, name: str, status: int | None, took: Seconds
) -> Iterator[Sample]:
    """A cloud answered, or (no status) did not. The prefix is the operator's; without one it is Nodepool's."""
    place = {
        "prefix": prefix or f"nodepool.task.{provider}",
        "task": f"{service.replace('.', '_').replace(':', '_')}.{method}.{name}",
        "provider": provider,
    }
    if status is None:
        yield sample(metrics.API_FAILED, 1, **place)
    else:
        yield sample(metrics.API_CALL, took, status=str(status), **place)
        if took > SLOW:
            yield sample(metrics.API_SLOW, 1, **place)
    yield sample(metrics.API_ATTEMPTED, 1, **place)


def planned(hostname: str, took: Seconds) -> Iterator[Sample]:
    yield sample(metrics.PLAN, took, hostname=hostname)


def action_lost(hostname: str, action: str) -> Iterator[Sample]:
    yield sample(metrics.LOST_ACTIONS, 1, hostname=hostname, action=action)


def built(image: str, rc: int, took: Seconds, ended: Timestamp, sizes: Mapping[str, int]) -> Iterator[Sample]:
    """A build has ended. `sizes` are the bytes that each format takes on the disk; none of a build that failed."""
    for format, size in sizes.items():
        yield sample(metrics.DIB_SIZE, size, image=image, format=format)
    yield sample(metrics.DIB_RC, rc, image=image)
    yield sample(metrics.DIB_DURATION, took, image=image)
    yield sample(metrics.DIB_LAST_BUILD, int(ended), image=image)


def uploaded(image: str, provider: str, took: Seconds) -> Iterator[Sample]:
    """An upload succeeded; its hook counts."""
    yield sample(metrics.IMAGE_UPDATE, took, image=image, provider=provider)


def upload_failed(image: str, provider: str) -> Iterator[Sample]:
    yield sample(metrics.IMAGE_UPDATE_FAILED, 1, image=image, provider=provider)


def build_requests(pending: Mapping[str, bool]) -> Iterator[Sample]:
    """Tell for every image whether a build was asked for by hand and has not begun."""
    yield sample(metrics.BUILD_REQUESTS, sum(pending.values()))
    for image, asked in pending.items():
        yield sample(metrics.IMAGE_BUILD_REQUESTS, int(asked), image=image)


IDLE, BUILDING, UPLOADING, PAUSED = 0, 1, 2, 3


def builder(
    hostname: str,
    builds: Mapping[str, int],
    uploads: Mapping[tuple[str, str], int],
    *,
    build_workers: int,
    upload_workers: int,
) -> Iterator[Sample]:
    """Tell what a builder is doing: a number as above for each image, and for each image and provider.

    `hostname` is the full one; its dots make levels of the statsd name, as ever.
    """
    for image, doing in builds.items():
        yield sample(metrics.BUILD_STATE, doing, hostname=hostname, image=image)
    for (image, provider), doing in uploads.items():
        yield sample(metrics.UPLOAD_STATE, doing, hostname=hostname, image=image, provider=provider)
    current = sum(doing == BUILDING for doing in builds.values())
    sending = sum(doing == UPLOADING for doing in uploads.values())
    yield sample(metrics.CURRENT_BUILDS, current, hostname=hostname)
    yield sample(metrics.CURRENT_UPLOADS, sending, hostname=hostname)
    yield sample(metrics.BUILD_WORKERS, build_workers, hostname=hostname)
    yield sample(metrics.UPLOAD_WORKERS, upload_workers, hostname=hostname)
