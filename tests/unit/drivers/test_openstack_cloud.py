"""The door to the SDK, as far as it needs no network."""

import pytest
from keystoneauth1 import exceptions as ks
from openstack import exceptions as sdk

from nodepool_ng.drivers import Misconfigured, Throttled, Unavailable
from nodepool_ng.drivers.openstack.calls import call_name
from nodepool_ng.drivers.openstack.cloud import _secrets_of, _translated, access_of, image_format, statsd_prefix
from nodepool_ng.drivers.openstack.networks import Access, NetworkEntry
from nodepool_ng.drivers.registry import make
from nodepool_ng.model.settings import Provider

# The SDK takes any `metrics` section for one of InfluxDB and warns of that; nobody sees it outside of tests.
pytestmark = pytest.mark.filterwarnings("ignore:Support for InfluxDB:PendingDeprecationWarning")

CLOUDS = """\
clouds:
  plain: {auth: {auth_url: http://127.0.0.1:1}}
  odd:
    auth: {auth_url: http://127.0.0.1:1}
    image_format: raw
    metrics: {statsd: {prefix: our.metrics}}
"""


@pytest.fixture(autouse=True)
def clouds_yaml(tmp_path, monkeypatch):
    (tmp_path / "clouds.yaml").write_text(CLOUDS)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    monkeypatch.delenv("STATSD_PREFIX", raising=False)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/servers", "servers"),
        ("/servers/detail", "servers_detail"),
        ("/servers/0a", "server"),
        ("/servers/0a/action", "server_action"),
        ("/images/0a/file", "image_file"),
        ("/limits", "limits"),
        ("/os-availability-zone", "os-availability-zone"),
        ("/floatingips/0a", "floatingip"),
    ],
)
def test_calls_have_the_names_that_dashboards_know(path, name):
    assert call_name(path) == name


def test_the_image_format_is_the_clouds():
    assert image_format(Provider(name="p", cloud="plain")) == "qcow2"
    assert image_format(Provider(name="p", cloud="odd")) == "raw"


def test_the_metrics_prefix_is_only_what_an_operator_set():
    assert statsd_prefix(Provider(name="p", cloud="plain")) is None
    assert statsd_prefix(Provider(name="p", cloud="odd")) == "our.metrics"


def test_a_cloud_that_is_not_in_clouds_yaml_is_named():
    with pytest.raises(Misconfigured, match="nowhere"):
        image_format(Provider(name="p", cloud="nowhere"))
    with pytest.raises(Misconfigured, match="nowhere"):
        make(Provider(name="p", cloud="nowhere")).connect()


def test_a_driver_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(Misconfigured, match="no driver 'aws', only ironic, openstack"):
        make(Provider(name="p", driver="aws"))


def test_a_verb_before_connect_says_so():
    with pytest.raises(Unavailable, match="not connected"):
        make(Provider(name="p", cloud="plain")).list_servers(None, 0.0)


def test_networks_come_from_clouds_yaml():
    network = {"name": "inner", "routes_ipv4_externally": False, "default_interface": True, "nat_source": None}
    config = {"networks": [network], "private": True, "floating_ip_source": "None"}
    assert access_of(config, force_ipv4=True, local_ipv6=False) == Access(
        entries=(NetworkEntry(name="inner", default_interface=True),), private=True, force_ipv4=True, floating=False
    )
    assert access_of({"floating_ip_source": "neutron"}, force_ipv4=False, local_ipv6=True) == Access(local_ipv6=True)


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        (ks.ConnectFailure("refused"), Unavailable),
        (ks.ConnectTimeout("slow"), Unavailable),
        (ks.SSLError("bad certificate"), Unavailable),
        (ks.DiscoveryFailure("nothing there"), Unavailable),
        (ks.EndpointNotFound("no compute"), Misconfigured),
        (ks.MissingRequiredOptions([]), Misconfigured),
        (ks.Unauthorized("no"), Misconfigured),
        (ks.ServiceUnavailable("later"), Unavailable),
        (sdk.ConfigException("no such cloud"), Misconfigured),
        (sdk.SDKException("whatever"), Unavailable),
        (OSError("broken pipe"), Unavailable),
    ],
)
def test_every_foreign_error_becomes_one_of_ours(foreign, ours):
    with pytest.raises(ours, match="acme"), _translated("acme", ()):
        raise foreign


def test_a_keystone_that_wants_peace_says_for_how_long():
    class Response:
        headers = {"Retry-After": "4"}  # noqa: RUF012

    with pytest.raises(Throttled) as caught, _translated("acme", ()):
        raise ks.ServiceUnavailable("later", response=Response())
    assert caught.value.retry_after == 4.0


def test_secrets_are_cut_out():
    config = {"auth": {"password": "s3cret!", "username": "ci", "application_credential_secret": "other"}, "key": "x"}
    secrets = tuple(_secrets_of(config))
    assert set(secrets) == {"s3cret!", "other"}
    with pytest.raises(Unavailable) as caught, _translated("acme", secrets):
        raise ks.ConnectFailure("http://ci:s3cret!@host is down")
    assert "s3cret!" not in str(caught.value)
    assert "***" in str(caught.value)
