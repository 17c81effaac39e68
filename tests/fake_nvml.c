/* Stands in for NVML where there is no GPU. It has two cards; what they say is in the environment:
 * FAKE_NVML_MHZ, FAKE_NVML_REASONS, FAKE_NVML_REFUSES (every call on a card ends with this error),
 * FAKE_NVML_FREE_MIB, FAKE_NVML_HANGS (the clock is never told).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char cards[2][16] = {"GPU-aaaa-1", "GPU-bbbb-2"};

static int number(const char *name, int otherwise) {
    const char *said = getenv(name);
    return said ? atoi(said) : otherwise;
}

static int refused(void) { return number("FAKE_NVML_REFUSES", 0); }

static int text(char *to, unsigned size, const char *from) {
    snprintf(to, size, "%s", from);
    return refused();
}

const char *nvmlErrorString(int code) { return code == 4 ? "Insufficient Permissions" : code == 3 ? "Not Supported" : "Unknown Error"; }
int nvmlInit_v2(void) { return number("FAKE_NVML_INIT", 0); }
int nvmlSystemGetDriverVersion(char *to, unsigned size) { return text(to, size, "580.1"); }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **card) { *card = cards[index]; return index > 1 ? 2 : 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **card) {
    if (strncmp(uuid, "MIG-", 4) == 0) { *card = NULL; return 0; }
    for (int i = 0; i < 2; i++)
        if (strcmp(uuid, cards[i]) == 0) { *card = cards[i]; return refused(); }
    return 6;
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *instance, void **card) { *card = cards[1]; return instance != NULL; }
int nvmlDeviceGetUUID(void *card, char *to, unsigned size) { return text(to, size, card); }
int nvmlDeviceGetName(void *card, char *to, unsigned size) { (void)card; return text(to, size, "NVIDIA Paper"); }
int nvmlDeviceGetIndex(void *card, unsigned *index) { *index = card == cards[1]; return refused(); }
int nvmlDeviceGetMinorNumber(void *card, unsigned *minor) { *minor = card == cards[1] ? 5 : 4; return refused(); }
int nvmlDeviceGetEnforcedPowerLimit(void *card, unsigned *mw) { (void)card; *mw = 700000; return refused(); }
int nvmlDeviceGetPowerUsage(void *card, unsigned *mw) { (void)card; *mw = 312500; return refused(); }
int nvmlDeviceGetTemperature(void *card, int sensor, unsigned *celsius) { (void)card; *celsius = 41; return sensor; }
int nvmlDeviceGetEccMode(void *card, unsigned *now, unsigned *later) { (void)card; *now = 1; *later = 0; return refused(); }
int nvmlDeviceGetMigMode(void *card, unsigned *now, unsigned *later) { (void)card, (void)now, (void)later; return 3; }
int nvmlDeviceGetPersistenceMode(void *card, unsigned *mode) { (void)card; *mode = 1; return refused(); }
int nvmlDeviceGetClockInfo(void *card, int kind, unsigned *mhz) {
    (void)card;
    while (getenv("FAKE_NVML_HANGS")) usleep(1000);
    *mhz = (unsigned)number("FAKE_NVML_MHZ", 1980);
    return kind == 1 ? refused() : 2;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void *card, unsigned long long *bits) {
    (void)card;
    *bits = (unsigned long long)number("FAKE_NVML_REASONS", 0);
    return refused();
}

int nvmlDeviceGetMemoryInfo(void *card, unsigned long long *bytes) {
    (void)card;
    bytes[0] = 80ull << 30, bytes[1] = (unsigned long long)number("FAKE_NVML_FREE_MIB", 60000) << 20, bytes[2] = 0;
    return refused();
}
