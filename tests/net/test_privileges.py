"""Giving up root."""

import os
import pwd
import sys

import pytest

from appliance.net.privileges import PrivilegeError, become_user


def test_unknown_user() -> None:
    """The fix is a command."""
    with pytest.raises(PrivilegeError, match="useradd"):
        become_user("no-such-user-here")


def test_root_is_refused() -> None:
    """The mail server does not run as root."""
    with pytest.raises(PrivilegeError, match="does not run as root"):
        become_user("root")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give something up")
def test_become_user() -> None:
    """All ids and groups change, in a child, and there is no way back."""
    target = pwd.getpwnam("nobody")
    child = os.fork()
    if child == 0:
        try:
            changed = become_user("nobody")
            again = become_user("nobody")
            ids = (os.getresuid(), os.getresgid(), os.getgroups())
            expected = ((target.pw_uid,) * 3, (target.pw_gid,) * 3, [target.pw_gid])
            try:
                os.setuid(0)
                back = True
            except PermissionError:
                back = False
            try:
                become_user("daemon")
                other = True
            except PrivilegeError:
                other = False
            os._exit(0 if (changed, again, ids, back, other) == (True, False, expected, False, False) else 1)
        finally:
            sys.stderr.flush()
            os._exit(2)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
