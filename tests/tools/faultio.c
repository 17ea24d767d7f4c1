/*
 * Faults of disk, process and clock for a real worker, by interposition (LD_PRELOAD). Built by the tests with gcc.
 *
 * FAULTIO       rules, separated by ';':  CALL:PATH:N:ACTION   CALL  write | fsync | unlink | rename | truncate
 *                                                              PATH  part of the file's path (of the old name in a rename)
 *                                                              N     the N-th matching call, from 1; "N+" = that and all later ones
 *   error=ERRNO   the call fails and does nothing              delay=MS[-MS]  sleeps before the call, between the two
 *   kill          SIGKILL instead of the call                  killafter      SIGKILL right after it
 *   tear=BYTES    writes that many bytes only, then SIGKILL (negative: all but that many)
 * FAULTIO_ARM   a file without which the rules neither count nor act
 * FAULTIO_LOG   a file to which every error and kill is appended, one line each
 * FAULTIO_CLOCK a file with an int64: nanoseconds added to the wall clock from now on. The monotonic clock is left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MAX_RULES = 32 };
enum action { FAIL, DELAY, KILL, KILL_AFTER, TEAR };

struct rule {
    char call[16], path[256];
    long from, once;
    enum action action;
    long a, b;
    atomic_long seen;
};

static struct rule rules[MAX_RULES];
static int count;
static const volatile long long *offset;
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_fsync)(int);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);
static int (*real_truncate)(int, off64_t);
static int (*real_clock)(clockid_t, struct timespec *);

#define REAL(f, name) do { if (!(f)) *(void **)&(f) = dlsym(RTLD_NEXT, name); } while (0)

static void parse(const char *text)
{
    char *copy = strdup(text), *outer = NULL, *inner = NULL;
    for (char *r = strtok_r(copy, ";", &outer); r && count < MAX_RULES; r = strtok_r(NULL, ";", &outer)) {
        struct rule *x = &rules[count];
        char *call = strtok_r(r, ":", &inner), *path = strtok_r(NULL, ":", &inner), *n = strtok_r(NULL, ":", &inner), *act = strtok_r(NULL, ":", &inner);
        if (!call || !path || !n || !act) {
            fprintf(stderr, "faultio: can't read a rule of FAULTIO\n");
            _exit(99);
        }
        snprintf(x->call, sizeof x->call, "%s", call);
        snprintf(x->path, sizeof x->path, "%s", path);
        x->from = atol(n);
        x->once = strchr(n, '+') == NULL;
        char *value = strchr(act, '=');
        x->a = value ? atol(value + 1) : 0;
        char *upper = value ? strchr(value + 2, '-') : NULL;
        x->b = upper ? atol(upper + 1) : x->a;
        x->action = !strncmp(act, "error", 5) ? FAIL : !strncmp(act, "delay", 5) ? DELAY : !strcmp(act, "kill") ? KILL : !strcmp(act, "killafter") ? KILL_AFTER : TEAR;
        count++;
    }
    free(copy);
}

__attribute__((constructor)) static void start(void)
{
    const char *text = getenv("FAULTIO"), *clock = getenv("FAULTIO_CLOCK");
    if (text)
        parse(text);
    if (clock) {
        int fd = open(clock, O_RDONLY | O_CLOEXEC);
        void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED)
            offset = map;
    }
}

static void note(const struct rule *r, long n, const char *path)
{
    const char *file = getenv("FAULTIO_LOG");
    if (!file)
        return;
    char line[600];
    int length = snprintf(line, sizeof line, "%s %ld %s\n", r->call, n, path);
    int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0) {
        syscall(SYS_write, fd, line, length);
        close(fd);
    }
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* The rule that acts before or instead of this call; delays are served here. */
static struct rule *strike(const char *call, const char *path)
{
    struct rule *found = NULL;
    const char *arm = count ? getenv("FAULTIO_ARM") : NULL;
    if (arm && access(arm, F_OK) != 0)
        return NULL;
    for (int i = 0; i < count; i++) {
        struct rule *r = &rules[i];
        if (strcmp(r->call, call) || !strstr(path, r->path))
            continue;
        long n = atomic_fetch_add(&r->seen, 1) + 1;
        if (r->once ? n != r->from : n < r->from)
            continue;
        if (r->action == DELAY) {
            unsigned long x = (unsigned long)n * 6364136223846793005UL + 1442695040888963407UL;
            long ms = r->a + (long)((x >> 33) % (unsigned long)(r->b - r->a + 1));
            usleep(ms * 1000);
            continue;
        }
        note(r, n, path);
        if (r->action == KILL)
            die();
        found = r;
    }
    return found;
}

static struct rule *strike_fd(const char *call, int fd, char *path, size_t size)
{
    if (count == 0)
        return NULL;
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, size - 1);
    if (n <= 0)
        return NULL;
    path[n] = 0;
    return strike(call, path);
}

static size_t torn(const struct rule *r, size_t n)
{
    long left = r->a >= 0 ? r->a : (long)n + r->a;
    return left < 0 ? 0 : (size_t)left > n ? n : (size_t)left;
}

#define AFTER(r) do { if ((r) && (r)->action == KILL_AFTER) die(); } while (0)
#define FAILS(r) do { if ((r) && (r)->action == FAIL) { errno = (int)(r)->a; return -1; } } while (0)

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
    REAL(real_pwrite, "pwrite64");
    char path[512];
    struct rule *r = strike_fd("write", fd, path, sizeof path);
    FAILS(r);
    if (r && r->action == TEAR) {
        real_pwrite(fd, data, torn(r, n), at);
        die();
    }
    ssize_t done = real_pwrite(fd, data, n, at);
    AFTER(r);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    return pwrite64(fd, data, n, at);
}

ssize_t write(int fd, const void *data, size_t n)
{
    REAL(real_write, "write");
    char path[512];
    struct rule *r = strike_fd("write", fd, path, sizeof path);
    FAILS(r);
    if (r && r->action == TEAR) {
        real_write(fd, data, torn(r, n));
        die();
    }
    ssize_t done = real_write(fd, data, n);
    AFTER(r);
    return done;
}

int fsync(int fd)
{
    REAL(real_fsync, "fsync");
    char path[512];
    struct rule *r = strike_fd("fsync", fd, path, sizeof path);
    FAILS(r);
    int done = real_fsync(fd);
    AFTER(r);
    return done;
}

int unlink(const char *path)
{
    REAL(real_unlink, "unlink");
    struct rule *r = strike("unlink", path);
    FAILS(r);
    int done = real_unlink(path);
    AFTER(r);
    return done;
}

int rename(const char *from, const char *to)
{
    REAL(real_rename, "rename");
    struct rule *r = strike("rename", from);
    FAILS(r);
    int done = real_rename(from, to);
    AFTER(r);
    return done;
}

int ftruncate64(int fd, off64_t length)
{
    REAL(real_truncate, "ftruncate64");
    char path[512];
    struct rule *r = strike_fd("truncate", fd, path, sizeof path);
    FAILS(r);
    int done = real_truncate(fd, length);
    AFTER(r);
    return done;
}

int ftruncate(int fd, off_t length)
{
    return ftruncate64(fd, length);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    REAL(real_clock, "clock_gettime");
    int done = real_clock(id, t);
    if (offset && done == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        long long ns = t->tv_sec * 1000000000LL + t->tv_nsec + *offset;
        t->tv_sec = ns / 1000000000LL;
        t->tv_nsec = ns % 1000000000LL;
    }
    return done;
}
