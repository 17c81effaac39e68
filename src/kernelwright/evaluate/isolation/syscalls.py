"""The numbers of the system calls that the filter knows, for x86-64 and for 64-bit ARM.

ARM has no number for calls that newer ones replaced. From 424 on the numbers are the same.
"""

from __future__ import annotations

# A candidate computes. None of these is needed for that: looking into other processes, mounts and
# namespaces, kernel-side programs and keys, rings that carry calls past the filter, System V
# memory and queues that outlive the process, timers whose signal may be the one that wakes a
# process that was stopped, and what chooses or tells which pages of a system file are in memory,
# where one life could leave a message for the next.
NEVER: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117), "personality": (135, 92), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "setns": (308, 268), "unshare": (272, 97),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "kcmp": (312, 272),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "process_mrelease": (448, 448),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "fanotify_init": (300, 262),
    "quotactl": (179, 60), "acct": (163, 89), "syslog": (103, 116), "mq_open": (240, 180),
    "timer_create": (222, 107), "mincore": (27, 232), "fadvise64": (221, 223),
    "readahead": (187, 213), "cachestat": (451, 451), "preadv2": (327, 286),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190),
    "semop": (65, 193), "semctl": (66, 191), "semtimedop": (220, 192), "msgget": (68, 186),
    "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187),
}  # fmt: skip

# Where no mount namespace hides the host's files and processes: what Landlock does not check.
# Changing the mode, owner, times or attributes of a file that one owns, the length of one by its
# name, watching folders, and the priority of other processes of the same user.
WITHOUT_NAMESPACES: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "removexattrat": (466, 466), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "truncate": (76, 45),
    "inotify_init": (253, None), "inotify_init1": (294, 26), "setpriority": (141, 140),
    "ioprio_set": (251, 30),
}  # fmt: skip

# Those whose arguments decide.
BY_ARGUMENT: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "socketpair": (53, 199), "prctl": (157, 167), "ioctl": (16, 29),
    "fcntl": (72, 25), "madvise": (28, 233),
    "clone": (56, 220), "clone3": (435, 435), "fork": (57, None), "vfork": (58, None),
    "prlimit64": (302, 261), "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274),
}  # fmt: skip

AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 0, "aarch64": 1}


def numbers(table: dict[str, tuple[int | None, int | None]], machine: str) -> dict[str, int]:
    """The calls of `table` that `machine` has, with their numbers.

    >>> numbers({"fork": (57, None), "ptrace": (101, 117)}, "aarch64")
    {'ptrace': 117}
    """
    column = _COLUMN[machine]
    found = {name: both[column] for name, both in table.items()}
    return {name: number for name, number in found.items() if number is not None}
