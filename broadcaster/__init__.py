"""broadcaster: a self-hosted WhatsApp broadcast server."""

__version__ = "0.1.0"
