/* Fails the n-th call that writes below a directory, as SQLite's tests do.
 *
 * Preloaded (LD_PRELOAD) into a process; FAULT_ROOT, FAULT_AT and FAULT_KIND of
 * its environment say where, which call and how. Counted are write, pwrite,
 * writev, fsync, fdatasync, rename and mkdir, by whichever library they are
 * made; a process that is not killed writes their number to FAULT_COUNT.
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
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, FULL, BROKEN, KILL };

static char root[4096];
static int kind;
static long at;
static atomic_long count;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void arm(void) {
  strncpy(root, getenv("FAULT_ROOT"), sizeof root - 1);
  kind = atoi(getenv("FAULT_KIND"));
  at = atol(getenv("FAULT_AT"));
}

__attribute__((destructor)) static void tell(void) {
  FILE *file = fopen(getenv("FAULT_COUNT"), "w");
  fprintf(file, "%ld", (long)count);
  fclose(file);
}

static int below(const char *path) {
  return root[0] && path && !strncmp(path, root, strlen(root));
}

static int below_fd(int fd) {
  char name[64], path[4096];
  if (!root[0]) return 0;
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(name, path, sizeof path - 1);
  if (n < 0) return 0;
  path[n] = 0;
  return below(path);
}

/* Whether the call fails, with errno; a full disk stays full, and has room for
 * another name of what is there. */
static int fails(int renames) {
  long n = ++count;
  if (kind == KILL && n == at) kill(getpid(), SIGKILL);
  if (kind == FULL && n >= at && !renames) return errno = ENOSPC;
  if (kind == BROKEN && n == at) return errno = EIO;
  return 0;
}

ssize_t write(int fd, const void *data, size_t n) {
  if (below_fd(fd)) {
    /* Half of it is there when the process is killed. */
    if (kind == KILL && count + 1 == at && n > 1) REAL(write)(fd, data, n / 2);
    if (fails(0)) return -1;
  }
  return REAL(write)(fd, data, n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t where) {
  if (below_fd(fd) && fails(0)) return -1;
  return REAL(pwrite)(fd, data, n, where);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t where) {
  if (below_fd(fd) && fails(0)) return -1;
  return REAL(pwrite64)(fd, data, n, where);
}

ssize_t writev(int fd, const struct iovec *parts, int n) {
  if (below_fd(fd) && fails(0)) return -1;
  return REAL(writev)(fd, parts, n);
}

int fsync(int fd) {
  if (below_fd(fd) && fails(0)) return -1;
  return REAL(fsync)(fd);
}

int fdatasync(int fd) {
  if (below_fd(fd) && fails(0)) return -1;
  return REAL(fdatasync)(fd);
}

int rename(const char *old, const char *new) {
  if (below(new) && fails(1)) return -1;
  return REAL(rename)(old, new);
}

int renameat(int from, const char *old, int to, const char *new) {
  if (below(new) && fails(1)) return -1;
  return REAL(renameat)(from, old, to, new);
}

int mkdir(const char *path, mode_t mode) {
  if (below(path) && fails(0)) return -1;
  return REAL(mkdir)(path, mode);
}
