"""The XMPP road: SPADE agents that speak S4's messages through Prosody.

``courier.XmppCourier`` is the coordinator's side, ``courier.line`` a hospital's. SPADE is imported
when the first agent starts, not before.
"""
