/* What the cache does to files and directories, always below a descriptor. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sha256.h"

typedef struct { char name[128], sha[65]; long long bytes; } Frame;
typedef struct {
  int dir, count, error; /* dir: -1 where the handle is free; error: why it is outside the root */
  bool is_work;
  char key[200], name[300];
  Frame *frames;
} Held;

static char root[4096] = "";

static bool lock(int fd, int how) { return flock(fd, how | LOCK_NB) == 0; }

static int open_root(void) { return open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC); }

static bool are_locks_real(void) { /* two descriptors, and only one may have it */
  int one = open_root(), two = open_root();
  bool real = one >= 0 && two >= 0 && lock(one, LOCK_SH) && !lock(two, LOCK_EX);
  real = real && errno == EWOULDBLOCK;
  return close(one), close(two), real;
}

static char *slurp(int dir, const char *name, long long *size) { /* NULL and errno */
  int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  struct stat st;
  if (fd < 0) return NULL;
  char *bytes = fstat(fd, &st) ? NULL : malloc((size_t)st.st_size + 1);
  ssize_t got = 0;
  for (*size = 0; bytes && *size < st.st_size; *size += got)
    if ((got = read(fd, bytes + *size, (size_t)(st.st_size - *size))) <= 0) {
      if (got < 0 && errno == EINTR) { got = 0; continue; }
      if (!got) break;
      free(bytes), bytes = NULL;
    }
  if (bytes) bytes[*size] = 0;
  return close(fd), bytes;
}

static int spill(int dir, const char *name, const char *bytes, long long size) { /* 0, or errno */
  int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), error = 0;
  if (fd < 0) return errno;
  for (ssize_t put = 0; size > 0 && !error; bytes += put, size -= put)
    if ((put = write(fd, bytes, (size_t)size)) < 0 && (put = 0, errno != EINTR)) error = errno;
  return close(fd) && !error ? errno : error;
}

static bool leads_to(int parent, const char *name, int dir) { /* does the path still lead there? */
  struct stat at, there;
  return !fstatat(parent, name, &at, AT_SYMLINK_NOFOLLOW) && !fstat(dir, &there) &&
         at.st_ino == there.st_ino && at.st_dev == there.st_dev;
}

static DIR *listing(int dir) { /* with an offset of its own */
  int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd < 0 ? NULL : fdopendir(fd);
}

static bool take(int dir, const char *name, long long *freed) { /* whether it was we who took it */
  struct stat st;
  if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) return false;
  if (unlinkat(dir, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0)) return false;
  return *freed += st.st_size, true;
}

static bool empty(int dir, long long *freed) { /* the seal first; whether it was we who took it */
  bool won = take(dir, "seal", freed);
  if (!won && !faccessat(dir, "seal", F_OK, 0)) return false; /* it cannot go: all stays */
  DIR *names = listing(dir);
  for (struct dirent *each; names && (each = readdir(names));)
    if (strcmp(each->d_name, ".") && strcmp(each->d_name, "..")) take(dir, each->d_name, freed);
  if (names) closedir(names);
  return won;
}

static long long weigh(int dir) {
  long long bytes = 0;
  struct stat st;
  DIR *names = listing(dir);
  for (struct dirent *each; names && (each = readdir(names));)
    if (each->d_name[0] != '.' && !fstatat(dir, each->d_name, &st, AT_SYMLINK_NOFOLLOW))
      bytes += st.st_size;
  if (names) closedir(names);
  return bytes;
}
