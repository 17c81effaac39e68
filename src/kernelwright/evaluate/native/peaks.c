/* What this machine can do at most: reading memory at several sizes, and fused multiply-adds.
 *
 * Trusted, and run by the broker alone. Each figure is the best of many tries, since it is used
 * as a bound that no kernel can pass. Prints lines of "read BYTES GIGABYTES_PER_S" and one
 * "fma GIGAFLOPS", all threads together.
 */
#define _GNU_SOURCE
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LANES = 16, CHAINS = 12 };
typedef float vector __attribute__((vector_size(LANES * sizeof(float))));

static double now_s(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_RAW, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static volatile float sink;

/* Seconds that all threads need to read `count` vectors `times` times over. */
static double read_s(const vector *data, int64_t count, int times) {
    double start = 0, end = 0;
    #pragma omp parallel
    {
        int64_t share = count / omp_get_num_threads(), first = share * omp_get_thread_num();
        vector sum[4] = {0};
        #pragma omp barrier
        #pragma omp master
        start = now_s();
        for (int t = 0; t < times; t++) {
            for (int64_t i = first; i + 4 <= first + share; i += 4)
                for (int k = 0; k < 4; k++) sum[k] += data[i + k];
            __asm__ volatile("" : : "r"(data) : "memory");
        }
        float total = 0;
        for (int k = 0; k < 4; k++) for (int l = 0; l < LANES; l++) total += sum[k][l];
        if (total == 12345.0f) sink = total;
        #pragma omp barrier
        #pragma omp master
        end = now_s();
    }
    return end - start;
}

static double fma_gflops(void) {
    const int64_t rounds = 400000;
    double start = 0, end = 0;
    int threads = 1;
    #pragma omp parallel
    {
        vector value[CHAINS];
        for (int k = 0; k < CHAINS; k++) for (int l = 0; l < LANES; l++) value[k][l] = (float)(k + l);
        vector factor = value[0] * 0 + 0.999f, add = value[0] * 0 + 0.001f;
        #pragma omp barrier
        #pragma omp master
        { threads = omp_get_num_threads(); start = now_s(); }
        for (int64_t i = 0; i < rounds; i++)
            for (int k = 0; k < CHAINS; k++) value[k] = value[k] * factor + add;
        float total = 0;
        for (int k = 0; k < CHAINS; k++) for (int l = 0; l < LANES; l++) total += value[k][l];
        if (total == 12345.0f) sink = total;
        #pragma omp barrier
        #pragma omp master
        end = now_s();
    }
    return 2.0 * LANES * CHAINS * (double)rounds * threads / (end - start) * 1e-9;
}

int main(void) {
    const int64_t largest = 128 << 20;
    vector *data = NULL;
    if (posix_memalign((void **)&data, 64, (size_t)largest) != 0) return 1;
    memset(data, 0, (size_t)largest);
    for (int64_t bytes = 64 << 10; bytes <= largest; bytes *= 4) {
        int times = (int)((32 << 20) / bytes) + 1;
        double best = 1e9;
        for (int attempt = 0; attempt < 5; attempt++) {
            double taken = read_s(data, bytes / (int64_t)sizeof(vector), times) / times;
            if (taken < best) best = taken;
        }
        printf("read %lld %.3f\n", (long long)bytes, (double)bytes / best * 1e-9);
    }
    double best = 0;
    for (int attempt = 0; attempt < 5; attempt++) {
        double found = fma_gflops();
        if (found > best) best = found;
    }
    printf("fma %.3f\n", best);
    free(data);
    return 0;
}
