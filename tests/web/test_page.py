"""The first page, metrics and health, as a browser or a machine gets them."""

import http.client
import json
from html.parser import HTMLParser

from nodepool_ng.model.cordon import Cordon, CordonKind
from nodepool_ng.model.ids import LabelName, NodeId, ProviderName
from nodepool_ng.model.lifecycle import RequestState
from nodepool_ng.model.server import ProviderFacts
from nodepool_ng.telemetry import events
from tests.unit.telemetry.support import NORTH, NOW, full_view, node, request
from tests.web.support import Place, served

HOSTILE = "\"><script>alert(1)</script><img src=x onerror='a'>\r\n\ndata: x"


class _Parts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parts(html: str) -> _Parts:
    parser = _Parts()
    parser.feed(html)
    return parser


def test_the_page_shows_pools_requests_and_why_they_wait() -> None:
    with served(full_view()) as place:
        answer = place.ask("/")
    text = " ".join(" ".join(parts(answer.body).text).split())
    assert "north / main" in text
    assert "the pool's limit of instances leaves 0, 1 needed" in text
    assert "3 / 5" in text
    assert "6 / 20" in text
    assert "200-0000000001" in text
    assert "1 failed since" in text


def test_the_page_shows_what_builders_do_and_when_they_try_again() -> None:
    build = {"image": "deb", "began": NOW - 60, "phase": "install.d", "element": "base", "hook": "10-x", "size": 10**9}
    upload = {"image": "deb", "provider": "north", "began": NOW, "sent": 10**9, "size": 4 * 10**9, "rate": 10**8}
    waits = {"image": "rpm", "sentence": "it failed once", "until": 1_000_000_000}
    work = {"hostname": "nb01", "builds": [build], "uploads": [{**upload, "left": 30}], "waiting": [waits]}
    odd = {"hostname": HOSTILE, "waiting": [{"image": HOSTILE, "sentence": HOSTILE, "until": 1e300}, 7]}
    with served(full_view(work=(work, odd))) as place:
        found = parts(place.ask("/").body)
    text = " ".join(" ".join(found.text).split())
    assert "install.d: base (10-x)" in text
    assert "1.0 GB of 4.0 GB at 100.0 MB/s, 0:30 left" in text
    assert "it failed once" in text
    assert "next try at 01:46:40 UTC" in text
    assert "next try at ?" in text
    assert not [tag for tag, attributes in found.tags if tag == "script" and "src" not in attributes]


def test_nothing_comes_from_elsewhere_and_no_script_stands_in_the_page() -> None:
    with served(full_view()) as place:
        answer = place.ask("/")
        found = parts(answer.body)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for tag, attributes in found.tags:
            assert "style" not in attributes, (tag, attributes)
            for name in ("src", "href"):
                target = attributes.get(name) or ""
                assert "//" not in target
                if target.startswith("static/"):
                    assert place.ask(f"/{target}").status == 200


def test_hostile_words_stay_words() -> None:
    bad = request(1, labels=(LabelName(HOSTILE),), requestor=HOSTILE)
    facts = ProviderFacts(provider=NORTH, error=HOSTILE)
    evil = node(9, provider=ProviderName(HOSTILE), labels=(LabelName(HOSTILE),))
    view = full_view(requests={bad.id: bad}, facts={NORTH: facts}, nodes={evil.id: evil}, alarms={NORTH: HOSTILE})
    with served(view) as place:
        tags = [tag for tag, _ in parts(place.ask("/").body).tags]
        assert tags.count("script") == 1
        assert "img" not in tags
        assert HOSTILE.splitlines()[0] in "".join(parts(place.ask("/").body).text)
        assert place.ask("/node-list").headers["x-content-type-options"] == "nosniff"
        event = first_event(place)
        assert "script" not in [tag for tag, _ in parts(event["page"]).tags]
        assert place.ask("/metrics").status == 200


def test_what_is_only_for_insiders_is_not_on_the_page() -> None:
    secret = node(9, user_data={"zuul": "s3cret"}, public_ipv4="192.0.2.77", host_keys=("ssh-rsa AAAA",))
    with served(full_view(nodes={secret.id: secret})) as place:
        body = place.ask("/").body + first_event(place)["page"]
        assert "s3cret" not in body
        assert "192.0.2.77" not in body
        assert "AAAA" not in body


