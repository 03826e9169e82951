"""From root to an ordinary user, once, after the ports are bound.

Owns the order: groups first, then gid, then uid, all three of each kind, so
that there is no way back (setresuid(2)).
Fails: ``PrivilegeError`` with the fix in words.

Sources: Postfix chroot_uid(3), "Setuid Demystified" (Chen, Wagner, Dean 2002).
"""

import grp
import os
import pwd

__all__ = ["PrivilegeError", "become_user"]


class PrivilegeError(Exception):
    """The user cannot be become; ``reason`` and ``fix`` are for the administrator."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(f"{reason}; {fix}")
        self.reason = reason
        self.fix = fix


def become_user(name: str) -> bool:
    """Give up root for ``name``; True when something was given up, False when we are that user already.

    Raises:   PrivilegeError when the user is unknown, is root, or we are neither root nor that user.
    """
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise PrivilegeError(f"there is no user {name!r} on this machine", f"create it: useradd --system {name}") from None
    if entry.pw_uid == 0:
        raise PrivilegeError("the mail server does not run as root", "set user to an ordinary system user, such as carteiro")
    if os.geteuid() == entry.pw_uid:
        return False
    if os.geteuid() != 0:
        raise PrivilegeError(f"only root can become {name!r}", "start as root or as that user, or leave user empty")
    groups = [group.gr_gid for group in grp.getgrall() if name in group.gr_mem]
    os.setgroups(sorted({entry.pw_gid, *groups}))
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    os.environ.update(HOME=entry.pw_dir, USER=name, LOGNAME=name)
    return True
