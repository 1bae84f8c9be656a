// A time of day that a test sets: the machine's, and the milliseconds that lie in the file which SOAK_CLOCK names.
// Loaded before the C library by LD_PRELOAD. The clock that only counts is left alone, as setting a clock leaves it.
//
// Also, a file beyond RLIMIT_FSIZE is an error (EFBIG) of the write and not the end of the process, as on a full disk.
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset_ms;

__attribute__((constructor)) static void begin(void) {
    signal(SIGXFSZ, SIG_IGN);
    const char *path = getenv("SOAK_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *seen = mmap(NULL, sizeof *offset_ms, PROT_READ, MAP_SHARED, file, 0);
    // A clock that cannot be set would make a test that tests nothing.
    if (seen == MAP_FAILED) abort();
    close(file);
    offset_ms = seen;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    long result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && offset_ms && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t offset = *offset_ms, ms = now->tv_nsec / 1000000 + offset % 1000;
        now->tv_sec += offset / 1000 + (ms < 0 ? -1 : ms / 1000);
        now->tv_nsec = (ms < 0 ? ms + 1000 : ms % 1000) * 1000000 + now->tv_nsec % 1000000;
    }
    return (int)result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &exact);
    if (result == 0) *now = (struct timeval){exact.tv_sec, exact.tv_nsec / 1000};
    return result;
}

time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now) *now = exact.tv_sec;
    return exact.tv_sec;
}
