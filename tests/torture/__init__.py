"""`make torture`: the whole product in worlds where machines, disks, clocks and peers fail.

=================  ==================================================================================
faults.c           what a machine does wrong, under the product's processes: LD_PRELOAD
machine.py         one machine: its clock, its disk, the processes on it, a power loss
power.py           what a power loss leaves of a folder, from the journal of faults.c
graph.py           a Graph that hangs, drips, resets, lies and answers late, and keeps its own record
older.py           an installation that an older release left
receivers.py       a receiver of webhooks that drips
callers.py         those who ask for broadcasts, steer them and look at them
world.py           one world: who does what and what fails when, drawn from a seed
judge.py           what must hold at the end of every world
__main__.py        worlds one after the other for a time
=================  ==================================================================================
"""
