"""What answers, receipts and sweeps change, and what follows from a change."""
