"""Looking for data races with g++'s ThreadSanitizer, which knows nothing of OpenMP by itself.

Its build links the candidate's OpenMP calls to ``native/races.cpp``, which tells the sanitizer
what they order. So no other compiler and no other OpenMP library is needed.
"""

from __future__ import annotations

from kernelwright.languages.sources import own_file

SOURCE = "kw_races.cpp"
# What the sanitizer ends a process with; see `evaluate.correctness.verify`.
EXIT_STATUS = 66

_LOOPS = ("static", "dynamic", "guided", "nonmonotonic_dynamic", "nonmonotonic_guided",
          "runtime", "nonmonotonic_runtime", "maybe_nonmonotonic_runtime")  # fmt: skip
WRAPPED = (
    "GOMP_parallel", "GOMP_parallel_sections", *(f"GOMP_parallel_loop_{k}" for k in _LOOPS),
    "GOMP_barrier", "GOMP_loop_end", "GOMP_sections_end",
    "GOMP_critical_start", "GOMP_critical_end",
    "GOMP_critical_name_start", "GOMP_critical_name_end",
    "GOMP_atomic_start", "GOMP_atomic_end", "GOMP_ordered_start", "GOMP_ordered_end",
    "GOMP_taskwait", "GOMP_taskgroup_end", "GOMP_task", "GOMP_taskloop",
    "GOMP_single_copy_start", "GOMP_single_copy_end",
    "omp_set_lock", "omp_unset_lock", "omp_test_lock", "omp_set_nest_lock", "omp_unset_nest_lock",
)  # fmt: skip
# What picks among a function's versions runs while the object is loaded, before a sanitizer can:
# sanitized builds have one version.
ONE_VERSION = "-Dtarget_clones(...)=unused"
COMPILE = (
    "-O1", "-g", "-fno-omit-frame-pointer", "-fno-math-errno", "-fsanitize=thread", ONE_VERSION,
)  # fmt: skip
LINK = tuple(f"-Wl,--wrap={name}" for name in WRAPPED)


def source() -> str:
    """The file that the wrapped calls lead to."""
    return own_file("native", "races.cpp")


def environment(runtime: str) -> dict[str, str]:
    """What a process that is not built with ThreadSanitizer needs to load an object that is;
    `runtime` is the path of libtsan."""
    options = (
        "ignore_noninstrumented_modules=1",
        "halt_on_error=1",
        "report_signal_unsafe=0",
        "report_thread_leaks=0",
        f"exitcode={EXIT_STATUS}",
    )
    # More threads than most machines that judge have cores: a race needs two of them to meet.
    threads = {"OMP_NUM_THREADS": "4"}
    return {"LD_PRELOAD": runtime, "TSAN_OPTIONS": ":".join(options), **threads}
