"""What is true without a clock, a file or a socket: numbers, templates, paces, verdicts, receipts."""
