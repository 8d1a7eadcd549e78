"""All SQL and every change of state, one file a noun.

Functions take and return plain values, never open cursors; `now` is epoch milliseconds and an
argument. A function that moves messages tells the move in its first line, is guarded by the
state it moves from, and returns how many moved.
"""
