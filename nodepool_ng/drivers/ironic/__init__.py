"""The Ironic driver: whole machines, straight from Ironic's API and without Nova.

A server of ours is an *allocation*, which carries our marks and whose id we choose, and the machine that Ironic
allocated. `driver` is the door for everybody above; `steps` has what must be done between an allocation and a deployed
machine, `tending` what is done about machines that failed and about what was left behind. The others turn what the API
says into values (`states`, `machines`, `kinds`, `health`) and orders into what the API wants (`bodies`), and do no I/O.
"""
