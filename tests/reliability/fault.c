// Faults of the world around a program, preloaded into it and its children (LD_PRELOAD); what each variable switches on:
//
//   FAULT_COUNTER=FILE   counts what changes a disk, over all processes, in the first 8 bytes of FILE
//   FAULT_FULL_AT=N      from the N-th of these on, the disk is full (needs FAULT_COUNTER)
//   FAULT_FULL_FOR=N     … and has room again after so many
//   FAULT_CLOCK=S        every reading of the time of day is up to S seconds before or after the right one
//   FAULT_NO_LOCKS=1     a file system without locks: Lustre mounted without flock, NFS without lockd
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define REAL(name, ...) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static long number(const char* name) {
  const char* text = getenv(name);
  return text ? atol(text) : 0;
}

static int disk_is_full(void) {
  static _Atomic uint64_t* counter;
  static long at = -1, for_how_many;
  if (at < 0) {
    const char* path = getenv("FAULT_COUNTER");
    at = number("FAULT_FULL_AT"), for_how_many = number("FAULT_FULL_FOR");
    REAL(open, );
    const int file = path ? real(path, O_RDWR | O_CLOEXEC) : -1;
    void* memory = file >= 0 ? mmap(0, 8, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
    if (file >= 0) close(file);
    counter = memory == MAP_FAILED ? 0 : memory;
  }
  if (!counter) return 0;
  const long now = (long)++*counter;
  if (!at || now < at || (for_how_many && now >= at + for_how_many)) return 0;
  errno = ENOSPC;
  return 1;
}

static int on_disk(int file) {
  struct stat status;
  return fstat(file, &status) == 0 && S_ISREG(status.st_mode);
}

ssize_t write(int file, const void* bytes, size_t count) {
  REAL(write, );
  return on_disk(file) && disk_is_full() ? -1 : real(file, bytes, count);
}
ssize_t pwrite(int file, const void* bytes, size_t count, off_t at) {
  REAL(pwrite, );
  return on_disk(file) && disk_is_full() ? -1 : real(file, bytes, count, at);
}
ssize_t pwrite64(int file, const void* bytes, size_t count, off64_t at) {
  REAL(pwrite64, );
  return on_disk(file) && disk_is_full() ? -1 : real(file, bytes, count, at);
}
int fsync(int file) {
  REAL(fsync, );
  return on_disk(file) && disk_is_full() ? -1 : real(file);
}
int ftruncate(int file, off_t size) {
  REAL(ftruncate, );
  return size > 0 && disk_is_full() ? -1 : real(file, size);
}
int rename(const char* from, const char* to) {
  REAL(rename, );
  return disk_is_full() ? -1 : real(from, to);
}
int mkdir(const char* path, mode_t mode) {
  REAL(mkdir, );
  return disk_is_full() ? -1 : real(path, mode);
}
static int makes(const char* path, int flags) {
  struct stat status;
  return (flags & O_CREAT) && stat(path, &status) != 0;
}
#define OPEN(name)                                                            \
  int name(const char* path, int flags, ...) {                                \
    va_list rest;                                                             \
    va_start(rest, flags);                                                    \
    const mode_t mode = va_arg(rest, mode_t);                                 \
    va_end(rest);                                                             \
    REAL(name, );                                                             \
    return makes(path, flags) && disk_is_full() ? -1 : real(path, flags, mode); \
  }
OPEN(open)
OPEN(open64)

int flock(int file, int operation) {
  REAL(flock, );
  if (!number("FAULT_NO_LOCKS")) return real(file, operation);
  errno = ENOLCK;
  return -1;
}

static long jump(void) {
  static uint64_t state = 88172645463325252u;
  const long most = number("FAULT_CLOCK");
  if (!most) return 0;
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (long)(state % (uint64_t)(2 * most + 1)) - most;
}
int clock_gettime(clockid_t clock, struct timespec* now) {
  REAL(clock_gettime, );
  const int result = real(clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += jump();
  return result;
}
int gettimeofday(struct timeval* restrict now, void* restrict zone) {
  REAL(gettimeofday, );
  const int result = real(now, zone);
  if (result == 0) now->tv_sec += jump();
  return result;
}
time_t time(time_t* out) {
  REAL(time, );
  const time_t now = real(0) + jump();
  if (out) *out = now;
  return now;
}
