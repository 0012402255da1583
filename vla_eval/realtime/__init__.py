"""Deterministic virtual time: the world goes on while the policy thinks.

Time is counted in control steps ("ticks"), never on a wall clock. :mod:`.schedule` decides in which tick
an inference begins and which action is executed; :mod:`.latency` says how long an inference takes;
:mod:`.settings` is the part of a protocol that declares both.
"""
