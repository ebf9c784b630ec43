"""The OpenStack driver.

`cloud` is the only module that knows openstacksdk. `driver` is the door for everybody above; between the two lie
functions that turn what the APIs say into values (`parse`, `networks`, `labels`) and orders into what the APIs
want (`bodies`), and they do no I/O.
"""
