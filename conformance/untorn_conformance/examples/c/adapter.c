/* The adapter of the small cache in cache.h, with no library but libc:
 *
 *   cc -O1 -o adapter adapter.c && untorn verify --backend cmd:./adapter
 *
 * An answer is written before the next request is read, and the end of the input ends it. What it
 * writes needs no escapes: names of frames are plain. */
#define _GNU_SOURCE
#define HEX "0123456789abcdef"
#include "json.h"
#include "upkeep.h"

enum { MOST_HANDLES = 100000 };
static Held handles[MOST_HANDLES];
static int last;

static void error(const char *code, const char *message) {
  printf("\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n", code, message);
}

static Held *held(const char *json) {
  char name[32] = "";
  if (field(json, "handle")) text(field(json, "handle"), name, sizeof name);
  int number = name[0] == 'h' ? atoi(name + 1) : 0;
  if (number > 0 && number <= last && handles[number].frames) return handles + number;
  return error("bad-request", "there is no such handle"), NULL;
}

static bool key_of(const char *json, char key[200]) {
  text(field(json, "key"), key, 200);
  size_t length = strspn(key, HEX);
  if (length >= 16 && length <= 128 && !key[length]) return true;
  return error("invalid-key", "a key is 16 to 128 hexadecimal digits"), false;
}

static void hand_out(const char *kind, Held *h, const char *more) {
  if (last + 1 == MOST_HANDLES) { let_go(h), error("internal", "no more handles"); return; }
  handles[++last] = *h;
  printf("\"ok\":{\"kind\":\"%s\",\"handle\":\"h%d\"", kind, last);
  for (int i = 0; strcmp(kind, "staged") && i < h->count; i++)
    printf("%s\"%s\"", i ? "," : ",\"files\":[", h->frames[i].name);
  printf("%s%s}}\n", strcmp(kind, "staged") ? "]" : "", more);
}

static void do_stage(const char *json) {
  static char paths[MOST_FRAMES][4096];
  Held w = {.dir = -1, .frames = calloc(MOST_FRAMES, sizeof(Frame))};
  if (!key_of(json, w.key)) { free(w.frames); return; }
  const char *bad = NULL, *at = field(json, "files");
  char **contents = calloc(MOST_FRAMES, sizeof *contents);
  while ((at = field(at, "name")) && w.count < MOST_FRAMES) {
    Frame *f = w.frames + w.count;
    at = text(at, f->name, sizeof f->name);
    at = text(field(at, "path"), paths[w.count], sizeof paths[0]);
    f->bytes = w.count++; /* where its path is, until the order is known */
    if (number(f->name) < 0) bad = "invalid-key";
  }
  if (!bad) qsort(w.frames, (size_t)w.count, sizeof(Frame), by_number);
  for (int i = 0; i < w.count && !bad; i++) {
    Frame *f = w.frames + i;
    contents[i] = slurp(AT_FDCWD, paths[f->bytes], &f->bytes);
    bool follows = number(f->name) == number(w.frames[0].name) + i;
    if (!contents[i] || !f->bytes || !follows) bad = "invalid-entry";
    else sha256((uint8_t *)contents[i], (size_t)f->bytes, f->sha);
  }
  if (!w.count) bad = "invalid-entry";
  if (!bad) stage(&w, contents);
  for (int i = 0; i < w.count; i++) free(contents[i]);
  free(contents);
  if (!bad) hand_out("staged", &w, "");
  else free(w.frames), error(bad, "no file, a gap, a duplicate, or an empty or odd frame");
}

static void do_read(const char *json) {
  Held *h = held(json);
  int index = field(json, "index") ? atoi(field(json, "index")) : -1;
  if (!h) return;
  if (index < 0 || index >= h->count) { error("bad-request", "there is no such file"); return; }
  long long size;
  char sha[65] = "", *bytes = slurp(h->dir, h->frames[index].name, &size);
  const char *lost = errno == ENOENT ? "evicted" : "damaged";
  if (bytes) sha256((uint8_t *)bytes, (size_t)size, sha), free(bytes), lost = "damaged";
  if (strcmp(sha, h->frames[index].sha)) printf("\"ok\":{\"kind\":\"%s\"}}\n", lost);
  else printf("\"ok\":{\"kind\":\"frame\",\"sha256\":\"%s\",\"bytes\":%lld}}\n", sha, size);
}

