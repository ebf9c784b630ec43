"""Zuul's side of the conversation: its own classes, driven by one JSON line per order, answered by one line each.

Runs in Zuul's environment, never in ours. A scheduler and an executor have a connection each, as in life. What Zuul
does around the classes (which call follows which) is done here in the order of its scheduler and executor.
"""

import configparser
import json
import logging
import sys
import traceback
import uuid
from types import SimpleNamespace

from zuul import model
from zuul.lib import tracing
from zuul.nodepool import Nodepool
from zuul.zk import ZooKeeperClient

TENANT, PIPELINE, PROJECT = "tenant-one", "check", "example.org/project"


class Zuul:
    def __init__(self, hosts, system_id, timeout, **tls):
        self._connect = lambda: _connected(ZooKeeperClient(hosts, timeout=timeout, **tls))
        self._system_id = system_id
        self.scheduler = Nodepool(self._connect(), system_id, None, scheduler=True)
        self.scheduler.zk_nodepool.register()
        self._start_executor()
        self.jobs = {}
        self.requests = {}
        self.events = set()

    def ask(self, labels, priority=200, relative_priority=0, provider=None):
        nodeset = model.NodeSet()
        for number, label in enumerate(labels):
            nodeset.addNode(model.Node(f"node-{number}", label))
        job = SimpleNamespace(nodeset=nodeset, uuid=uuid.uuid4().hex, name="a-job")
        event = SimpleNamespace(zuul_event_id=uuid.uuid4().hex)
        request = self.scheduler.requestNodes(
            uuid.uuid4().hex, job, TENANT, PIPELINE, provider, priority, relative_priority, event
        )
        self.jobs[request.id], self.requests[request.id] = job, request
        return {"id": request.id, "event_id": event.zuul_event_id}

    def state(self, request):
        found = self.scheduler.zk_nodepool.getNodeRequest(request)
        return found and {"state": found.state, "relative_priority": found.relative_priority, **found._zk_data}

    def cached(self):
        return sorted(request.id for request in self.scheduler.getNodeRequests())

    def answered(self, request):
        """What the scheduler makes of its own event; None while that has not come."""
        queue = self.scheduler.pipeline_result_events[TENANT][PIPELINE]
        for event in queue:
            self.events.add(event.request_id)
            queue.ack(event)
        if request not in self.events:
            return None
        found = self.scheduler.zk_nodepool.getNodeRequest(request)
        answer = {"state": found.state, "because": found._zk_data.get("failed_because")}
        if found.fulfilled:
            answer |= self.scheduler.getNodesetInfo(found, self.jobs[request].nodeset).toDict()
        else:
            self.scheduler.deleteNodeRequest(request)
        return answer

    def revise(self, request, relative_priority):
        cached = self.scheduler.zk_nodepool.getNodeRequest(request, cached=True)
        self.scheduler.reviseRequest(cached, relative_priority)

    def cancel(self, request):
        self.scheduler.cancelRequest(self.requests[request])

    def accept(self, request):
        found = self.executor.zk_nodepool.getNodeRequest(request)
        nodeset = self.jobs[request].nodeset = self.jobs[request].nodeset.copy()
        self.executor.acceptNodes(found, nodeset)
        return [
            {key: value for key, value in vars(node).items() if key not in ("lock", "_keys", "stat") and _plain(value)}
            | {"state": node.state, "locked": node.lock is not None}
            for node in nodeset.getNodes()
        ]

    def use(self, request):
        self.executor.useNodeSet(self.jobs[request].nodeset, TENANT, PROJECT)

    def give_back(self, request):
        """Return the nodes, used or not."""
        build = SimpleNamespace(uuid=uuid.uuid4().hex)
        self.executor.returnNodeSet(self.jobs[request].nodeset, build, TENANT, PROJECT, 10)

    def hold(self, request, reason, expiration=None):
        held = model.HoldRequest()
        held.tenant, held.project, held.job, held.ref_filter = TENANT, PROJECT, "a-job", ".*"
        held.reason, held.node_expiration = reason, expiration
        self.scheduler.zk_nodepool.storeHoldRequest(held)
        self.executor.holdNodeSet(self.jobs[request].nodeset, held, SimpleNamespace(uuid=uuid.uuid4().hex), 10)
        self.executor.unlockNodeSet(self.jobs[request].nodeset)
        return held.id

    def held(self):
        return self.scheduler.zk_nodepool.heldNodeCount([TENANT, PROJECT, "a-job", ".*"])

    def drop_hold(self, hold):
        zk_nodepool = self.scheduler.zk_nodepool
        zk_nodepool.deleteHoldRequest(zk_nodepool.getHoldRequest(hold), None)

    def nodes(self):
        """All nodes as the scheduler's cache has them."""
        return {node.id: {"state": node.state, "user_data": node.user_data} for node in self._cached_nodes()}

    def own_nodes(self):
        return sorted(node.id for node in self.scheduler.getNodes())

    def labels(self):
        launchers = self.scheduler.zk_nodepool.getRegisteredLaunchers()
        return sorted({label for launcher in launchers for label in launcher.supported_labels})

    def replace_executor(self):
        """End the executor's session, as its death does once ZooKeeper has noticed, and start another one."""
        self._connection.disconnect()
        self._start_executor()

    def _start_executor(self):
        self._connection = self._connect()
        self.executor = Nodepool(self._connection, self._system_id, None)

    def _cached_nodes(self):
        return list(self.scheduler.zk_nodepool.nodeIterator(cached=True))


def _connected(connection):
    connection.connect()
    return connection


def _plain(value):
    return value is None or isinstance(value, str | int | float | bool | list | dict)


def main():
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("kazoo").setLevel(logging.INFO)
    tracing.Tracing(configparser.ConfigParser())
    zuul = Zuul(**json.loads(sys.argv[1]))
    print(json.dumps({"answer": "ready"}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            reply = {"answer": getattr(zuul, order["do"])(*order["args"], **order["with"])}
        except Exception:  # noqa: BLE001 - whatever Zuul raises goes to the test
            reply = {"error": traceback.format_exc()}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
