// What the judge calls, on top of the shim's `kw_call`. `tensors` are the inputs, then the outputs; a
// scalar is a pointer to its value in host memory. `axes` are the sizes in the problem's order.
#pragma once

#define KW_EXPORT extern "C" __attribute__((visibility("default")))

#ifndef __CUDACC__

KW_EXPORT void kw_entry(void* const* tensors, const int64_t* axes) { kw_call(tensors, axes); }

#else

// Returns the CUDA error of the launches, 0 for none. Does not wait for them.
KW_EXPORT int kw_entry_on(void* const* tensors, const int64_t* axes, void* stream) {
    kw_call(tensors, axes, static_cast<cudaStream_t>(stream));
    return static_cast<int>(cudaGetLastError());
}

KW_EXPORT void kw_entry(void* const* tensors, const int64_t* axes) {
    kw_call(tensors, axes, nullptr);
}

#endif
