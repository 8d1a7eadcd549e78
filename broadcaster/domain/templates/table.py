"""The table of parts: every component a template may have."""

from broadcaster.domain.templates.body import Body
from broadcaster.domain.templates.buttons import Buttons
from broadcaster.domain.templates.carousel import Carousel
from broadcaster.domain.templates.footer import Footer
from broadcaster.domain.templates.header import Header
from broadcaster.domain.templates.limited_time_offer import LimitedTimeOffer
from broadcaster.domain.templates.part import Part

PARTS: tuple[type[Part], ...] = (Header, Body, Footer, Carousel, LimitedTimeOffer, Buttons)
"""In the order of a message. The buttons come after the body, whose one-time code they repeat."""
