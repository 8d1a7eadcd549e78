"""What is known of the channels a worker sends for, kept from one turn of sending to the next."""

from broadcaster.domain import edge
from broadcaster.domain.edge import Edge
from broadcaster.domain.pacing import Window
from broadcaster.store.leases import PreviousHolder


class Windows:
    """One window and one edge a channel: a second's sends, Meta's throttling and bad answers are not
    forgotten."""

    def __init__(self, owner: str):
        """`owner` is the name of this worker on leases."""
        self._owner = owner
        self._known: dict[int, Window] = {}
        self._edges: dict[int, Edge] = {}

    def window_for(
        self,
        channel_id: int,
        pace: float,
        previous: PreviousHolder,
        abandoned: bool,
        now: int,
        monotonic: float,
    ) -> Window:
        """The window we last sent through, or a new one that respects what another worker sent.

        `abandoned` if the previous holder left messages in flight. `now` is epoch milliseconds,
        `monotonic` seconds.
        """
        known = self._known.get(channel_id)
        if known and previous.owner == self._owner:
            known.set_pace(pace)
            return known
        window = self._known[channel_id] = Window(pace, monotonic)
        # What a claim took may leave a window later; what the dead left may just have left.
        if abandoned or now - previous.claimed_at < 2000 * window.length:
            window.hold(monotonic + window.length)
        return window

    def edge_for(self, channel_id: int, previous: PreviousHolder) -> Edge:
        """What we last knew of the channel's way to Meta; or what the previous holder told of it."""
        if channel_id not in self._edges or previous.owner != self._owner:
            self._edges[channel_id] = Edge(previous.trouble in edge.DOUBTS)
        return self._edges[channel_id]
