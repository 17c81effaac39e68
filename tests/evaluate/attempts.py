"""What a program in the sandbox may try. Runs inside, and prints a JSON object: for each attempt,
"reached" when it got what it wanted, else why not.

usage: python attempts.py BROKER_PID SECRETS_FOLDER TCP_PORT ABSTRACT_NAME
"""

# ruff: noqa: PTH101, PTH108, PTH120, PTH123, PTH208  (a Path does more than what is tried)
import array
import ctypes
import fcntl
import json
import os
import platform
import socket
import subprocess
import sys
import threading

LIBC = ctypes.CDLL(None, use_errno=True)
BROKER, FOLDER, PORT, NAME = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
ATTEMPTS = {}
X86 = platform.machine() == "x86_64"


def attempt(function):
    ATTEMPTS[function.__name__] = function
    return function


def call(number, *arguments):
    """A raw system call; raises what the kernel answers."""
    answer = LIBC.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def number(x86, arm):
    return x86 if X86 else arm


def read(path):
    with open(path, "rb") as file:
        return file.read(4096)


def contains(path, text):
    if text not in read(path):
        raise OSError("not in there")


@attempt
def secret_in_an_environment():
    found = json.dumps(dict(os.environ))
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found += repr(read(f"/proc/{pid}/environ"))
        except OSError:
            continue
    if "do-not-tell" not in found:
        raise OSError("not found")


@attempt
def file_of_the_host():
    read(FOLDER + "/secret")


@attempt
def folder_of_the_host():
    os.listdir(FOLDER)


@attempt
def home_folder():
    os.listdir(os.path.dirname(FOLDER + "/home/x"))


@attempt
def accounts():
    read("/etc/passwd")


@attempt
def brokers_environment():
    contains(f"/proc/{BROKER}/environ", b"=")


@attempt
def brokers_memory():
    with open(f"/proc/{BROKER}/mem", "rb"):
        pass


@attempt
def brokers_descriptors():
    os.listdir(f"/proc/{BROKER}/fd")


@attempt
def brokers_command_line():
    contains(f"/proc/{BROKER}/cmdline", b"py")


@attempt
def signal_to_the_broker():
    os.kill(BROKER, 0)


@attempt
def trace_of_the_broker():
    seize = 0x4206
    call(number(101, 117), seize, BROKER, 0, 0)
    call(number(101, 117), 17, BROKER, 0, 0)  # let it go again


@attempt
def read_of_the_brokers_memory():
    call(number(310, 270), BROKER, 0, 0, 0, 0, 0)


@attempt
def descriptor_of_the_broker():
    handle = call(434, BROKER, 0)
    call(438, handle, 0, 0)


@attempt
def brokers_processors():
    os.sched_setaffinity(BROKER, os.sched_getaffinity(BROKER))


@attempt
def brokers_limits():
    import resource

    resource.prlimit(BROKER, resource.RLIMIT_CORE)


@attempt
def brokers_priority():
    os.setpriority(os.PRIO_PROCESS, BROKER, os.getpriority(os.PRIO_PROCESS, BROKER))


@attempt
def network():
    socket.create_connection(("127.0.0.1", PORT), timeout=2).close()


@attempt
def datagrams():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", PORT))


@attempt
def netlink():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


@attempt
def abstract_socket():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + NAME)


@attempt
def named_socket():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(FOLDER + "/socket")


@attempt
def named_socket_by_a_pair():
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.sendto(b"x", FOLDER + "/datagrams")


@attempt
def file_in_the_system():
    for folder in ("/usr", "/etc", "/var/tmp", "/"):
        path = f"{folder}/kernelwright-{os.getpid()}"
        try:
            with open(path, "w"):
                os.unlink(path)
                return
        except OSError as error:
            last = error
    raise last


@attempt
def file_beside_the_secret():
    with open(FOLDER + "/new", "w"):
        pass


@attempt
def mode_of_a_file():
    os.chmod(FOLDER + "/secret", 0o644)


@attempt
def times_of_a_file():
    os.utime(FOLDER + "/secret")


@attempt
def length_of_a_file():
    os.truncate(FOLDER + "/spare", 0)


@attempt
def watch_on_a_folder():
    LIBC.inotify_init.restype = ctypes.c_int
    watcher = LIBC.inotify_init()
    if watcher < 0 or LIBC.inotify_add_watch(watcher, FOLDER.encode(), 0xFFF) < 0:
        raise OSError(ctypes.get_errno(), "refused")


@attempt
def mount():
    if LIBC.mount(b"none", b"/tmp", b"tmpfs", 0, None) != 0:
        raise OSError(ctypes.get_errno(), "refused")
    LIBC.umount(b"/tmp")


@attempt
def new_user_namespace_by_clone():
    if call(number(56, 220), 0x10000000 | 17, 0, 0, 0, 0) == 0:
        os._exit(0)


@attempt
def new_user_namespace():
    call(number(272, 97), 0x10000000)


@attempt
def io_uring():
    parameters = ctypes.create_string_buffer(256)
    os.close(call(425, 1, ctypes.addressof(parameters)))


@attempt
def typing_into_the_terminal():
    _, follower = os.openpty()
    fcntl.ioctl(follower, 0x5412, array.array("b", [10]))


@attempt
def kernel_programs():
    call(number(321, 280), 0, 0, 0)


@attempt
def other_numbers_of_calls():
    if not X86:
        raise OSError("only x86-64 has them")
    call(0x40000000 + 39)


@attempt
def memory_shared_by_key():
    call(number(29, 194), 0, 4096, 0o1600)


@attempt
def capabilities():
    with open("/proc/self/status") as file:
        held = [line.split()[1] for line in file if line.startswith(("CapEff", "CapPrm"))]
    if all(int(value, 16) == 0 for value in held):
        raise OSError("none are held")


@attempt
def freed_from_its_parent():
    LIBC.prctl.restype = ctypes.c_int
    if LIBC.prctl(1, 0) != 0:
        raise OSError(ctypes.get_errno(), "refused")


@attempt
def more_descriptors_than_named():
    if sorted(map(int, os.listdir("/proc/self/fd")))[:4] == [0, 1, 2, 3]:
        # 3 is the folder that is being listed.
        raise OSError("none")


@attempt
def new_process():
    subprocess.run(["/bin/true"], check=True)


@attempt
def new_thread():
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def main():
    found = {}
    for name, function in ATTEMPTS.items():
        try:
            function()
            found[name] = "reached"
        except OSError as error:
            found[name] = str(error) or type(error).__name__
        except RuntimeError as error:
            found[name] = str(error)
    print(json.dumps(found))


main()
