// The rows of a learned table for a batch of token numbers.
extern "C" void kernel(const int64_t* tokens, const float* table_weight, float* out, int64_t batch,
                       int64_t length, int64_t vocabulary, int64_t dim) {
    #pragma omp parallel for
    for (int64_t member = 0; member < batch; member++) {
        for (int64_t position = 0; position < length; position++) {
            const int64_t token = tokens[member * length + position];
            for (int64_t i = 0; i < dim; i++) {
                out[(member * length + position) * dim + i] = table_weight[token * dim + i];
            }
        }
    }
}
