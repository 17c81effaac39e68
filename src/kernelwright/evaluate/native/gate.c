/* The gate and lent device memory for a process that is written in Python, as a library.
 *
 * It works in the primary context of device 0, which torch uses too. Functions return a CUresult.
 */
#include <string.h>

#include "gate.h"

/* Where a tensor is, for another process: the handle of the allocation that holds it, how far
 * behind its start, and how many bytes. As `timing/device_memory.py` reads it. */
struct name { CUipcMemHandle handle; int64_t offset, nbytes; };

/* `page`: the first page of memory that the broker maps too. */
void kw_prepare(void *page) {
    open_device();
    prepare_gate(page);
}

int kw_close_gate(CUstream stream, uint32_t token) { return close_gate(stream, token); }

int kw_say_done(CUstream stream, uint32_t token) { return say_done(stream, token); }

int64_t kw_claimed_ns(void) { return claimed_ns(); }

/* The address of memory that is lent by a handle in hexadecimal. */
CUdeviceptr kw_opened(const char *hex) {
    return opened(hex);
}

int kw_name(CUdeviceptr at, int64_t nbytes, struct name *name) {
    CUdeviceptr base;
    size_t whole;
    CUresult error = cuMemGetAddressRange(&base, &whole, at);
    if (error == 0) error = cuIpcGetMemHandle(&name->handle, base);
    name->offset = (int64_t)(at - base);
    name->nbytes = nbytes;
    return error;
}
