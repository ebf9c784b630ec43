"""The simulated regions behind the wire formats of Keystone, Nova, Neutron, Glance and Cinder.

Nothing here decides anything about the cloud: a handler translates a request into a verb of the model and the
outcome into JSON. It serves loopback, for tests and measurements.
"""
