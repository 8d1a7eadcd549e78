"""The process that sends: the sweep, one sender a channel, the schedule, the delivery of our webhooks."""
