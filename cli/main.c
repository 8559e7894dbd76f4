/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm: the table of its commands.
 */
#include "cli.h"

static const struct command cmd_completion = {
    .name = "completion",
    .usage = "bash|zsh|fish",
    .summary = "Print a completion script for a shell",
    .details = "Examples:\n"
               "  source <(microvm completion bash)\n"
               "  microvm completion zsh > ~/.zfunc/_microvm\n"
               "  microvm completion fish > ~/.config/fish/completions/microvm.fish\n",
    .words = true,
    .run = completion_run,
};

static const struct command *const commands[] = {
    &cmd_run,    &cmd_ps,     &cmd_stop,    &cmd_kill,    &cmd_pause,      &cmd_resume,
    &cmd_wait,   &cmd_exec,   &cmd_shell,   &cmd_cp,      &cmd_logs,       &cmd_attach,
    &cmd_port,   &cmd_net,    &cmd_limit,   &cmd_connect, &cmd_socks,      &cmd_vpn,
    &cmd_images, &cmd_pull,   &cmd_rmi,     &cmd_prune,   &cmd_inspect,    &cmd_stats,
    &cmd_info,   &cmd_config, &cmd_version, &cmd_help,    &cmd_completion, NULL};

const struct program program = {
    .name = "microvm",
    .usage = "COMMAND [OPTIONS]",
    .summary = "Starts small hardware-isolated virtual machines.\n",
    .hint = "'microvm info' says what works on this computer.\n",
    .commands = commands,
    .chief = &cmd_run,
};

int main(int argc, char **argv)
{
    return program_main(argc, argv);
}