def test_instants_that_are_none_break_nothing() -> None:
    odd = request(1, created_time=1e300)
    with served(full_view(requests={odd.id: odd})) as place:
        assert place.ask("/").status == 200


def first_event(place: Place) -> dict[str, str]:
    """Return the first event of each name."""
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=10)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    assert answer.getheader("content-type") == "text/event-stream; charset=utf-8"
    found: dict[str, str] = {}
    while "clock" not in found:
        name = answer.readline().decode().removeprefix("event: ").strip()
        data = []
        while (line := answer.readline().decode()).startswith("data: "):
            data.append(line.removeprefix("data: "))
        found[name] = "".join(data)
    connection.close()
    return found


def test_events_bring_the_page_when_it_changed() -> None:
    with served(full_view()) as place:
        event = first_event(place)
        assert float(event["clock"]) == NOW
        assert "200-0000000001" in event["page"]
        connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=10)
        connection.request("GET", "/events")
        answer = connection.getresponse()
        while not answer.readline().startswith(b"event: clock"):
            pass
        new = request(77, RequestState.REQUESTED)
        place.show(full_view(requests={new.id: new}))
        lines = iter(answer.readline, b"")
        assert any(b"200-0000000077" in line for line in lines)
        connection.close()


def test_metrics_have_gauges_counters_and_histograms() -> None:
    with served(full_view()) as place:
        place.prometheus.tell(
            events.launched("ready", 12.0, provider="north", az="az1", requestor="zuul", image="debian")
        )
        answer = place.ask("/metrics")
    lines = answer.body.splitlines()
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'nodepool_nodes_by_provider{provider="north",state="ready"} 1.0' in lines
    assert 'nodepool_nodes_by_provider{provider="north",state="hold"} 0.0' in lines
    assert 'nodepool_provider_max_servers{provider="north"} 5.0' in lines
    assert 'nodepool_tenant_limit{resource="cores",tenant="ten.ant"} 8.0' in lines
    assert 'nodepool_launch_by_provider_az{az="az1",provider="north",result="ready"} 1.0' in lines
    assert 'nodepool_launch_timer_bucket{le="20.0",result="ready"} 1.0' in lines
    assert 'nodepool_image_age_seconds{image="debian",provider="north"} 3600.0' in lines
    assert 'nodepool_requests_waiting{reason="pool-limit"} 1.0' in lines


def test_without_zookeeper_the_numbers_of_all_are_not_told() -> None:
    with served(full_view(complete=False)) as place:
        assert "nodepool_nodes{" not in place.ask("/metrics").body
        assert "does not see ZooKeeper" in place.ask("/").body
        health = place.ask("/health")
    assert health.status == 503
    assert json.loads(health.body)["loops"]["zookeeper"]["ok"] is False


def test_health_tells_of_each_loop_and_each_provider() -> None:
    with served(full_view()) as place:
        place.health.expect("configuration", 5.0)
        place.health.probe("statistics", lambda: "its thread has ended")
        told = json.loads(place.ask("/health").body)
        assert told["ok"] is False
        assert told["loops"]["reconciler"] == {"ok": True, "trouble": None}
        assert told["loops"]["statistics"] == {"ok": False, "trouble": "its thread has ended"}
        assert told["providers"] == {"north": {"ok": True, "ours": True, "error": None, "listed": 2.0}}
        place.clock.time += 6
        assert (
            json.loads(place.ask("/health").body)["loops"]["configuration"]["trouble"] == "has not gone round for 6 s"
        )


def test_a_reconciler_that_does_not_answer_is_ill_and_the_page_shows_what_was() -> None:
    with served(full_view()) as place:
        place.shown.answers = False
        assert place.ask("/health").status == 503
        assert NodeId("0000000001") in place.ask("/node-list").body


def test_orders_of_operators_are_shown_where_they_count() -> None:
    orders = {
        "cordons": {
            (CordonKind.POOL, "north/main"): Cordon(drain=True, by="ann@desk", reason=HOSTILE),
            (CordonKind.IMAGE, "debian"): Cordon(),
        },
    }
    with served(full_view(**orders)) as place:
        answer = place.ask("/")
    found = parts(answer.body)
    text = " ".join(" ".join(found.text).split())
    assert "drained by ann@desk" in text
    assert "cordoned: nothing new until `nodepool uncordon debian`" in text
    assert [tag for tag, _ in found.tags if tag in ("img", "script")] == ["script"]
