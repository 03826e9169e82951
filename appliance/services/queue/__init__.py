"""The queue: committer, manager, attempts, notifications."""
