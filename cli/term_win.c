/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The console of Windows, with the escape sequences of terminals switched on. There is
 * no guardian here: a process that is killed leaves the modes behind, and the shells of
 * Windows set their own when they get the console back.
 */
#include "term.h"

#include <io.h>
#include <windows.h>

#ifndef ENABLE_VIRTUAL_TERMINAL_INPUT
#define ENABLE_VIRTUAL_TERMINAL_INPUT 0x0200
#endif
#ifndef ENABLE_VIRTUAL_TERMINAL_PROCESSING
#define ENABLE_VIRTUAL_TERMINAL_PROCESSING 0x0004
#endif
#ifndef DISABLE_NEWLINE_AUTO_RETURN
#define DISABLE_NEWLINE_AUTO_RETURN 0x0008
#endif

static struct {
    bool raw;
    DWORD input, output; /* the modes as found */
} term;

bool term_is_terminal(int fd)
{
    return _isatty(fd) != 0;
}

bool term_is_raw(void)
{
    return term.raw;
}

bool term_make_raw(void)
{
    HANDLE in = GetStdHandle(STD_INPUT_HANDLE), out = GetStdHandle(STD_OUTPUT_HANDLE);
    if (!GetConsoleMode(in, &term.input) || !GetConsoleMode(out, &term.output))
        return false;
    DWORD input = term.input & ~(DWORD)(ENABLE_ECHO_INPUT | ENABLE_LINE_INPUT |
                                        ENABLE_PROCESSED_INPUT);
    if (!SetConsoleMode(in, input | ENABLE_VIRTUAL_TERMINAL_INPUT))
        return false;
    (void)SetConsoleMode(out, term.output | ENABLE_VIRTUAL_TERMINAL_PROCESSING |
                                  DISABLE_NEWLINE_AUTO_RETURN);
    term.raw = true;
    return true;
}

void term_restore(void)
{
    if (!term.raw)
        return;
    (void)SetConsoleMode(GetStdHandle(STD_INPUT_HANDLE), term.input);
    (void)SetConsoleMode(GetStdHandle(STD_OUTPUT_HANDLE), term.output);
    term.raw = false;
}

void term_suspend(void)
{
}

bool term_size(uint16_t *columns, uint16_t *rows)
{
    CONSOLE_SCREEN_BUFFER_INFO info;
    if (!GetConsoleScreenBufferInfo(GetStdHandle(STD_OUTPUT_HANDLE), &info))
        return false;
    *columns = (uint16_t)(info.srWindow.Right - info.srWindow.Left + 1);
    *rows = (uint16_t)(info.srWindow.Bottom - info.srWindow.Top + 1);
    return true;
}

uint64_t term_clock_ms(void)
{
    return GetTickCount64();
}
