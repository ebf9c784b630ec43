"""Nodepool 11's own model reads a tree and prints, as JSON, what it makes of the records. Runs in its environment."""

import json
import logging
import sys

from nodepool import config as nodepool_config
from nodepool.zk import ZooKeeperClient
from nodepool.zk import zookeeper as zk


def main():
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    config = nodepool_config.loadConfig(sys.argv[1])
    client = ZooKeeperClient(
        config.zookeeper_servers,
        timeout=config.zookeeper_timeout,
        tls_cert=config.zookeeper_tls_cert,
        tls_key=config.zookeeper_tls_key,
        tls_ca=config.zookeeper_tls_ca,
    )
    client.connect()
    tree = zk.ZooKeeper(client)
    seen = {
        "nodes": {node.id: node.toDict() for node in tree.nodeIterator(cached=True)},
        "locked": [node.id for node in tree.nodeIterator(cached=True) if node.lock_contenders],
        "requests": {request.id: request.toDict() for request in tree.nodeRequestIterator(cached=True)},
        "pools": [[pool.provider_name, pool.name, pool.priority] for pool in tree.getRegisteredPools()],
    }
    print(json.dumps(seen))
    client.disconnect()


if __name__ == "__main__":
    main()
