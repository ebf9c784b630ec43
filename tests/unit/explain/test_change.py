"""What a new configuration would change, told before."""

from dataclasses import replace

import pytest

from nodepool_ng.explain.change import Weight, effects
from nodepool_ng.explain.scene import Scene
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.lifecycle import ImageState, NodeState, RequestState
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.settings import (
    DiskImage,
    Label,
    Pool,
    PoolLabel,
    Provider,
    ProviderImage,
    Settings,
    ZooKeeperSettings,
)

IMG = DiskImage(name="img")
MAIN = Pool(
    name="main", provider="north", labels={"small": PoolLabel(name="small")}, limits=Resources({"instances": 10})
)
NORTH = Provider(name="north", cloud="acme", pools={"main": MAIN}, images={"img": ProviderImage(name="img")})
OLD = Settings(
    labels={"small": Label(name="small", min_ready=1)},
    diskimages={"img": IMG},
    providers={"north": NORTH},
    zookeeper=ZooKeeperSettings(hosts=("a:1",)),
)
NODES = [
    Node(id=f"{n:010}", state=NodeState.READY if n < 2 else NodeState.IN_USE, state_time=0.0, provider="north",
         pool="main", labels=("small",))
    for n in range(5)
]  # fmt: skip
SCENE = Scene(
    now=1000.0,
    settings=OLD,
    nodes={node.id: node for node in NODES},
    requests={
        "200-1": NodeRequest(id="200-1", state=RequestState.REQUESTED, state_time=1.0, labels=("small", "small"))
    },
    builds=(Build(image="img", id="b", state=ImageState.READY, state_time=1.0),),
    uploads=(Upload(image="img", build="b", provider="north", id="1", state=ImageState.READY, state_time=1.0),),
)


def pool(**changes):
    return replace(OLD, providers={"north": replace(NORTH, pools={"main": replace(MAIN, **changes)})})


def label(**changes):
    return replace(OLD, labels={"small": replace(OLD.labels["small"], **changes)})


CASES = [
    (replace(OLD, providers={}), "provider north", "is gone. It has 3 in-use, 2 ready; the 2 ready ones", True),
    (replace(OLD, providers={}), "label small", "no pool can serve it any more", True),
    (replace(OLD, providers={}), "request 200-1", "no pool has all of small, small: it fails", True),
    (replace(OLD, diskimages={}), "image img", "its 1 builds and 1 uploads are deleted", True),
    (pool(limits=Resources({"instances": 3})), "pool north/main", "from 10 to 3; 5 are there", False),
    (pool(limits=Resources()), "pool north/main", "the limit of instances goes from 10 to none", False),
    (pool(priority=5), "pool north/main", "priority goes from 100 to 5", False),
    (pool(labels={"small": PoolLabel(name="small", flavor_name="m1")}), "pool north/main, label small", "m1", False),
    (label(min_ready=9), "label small", "from 1 to 9; 2 are ready now: 7 more are launched", False),
    (label(max_ready_age=60), "label small", "2 ready nodes are older than max-ready-age", True),
    (
        replace(OLD, providers={"north": replace(NORTH, region_name="x")}),
        "provider north",
        "region-name goes from None to x; what is known of the cloud is read again",
        True,
    ),
    (replace(OLD, providers={"north": replace(NORTH, images={})}), "image img", "its 1 uploads in north", True),
    (replace(OLD, zookeeper=ZooKeeperSettings(hosts=("b:1",))), "ZooKeeper", "restarted", True),
    (replace(OLD, max_hold_age=60), "max-hold-age", "goes from 0 to 60", False),
    (replace(OLD, tenant_limits={"t": Resources({"cores": 4})}), "tenant t", "cores 4", False),
    (
        replace(OLD, diskimages={"img": replace(IMG, env_vars={"A": "secret"})}),
        "image img",
        "env-vars changed: it counts from the next build on",
        False,
    ),
    (
        replace(OLD, providers={"north": NORTH, "south": replace(NORTH, name="south")}),
        "provider south",
        "is new, with pools main",
        False,
    ),
]


@pytest.mark.parametrize(("new", "about", "words", "care"), CASES)
def test_each_change_is_told_with_what_it_does_to_what_is_there(new, about, words, care):
    found = [effect for effect in effects(SCENE, new) if effect.about == about and words in effect.sentence]
    assert len(found) == 1, effects(SCENE, new)
    assert (found[0].weight is Weight.CARE) is care
    assert not any("secret" in effect.sentence for effect in effects(SCENE, new))


def test_the_same_configuration_changes_nothing():
    assert effects(SCENE, OLD) == []


def test_what_is_deleted_comes_first():
    weights = [effect.weight for effect in effects(SCENE, replace(OLD, providers={}, max_hold_age=5))]
    assert weights == sorted(weights)  # "care" before "note"
