"""A simulated OpenStack, for tests, demonstrations and measurements.

The cloud itself is `region.Region`: a pure model of one region, whose verbs take the time as an
argument and its luck as a `random.Random`. The virtual-clock simulation calls these verbs directly.
`http` puts the same model behind the wire formats that an unmodified openstacksdk expects.

It is not a test double with expectations: it knows nothing of Nodepool and only does what a cloud does.
"""