static void do_publish(const char *json) {
  Held *h = held(json);
  char more[256] = "";
  if (!h) return;
  Outcome o = publish(h);
  if (o.reason) snprintf(more, sizeof more, ",\"reason\":\"%s\"", o.reason);
  const char *name = o.error ? strerrorname_np(o.error) : NULL;
  size_t end = strlen(more);
  if (name) snprintf(more + end, 128, ",\"errno\":\"%s\",\"step\":\"%s\"", name, o.step);
  hand_out(o.kind, h, more);
  *h = (Held){.dir = -1};
}

static void do_collect(const char *json) {
  const char *budget = field(json, "budget_bytes"), *age = field(json, "min_age_s");
  Collected c = {0};
  long long most = *budget == 'n' ? 1LL << 31 : atoll(budget); /* null: as configured */
  double age_s = *age == 'n' ? 3600 : atof(age);
  const char *why = collect(most, age_s, *field(json, "dry_run") == 't', &c);
  if (why) { printf("\"ok\":{\"kind\":\"skipped\",\"reason\":\"%s\"}}\n", why); return; }
  printf("\"ok\":{\"kind\":\"collected\",\"evicted\":%d,\"freed_bytes\":%lld,\"reaped\":%d,",
         c.evicted, c.freed, c.reaped);
  printf("\"over_budget_bytes\":%lld,\"protected\":{\"leased\":%d,\"young\":%d,\"used\":%d}}}\n",
         c.over, c.leased, c.young, c.used);
}

static void answer(const char *json) {
  char verb[32] = "";
  Held h;
  text(field(json, "verb"), verb, sizeof verb);
  printf("{\"id\":%lld,", atoll(field(json, "id")));
  if (!strcmp(verb, "hello")) {
    printf("\"ok\":{\"kind\":\"hello\",\"name\":\"example-c\",\"version\":\"1.0.0\",");
    printf("\"language\":\"C\",\"protocol\":1,\"capabilities\":[\"lease\"],\"limits\":{");
    printf("\"reap_grace_s\":%d,\"recency_resolution_s\":0.01,\"flight_wait_s\":0}}}\n", GRACE_S);
  } else if (!strcmp(verb, "lookup") && key_of(json, h.key)) {
    char key[200];
    const char *miss = find(strcpy(key, h.key), &h);
    if (!miss) hand_out("hit", &h, "");
    else let_go(&h), printf("\"ok\":{\"kind\":\"miss\",\"reason\":\"%s\"}}\n", miss);
  } else if (!strcmp(verb, "read")) do_read(json);
  else if (!strcmp(verb, "stage")) do_stage(json);
  else if (!strcmp(verb, "publish")) do_publish(json);
  else if (!strcmp(verb, "collect")) do_collect(json);
  else if (!strcmp(verb, "stats")) printf("\"ok\":{\"kind\":\"stats\",\"counters\":{}}}\n");
  else if (!strcmp(verb, "release") || !strcmp(verb, "abandon")) {
    Held *gone = held(json);
    if (gone) let_go(gone), printf("\"ok\":{\"kind\":\"done\"}}\n");
  } else if (!strcmp(verb, "open") || !strcmp(verb, "close")) {
    for (int i = 1; i <= last; i++) let_go(handles + i);
    if (*verb == 'o' && *field(json, "root") == '"') text(field(json, "root"), root, sizeof root);
    printf("\"ok\":{\"kind\":\"done\"}}\n");
  } else if (strcmp(verb, "lookup")) error("unsupported", "there is no such verb");
}

int main(void) {
  char *line = NULL;
  size_t size = 0;
  for (int i = 0; i < MOST_HANDLES; i++) handles[i].dir = -1;
  while (getline(&line, &size, stdin) > 0) answer(line), fflush(stdout);
  return 0;
}
