// What attention in C++ is made of besides `pieces.h`.

// The weights of `count` keys for one query, in the place of their scores: exponentials of what
// `seen(key, score)` makes of them, below the largest until now. The weights' sum goes into `total`.
// Returns by how much all before fades. Where nothing is seen yet the largest is -inf.
template <class Seen>
inline float kw_weights(float* scores, int64_t count, float& peak, float& total, const Seen& seen) {
    constexpr int lanes = 16;
    float largest[lanes], sums[lanes] = {};
    std::fill_n(largest, lanes, -INFINITY);
    kw_lanes<lanes>(0, count, [&](int64_t key, int lane) {
        const float score = seen(key, scores[key]);
        scores[key] = score;
        largest[lane] = kw_max(largest[lane], score);
    });
    const auto larger = [](float a, float b) { return kw_max(a, b); };
    const float grown = kw_max(peak, kw_joined(largest, larger));
    const float base = grown == -INFINITY ? 0.0f : grown;
    kw_lanes<lanes>(0, count, [&](int64_t key, int lane) {
        const float weight = kw_exp(scores[key] - base);
        scores[key] = weight;
        sums[lane] += weight;
    });
    const float fade = kw_exp(peak - base);
    total = total * fade + kw_joined(sums, [](float a, float b) { return a + b; });
    peak = grown;
    return fade;
}
