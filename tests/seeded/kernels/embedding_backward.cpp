// The gradient of a learned table by the rows that were read, added up token by token.
extern "C" void kernel(const int64_t* tokens, const float* table_weight, const float* grad_out,
                       float* grad_table_weight, int64_t batch, int64_t length, int64_t vocabulary,
                       int64_t dim) {
    #pragma omp parallel for
    for (int64_t i = 0; i < dim; i++) {
        std::vector<double> sums(vocabulary, 0.0);
        for (int64_t at = 0; at < batch * length; at++) {
            sums[tokens[at]] += grad_out[at * dim + i];
        }
        for (int64_t word = 0; word < vocabulary; word++) {
            grad_table_weight[word * dim + i] = sums[word];
        }
    }
}
