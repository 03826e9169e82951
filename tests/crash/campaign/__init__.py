"""Carteiro as a process, under load, and what takes its life: SIGKILL, a full disk, large messages, a long queue.

Run from the root of the repository: ``python -m tests.crash.campaign --kills 200 --seed 1``, or another
scenario: ``disk``, ``memory``, ``backlog``. Nothing here needs pytest; the tests beside it run short forms.

Each scenario plays clients, next hop and judge in one process that survives the
server: what a client was told and what the next hop took is known here, and
compared with what is in the mailboxes at the end.
"""
