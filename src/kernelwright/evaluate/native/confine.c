/* Confine: gives up rights for good, then becomes the program that it was told to run.
 *
 * It is the last trusted code in front of a candidate or a compiler. Inside bubblewrap it is a
 * second wall; where there is no bubblewrap it is the only one. What may be read and written comes
 * from the broker in the arguments; nothing here decides it. Every step that fails ends the start:
 * a wall that could not be built is never left out in silence.
 *
 * usage: confine OPTIONS -- PROGRAM ARGUMENTS...
 *   --join FILE       enter the control group of this cgroup.procs, and do nothing else
 *   --read PATH       read and execute, below it when it is a folder
 *   --write PATH      read, execute, write and make files below this folder
 *   --device PATH     read, write and control this device, or those below this folder; make none
 *   --landlock        forbid every other file, TCP, and reaching processes outside
 *   --filter FD       a system-call filter (classic BPF) to install last
 *   --own-signals     refuse signals to any process but the program itself
 *   --keep FD         leave this descriptor open; all others from 3 on are closed
 *   --memory BYTES    --file BYTES   --descriptors N   --tasks N      limits
 *   --supervise       stay as the parent: end every descendant when the program or the broker ends
 *
 * It exits with 125 and a sentence when it cannot do what was asked, else as the program did.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The kernel's numbers, which the headers of an older distribution may lack. */
enum { LANDLOCK_CREATE = 444, LANDLOCK_ADD = 445, LANDLOCK_RESTRICT = 446, CLOSE_RANGE = 436 };
enum { LANDLOCK_ASK_ABI = 1, LANDLOCK_BENEATH = 1 };
enum { EXECUTE = 1 << 0, WRITE_FILE = 1 << 1, READ_FILE = 1 << 2, READ_FOLDER = 1 << 3,
       MAKE_CHARACTER_DEVICE = 1 << 6, MAKE_BLOCK_DEVICE = 1 << 11,
       TRUNCATE = 1 << 14, CONTROL_DEVICE = 1 << 15 };
enum { READ = EXECUTE | READ_FILE | READ_FOLDER,
       DEVICE = READ_FILE | READ_FOLDER | WRITE_FILE | TRUNCATE | CONTROL_DEVICE,
       OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | CONTROL_DEVICE };
enum { ALL_TCP = 3, ALL_SCOPES = 3 };      /* bind and connect; abstract sockets and signals */
enum { MAX_INSTRUCTIONS = 4096, MAX_KEPT = 64 };

struct ruleset { uint64_t files, tcp, scoped; };
struct beneath { uint64_t allowed; int32_t parent; } __attribute__((packed));

static int kept[MAX_KEPT], n_kept;

static void give_up(const char *doing, const char *what) {
    fprintf(stderr, "confine: %s %s: %s\n", doing, what, strerror(errno));
    _exit(125);
}

static int64_t number(const char *text) {
    char *end;
    errno = 0;
    int64_t value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != 0 || value < 0) { errno = EINVAL; give_up("read", text); }
    return value;
}

static void limit(int resource, const char *text) {
    struct rlimit bound = {(rlim_t)number(text), (rlim_t)number(text)};
    if (setrlimit(resource, &bound) != 0) give_up("limit to", text);
}

/* ------------------------------------------------------------------- files, sockets, signals */

static uint64_t files_known(int abi) {
    int rights = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;
    return (1u << rights) - 1;
}

static int new_ruleset(uint64_t *files) {
    int abi = (int)syscall(LANDLOCK_CREATE, NULL, 0, LANDLOCK_ASK_ABI);
    if (abi < 1) give_up("use", "Landlock");
    struct ruleset wanted = {*files = files_known(abi), abi >= 4 ? ALL_TCP : 0, abi >= 6 ? ALL_SCOPES : 0};
    size_t size = abi >= 6 ? sizeof wanted : abi >= 4 ? offsetof(struct ruleset, scoped) : sizeof wanted.files;
    int ruleset = (int)syscall(LANDLOCK_CREATE, &wanted, size, 0);
    if (ruleset < 0) give_up("make", "a Landlock ruleset");
    return ruleset;
}

