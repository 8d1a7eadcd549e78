"""A local stand-in for Meta's Graph API, to try and test everything without an account.

It shares no code with the sender: what a send must look like is checked here a second time,
from Meta's documentation.

Numbers, as `channel add` finds them (any business account id has all templates):

=================  ============================================================
100000000000001    STANDARD throughput (80/s), TIER_UNLIMITED
100000000000002    TIER_250
100000000000003    HIGH throughput (1000/s), TIER_UNLIMITED
100000000000004    coexistence (20/s), TIER_10K
100000000000005    not verified yet: cannot send
=================  ============================================================

The last four digits of a recipient choose the outcome; all others are accepted:

=====  ========================================================================
9001   131026, undeliverable
9002   131049, Meta declined a marketing message
9003   131056 the first time, then accepted
9004   130429 the first time, then accepted
9005   131000 with HTTP 500 the first time, then accepted
9006   accepted, but the connection closes without an answer
9007   accepted, but no answer ever comes
9008   accepted, but the answer is garbage
9009   190, the access token has expired
9010   131016, service unavailable, every time
9011   132015, the template is paused
9012   100, a parameter is invalid
9013   HTTP 502 with an HTML page and nothing accepted
9201   accepted; receipts: sent
9202   accepted; receipts: sent, delivered
9203   accepted; receipts: sent, then failed with 131026
9204   accepted; receipt: failed with 131049
9205   accepted; all receipts twice and in any order
9206   accepted; all receipts before the answer
9207   accepted; no receipt ever comes
9208   accepted, but neither answer nor receipt comes
=====  ========================================================================

Receipts (sent, delivered, read where nothing else is said) go to ``--callbacks URL``.

A token that begins with ``expired`` is refused with 190 everywhere.

``GET /sandbox/report`` tells what was seen; ``DELETE /sandbox/report`` forgets it.
"""
