"""Real OpenStack services on this one machine: the control plane of a small cloud, without root's system, systemd or
containers.

`place` says where everything lies and listens, `settings` what each service is configured with, `services` how each is
started, `databases` and `catalogue` what they find when they are. `stack` puts these together.
"""
