"""The lists that operators and their scripts read: columns, rows, and the text made of them.

Commands and the web application show the same lists; one gets its records from ZooKeeper, the other from the launcher.
"""
