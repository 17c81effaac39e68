// What libgomp does between threads, told to ThreadSanitizer.
//
// libgomp is not built with ThreadSanitizer, which therefore does not see that a parallel region
// starts and ends, or what a barrier or a lock orders, and takes right programs for racing ones.
// The linker sends the candidate's calls here (--wrap); each says what it orders and does the
// rest as before. Where OpenMP orders less than what is said here (tasks that depend on each other),
// a race may be missed; none is made up.
#include <cstdint>
#include <cstdlib>
#include <cstring>

extern "C" {
void __tsan_acquire(void*);
void __tsan_release(void*);
}

#define KW_INSIDE __attribute__((no_sanitize("thread")))
#define KW_PLAIN extern "C" KW_INSIDE

namespace {

// One region: `begun` orders what its threads do after what was before it, `ended` the reverse.
// Barriers take turns on two marks, so that a thread that is early for the next one says nothing
// about the last.
struct Region {
    void (*body)(void*);
    void* data;
    char begun, ended, barrier[2];
    Region* outer;
};

char made, done, atomics, critical, ordered;  // of tasks the first two
bool tasked;                                   // whether there was any task yet
constexpr unsigned has_dependences = 8;
Region whole;
thread_local Region* current = &whole;
thread_local unsigned turn;

KW_INSIDE void run(void* argument) {
    auto* region = static_cast<Region*>(argument);
    Region* outer = current;
    const unsigned before = turn;
    current = region;
    turn = 0;
    __tsan_acquire(&region->begun);
    region->body(region->data);
    __tsan_release(&region->ended);
    __tsan_release(&done);
    current = outer;
    turn = before;
}

struct Fork {
    Region region;
    KW_INSIDE Fork(void (*body)(void*), void* data)
        : region{body, data, 0, 0, {0, 0}, current} {
        __tsan_release(&region.begun);
    }
    KW_INSIDE ~Fork() {
        __tsan_acquire(&region.ended);
        __tsan_acquire(&done);
    }
};

KW_INSIDE void arrive() {
    __tsan_release(&done);
    __tsan_release(&current->barrier[turn & 1]);
}

KW_INSIDE void leave() {
    __tsan_acquire(&current->barrier[turn & 1]);
    // A barrier waits for tasks as well. Without any, this would order what others did up to the
    // next barrier or the region's end, and hide the races there.
    if (__atomic_load_n(&tasked, __ATOMIC_RELAXED)) __tsan_acquire(&done);
    turn++;
}

// A task's data is copied when it is made, as libgomp would; the copy is never given back, since
// only libgomp knows when a task that was cancelled is done.
struct Task {
    long first, last;
    void (*body)(void*);
    char* data;
    long bytes;
    bool is_loop, waits;
};

KW_INSIDE void run_task(void* argument) {
    auto* task = static_cast<Task*>(argument);
    char* data = task->data;
    if (task->is_loop) {
        // Every part of a loop has the same data but for its bounds, which come first.
        data = static_cast<char*>(aligned_alloc(64, (task->bytes + 63) / 64 * 64));
        memcpy(data, task->data, task->bytes);
        memcpy(data, &task->first, 2 * sizeof(long));
    }
    __tsan_acquire(&made);
    if (task->waits) __tsan_acquire(&done);
    task->body(data);
    __tsan_release(&done);
}

KW_INSIDE Task wrapped(void (*body)(void*), void* data, void (*copy)(void*, void*), long bytes) {
    auto* kept = static_cast<char*>(aligned_alloc(64, (bytes + 64) / 64 * 64));
    if (copy != nullptr) copy(kept, data);
    else if (bytes > 0) memcpy(kept, data, bytes);
    return Task{0, 0, body, kept, bytes, false, false};
}

}  // namespace

#define KW_FORK(name, parameters, arguments)                               \
    extern "C" void __real_##name parameters;                              \
    KW_PLAIN void __wrap_##name parameters {                               \
        Fork fork(body, data);                                             \
        body = run, data = &fork.region;                                   \
        __real_##name arguments;                                           \
    }

KW_FORK(GOMP_parallel, (void (*body)(void*), void* data, unsigned threads, unsigned flags),
        (body, data, threads, flags))
KW_FORK(GOMP_parallel_sections,
        (void (*body)(void*), void* data, unsigned threads, unsigned count, unsigned flags),
        (body, data, threads, count, flags))

#define KW_CHUNKED(name)                                                                           \
    KW_FORK(name,                                                                                  \
            (void (*body)(void*), void* data, unsigned threads, long first, long last, long step, \
             long chunk, unsigned flags),                                                          \
            (body, data, threads, first, last, step, chunk, flags))
KW_CHUNKED(GOMP_parallel_loop_static)
KW_CHUNKED(GOMP_parallel_loop_dynamic)
KW_CHUNKED(GOMP_parallel_loop_guided)
KW_CHUNKED(GOMP_parallel_loop_nonmonotonic_dynamic)
KW_CHUNKED(GOMP_parallel_loop_nonmonotonic_guided)

