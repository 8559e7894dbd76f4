/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Version and names of enumeration values.
 */
#include "microvm/microvm.h"

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

const char *microvm_version(void)
{
    return TEXT(MICROVM_VERSION_MAJOR) "." TEXT(MICROVM_VERSION_MINOR) "." TEXT(
        MICROVM_VERSION_PATCH);
}

const char *microvm_code_name(int code)
{
    switch ((microvm_code)code) {
    case MICROVM_OK:
        return "ok";
    case MICROVM_E_INVALID:
        return "invalid setting";
    case MICROVM_E_NO_HYPERVISOR:
        return "hypervisor not available";
    case MICROVM_E_HYPERVISOR:
        return "hypervisor error";
    case MICROVM_E_KERNEL:
        return "invalid kernel";
    case MICROVM_E_MEMORY:
        return "invalid memory size";
    case MICROVM_E_NOT_RUNNING:
        return "machine not running";
    case MICROVM_E_DEVICE:
        return "device error";
    case MICROVM_E_IO:
        return "I/O error";
    case MICROVM_E_TIMEOUT:
        return "timed out";
    case MICROVM_E_UNSUPPORTED:
        return "not supported";
    case MICROVM_E_NO_MEMORY:
        return "out of memory";
    case MICROVM_E_STATE:
        return "wrong state";
    case MICROVM_E_CANCELLED:
        return "cancelled";
    }
    return "unknown error";
}

const char *microvm_state_name(int state)
{
    switch ((microvm_state)state) {
    case MICROVM_CREATED:
        return "created";
    case MICROVM_BOOTING:
        return "booting";
    case MICROVM_RUNNING:
        return "running";
    case MICROVM_PAUSED:
        return "paused";
    case MICROVM_STOPPED:
        return "stopped";
    case MICROVM_FAILED:
        return "failed";
    }
    return "unknown";
}
