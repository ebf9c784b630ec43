"""The program on a tree in memory: `world` has the tree, `world.run("list")` runs a command on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from click.testing import CliRunner, Result

from nodepool_ng.cli.main import cli
from nodepool_ng.cli.session import Surroundings
from nodepool_ng.model.ids import BuildId, ImageName, NodeId, ProviderName, RequestId, UploadId
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.lifecycle import ImageState, NodeState, RequestState
from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.settings import DiskImage, Provider, Settings, ZooKeeperSettings
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.memory import MemoryStore
from nodepool_ng.zk.store import Create, Op
from nodepool_ng.zk.tree import Eager, Tree

NOW = 1_795_211_820.0
BUILD = "4ceb9f263b42405b9a161e2baf0db0b9"


class StillClock:
    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    def worked(self) -> float:
        return 0.0


@dataclass
class World:
    tree: Tree
    surroundings: Surroundings
    stores: list[MemoryStore] = field(default_factory=list)
    session: int = 0

    def run(self, *args: str, input: str | None = None) -> Result:
        result = CliRunner().invoke(cli, list(args), obj=self.surroundings, input=input, prog_name="nodepool")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def put(self, path: str, data: bytes = b"", *, ephemeral: bool = False) -> None:
        self.commit(*(Create(parent) for parent in paths.parents(path) if self.tree.look(parent) is None))
        self.commit(Create(path, data, ephemeral=ephemeral))

    def commit(self, *ops: Op) -> None:
        self.tree.commit(ops, self.session)

    def put_node(self, id: str, state: NodeState = NodeState.READY, **fields) -> Node:
        fields = {"state_time": NOW - 59, "provider": "fake-provider", "labels": ("fake-label",), **fields}
        node = Node(id=NodeId(id), state=state, **fields)
        self.put(paths.node(node.id), codec.encode_node(node))
        return node

    def put_request(self, id: str, **fields) -> NodeRequest:
        fields = {"state": RequestState.REQUESTED, "state_time": NOW - 5, **fields}
        request = NodeRequest(id=RequestId(id), **fields)
        self.put(paths.request(request.id), codec.encode_request(request))
        return request

    def put_build(self, image: str, id: str = BUILD, state: ImageState = ImageState.READY, **fields) -> Build:
        build = Build(image=ImageName(image), id=BuildId(id), state=state, state_time=NOW - 77, **fields)
        self.put(paths.build(build.image, build.id), codec.encode_build(build))
        return build

    def put_upload(self, build: Build, number: str, provider: str, state=ImageState.READY, **fields) -> Upload:
        upload = Upload(
            image=build.image,
            build=build.id,
            provider=ProviderName(provider),
            id=UploadId(number),
            state=state,
            state_time=NOW - 67,
            **fields,
        )
        self.put(paths.upload(upload.image, upload.build, upload.provider, upload.id), codec.encode_upload(upload))
        return upload

    def node(self, id: str) -> Node:
        found = codec.decode_node(NodeId(id), self.data(paths.node(NodeId(id))))
        assert isinstance(found, Node)
        return found

    def data(self, path: str) -> bytes:
        znode = self.tree.look(path)
        assert znode is not None, path
        return znode.data

    def lock(self, id: str, identifier: bytes = b"", token: str = "0" * 32) -> str:
        """Let another session lock a node."""
        path = f"{paths.node_lock(NodeId(id))}/{token}__lock__0000000000"
        self.put(path, identifier, ephemeral=True)
        return path

    def configure(self, images: Mapping[str, DiskImage] | None = None, **changes) -> None:
        settings = replace(SETTINGS, **({"diskimages": images} if images is not None else {}), **changes)
        self.surroundings = replace(self.surroundings, load=lambda path, secure: settings)


SETTINGS = Settings(
    zookeeper=ZooKeeperSettings(hosts=("zk1.example:2281", "zk2.example:2281")),
    diskimages={
        ImageName("fake-image"): DiskImage(name=ImageName("fake-image")),
        ImageName("resting"): DiskImage(name=ImageName("resting"), pause=True),
    },
    providers={ProviderName("fake-provider"): Provider(name=ProviderName("fake-provider"))},
)


@pytest.fixture
def world() -> World:
    tree = Tree(Eager(), lambda: NOW - 3)
    world = World(tree, Surroundings(), session=tree.open_session())

    def open_store(settings: ZooKeeperSettings) -> MemoryStore:
        world.stores.append(MemoryStore(tree))
        return world.stores[-1]

    world.surroundings = Surroundings(
        open_store=open_store,
        load=lambda path, secure: SETTINGS,
        clock=StillClock(),
        connect_timeout=0.0,
        lock_timeout=0.0,
    )
    return world