#define KW_BY_RUNTIME(name)                                                                        \
    KW_FORK(name,                                                                                  \
            (void (*body)(void*), void* data, unsigned threads, long first, long last, long step, \
             unsigned flags),                                                                      \
            (body, data, threads, first, last, step, flags))
KW_BY_RUNTIME(GOMP_parallel_loop_runtime)
KW_BY_RUNTIME(GOMP_parallel_loop_nonmonotonic_runtime)
KW_BY_RUNTIME(GOMP_parallel_loop_maybe_nonmonotonic_runtime)

#define KW_AROUND(name, before, after)      \
    extern "C" void __real_##name(void);    \
    KW_PLAIN void __wrap_##name(void) {     \
        before;                             \
        __real_##name();                    \
        after;                              \
    }
KW_AROUND(GOMP_barrier, arrive(), leave())
KW_AROUND(GOMP_loop_end, arrive(), leave())
KW_AROUND(GOMP_sections_end, arrive(), leave())
KW_AROUND(GOMP_critical_start, , __tsan_acquire(&critical))
KW_AROUND(GOMP_critical_end, __tsan_release(&critical), )
KW_AROUND(GOMP_atomic_start, , __tsan_acquire(&atomics))
KW_AROUND(GOMP_atomic_end, __tsan_release(&atomics), )
KW_AROUND(GOMP_ordered_start, , __tsan_acquire(&ordered))
KW_AROUND(GOMP_ordered_end, __tsan_release(&ordered), )
KW_AROUND(GOMP_taskwait, __tsan_release(&done), __tsan_acquire(&done))
KW_AROUND(GOMP_taskgroup_end, __tsan_release(&done), __tsan_acquire(&done))

#define KW_LOCK(name, type, before, after)          \
    extern "C" void __real_##name(type);            \
    KW_PLAIN void __wrap_##name(type lock) {        \
        before;                                     \
        __real_##name(lock);                        \
        after;                                      \
    }
KW_LOCK(GOMP_critical_name_start, void**, , __tsan_acquire(lock))
KW_LOCK(GOMP_critical_name_end, void**, __tsan_release(lock), )
KW_LOCK(omp_set_lock, void*, , __tsan_acquire(lock))
KW_LOCK(omp_unset_lock, void*, __tsan_release(lock), )
KW_LOCK(omp_set_nest_lock, void*, , __tsan_acquire(lock))
KW_LOCK(omp_unset_nest_lock, void*, __tsan_release(lock), )

extern "C" int __real_omp_test_lock(void*);
KW_PLAIN int __wrap_omp_test_lock(void* lock) {
    const int got = __real_omp_test_lock(lock);
    if (got) __tsan_acquire(lock);
    return got;
}

// `single copyprivate`: whoever ran the block hands an address to the others.
extern "C" void* __real_GOMP_single_copy_start(void);
extern "C" void __real_GOMP_single_copy_end(void*);
KW_PLAIN void* __wrap_GOMP_single_copy_start(void) {
    void* const copied = __real_GOMP_single_copy_start();
    if (copied != nullptr) leave();
    return copied;
}
KW_PLAIN void __wrap_GOMP_single_copy_end(void* data) {
    arrive();
    __real_GOMP_single_copy_end(data);
    leave();
}

extern "C" void __real_GOMP_task(void (*)(void*), void*, void (*)(void*, void*), long, long, bool,
                                 unsigned, void**, int, void*);
KW_PLAIN void __wrap_GOMP_task(void (*body)(void*), void* data, void (*copy)(void*, void*),
                               long bytes, long align, bool deferred, unsigned flags,
                               void** depend, int priority, void* detach) {
    Task task = wrapped(body, data, copy, bytes);
    task.waits = flags & has_dependences;
    (void)align;
    __atomic_store_n(&tasked, true, __ATOMIC_RELAXED);
    __tsan_release(&made);
    __real_GOMP_task(run_task, &task, nullptr, sizeof task, alignof(Task), deferred, flags, depend,
                     priority, detach);
    if (!deferred) __tsan_acquire(&done);
}

extern "C" void __real_GOMP_taskloop(void (*)(void*), void*, void (*)(void*, void*), long, long,
                                     unsigned, unsigned long, int, long, long, long);
KW_PLAIN void __wrap_GOMP_taskloop(void (*body)(void*), void* data, void (*copy)(void*, void*),
                                   long bytes, long align, unsigned flags, unsigned long count,
                                   int priority, long first, long last, long step) {
    Task task = wrapped(body, data, copy, bytes);
    task.is_loop = true;
    (void)align;
    __atomic_store_n(&tasked, true, __ATOMIC_RELAXED);
    __tsan_release(&made);
    __real_GOMP_taskloop(run_task, &task, nullptr, sizeof task, alignof(Task), flags, count,
                         priority, first, last, step);
    __tsan_acquire(&done);
}
