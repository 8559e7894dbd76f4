/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * kvmbox agent: PID 1 of the emulated machine. It
 *   1. mounts the pseudo file systems and loads the modules listed in /mods.list,
 *   2. says READY on the control port (here the host takes the snapshot),
 *   3. reads one job, builds the root file system (9p below, tmpfs above) and runs the
 *      command with its three standard streams on virtio-serial ports,
 *   4. reports the exit status and waits for the host to end the machine.
 * It never ends by itself: the host kills the machine.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROOT       "/newroot"
#define MSIZE      "524288" /* 9p message size: fewer round trips for large reads */
#define MAX_WORDS  4096
#define MAX_SHARES 64

/* What the host asked for; the strings point into the job message. */
struct job {
    char *argv[MAX_WORDS];
    char *envv[MAX_WORDS];
    char *shares[MAX_SHARES];
    size_t args, envs, nshares;
    const char *cwd;
};

struct ports {
    int in, out, err;
};

static int ctl = -1;

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
    char b[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(b, sizeof(b), fmt, ap);
    va_end(ap);
    if (n > (int)sizeof(b) - 1)
        n = (int)sizeof(b) - 1;
    if (ctl >= 0 && write(ctl, b, (size_t)n) != n)
        perror("ctl");
}

__attribute__((noreturn)) static void die(const char *what)
{
    int code = errno;
    fprintf(stderr, "kvmbox-agent: %s: %s\n", what, strerror(code));
    say("FAIL %s: %s\n", what, strerror(code));
    for (;;)
        pause();
}

static void make_dirs(const char *path)
{
    char b[4096];
    snprintf(b, sizeof(b), "%s", path);
    for (char *p = b + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        mkdir(b, 0755);
        *p = '/';
    }
    mkdir(b, 0755);
}

/* A mount that the job can do without: a kernel may lack debugfs. */
static void mount_maybe(const char *src, const char *dst, const char *type,
                        const char *opt)
{
    make_dirs(dst);
    if (mount(src, dst, type, 0, opt))
        fprintf(stderr, "kvmbox-agent: no %s: %s\n", dst, strerror(errno));
}

static void mount_must(const char *src, const char *dst, const char *type,
                       unsigned long flags, const char *opt)
{
    char what[4500];
    if (mount(src, dst, type, flags, opt) == 0)
        return;
    snprintf(what, sizeof(what), "mount %s on %.4300s", type ? type : src, dst);
    die(what);
}

static void load_modules(void)
{
    char line[512];
    FILE *f = fopen("/mods.list", "r");
    if (!f)
        return;
    while (fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = 0;
        int fd = *line ? open(line, O_RDONLY | O_CLOEXEC) : -1;
        if (fd < 0)
            continue;
        if (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST)
            fprintf(stderr, "kvmbox-agent: %s: %s\n", line, strerror(errno));
        close(fd);
    }
    fclose(f);
}

static int port_is(const char *dev, const char *name)
{
    char path[600], text[64] = "";
    snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", dev);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[strcspn(text, "\n")] = 0;
    return n > 0 && strcmp(text, name) == 0;
}

static int open_port(const char *name)
{
    for (int tries = 0; tries < 2000; tries++) { /* 10 s: the driver probes late */
        DIR *d = opendir("/sys/class/virtio-ports");
        struct dirent *e;
        while (d && (e = readdir(d))) {
            char path[600];
            snprintf(path, sizeof(path), "/dev/%s", e->d_name);
            int fd = port_is(e->d_name, name) ? open(path, O_RDWR | O_CLOEXEC) : -1;
            if (fd >= 0) {
                closedir(d);
                return fd;
            }
        }
        if (d)
            closedir(d);
        usleep(5000);
    }
    die(name);
}

static int kernel_option(const char *word)
{
    char line[4096] = "";
    int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, line, sizeof(line) - 1) : -1;
    if (fd >= 0)
        close(fd);
    return n > 0 && strstr(line, word) != NULL;
}

/*
 * The rule of the idle VMs. KVM patches kernel code (static keys: preempt notifiers in
 * __schedule(), "some LAPIC is disabled", "some vCPU has no LAPIC") when the first VM
 * comes and when the last one goes. Under TCG with several threads the other CPU can
 * then spin for ever on a stale INT3 (seen: one hang in about 70 VM starts). Two idle
 * VMs that live as long as this machine keep those keys where they are; their
 * descriptors are never closed, on purpose.
 */
static void pin_static_keys(void)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0 || kernel_option("kvmbox.nopin")) /* the option reproduces the hang */
        return;
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
#if defined(__x86_64__)
    ioctl(vm, KVM_CREATE_VCPU, 0); /* a vCPU without LAPIC */
    vm = ioctl(kvm, KVM_CREATE_VM, 0);
    ioctl(vm, KVM_CREATE_IRQCHIP, 0);
    ioctl(vm, KVM_CREATE_VCPU, 0); /* LAPIC disabled by software: the state at reset */
    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 1); /* LAPIC disabled by hardware: */
    struct kvm_sregs s;
    if (ioctl(vcpu, KVM_GET_SREGS, &s) == 0) {
        s.apic_base &= ~(1ull << 11);
        if (ioctl(vcpu, KVM_SET_SREGS, &s))
            perror("apic_base");
    }
