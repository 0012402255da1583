"""Policies behind servers: clients of openpi's and of AllenAI's wire protocols, and servers of both.

=================  ===============================================================================
module             what it does
=================  ===============================================================================
``codec``          bytes to arrays and back, both dialects, with limits for what strangers send
``layouts``        how observations are named on the wire
``extension``      what we say on top of openpi's protocol, where both sides know it
``connection``     one websocket, the client's side, with every fault under its own name
``client``         what both clients share: a connection for each episode
``openpi``         ``openpi:ws://host:port``
``harness``        ``harness:ws://host:port``
``server``         ``vlaeval serve``: sockets, token, health; inference in a thread of its own
``held``           what all connections of a server hold together
``served``         a policy as a server's sessions see it
``sessions``       the two dialects, the server's side
=================  ===============================================================================
"""
