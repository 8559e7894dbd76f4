/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The relay on Windows. Standard input can be a console, a pipe or a file there, and
 * nothing waits for all three and a socket, so a thread reads it; the main thread takes
 * the guest's output, and looks at signals, events and the window between reads.
 */
#include "relay.h"

#include "cli.h"
#include "term.h"

#include <windows.h>

enum { IN_BYTES = 4096, OUT_BYTES = 64 * 1024, TICK_MS = 50 };

static struct {
    struct relay *relay;
    struct escape escape;
    volatile LONG interrupts; /* Ctrl-C and closing of the window, not yet seen to */
    bool asked;
    ULONGLONG deadline_ms;
    uint16_t columns, rows;
} pump;

static BOOL WINAPI on_control(DWORD what)
{
    (void)what;
    (void)InterlockedIncrement(&pump.interrupts);
    return TRUE;
}

static DWORD WINAPI input_thread(LPVOID unused)
{
    char typed[IN_BYTES], kept[IN_BYTES + 1];
    HANDLE in = GetStdHandle(STD_INPUT_HANDLE);
    DWORD n;
    bool leave = false;
    (void)unused;
    while (!leave && ReadFile(in, typed, IN_BYTES, &n, NULL) && n) {
        unsigned length = escape_filter(&pump.escape, typed, n, kept, &leave);
        for (unsigned at = 0; at < length;) {
            int64_t sent = microvm_console_write(pump.relay->console, kept + at,
                                                 length - at, MICROVM_FOREVER, NULL);
            if (sent < 0)
                return 0;
            at += (unsigned)sent;
        }
    }
    if (leave)
        (void)microvm_kill(pump.relay->vm, NULL);
    return 0;
}

static bool output_write(const char *data, DWORD length)
{
    HANDLE out = GetStdHandle(STD_OUTPUT_HANDLE);
    while (length) {
        DWORD n = 0;
        if (!WriteFile(out, data, length, &n, NULL)) {
            say("standard output: error %lu; the machine is stopped", GetLastError());
            (void)microvm_kill(pump.relay->vm, NULL);
            return false;
        }
        data += n;
        length -= n;
    }
    return true;
}

static void pump_tick(void)
{
    bool late = pump.deadline_ms && GetTickCount64() >= pump.deadline_ms;
    if (InterlockedExchange(&pump.interrupts, 0) || late)
        pump.deadline_ms = relay_stop(pump.relay, &pump.asked)
                               ? GetTickCount64() + SHUTDOWN_GRACE_MS
                               : 0;
    uint16_t columns, rows;
    if (term_size(&columns, &rows) && (columns != pump.columns || rows != pump.rows)) {
        pump.columns = columns;
        pump.rows = rows;
        (void)microvm_console_resize(pump.relay->vm, columns, rows, NULL);
    }
}

bool relay_run(struct relay *relay)
{
    static char out[OUT_BYTES];
    microvm_error err;
    bool console = relay->console != -1, ok = true;
    pump.relay = relay;
    pump.escape.on = term_is_raw();
    if (microvm_begin(relay->vm, MICROVM_OP_START, &err)) {
        say_error(&err);
        return false;
    }
    (void)SetConsoleCtrlHandler(on_control, TRUE);
    HANDLE input = console && relay->input
                       ? CreateThread(NULL, 0, input_thread, NULL, 0, NULL)
                       : NULL;
    bool running = true;
    while (ok && (running || console)) {
        pump_tick();
        if (console) {
            int64_t n =
                microvm_console_read(relay->console, out, OUT_BYTES, TICK_MS, NULL);
            ok = n <= 0 || output_write(out, (DWORD)n);
            console = n > 0 || n == MICROVM_E_TIMEOUT;
        } else {
            (void)microvm_wait(relay->vm, TICK_MS, NULL, NULL);
        }
        running = relay_events(relay);
    }
    if (input) { /* it may wait for a key for ever; the process ends soon */
        (void)CancelSynchronousIo(input);
        (void)WaitForSingleObject(input, TICK_MS);
        (void)CloseHandle(input);
    }
    return ok;
}
