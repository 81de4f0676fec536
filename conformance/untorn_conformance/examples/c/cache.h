/* A small cache on disk, in C, whose lease is a lock on the entry's own directory.
 *
 *   ROOT/e-KEY/        an entry: its frames, and seal, which names them all
 *   ROOT/s-DRAWN/      a writer's private work, locked while the writer holds it
 *
 * Rule 1: the seal is written last; renameat2(RENAME_NOREPLACE) makes all of it visible at once.
 * Rule 2: who uses a directory holds LOCK_SH on it, through the rename and until the release. Who
 *         removes one takes LOCK_EX, sees that its path still leads to it, and unlinks below its
 *         descriptor, the seal first. Nobody waits for a lock.
 * Rule 3: where two can have LOCK_EX, nothing is removed: no collect, and no repair. */
#include <sys/random.h>

#include "disk.h"

enum { MOST_FRAMES = 4096, TURNS = 20 };

static long long number(const char *name) { /* of frame_00007.png, 7; -1 where it is no frame's */
  size_t plain = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_");
  size_t digits = strspn(name + plain, "0123456789");
  const char *rest = name + plain + digits;
  size_t suffix = *rest == '.' ? strspn(rest + 1, "abcdefghijklmnopqrstuvwxyz0123456789") : 0;
  return !digits || digits > 15 || !suffix || rest[1 + suffix] ? -1 : atoll(name + plain);
}

static int by_number(const void *a, const void *b) {
  long long x = number(((const Frame *)a)->name), y = number(((const Frame *)b)->name);
  return x < y ? -1 : x > y;
}

static bool newer(struct timespec a, struct timespec b) {
  return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

static const char *check(Held *h) { /* NULL for a whole entry, whose frames it lists; or the miss */
  long long size;
  struct stat sealed, st;
  char key[200], end, *text = slurp(h->dir, "seal", &size), *line = text;
  if (!text || fstatat(h->dir, "seal", &sealed, AT_SYMLINK_NOFOLLOW))
    return free(text), errno == ENOENT ? "incomplete" : "unreadable";
  const char *miss = NULL;
  h->frames = calloc(MOST_FRAMES, sizeof(Frame)), h->count = 0;
  if (sscanf(line, "%199s %d %c", key, &h->count, &end) != 3 || end != '.') miss = "corrupt";
  else if (strcmp(key, h->key) || h->count > MOST_FRAMES) miss = "corrupt";
  for (int i = 0; !miss && i < h->count; i++) { /* a frame newer than the seal was changed since */
    Frame *f = h->frames + i;
    line = strchr(line, '\n');
    if (!line || sscanf(++line, "%127s %lld %64s", f->name, &f->bytes, f->sha) != 3)
      miss = "corrupt";
    else if (fstatat(h->dir, f->name, &st, AT_SYMLINK_NOFOLLOW))
      miss = errno == ENOENT ? "damaged" : "unreadable";
    else if (!S_ISREG(st.st_mode) || st.st_size != f->bytes || newer(st.st_mtim, sealed.st_mtim))
      miss = "damaged";
  }
  return free(text), miss;
}

static void let_go(Held *h) { /* frames that were not published go with their handle */
  long long freed = 0;
  if (h->is_work && h->dir >= 0) {
    int parent = open_root();
    empty(h->dir, &freed);
    unlinkat(parent, h->name, AT_REMOVEDIR);
    close(parent);
  }
  if (h->dir >= 0) close(h->dir);
  free(h->frames);
  *h = (Held){.dir = -1};
}

static const char *find(const char *key, Held *h) { /* NULL and a lease; or the miss */
  int parent = open_root();
  *h = (Held){.dir = -1};
  snprintf(h->key, sizeof h->key, "%s", key), snprintf(h->name, sizeof h->name, "e-%s", key);
  if (parent < 0) return errno == ENOENT || errno == ENOTDIR ? "absent" : "unreadable";
  h->dir = openat(parent, h->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int error = errno;
  close(parent);
  if (h->dir < 0 && error == ENOENT) return "absent";
  if (h->dir < 0) return error == ENOTDIR || error == ELOOP ? "damaged" : "unreadable";
  if (!lock(h->dir, LOCK_SH) && errno == EWOULDBLOCK) return "busy";
  const char *miss = check(h);
  if (!miss) futimens(h->dir, NULL); /* a hit is a use */
  return miss;
}

static int fill(Held *w, char **contents) { /* 0, or errno */
  size_t size = strlen(w->key) + 32, at;
  for (int i = 0; i < w->count; i++) size += strlen(w->frames[i].name) + 96;
  char *seal = malloc(size);
  int error = 0;
  at = (size_t)sprintf(seal, "%s %d .\n", w->key, w->count);
  for (int i = 0; i < w->count && !error; i++) {
    Frame *f = w->frames + i;
    error = spill(w->dir, f->name, contents[i], f->bytes);
    at += (size_t)sprintf(seal + at, "%s %lld %s\n", f->name, f->bytes, f->sha);
  }
  if (!error) error = spill(w->dir, "seal", seal, (long long)at);
  return free(seal), error;
}

static int begin(Held *w) { /* 0 and a locked directory below the root, or errno */
  unsigned long long drawn;
  struct stat st;
  int error = 0, parent = open_root();
  if (parent < 0 && errno == ENOENT && !mkdir(root, 0700)) parent = open_root();
  if (parent < 0) return errno;
  if (getrandom(&drawn, sizeof drawn, 0) < 0) return error = errno, close(parent), error;
  snprintf(w->name, sizeof w->name, "s-%016llx", drawn);
  if (mkdirat(parent, w->name, 0700)) error = errno;
  else if ((w->dir = openat(parent, w->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
    error = errno;
  else if (!lock(w->dir, LOCK_SH) && errno == EWOULDBLOCK) error = ENOENT; /* it is being reaped */
  else if (fstat(w->dir, &st) || !st.st_nlink) error = ENOENT;
  return close(parent), error;
}

static void stage(Held *w, char **contents) { /* outside the root where it cannot be below it */
  w->is_work = true;
  for (int turn = 0; turn < TURNS; turn++) {
    w->dir = -1;
    if (!(w->error = begin(w)) && !(w->error = fill(w, contents))) return;
    long long freed = 0;
    if (w->dir >= 0) empty(w->dir, &freed), close(w->dir);
    if (w->error != ENOENT) break; /* else it was reaped before it was locked */
  }
  const char *tmp = getenv("TMPDIR");
  snprintf(w->name, sizeof w->name, "%s/uncached-XXXXXX", tmp ? tmp : "/tmp");
  w->dir = mkdtemp(w->name) ? open(w->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  fill(w, contents);
}
