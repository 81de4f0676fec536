/* Requests, read: they are flat enough to be searched for a field by its name. Within a string a
 * quote is escaped, so that "name": can only be a field. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *field(const char *json, const char *name) { /* its value, or NULL */
  char quoted[64];
  snprintf(quoted, sizeof quoted, "\"%s\":", name);
  const char *found = json ? strstr(json, quoted) : NULL;
  return found ? found + strlen(quoted) + strspn(found + strlen(quoted), " ") : NULL;
}

static const char *text(const char *value, char *into, size_t size) { /* the end of the string */
  size_t at = 0;
  unsigned code;
  for (value++; value[-1] && *value && *value != '"' && at + 4 < size; value++) {
    if (*value != '\\') into[at++] = *value;
    else if (*++value != 'u') into[at++] = *value == 'n' ? '\n' : *value == 't' ? '\t' : *value;
    else if (sscanf(value + 1, "%4x", &code) == 1 && (value += 4)) {
      if (code >= 0xdc80 && code <= 0xdcff) into[at++] = (char)code; /* a byte that is no UTF-8 */
      else if (code < 0x80) into[at++] = (char)code;
      else {
        if (code < 0x800) into[at++] = (char)(0xc0 | code >> 6);
        else into[at++] = (char)(0xe0 | code >> 12), into[at++] = (char)(0x80 | (code >> 6 & 63));
        into[at++] = (char)(0x80 | (code & 63));
      }
    }
  }
  into[at] = 0;
  return value;
}