#endif
    if (vm < 0)
        perror("KVM_CREATE_VM");
}

static void read_all(int fd, void *to, size_t n)
{
    char *b = to;
    while (n) {
        ssize_t r = read(fd, b, n);
        if (r <= 0) {
            usleep(2000); /* the host's side is not connected (yet) */
            continue;
        }
        b += r;
        n -= (size_t)r;
    }
}

static int write_all(int fd, const char *b, size_t n)
{
    while (n) {
        ssize_t w = write(fd, b, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return -1;
        b += w;
        n -= (size_t)w;
    }
    return 0;
}

static double uptime(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void set_up_console(void)
{
    int fd = open("/dev/console", O_RDWR);
    if (fd < 0)
        return;
    for (int i = 0; i < 3; i++)
        dup2(fd, i);
    if (fd > 2)
        close(fd);
}

static void loopback_up(void)
{
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return;
    struct ifreq ifr = {.ifr_name = "lo"};
    ifr.ifr_flags = IFF_UP | IFF_RUNNING;
    ioctl(s, SIOCSIFFLAGS, &ifr);
    close(s);
}

static void set_up_machine(void)
{
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"},
                                           {"/proc/self/fd/2", "/dev/stderr"}};
    struct rlimit rl = {RLIM_INFINITY, RLIM_INFINITY};
    mount_maybe("proc", "/proc", "proc", NULL);
    mount_maybe("sysfs", "/sys", "sysfs", NULL);
    mount_maybe("dev", "/dev", "devtmpfs", NULL);
    set_up_console();
    mount_maybe("devpts", "/dev/pts", "devpts", "ptmxmode=0666,mode=620");
    mount_maybe("shm", "/dev/shm", "tmpfs", "mode=1777");
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        if (symlink(links[i][0], links[i][1]) && errno != EEXIST)
            perror(links[i][1]);
    mount_maybe("debugfs", "/sys/kernel/debug", "debugfs", NULL);
    mount_maybe("tracefs", "/sys/kernel/tracing", "tracefs", NULL);
    mount_maybe("cgroup2", "/sys/fs/cgroup", "cgroup2", NULL);
    load_modules();
    setrlimit(RLIMIT_MEMLOCK, &rl);
    loopback_up();
    if (sethostname("kvmbox", 6))
        perror("hostname");
    make_dirs("/lower");
    make_dirs("/share");
    make_dirs("/rw");
    make_dirs(ROOT);
    mount_must("rw", "/rw", "tmpfs", 0, "mode=0755,size=90%");
    make_dirs("/rw/up");
    make_dirs("/rw/work");
}

static void set_clock(const char *seconds)
{
    struct timespec ts = {.tv_sec = strtoll(seconds, NULL, 10)};
    if (clock_settime(CLOCK_REALTIME, &ts))
        perror("clock");
}

/* A job is a list of strings, each ended by a zero byte; the first letter says what. */
static void read_job(struct job *job)
{
    char head[9] = "";
    read_all(ctl, head, 8);
    size_t n = strtoul(head, NULL, 16);
    char *text = calloc(1, n + 1);
    if (!text)
        die("job");
    read_all(ctl, text, n);
    job->cwd = "/";
    for (char *p = text; p < text + n; p += strlen(p) + 1) {
        if (*p == 't')
            set_clock(p + 1);
        else if (*p == 'c')
            job->cwd = p + 1;
        else if (*p == 'a' && job->args < MAX_WORDS - 1)
            job->argv[job->args++] = p + 1;
        else if (*p == 'e' && job->envs < MAX_WORDS - 1)
            job->envv[job->envs++] = p + 1;
        else if (*p == 's' && job->nshares < MAX_SHARES)
            job->shares[job->nshares++] = p + 1;
        else
            die("job: too many words, or a letter that is not known");
    }
    if (!job->args)
        die("no command");
}

/* SHARE is a path of the host; after a tab the path inside, where it differs. */
static void mount_share(char *share)
{
    char src[4400], dst[4400];
    struct stat st;
    char *inside = strchr(share, '\t');
    if (inside)
        *inside++ = 0;
    snprintf(src, sizeof(src), "/share%s", share);
    snprintf(dst, sizeof(dst), ROOT "%s", inside ? inside : share);
    if (stat(src, &st))
        die(src);
    if (S_ISDIR(st.st_mode))
        make_dirs(dst);
    mount_must(src, dst, NULL, MS_BIND, NULL);
}

static void build_root(const struct job *job)
{
    static const char *const bind[] = {"/proc", "/sys", "/dev"};
    static const char opt[] = "trans=virtio,version=9p2000.L,msize=" MSIZE;
    char text[256];
    snprintf(text, sizeof(text), "%s,cache=loose", opt);
    mount_must("kvmbox.root", "/lower", "9p", MS_RDONLY, text);
    mount_must("overlay", ROOT, "overlay", 0,
               "lowerdir=/lower,upperdir=/rw/up,workdir=/rw/work");
    for (size_t i = 0; i < sizeof(bind) / sizeof(bind[0]); i++) {
        char dst[64];
        snprintf(dst, sizeof(dst), ROOT "%s", bind[i]);
        make_dirs(dst);
        mount_must(bind[i], dst, NULL, MS_BIND | MS_REC, NULL);
    }
    mount_maybe("run", ROOT "/run", "tmpfs", "mode=0755");
    snprintf(text, sizeof(text), "%s,cache=mmap", opt);
    if (job->nshares)
        mount_must("kvmbox.share", "/share", "9p", 0, text);
    for (size_t i = 0; i < job->nshares; i++)
        mount_share(job->shares[i]);
    /* As switch_root does: after a plain chroot, CLONE_NEWUSER and pivot_root would
     * fail in the job. */
    if (chdir(ROOT) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") ||
        chdir("/"))
        die("switch root");
}

__attribute__((noreturn)) static void run_command(struct job *job, int in, int out,
                                                  int err)
{
    setsid();
    dup2(in, 0);
    dup2(out, 1);
    dup2(err, 2);
    if (chdir(job->cwd) && chdir("/"))
        _exit(126);
    say("STARTED %.3f\n", uptime());
    environ = job->envv;
    execvpe(job->argv[0], job->argv, job->envv);
    fprintf(stderr, "kvmbox: %s: %s\n", job->argv[0], strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
}

/*
 * Standard input has a process of its own, so that a command that does not read it
 * cannot stop its output. Frames: four bytes of length, then the bytes; length 0 is
 * the end.
 */
__attribute__((noreturn)) static void feed(int port, int to)
{
    static char b[65536];
    for (;;) {
        uint32_t len;
        read_all(port, &len, sizeof(len));
        if (len == 0 || len > sizeof(b))
            _exit(0);
        read_all(port, b, len);
        if (write_all(to, b, len))
            _exit(0);
    }
}

/* One step of a stream; closes FROM at its end. */
static void relay(struct pollfd *from, int to, uint64_t *count)
{
    static char buf[65536];
    if (from->fd < 0 || !from->revents)
        return;
    ssize_t n = read(from->fd, buf, sizeof(buf));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || write_all(to, buf, (size_t)n)) {
        close(from->fd);
        from->fd = -1;
        return;
    }
    *count += (uint64_t)n;
}

static void reap(pid_t child, int *done, int *code)
{
    int st;
    pid_t pid;
    while ((pid = waitpid(-1, &st, WNOHANG)) > 0) {
        if (pid != child)
            continue;
        *done = 1;
        *code = WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
    }
}

static void relay_until_exit(pid_t child, const struct ports *ports, int out, int err)
{
    uint64_t nout = 0, nerr = 0;
    int done = 0, code = 0, quiet = 0;
    double start = uptime();
    struct pollfd pf[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
    while (pf[0].fd >= 0 || pf[1].fd >= 0 || !done) {
        int closed = pf[0].fd < 0 && pf[1].fd < 0;
        int ready = poll(pf, 2, done ? 20 : closed ? 1 : 100);
        relay(&pf[0], ports->out, &nout);
        relay(&pf[1], ports->err, &nerr);
        reap(child, &done, &code);
        if (done && ready == 0 && ++quiet >= 2)
            break; /* a daemon that the command left keeps the pipe open */
    }
    sync();
    say("EXIT %d %llu %llu %.3f\n", code, (unsigned long long)nout,
        (unsigned long long)nerr, uptime() - start);
}

static void run_job(struct job *job, const struct ports *ports)
{
    int in[2], out[2], err[2];
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
        die("pipe");
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0)
        run_command(job, in[0], out[1], err[1]);
    pid_t feeder = fork();
    if (feeder < 0)
        die("fork");
    if (feeder == 0) {
        int other[] = {in[0], out[0], out[1], err[0], err[1]};
        for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
            close(other[i]);
        feed(ports->in, in[1]);
    }
    signal(SIGPIPE, SIG_IGN);
    close(in[0]);
    close(in[1]);
    close(out[1]);
    close(err[1]);
    relay_until_exit(child, ports, out[0], err[0]);
}

int main(void)
{
    static struct job job;
    set_up_machine();
    pin_static_keys();
    sleep(2); /* deferred key updates settle: they wait one second */
    ctl = open_port("kvmbox.ctl");
    struct ports ports = {open_port("kvmbox.in"), open_port("kvmbox.out"),
                          open_port("kvmbox.err")};
    say("READY %.3f\n", uptime());
    read_job(&job); /* the snapshot is taken while we wait here */
    build_root(&job);
    run_job(&job, &ports);
    for (;;)
        pause();
}