static void allow(int ruleset, const char *path, uint64_t rights) {
    struct stat found;
    int parent = open(path, O_PATH | O_CLOEXEC);
    if (parent < 0 || fstat(parent, &found) != 0) give_up("open", path);
    struct beneath rule = {S_ISDIR(found.st_mode) ? rights : rights & OF_FILES, parent};
    if (syscall(LANDLOCK_ADD, ruleset, LANDLOCK_BENEATH, &rule, 0) != 0) give_up("allow", path);
    close(parent);
}

static void restrict_files(char **option) {
    uint64_t all;
    int ruleset = new_ruleset(&all);
    uint64_t writes = all & ~(uint64_t)(MAKE_CHARACTER_DEVICE | MAKE_BLOCK_DEVICE | CONTROL_DEVICE);
    for (; strcmp(*option, "--") != 0; option++) {
        if (strcmp(*option, "--read") == 0) allow(ruleset, option[1], READ & all);
        if (strcmp(*option, "--write") == 0) allow(ruleset, option[1], writes);
        if (strcmp(*option, "--device") == 0) allow(ruleset, option[1], DEVICE & all);
    }
    if (syscall(LANDLOCK_RESTRICT, ruleset, 0) != 0) give_up("apply", "the Landlock ruleset");
    close(ruleset);
}

/* ------------------------------------------------------------------------------ system calls */

static void install(struct sock_filter *instructions, unsigned short count, const char *what) {
    struct sock_fprog program = {count, instructions};
    /* Without this flag an older kernel slows the whole program down against Spectre 4. */
    if (syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) != 0)
        give_up("install", what);
}

static void filter_calls(int descriptor) {
    static struct sock_filter instructions[MAX_INSTRUCTIONS];
    ssize_t size = read(descriptor, instructions, sizeof instructions);
    if (size <= 0 || size % (ssize_t)sizeof *instructions != 0) give_up("read", "the filter");
    close(descriptor);
    install(instructions, (unsigned short)(size / (ssize_t)sizeof *instructions), "the filter");
}

/* For kernels whose Landlock does not know signals: `raise` and `abort` use tgkill. */
static void keep_signals_to_itself(void) {
    enum { LOAD = BPF_LD | BPF_W | BPF_ABS, IF = BPF_JMP | BPF_JEQ | BPF_K, END = BPF_RET | BPF_K };
    struct sock_filter instructions[] = {
        BPF_STMT(LOAD, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(IF, __NR_kill, 6, 0),
        BPF_JUMP(IF, __NR_tkill, 5, 0),
        BPF_JUMP(IF, __NR_rt_sigqueueinfo, 4, 0),
        BPF_JUMP(IF, __NR_rt_tgsigqueueinfo, 3, 0),
        BPF_JUMP(IF, __NR_tgkill, 0, 3),
        BPF_STMT(LOAD, offsetof(struct seccomp_data, args)),
        BPF_JUMP(IF, (uint32_t)getpid(), 1, 0),
        BPF_STMT(END, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(END, SECCOMP_RET_ALLOW),
    };
    install(instructions, sizeof instructions / sizeof *instructions, "the filter of signals");
}

/* ------------------------------------------------------------------------ what is inherited */

static int by_value(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static void close_others(void) {
    qsort(kept, (size_t)n_kept, sizeof *kept, by_value);
    unsigned first = 3;
    for (int i = 0; i < n_kept; i++) {
        if ((unsigned)kept[i] < first) continue;
        if ((unsigned)kept[i] > first) syscall(CLOSE_RANGE, first, kept[i] - 1, 0);
        first = (unsigned)kept[i] + 1;
    }
    if (syscall(CLOSE_RANGE, first, ~0u, 0) == 0) return;
    for (int descriptor = (int)first; descriptor < 4096; descriptor++) close(descriptor);
}

static void drop_capabilities(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0}, {0}};
    /* Refused without CAP_SETPCAP, and then there is nothing that an exec could give back. */
    for (int capability = 0; capability < 64; capability++) prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &header, none) != 0) give_up("drop", "the capabilities");
}

