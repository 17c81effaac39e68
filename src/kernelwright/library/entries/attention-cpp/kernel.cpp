// Attention with a query in each lane. The 32 queries of a task are turned into columns once, so that a
// score is a key's channel, broadcast from memory, times a vector of queries; the softmax goes down the
// lanes with no sum across them; and a result's channel is a value, broadcast, times a vector of shares.
// Keys are taken in chunks with a running maximum, so that memory does not grow with them.
// tunable: CHUNK = 128 in {64, 128, 256}
// With SPARE = 1 there is a thread more than processors. libgomp then lets who waits sleep instead of
// spin, so that threads that woke on one processor do not keep each other from running.
// tunable: SPARE = 1 in {0, 1}

#ifdef __AVX512F__
constexpr int64_t LANES = 16;
constexpr int64_t PAIR = 2;                // vectors of queries in a task
constexpr int64_t QUERIES = PAIR * LANES;  // queries in a task
constexpr int64_t BLOCK = 8;               // keys, or channels, whose sums wait in registers: 16 vectors

// The lanes of a vector of which the first `left` are inside.
static inline __mmask16 lanes_of(int64_t left) {
    return left >= LANES ? 0xffff : left <= 0 ? 0 : static_cast<__mmask16>((1u << left) - 1);
}

constexpr float LOWEST = -87.0f;  // exp of less is denormal

// exp of each lane, for x up to 88: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial of degree 6 for
// exp(r), and 2^n by scalef. ln 2 is in two parts, so that r is exact. What is below the normal floats
// becomes 0: with denormals every instruction that meets them costs a hundred cycles more.
static inline __m512 exp_lanes(__m512 x) {
    const __mmask16 normal = _mm512_cmp_ps_mask(x, _mm512_set1_ps(LOWEST), _CMP_NLT_UQ);
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.0f / 720);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_maskz_scalef_ps(normal, p, n);
}

