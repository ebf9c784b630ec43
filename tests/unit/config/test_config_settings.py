"""What files say as values: every key, every default, every inheritance."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nodepool_ng.config import Loaded, load, with_formats
from nodepool_ng.model.ids import ImageName, LabelName, PoolName, ProviderName, TenantName
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.settings import (
    AuthScheme,
    CloudImage,
    DiskImage,
    Label,
    Pool,
    PoolLabel,
    Protect,
    Provider,
    ProviderImage,
    Settings,
    WebSettings,
    ZooKeeperAuth,
    ZooKeeperSettings,
    formats_needed,
)

ACCEPTED = Path(__file__).parent / "files" / "accepted"
OAK, ELM, FIR = LabelName("oak"), LabelName("elm"), LabelName("fir")
WOOD, FOREST = ImageName("wood"), ProviderName("forest")
CLEARING, EDGE = PoolName("clearing"), PoolName("edge")


def test_every_key_arrives() -> None:
    settings = load(str(ACCEPTED / "all-keys.yaml"), env={}).settings

    assert settings == Settings(
        zookeeper=ZooKeeperSettings(
            hosts=("zk-a:2181", "[fd00::7]:2281", "[fd00::8]:2281"),
            chroot="/farm",
            tls_cert="/tls/c.pem",
            tls_key="/tls/k.pem",
            tls_ca="/tls/ca.pem",
            auth=ZooKeeperAuth(user="ranger", password="bark", scheme=AuthScheme.SASL, protect=Protect.OWN),
            session_timeout=7.5,
        ),
        web=WebSettings(port=8006, listen_address="127.0.0.1"),
        elements_dir="/srv/elements",
        images_dir="/srv/images",
        build_log_dir="/srv/logs",
        build_log_retention=3,
        max_hold_age=7200,
        labels={
            OAK: Label(name=OAK, min_ready=2, max_ready_age=3600),
            ELM: Label(name=ELM, min_ready=0),
            FIR: Label(name=FIR),
        },
        diskimages={
            WOOD: DiskImage(
                name=WOOD,
                elements=("vm", "debian-minimal", "growroot"),
                env_vars={"A": "from-soil", "B": "from-wood"},
                formats=frozenset({"raw"}),
                keep_formats=frozenset({"qcow2"}),
                delete_after_upload=True,
                release="9",
                rebuild_age=600,
                build_timeout=900,
                build_memory=4096,
                build_processes=500,
                dib_cmd="%p/dib-wrapper --fast",
                pause=True,
                username="tree",
                python_path="/usr/bin/python3",
                shell_type="sh",
                metadata={"os": "debian", "level": 2},
            )
        },
        providers={
            FOREST: Provider(
                name=FOREST,
                cloud="forest-cloud",
                region_name="north",
                boot_timeout=61,
                launch_timeout=601,
                launch_retries=1,
                max_concurrency=5,
                rate=2.0,
                image_upload_timeout=1801,
                image_name_format="{image_name}-{upload_id}-{timestamp}",
                clean_floating_ips=True,
                port_cleanup_interval=0,
                post_upload_hook="/usr/local/bin/hook",
                images={
                    WOOD: ProviderImage(
                        name=WOOD,
                        pause=True,
                        config_drive=True,
                        meta={"hw_bus": "virtio", "level": 3},
                        connection_type="winrm",
                        connection_port=5986,
                    )
                },
                cloud_images={
                    "by-id": CloudImage(
                        name="by-id",
                        image_id="6f1c",
                        config_drive=False,
                        username="u",
                        shell_type="cmd",
                        connection_type="winrm",
                        connection_port=5986,
                    ),
                    "by-name": CloudImage(name="by-name", image_name="vendor", python_path="/py", connection_port=2222),
                    "itself": CloudImage(name="itself"),
                },
                pools={
                    CLEARING: Pool(
                        name=CLEARING,
                        provider=FOREST,
                        priority=20,
                        limits=Resources({"instances": 9, "cores": 18, "ram": 4096, "volumes": 3, "volume-gb": 300}),
                        ignore_provider_quota=True,
                        availability_zones=("z1", "z2"),
                        security_groups=("s1",),
                        auto_floating_ip=False,
                        node_attributes={"soil": {"depth": 3}},
                        labels={
                            OAK: PoolLabel(
                                name=OAK,
                                diskimage=WOOD,
                                min_ram=512,
                                flavor_name="tiny",
                                key_name="root-key",
                                console_log=True,
                                boot_from_volume=True,
                                volume_size=20,
                                instance_properties={"a": 1},
                                dynamic_instance_properties={
                                    "t": "{request.tenant_name}",
                                    "l": "{request.labels[0]}",
                                },
                                userdata="#!/bin/sh\ntrue\n",
                                networks=(),
                                host_key_checking=True,
                            ),
                            ELM: PoolLabel(
                                name=ELM,
                                cloud_image="by-id",
                                flavor_name="tiny",
                                networks=("n1", "n2"),
                                host_key_checking=False,
                            ),
                        },
                    ),
                    EDGE: Pool(
                        name=EDGE,
                        provider=FOREST,
                        priority=30,
                        limits=Resources({"instances": 0}),
                        labels={OAK: PoolLabel(name=OAK, cloud_image="itself")},
                    ),
                },
            )
        },
        tenant_limits={
            TenantName("birds"): Resources(
                {"instances": 1, "cores": 2, "ram": 3, "volumes": 4, "volume-gb": 5, "nests": 6}
            )
        },
    )
    assert settings.providers[FOREST].pools[EDGE].disabled


def test_what_is_not_written_has_the_defaults_of_the_model() -> None:
    main = PoolName("main")

    assert load(str(ACCEPTED / "defaults.yaml"), env={}).settings == Settings(
        zookeeper=ZooKeeperSettings(hosts=("zk:2281",)),
        labels={OAK: Label(name=OAK)},
        diskimages={WOOD: DiskImage(name=WOOD)},
        providers={
            FOREST: Provider(
                name=FOREST,
                cloud="forest-cloud",
                images={WOOD: ProviderImage(name=WOOD)},
                cloud_images={"seed": CloudImage(name="seed")},
                pools={
                    main: Pool(
                        name=main,
                        provider=FOREST,
                        labels={OAK: PoolLabel(name=OAK, diskimage=WOOD, flavor_name="tiny", networks=("inner",))},
                    )
                },
            )
        },
    )


def test_without_anything_but_images_there_is_no_zookeeper_and_no_provider() -> None:
    settings = load(str(ACCEPTED / "no-providers.yaml"), env={}).settings

    assert settings.zookeeper is None
    assert not settings.providers
    assert (settings.max_hold_age, settings.build_log_retention) == (0, -1)


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ("build-log-retention: 0", "build_log_retention", 1),
        ("build-log-retention: -3", "build_log_retention", -3),
        ("build-log-retention: '4'", "build_log_retention", 4),
        ("build-log-retention: x", "build_log_retention", 7),
        ("build-log-retention: yes", "build_log_retention", 1),
        ("max-hold-age: -1", "max_hold_age", 0),
        ("max-hold-age: 1.9", "max_hold_age", 1),
        ("max-hold-age: .inf", "max_hold_age", 0),
        ("max-hold-age: .nan", "max_hold_age", 0),
        ("max-hold-age: 0x" + "f" * 5000, "max_hold_age", 0),
        ("images-dir: 2026-01-02", "images_dir", "2026-01-02"),
        ("images-dir: 1_0", "images_dir", "1_0"),
        ("images-dir: on", "images_dir", "on"),
        ("images-dir: null", "images_dir", None),
        ("images-dir: []", "images_dir", None),
        ("labels: null", "labels", {}),
        ("providers:", "providers", {}),
        ("webapp: null", "web", WebSettings()),
        ("webapp: {port: 0}", "web", WebSettings()),
    ],
)
def test_a_value_of_another_kind_is_read_as_what_it_means(
    loaded: Callable[..., Loaded], text: str, attribute: str, value: object
) -> None:
    assert getattr(loaded(text).settings, attribute) == value


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ("", "rate", None),
        ("rate: 0", "rate", None),
        ("rate: 1", "rate", 1.0),
        ("rate: 0.25", "rate", 4.0),
        ("rate: -1", "rate", None),
        ("launch-retries: 0", "launch_retries", 1),
        ("launch-retries: -3", "launch_retries", 3),
        ("max-concurrency: 0", "max_concurrency", 0),
        ("clean-floating-ips: 'no'", "clean_floating_ips", False),
        ("clean-floating-ips: 'true'", "clean_floating_ips", True),
        ("clean-floating-ips: [1]", "clean_floating_ips", True),
        ("image-name-format: '{nothing}'", "image_name_format", "{image_name}-{timestamp}"),
        ("image-name-format: '{image_name:>9{timestamp}}'", "image_name_format", "{image_name}-{timestamp}"),
        ("image-name-format: '{image_name'", "image_name_format", "{image_name}-{timestamp}"),
        ("image-name-format: '{image_name:d}'", "image_name_format", "{image_name}-{timestamp}"),
        ("image-name-format: 'fixed'", "image_name_format", "fixed"),
    ],
)
def test_the_values_of_a_provider(loaded: Callable[..., Loaded], text: str, attribute: str, value: object) -> None:
    settings = loaded(f"providers:\n  - name: forest\n    cloud: c\n    {text}\n").settings
    assert getattr(settings.providers[FOREST], attribute) == value


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", {}),
        ("max-servers: null", {}),
        ("max-servers: -1", {"instances": -1}),
        ("max-servers: many", {"instances": 0}),
        ("max-servers: [5]", {"instances": 0}),
        ("max-servers: .inf", {}),
        ("max-servers: -.inf", {"instances": 0}),
        ("max-servers: true", {"instances": 1}),
        ("max-cores: -1", {"cores": 0}),
    ],
)
def test_a_limit_that_nobody_understands_allows_nothing(
    loaded: Callable[..., Loaded], text: str, limits: dict[str, int]
) -> None:
    settings = loaded(
        f"providers:\n  - name: forest\n    cloud: c\n    pools:\n      - name: main\n        {text}\n"
    ).settings
    assert settings.providers[FOREST].pools[PoolName("main")].limits == Resources(limits)


def test_a_label_without_an_image_is_not_offered(loaded: Callable[..., Loaded]) -> None:
    settings = loaded(
        "labels: [{name: oak}]\n"
        "providers: [{name: forest, cloud: c, pools: [{name: main, labels: [{name: oak, min-ram: 1}]}]}]"
    ).settings
    assert settings.providers[FOREST].pools[PoolName("main")].labels == {}


def test_the_disk_image_wins_over_the_cloud_image_and_the_last_entry_over_the_first() -> None:
    settings = load(str(ACCEPTED.parent / "refused" / "exclusive.yaml"), env={}).settings
    label = settings.providers[FOREST].pools[PoolName("main")].labels[OAK]
    assert (label.diskimage, label.cloud_image) == ("wood", None)

    settings = load(str(ACCEPTED.parent / "refused" / "names-twice.yaml"), env={}).settings
    assert settings.labels[OAK].min_ready == 3
    assert settings.diskimages[WOOD].release == "new"
    assert settings.providers[FOREST].cloud == "two"
    assert settings.providers[FOREST].cloud_images["seed"].image_name == "x"
    assert settings.tenant_limits[TenantName("birds")] == Resources({"instances": 2})


def test_anchors_and_merges_are_followed() -> None:
    settings = load(str(ACCEPTED / "merged-and-anchored.yaml"), env={}).settings

    assert settings.labels[ELM] == Label(name=ELM, min_ready=1)
    assert settings.max_hold_age == 5
    pools = settings.providers[FOREST].pools
    assert pools[PoolName("main")].labels == pools[PoolName("other")].labels
    assert list(settings.providers) == ["forest", "copse"]


@pytest.mark.parametrize(
    ("parent", "child", "attribute", "value"),
    [
        ("elements: [a, b]", "elements: [b, c]", "elements", ("a", "b", "b", "c")),
        ("env-vars: {A: '1', B: '1'}", "env-vars: {B: '2'}", "env_vars", {"A": "1", "B": "2"}),
        ("formats: [raw]", "formats: []", "formats", frozenset({"raw"})),
        ("formats: [raw]", "formats: [vhd]", "formats", frozenset({"vhd"})),
        ("keep-formats: [raw]", "", "keep_formats", frozenset({"raw"})),
        ("delete-after-upload: true", "", "delete_after_upload", True),
        ("delete-after-upload: true", "delete-after-upload: false", "delete_after_upload", False),
        ("release: 9", "", "release", "9"),
        ("release: 9", "release: bookworm", "release", "bookworm"),
        ("release: 9", "release: 3.10", "release", "3.10"),
        ("rebuild-age: 60", "rebuild-age: 0", "rebuild_age", 60),
        ("rebuild-age: 0", "", "rebuild_age", 86400),
        ("build-memory: 60", "build-memory: 70", "build_memory", 70),
        ("build-timeout: 60", "build-timeout: 70", "build_timeout", 70),
        ("dib-cmd: a", "", "dib_cmd", "a"),
        ("pause: true", "pause: false", "pause", True),
        ("pause: false", "pause: true", "pause", True),
        ("username: a", "username: b", "username", "b"),
        ("python-path: /a", "", "python_path", "/a"),
        ("shell-type: a", "", "shell_type", "a"),
        ("metadata: {a: 1}", "", "metadata", {}),
    ],
)
def test_a_child_inherits(
    loaded: Callable[..., Loaded], parent: str, child: str, attribute: str, value: object
) -> None:
    settings = loaded(
        f"diskimages:\n  - name: root\n    abstract: true\n    {parent}\n"
        f"  - name: between\n    abstract: true\n    parent: root\n  - name: wood\n    parent: between\n    {child}\n"
    ).settings
    assert list(settings.diskimages) == [WOOD]
    assert getattr(settings.diskimages[WOOD], attribute) == value


def test_a_number_that_is_no_text_stays_as_it_was_written(loaded: Callable[..., Loaded]) -> None:
    settings = loaded("diskimages: [{name: 007, env-vars: {NO: yes, VERSION: 1.50, EMPTY: }}]").settings
    assert settings.diskimages[ImageName("007")].env_vars == {"NO": "yes", "VERSION": "1.50"}


def test_each_provider_gets_the_format_of_its_cloud(loaded: Callable[..., Loaded]) -> None:
    asked = []
    settings = loaded(
        "diskimages: [{name: wood, formats: [raw]}]\n"
        "providers:\n"
        "  - {name: forest, cloud: a, diskimages: [{name: wood}]}\n"
        "  - {name: copse, cloud: b, diskimages: [{name: wood}]}\n"
        "  - {name: desert, cloud: broken}\n"
    ).settings

    def lookup(provider: Provider) -> str:
        asked.append(provider.cloud)
        return {"a": "vhd", "b": "qcow2"}[provider.cloud]

    assert formats_needed(with_formats(settings, lookup), WOOD) == {"raw", "vhd", "qcow2"}
    assert formats_needed(settings, WOOD) == {"raw", "qcow2"}
    assert asked == ["a", "b"]


def test_secrets_are_not_shown(loaded: Callable[..., Loaded]) -> None:
    found = loaded("diskimages: [{name: wood, env-vars: {PASSWORD: treasure}}]")
    assert "treasure" not in repr(found)
