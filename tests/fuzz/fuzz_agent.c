/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The agent protocol: its bytes, which both ends read with the same functions, and what
 * the host's side makes of an agent that says anything. Strings are only looked at when
 * they are valid, every frame lies inside what was received, and what the application
 * is told is possible: no more output than came, a status of 0 to 255, a window that
 * never grows beyond its size.
 */
#include "fuzz.h"

#include "os/loop.h"
#include "os/socket.h"
#include "proto/agent.h"

#include <stdlib.h>

static void check_strings(const struct agent_frame *frame)
{
    if (!agent_strings_valid(frame->data, frame->length))
        return;
    const char *end = (const char *)frame->data + frame->length;
    static const char *const keys[] = {"do", "arg", "env", "code", "error"};
    for (unsigned k = 0; k < MV_ARRAY_LEN(keys); k++) {
        const char *value;
        for (size_t i = 0;
             (value = agent_strings_get(frame->data, frame->length, keys[k], i)); i++)
            MV_ASSERT(value + strlen(value) < end);
    }
    int64_t n = agent_strings_number(frame->data, frame->length, "code", 7, 3, 255);
    MV_ASSERT(n == -1 || (n >= 3 && n <= 255));
}

static void check_frames(const uint8_t *data, size_t size)
{
    struct agent_frame frame;
    int32_t n;
    while ((n = agent_frame_read(&frame, data, size)) > 0) {
        MV_ASSERT((size_t)n <= size && frame.length + AGENT_HEADER_BYTES == (size_t)n);
        MV_ASSERT(frame.data == data + AGENT_HEADER_BYTES);
        check_strings(&frame);
        data += n;
        size -= (size_t)n;
    }
}

static void use_process(microvm_process *p, const uint8_t *data, size_t size)
{
    uint8_t out[777];
    int64_t n, sum = 0;
    int stream = 0;
    (void)microvm_process_write(p, data, MV_MIN(size, 100u), 0, NULL);
    do {
        n = microvm_process_read(p, out, sizeof out, &stream, 0, NULL);
        MV_ASSERT(n <= (int64_t)sizeof out && (n <= 0 || stream == 1 || stream == 2));
        MV_ASSERT(microvm_process_room(p) <= AGENT_WINDOW);
        sum += n > 0 ? n : 0;
    } while (n > 0);
    int status = microvm_process_status(p);
    MV_ASSERT(sum <= (int64_t)size && status >= -1 && status <= 255);
    MV_ASSERT((n == 0) == (status >= 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const argv[] = {"x", NULL};
    microvm_command command = MICROVM_COMMAND_INIT;
    microvm_process *p;
    intptr_t pair[2];
    if (size > 100000)
        return 0; /* what a socket takes at once */
    check_frames(data, size);
    struct mv_loop loop; /* Windows has sockets once there is one */
    int rc = mv_loop_open(&loop, NULL);
    MV_ASSERT(rc == 0);
    rc = mv_socket_pair(MICROVM_SOCKET_STREAM, pair, NULL);
    MV_ASSERT(rc == 0);
    (void)mv_socket_write(pair[1], data, size);
    mv_socket_end_write(pair[1]);
    command.argv = argv;
    command.flags = MICROVM_COMMAND_INPUT;
    if (microvm_exec_on(pair[0], &command, 0, &p, NULL) == 0) {
        use_process(p, data, size);
        microvm_process_free(p);
    }
    mv_socket_close(pair[1]);
    mv_loop_close(&loop);
    return 0;
}
