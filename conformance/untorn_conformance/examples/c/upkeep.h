/* Publishing, which may have to make room, and collecting. */
#include "cache.h"

enum { GRACE_S = 10 };
typedef struct { const char *kind, *reason, *step; int error; } Outcome;
typedef struct { char name[256]; long long bytes; struct timespec used, dated; bool sealed; } Entry;
typedef struct {
  int evicted, reaped, leased, young, used;
  long long freed, over;
} Collected;

static bool clear(const char *target, Held *ruin) { /* false where somebody holds what is there */
  long long freed = 0;
  bool held = ruin->dir >= 0 && !lock(ruin->dir, LOCK_EX);
  int parent = open_root();
  if (ruin->dir < 0) unlinkat(parent, target, 0); /* a file or link; never a directory */
  else if (!held && leads_to(parent, target, ruin->dir) && check(ruin)) {
    empty(ruin->dir, &freed);
    unlinkat(parent, target, AT_REMOVEDIR);
  }
  return close(parent), !held;
}

static Outcome publish(Held *w) { /* w becomes what can be read afterwards */
  char target[256];
  snprintf(target, sizeof target, "e-%s", w->key);
  if (w->error) return (Outcome){"unpublished", "errno", "stage", w->error};
  futimens(w->dir, NULL);
  for (int turn = 0; turn < TURNS; turn++) {
    int parent = open_root();
    if (parent < 0) return (Outcome){"unpublished", "errno", "open", errno};
    bool done = !renameat2(parent, w->name, parent, target, RENAME_NOREPLACE);
    int error = errno;
    close(parent);
    if (done) {
      w->is_work = false, strcpy(w->name, target);
      return (Outcome){"published", NULL, NULL, 0};
    }
    if (error != EEXIST && error != ENOTEMPTY)
      return (Outcome){"unpublished", "errno", "rename", error};
    Held other;
    const char *miss = find(w->key, &other);
    if (!miss) return let_go(w), *w = other, (Outcome){"adopted", NULL, NULL, 0};
    error = errno;
    bool is_ruin = strcmp(miss, "busy") && strcmp(miss, "unreadable") && strcmp(miss, "absent");
    bool is_trusted = !is_ruin || are_locks_real();
    bool is_held = is_ruin && is_trusted && !clear(target, &other);
    let_go(&other);
    if (!is_trusted) return (Outcome){"unpublished", "untrusted", NULL, 0};
    if (!strcmp(miss, "unreadable")) return (Outcome){"unpublished", "errno", "look", error};
    if (is_held || !strcmp(miss, "busy")) break;
  }
  return (Outcome){"unpublished", "busy", NULL, 0};
}

static int by_use(const void *left, const void *right) { /* then by key */
  const Entry *a = left, *b = right;
  return newer(a->used, b->used) ? 1 : newer(b->used, a->used) ? -1 : strcmp(a->name, b->name);
}

static bool is_old(struct timespec used, struct timespec now, double age_s) {
  return now.tv_sec - used.tv_sec + (now.tv_nsec - used.tv_nsec) / 1e9 >= age_s;
}

static bool reaped(int root_fd, const char *name, int dir, bool dry) {
  long long freed = 0;
  if (!lock(dir, LOCK_EX) || !leads_to(root_fd, name, dir)) return false;
  if (!dry) empty(dir, &freed);
  return dry || !unlinkat(root_fd, name, AT_REMOVEDIR);
}

static int survey(int root_fd, Entry **entries, Collected *c, struct timespec now, bool dry) {
  int count = 0, room = 0;
  DIR *names = listing(root_fd);
  for (struct dirent *each; names && (each = readdir(names));) {
    struct stat st;
    bool is_entry = !strncmp(each->d_name, "e-", 2) && strspn(each->d_name + 2, HEX) > 15;
    bool is_work = !strncmp(each->d_name, "s-", 2) && strspn(each->d_name + 2, HEX) == 16;
    if (!is_entry && !is_work) continue;
    int dir = openat(root_fd, each->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir >= 0 && !fstat(dir, &st) && st.st_uid == getuid()) {
      struct timespec dated = st.st_mtim;
      if (newer(st.st_mtim, now)) st.st_mtim = now; /* what is dated tomorrow was used now */
      if (count == room) *entries = realloc(*entries, sizeof(Entry) * (size_t)(room += 256));
      if (is_work)
        c->reaped += is_old(st.st_mtim, now, GRACE_S) && reaped(root_fd, each->d_name, dir, dry);
      else {
        bool sealed = !faccessat(dir, "seal", F_OK, 0);
        Entry *e = *entries + count++;
        *e = (Entry){.bytes = weigh(dir), .used = st.st_mtim, .dated = dated, .sealed = sealed};
        strcpy(e->name, each->d_name);
      }
    }
    if (dir >= 0) close(dir);
  }
  if (names) closedir(names);
  return count;
}

static bool evict(int root_fd, const Entry *e, Collected *c, bool dry) { /* whether it is gone */
  struct stat st;
  int dir = openat(root_fd, e->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (dir < 0) return errno == ENOENT;
  bool gone = false;
  if (!lock(dir, LOCK_EX)) c->leased++;
  else if (!leads_to(root_fd, e->name, dir)) gone = true;
  else if (fstat(dir, &st) || newer(st.st_mtim, e->dated)) c->used++;
  else if (dry) c->evicted += e->sealed, c->freed += e->bytes, gone = true;
  else {
    c->evicted += empty(dir, &c->freed);
    gone = !unlinkat(root_fd, e->name, AT_REMOVEDIR);
  }
  return close(dir), gone;
}

static void sweep(int root_fd, long long budget, double age_s, bool dry, Collected *c) {
  struct timespec now;
  Entry *entries = NULL;
  long long total = 0;
  clock_gettime(CLOCK_REALTIME, &now);
  int count = survey(root_fd, &entries, c, now, dry);
  for (int i = 0; i < count; i++) total += entries[i].bytes;
  if (count) qsort(entries, (size_t)count, sizeof *entries, by_use);
  for (int i = 0; i < count; i++) {
    if (entries[i].sealed && total <= budget) continue;
    if (entries[i].sealed && !is_old(entries[i].used, now, age_s)) c->young++;
    else if (evict(root_fd, entries + i, c, dry)) total -= entries[i].bytes;
  }
  c->over = total > budget ? total - budget : 0;
  if (!c->over) c->leased = c->young = c->used = 0;
  free(entries);
}

static const char *collect(long long budget, double age_s, bool dry, Collected *c) { /* why not */
  const char *why = NULL;
  int root_fd = open_root(), one = -1;
  if (root_fd < 0) return "there is no root";
  if (!dry) one = openat(root_fd, "gc", O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (!are_locks_real()) why = "locks are not to be trusted";
  else if (!dry && (one < 0 || !lock(one, LOCK_EX))) why = "another collector is at work";
  else sweep(root_fd, budget, age_s, dry, c);
  if (one >= 0) close(one);
  return close(root_fd), why;
}
