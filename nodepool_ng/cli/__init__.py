"""`nodepool`: what operators ask and order, one file per noun, straight on ZooKeeper.

`table` and `rows` say what the lists look like (records in, text out), `seen` reads the tree in as few rounds as it
has levels, `session` joins the configuration and the store for one command, `outcome` says how a command ends.
Modules that cost time to import (ZooKeeper's client, the configuration, the tables' libraries) are imported by the
functions that need them, so that a shell's completion or `--help` does not wait for them.
"""
