"""Rules without I/O and without a clock: numbers, templates, pace, retries, verdicts, receipts."""