static void be_first_to_die_of_hunger(void) {
    int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (file < 0) return;   /* no /proc: the system's own choice then */
    if (write(file, "1000", 4) < 0) errno = 0;
    close(file);
}

/* ------------------------------------------------------------------------------- the parent */

static void kill_descendants(void) {
    /* Those whose parent has ended come to us, so the second list has what the first one started. */
    for (;;) {
        char path[64], listed[4096];
        snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
        int file = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t size = file < 0 ? 0 : read(file, listed, sizeof listed - 1);
        if (file >= 0) close(file);
        if (size <= 0) return;
        listed[size] = 0;
        for (char *at = listed, *end; ; at = end) {
            long pid = strtol(at, &end, 10);
            if (end == at || pid <= 1) break;
            kill((pid_t)pid, SIGKILL);
        }
        while (waitpid(-1, NULL, WNOHANG) > 0) {}
        usleep(200);
    }
}

static int supervise(pid_t program, const sigset_t *awaited) {
    for (;;) {
        int status, signal_number;
        pid_t ended;
        while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
            if (ended != program) continue;
            kill_descendants();
            return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        }
        if (sigwait(awaited, &signal_number) == 0 && signal_number != SIGCHLD) {
            kill_descendants();
            return 128 + signal_number;
        }
    }
}

/* Returns in the child, which becomes the program. */
static void split(void) {
    sigset_t awaited, before;
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGCHLD);
    sigaddset(&awaited, SIGTERM);
    sigprocmask(SIG_BLOCK, &awaited, &before);
    pid_t broker = getppid();
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    if (getppid() != broker) _exit(125);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    pid_t program = fork();
    if (program < 0) give_up("start", "the program");
    if (program > 0) {
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        n_kept = 0;
        close_others();
        drop_capabilities();
        _exit(supervise(program, &awaited));
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* --------------------------------------------------------------------------------- arguments */

static int has(char **option, const char *name) {
    for (; strcmp(*option, "--") != 0; option++) if (strcmp(*option, name) == 0) return 1;
    return 0;
}

static void apply_limits(char **option, int *filter) {
    for (; strcmp(*option, "--") != 0; option++) {
        if (strcmp(*option, "--memory") == 0) limit(RLIMIT_AS, option[1]);
        if (strcmp(*option, "--file") == 0) limit(RLIMIT_FSIZE, option[1]);
        if (strcmp(*option, "--descriptors") == 0) limit(RLIMIT_NOFILE, option[1]);
        if (strcmp(*option, "--tasks") == 0) limit(RLIMIT_NPROC, option[1]);
        if (strcmp(*option, "--filter") == 0) *filter = (int)number(option[1]);
        if (strcmp(*option, "--keep") == 0 && n_kept < MAX_KEPT - 1) kept[n_kept++] = (int)number(option[1]);
    }
    limit(RLIMIT_CORE, "0");
}

static void join(char **option) {
    for (; strcmp(*option, "--") != 0; option++) {
        if (strcmp(*option, "--join") != 0) continue;
        int file = open(option[1], O_WRONLY | O_CLOEXEC);
        if (file < 0 || write(file, "0", 1) != 1) give_up("enter", option[1]);
        close(file);
    }
}

/* Returns in the process that is to become the program. `options` ends with "--". */
void confine(char **options) {
    int filter = -1;
    if (has(options, "--supervise")) split();
    be_first_to_die_of_hunger();
    apply_limits(options, &filter);
    if (filter >= 0) kept[n_kept++] = filter;
    close_others();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) give_up("set", "no_new_privs");
    drop_capabilities();
    if (has(options, "--landlock")) restrict_files(options);
    if (has(options, "--own-signals")) keep_signals_to_itself();
    if (filter >= 0) filter_calls(filter);
}

int main(int argc, char **argv) {
    int at = 1;
    while (at < argc && strcmp(argv[at], "--") != 0) at++;
    if (at + 1 >= argc) { fprintf(stderr, "usage: confine OPTIONS -- PROGRAM ARGUMENTS...\n"); return 125; }
    char **options = argv + 1, **program = argv + at + 1;
    if (has(options, "--join")) join(options);
    else confine(options);
    execv(program[0], program);
    give_up("run", program[0]);
}
