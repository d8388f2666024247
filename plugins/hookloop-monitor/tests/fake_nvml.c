/* A libnvidia-ml.so.1 for tests: two cards with readings that a test sets, and errors that it asks for.
   The second card can be divided into one MIG instance. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CARDS 2
#define RULES 64
enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7 };

typedef struct { int index; int instance; } Device;
static Device boards[CARDS] = {{0, 0}, {1, 0}}, instance = {1, 1};
static const char *uuids[CARDS] = {"GPU-aaaaaaaa-0000-0000-0000-000000000000", "GPU-bbbbbbbb-1111-1111-1111-111111111111"};
static const char *instance_uuid = "MIG-cccccccc-2222-2222-2222-222222222222";
static const char *names[CARDS] = {"Fake A", "Fake A"};

typedef struct { char function[64]; int card; int code; int after; } Rule;
static Rule rules[RULES];
static int rule_count, opened, divided, calls, users[4], user_count;
static uint64_t used_bytes[CARDS], millijoules[CARDS], reasons[CARDS];
static unsigned utilization[CARDS], milliwatts[CARDS], celsius[CARDS];

/* What a test calls. */
void fake_reset(void) {
    rule_count = opened = divided = calls = user_count = 0;
    names[1] = "Fake A";
    for (int card = 0; card < CARDS; card++) {
        utilization[card] = 10 + 40 * card;
        celsius[card] = 40 + card;
        milliwatts[card] = 100000 * (card + 1);
        used_bytes[card] = (uint64_t)(card + 1) << 30;
        millijoules[card] = 5000000;
        reasons[card] = 0x1;
    }
}
void fake_fail(const char *function, int card, int code, int after) {
    Rule *rule = &rules[rule_count++];
    snprintf(rule->function, sizeof rule->function, "%s", function);
    rule->card = card; rule->code = code; rule->after = after;
}
void fake_mend(void) { rule_count = 0; }
void fake_divide(void) { divided = 1; }
void fake_rename(void) { names[1] = "Fake B"; }
void fake_temperature(int card, unsigned value) { celsius[card] = value; }
void fake_utilization(int card, unsigned value) { utilization[card] = value; }
void fake_used(int card, uint64_t value) { used_bytes[card] = value; }
void fake_power(int card, unsigned value) { milliwatts[card] = value; }
void fake_energy(int card, uint64_t value) { millijoules[card] = value; }
void fake_reasons(int card, uint64_t value) { reasons[card] = value; }
void fake_user(int pid) { users[user_count++] = pid; }
int fake_opened(void) { return opened; }
int fake_calls(void) { return calls; }

static int check(const char *function, const Device *device) {
    calls++;
    int card = device ? device->index : -1;
    for (int i = 0; i < rule_count; i++) {
        Rule *rule = &rules[i];
        int meant = !strcmp(rule->function, "*") || !strcmp(rule->function, function);
        if (meant && (rule->card < 0 || rule->card == card) && rule->after-- <= 0) return rule->code;
    }
    if (!opened && strcmp(function, "nvmlInitWithFlags")) return UNINITIALIZED;
    return OK;
}
#define CHECK(device) do { int code = check(__func__, device); if (code) return code; } while (0)

