#!/usr/bin/env python3
"""Runs a command under a seccomp profile, as a container runtime would for a process without capabilities:

    under_seccomp.py PROFILE.json [--without SYSCALL,...] COMMAND...
    under_seccomp.py --unit FILE COMMAND...          under the SystemCallFilter= of a systemd unit

Uses libseccomp, which every Debian has.
"""

import ctypes
import errno
import json
import os
import re
import subprocess
import sys

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
OPERATORS = {"NE": 1, "LT": 2, "LE": 3, "EQ": 4, "GE": 5, "GT": 6, "MASKED_EQ": 7}


class Compare(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("operator", ctypes.c_int), ("first", ctypes.c_uint64), ("second", ctypes.c_uint64)]


def action(rule, default=errno.EPERM):
    if rule["action"] == "SCMP_ACT_ALLOW":
        return ALLOW
    if rule["action"] != "SCMP_ACT_ERRNO":
        sys.exit(f"unknown action {rule['action']}")
    return ERRNO | (rule.get("errnoRet") or default)


def applies(rule):
    """Rules for other machines, and those that ask for a capability, do not."""
    includes = rule.get("includes") or {}
    return not includes.get("caps") and (not includes.get("arches") or "amd64" in includes["arches"])


def of_profile(path, without):
    profile = json.load(open(path))
    rules = [
        (action(rule), [name for name in rule["names"] if name not in without], rule.get("args") or [])
        for rule in profile["syscalls"]
        if applies(rule)
    ]
    return ERRNO | profile.get("defaultErrnoRet", errno.EPERM), rules


def of_group(word):
    """The system calls of a group of systemd, or the one of that name."""
    if not word.startswith("@"):
        return {word}
    lines = subprocess.run(["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    names = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return set().union(*(of_group(name) for name in names))


def of_unit(path):
    allowed = None
    for line in re.findall(r"^SystemCallFilter=(.*)$", open(path).read(), re.M):
        words = set().union(*(of_group(word) for word in line.lstrip("~").split()))
        allowed = (allowed or set()) - words if line.startswith("~") else (allowed or of_group("@default")) | words
    if not allowed:
        sys.exit(f"{path} has no SystemCallFilter")
    # systemd allows these whatever the list says.
    return ERRNO | errno.EPERM, [(ALLOW, sorted(allowed | {"execve", "exit_group", "exit", "rt_sigreturn"}), [])]


def load(default, rules):
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))
    for verdict, names, conditions in rules:
        compares = [
            Compare(one["index"], OPERATORS[one["op"].removeprefix("SCMP_CMP_")], one["value"], one.get("valueTwo", 0)) for one in conditions
        ]
        array = (Compare * len(compares))(*compares)
        for name in names:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number >= 0 and verdict != default:
                failed = library.seccomp_rule_add_array(context, ctypes.c_uint32(verdict), number, len(compares), array)
                if failed:
                    sys.exit(f"{name}: {os.strerror(-failed)}")
    failed = library.seccomp_load(context)
    if failed:
        sys.exit(f"the filter cannot be loaded: {os.strerror(-failed)}")


def main():
    words = sys.argv[1:]
    if words[0] == "--unit":
        default, rules = of_unit(words[1])
        words = words[2:]
    else:
        path, words = words[0], words[1:]
        without = set()
        if words[0] == "--without":
            without, words = set(words[1].split(",")), words[2:]
        default, rules = of_profile(path, without)
    load(default, rules)
    os.execvp(words[0], words)


main()