// A square of 16 by 16 turned over, in registers: pairs, fours, then blocks of four lanes.
static inline void turn_over(__m512 (&r)[LANES]) {
    __m512 t[LANES];
    for (int64_t i = 0; i < LANES; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int64_t i = 0; i < LANES; i += 4) {
        const __m512d a = _mm512_castps_pd(t[i]), b = _mm512_castps_pd(t[i + 1]);
        const __m512d c = _mm512_castps_pd(t[i + 2]), d = _mm512_castps_pd(t[i + 3]);
        r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    for (int64_t i = 0; i < 4; ++i) {
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int64_t i = 0; i < 4; ++i) {
        r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
        r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

// to[i][lane] = sum over n of from[i * across + n * along] * columns[n][lane], plus what is in to[i] if
// `keep`, for Count values of i. Both products of attention are this one.
template <int64_t Count>
static inline void product(const float* from, int64_t across, int64_t along, const float* columns, int64_t size,
                           bool keep, float* to) {
    __m512 sum[Count][PAIR];
    for (int64_t i = 0; i < Count; ++i)
        for (int64_t p = 0; p < PAIR; ++p)
            sum[i][p] = keep ? _mm512_loadu_ps(to + i * QUERIES + p * LANES) : _mm512_setzero_ps();
    for (int64_t n = 0; n < size; ++n) {
        const __m512 low = _mm512_loadu_ps(columns + n * QUERIES);
        const __m512 high = _mm512_loadu_ps(columns + n * QUERIES + LANES);
#pragma GCC unroll 8
        for (int64_t i = 0; i < Count; ++i) {
            const __m512 factor = _mm512_set1_ps(from[i * across + n * along]);
            sum[i][0] = _mm512_fmadd_ps(factor, low, sum[i][0]);
            sum[i][1] = _mm512_fmadd_ps(factor, high, sum[i][1]);
        }
    }
    for (int64_t i = 0; i < Count; ++i)
        for (int64_t p = 0; p < PAIR; ++p) _mm512_storeu_ps(to + i * QUERIES + p * LANES, sum[i][p]);
}

static void products(const float* from, int64_t count, int64_t across, int64_t along, const float* columns,
                     int64_t size, bool keep, float* to) {
    int64_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK)
        product<BLOCK>(from + i * across, across, along, columns, size, keep, to + i * QUERIES);
    for (; i < count; ++i) product<1>(from + i * across, across, along, columns, size, keep, to + i * QUERIES);
}

// The scores of `count` keys. Of the next keys, and of the values that will be needed, memory is asked for
// while there is arithmetic to do.
static void score(const float* k, const float* v, int64_t count, int64_t head_dim, const float* columns, float* to) {
    for (int64_t i = 0; i < count; i += BLOCK) {
        const int64_t block = std::min(BLOCK, count - i) * head_dim;
        for (int64_t at = 0; at < block; at += LANES) {
            __builtin_prefetch(k + (i + BLOCK) * head_dim + at);
            __builtin_prefetch(v + i * head_dim + at);
        }
        products(k + i * head_dim, std::min(BLOCK, count - i), head_dim, 1, columns, head_dim, false, to + i * QUERIES);
    }
}

// Memory of a thread: queries and results as columns, and the scores of a chunk.
struct Scratch {
    std::vector<float> queries, results, scores;
    explicit Scratch(int64_t head_dim)
        : queries(head_dim * QUERIES), results(head_dim * QUERIES), scores(CHUNK * QUERIES) {}
};

// The scores of `count` keys become shares of the sum so far; results so far are brought to the new maximum.
static void softmax_chunk(Scratch& s, int64_t count, int64_t head_dim, bool first, __m512& top, __m512& sum,
                          int64_t lane0) {
    float* scores = s.scores.data() + lane0;
    __m512 side[4] = {top, top, top, top};
    int64_t k = 0;
    for (; k + 4 <= count; k += 4)
        for (int64_t i = 0; i < 4; ++i) side[i] = _mm512_max_ps(side[i], _mm512_loadu_ps(scores + (k + i) * QUERIES));
    for (; k < count; ++k) side[0] = _mm512_max_ps(side[0], _mm512_loadu_ps(scores + k * QUERIES));
    const __m512 largest = _mm512_max_ps(_mm512_max_ps(side[0], side[1]), _mm512_max_ps(side[2], side[3]));
    if (!first) {
        const __m512 smaller = exp_lanes(_mm512_sub_ps(top, largest));
        sum = _mm512_mul_ps(sum, smaller);
        for (int64_t d = 0; d < head_dim; ++d) {
            float* at = s.results.data() + d * QUERIES + lane0;
            _mm512_storeu_ps(at, _mm512_mul_ps(_mm512_loadu_ps(at), smaller));
        }
    }
    top = largest;
    __m512 part[2] = {sum, _mm512_setzero_ps()};
#pragma GCC unroll 4
    for (k = 0; k < count; ++k) {
        const __m512 share = exp_lanes(_mm512_sub_ps(_mm512_loadu_ps(scores + k * QUERIES), largest));
        _mm512_storeu_ps(scores + k * QUERIES, share);
        part[k % 2] = _mm512_add_ps(part[k % 2], share);
    }
    sum = _mm512_add_ps(part[0], part[1]);
}

// Queries `first` and up to 31 after it, of one head.
static void attend(const float* q, const float* k, const float* v, float* out, int64_t first, int64_t queries,
                   int64_t keys, int64_t head_dim, Scratch& s) {
    const __m512 scale = _mm512_set1_ps(1.0f / sqrtf(static_cast<float>(head_dim)));
    const int64_t count = std::min(QUERIES, queries - first);
    const float* from = q + first * head_dim;
    __m512 square[LANES];
    for (int64_t p = 0; p < PAIR; ++p)
        for (int64_t d = 0; d < head_dim; d += LANES) {
            for (int64_t i = 0; i < LANES; ++i) {
                const int64_t row = p * LANES + i;
                square[i] = row < count ? _mm512_maskz_loadu_ps(lanes_of(head_dim - d), from + row * head_dim + d)
                                        : _mm512_setzero_ps();
            }
            turn_over(square);
            for (int64_t i = 0; i < std::min(LANES, head_dim - d); ++i)
                _mm512_storeu_ps(s.queries.data() + (d + i) * QUERIES + p * LANES, _mm512_mul_ps(square[i], scale));
        }
    __m512 top[PAIR], sum[PAIR];
    for (int64_t p = 0; p < PAIR; ++p) top[p] = _mm512_set1_ps(-INFINITY), sum[p] = _mm512_setzero_ps();
    const int64_t seen = keys;
    for (int64_t start = 0; start < seen; start += CHUNK) {
        const int64_t size = std::min<int64_t>(CHUNK, seen - start);
        score(k + start * head_dim, v + start * head_dim, size, head_dim, s.queries.data(), s.scores.data());
        for (int64_t p = 0; p < PAIR; ++p)
            softmax_chunk(s, size, head_dim, start == 0, top[p], sum[p], p * LANES);
        products(v + start * head_dim, head_dim, 1, head_dim, s.scores.data(), size, start > 0, s.results.data());
    }
    for (int64_t p = 0; p < PAIR; ++p) {
        const __m512 share = _mm512_div_ps(_mm512_set1_ps(1.0f), sum[p]);
        for (int64_t d = 0; d < head_dim; d += LANES) {
            for (int64_t i = 0; i < LANES; ++i)
                square[i] = d + i < head_dim ? _mm512_mul_ps(share, _mm512_loadu_ps(s.results.data() + (d + i) * QUERIES + p * LANES))
                                             : _mm512_setzero_ps();
            turn_over(square);
            for (int64_t i = 0; i < std::min(LANES, count - p * LANES); ++i)
                _mm512_mask_storeu_ps(out + (first + p * LANES + i) * head_dim + d, lanes_of(head_dim - d), square[i]);
        }
    }
}
#else
constexpr int64_t QUERIES = 32;  // queries in a task

struct Scratch {
    explicit Scratch(int64_t) {}
};

// Queries `first` and up to 31 after it, of one head, with the results brought to each new maximum.
static void attend(const float* q, const float* k, const float* v, float* out, int64_t first, int64_t queries,
                   int64_t keys, int64_t head_dim, Scratch&) {
    const float scale = 1.0f / sqrtf(static_cast<float>(head_dim));
    for (int64_t i = first; i < std::min(first + QUERIES, queries); ++i) {
        float* to = out + i * head_dim;
        float top = -INFINITY, sum = 0.0f;
        std::fill(to, to + head_dim, 0.0f);
        for (int64_t j = 0; j < keys; ++j) {
            float score = 0.0f;
#pragma omp simd reduction(+ : score)
            for (int64_t d = 0; d < head_dim; ++d) score += q[i * head_dim + d] * k[j * head_dim + d];
            const float largest = std::max(top, score * scale);
            const float smaller = expf(top - largest), share = expf(score * scale - largest);
            top = largest;
            sum = sum * smaller + share;
#pragma omp simd
            for (int64_t d = 0; d < head_dim; ++d) to[d] = to[d] * smaller + share * v[j * head_dim + d];
        }
        for (int64_t d = 0; d < head_dim; ++d) to[d] /= sum;
    }
}
#endif

static inline int workers() {
    const int threads = omp_get_max_threads();
    return threads > 1 ? threads + SPARE : threads;
}

extern "C" void kernel(const float* q, const float* k, const float* v, float* out, int64_t batch, int64_t heads, int64_t queries, int64_t head_dim, int64_t keys) {
    const int64_t tasks = (queries + QUERIES - 1) / QUERIES;
    // A head at a time, whose keys and values then stay with one processor, where there are heads enough.
    const int64_t share = batch * heads >= 2 * workers() ? tasks : 1;
#pragma omp parallel num_threads(workers())
    {
        Scratch scratch(head_dim);
        // A task at a time: who is done takes the next.
#pragma omp for schedule(dynamic, share)
        for (int64_t task = 0; task < batch * heads * tasks; ++task) {
            const int64_t head = task / tasks, first = task % tasks * QUERIES;
            attend(q + head * queries * head_dim, k + head * keys * head_dim, v + head * keys * head_dim, out + head * queries * head_dim, first, queries, keys, head_dim, scratch);
        }
    }
}