int nvmlInitWithFlags(unsigned flags) { CHECK(0); opened++; return OK; }
int nvmlShutdown(void) { CHECK(0); opened--; return OK; }
const char *nvmlErrorString(int code) {
    static char text[32];
    switch (code) {
        case NOT_SUPPORTED: return "Not Supported";
        case 4: return "Insufficient Permissions";
        case 15: return "GPU is lost";
    }
    snprintf(text, sizeof text, "error %d", code);
    return text;
}
int nvmlDeviceGetCount_v2(unsigned *count) { CHECK(0); *count = CARDS; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
    if (index >= CARDS) return INVALID_ARGUMENT;
    CHECK(&boards[index]); *device = &boards[index]; return OK;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, Device **device) {
    CHECK(0);
    if (divided && !strcmp(uuid, instance_uuid)) { *device = &instance; return OK; }
    for (int card = 0; card < CARDS; card++)
        if (!strcmp(uuid, uuids[card])) { *device = &boards[card]; return OK; }
    return NOT_FOUND;
}
int nvmlDeviceGetUUID(Device *device, char *uuid, unsigned length) {
    CHECK(device); snprintf(uuid, length, "%s", device->instance ? instance_uuid : uuids[device->index]); return OK;
}
int nvmlDeviceGetName(Device *device, char *name, unsigned length) {
    CHECK(device); snprintf(name, length, "%s%s", names[device->index], device->instance ? " MIG" : ""); return OK;
}
int nvmlDeviceGetMigMode(Device *device, unsigned *current, unsigned *pending) {
    CHECK(device); *current = *pending = divided && device->index == 1; return OK;
}
int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned index, Device **found) {
    CHECK(device);
    if (!divided || device->index != 1 || index) return NOT_FOUND;
    *found = &instance; return OK;
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device *device, Device **found) {
    CHECK(device); *found = &boards[device->index]; return OK;
}
int nvmlDeviceGetUtilizationRates(Device *device, unsigned *rates) {
    CHECK(device);
    if (divided && device->index == 1) return NOT_SUPPORTED;
    rates[0] = utilization[device->index]; rates[1] = utilization[device->index] / 2; return OK;
}
typedef struct { uint64_t total, free, used; } Memory;
typedef struct { unsigned version; uint64_t total, reserved, free, used; } MemoryV2;
int nvmlDeviceGetMemoryInfo(Device *device, Memory *memory) {
    CHECK(device);
    memory->total = 8ull << 30; memory->used = used_bytes[device->index]; memory->free = memory->total - memory->used;
    return OK;
}
int nvmlDeviceGetMemoryInfo_v2(Device *device, MemoryV2 *memory) {
    CHECK(device);
    memory->total = (device->instance ? 4ull : 8ull) << 30;
    memory->reserved = 1ull << 29; memory->used = used_bytes[device->index];
    memory->free = memory->total - memory->used - memory->reserved;
    return OK;
}
typedef struct { unsigned version, sensor; int celsius; } Temperature;
int nvmlDeviceGetTemperatureV(Device *device, Temperature *value) {
    CHECK(device); value->celsius = celsius[device->index]; return OK;
}
int nvmlDeviceGetTemperature(Device *device, unsigned sensor, unsigned *value) {
    CHECK(device); *value = celsius[device->index]; return OK;
}
int nvmlDeviceGetPowerUsage(Device *device, unsigned *value) { CHECK(device); *value = milliwatts[device->index]; return OK; }
int nvmlDeviceGetEnforcedPowerLimit(Device *device, unsigned *value) { CHECK(device); *value = 300000; return OK; }
int nvmlDeviceGetTotalEnergyConsumption(Device *device, uint64_t *value) {
    CHECK(device); *value = millijoules[device->index]; return OK;
}
int nvmlDeviceGetClockInfo(Device *device, unsigned type, unsigned *value) {
    CHECK(device); *value = type == 1 ? 1410 : 1215; return OK;
}
int nvmlDeviceGetFanSpeed(Device *device, unsigned *value) { CHECK(device); *value = 30; return OK; }
int nvmlDeviceGetPcieThroughput(Device *device, unsigned counter, unsigned *value) {
    CHECK(device); *value = counter ? 2000 : 1000; return OK;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(Device *device, uint64_t *value) {
    CHECK(device); *value = reasons[device->index]; return OK;
}
int nvmlDeviceGetTotalEccErrors(Device *device, unsigned error, unsigned counter, uint64_t *value) {
    CHECK(device); *value = error ? 0 : 3; return OK;
}
typedef struct { unsigned pid; uint64_t used; unsigned gpu_instance, compute_instance; } User;
int nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned *count, User *found) {
    CHECK(device);
    if (!user_count) { *count = 0; return OK; }
    if (!found) { *count = user_count; return TOO_SMALL; }
    for (int i = 0; i < user_count; i++) found[i] = (User){users[i], 1ull << 28, 0, 0};
    *count = user_count; return OK;
}
