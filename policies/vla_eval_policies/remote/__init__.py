"""Policies behind servers: clients of openpi's and of AllenAI's wire protocols, and servers of both.

=================  ===============================================================================
module             what it does
=================  ===============================================================================
``codec``          bytes to arrays and back, both dialects, with limits for untrusted frames
``layouts``        names of an observation's parts on the wire
``extension``      our extension of openpi's protocol, for peers that both support it
``connection``     a client's websocket, with a separate error for every fault
``client``         common base of both clients: a connection for each episode
``openpi``         ``openpi:ws://host:port``
``harness``        ``harness:ws://host:port``
``server``         ``vlaeval serve``: sockets, token, health checks
``held``           limit of the bytes that all connections of a server hold together
``served``         the served policy; inference in a separate thread
``sessions``       the server's side of a connection
=================  ===============================================================================
"""
