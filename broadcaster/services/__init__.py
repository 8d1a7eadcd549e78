"""What may be done, whichever language asked."""
