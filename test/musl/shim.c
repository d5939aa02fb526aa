// For tests alone: what Debian's libstdc++ and libgcc_s, made for glibc, miss under musl's loader. Destructors of
// thread-local objects never run with it.
#include <locale.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/random.h>
#include <time.h>

char __libc_single_threaded = 0;

struct {
  unsigned vendor, type, subtype, features[1];
} __cpu_model;

int __cpu_indicator_init(void) { return 0; }

// "Not found": libgcc then asks dl_iterate_phdr.
int _dl_find_object(void *address, void *result) { return -1; }

int __cxa_thread_atexit_impl(void (*destructor)(void *), void *object, void *library) { return 0; }

size_t __strftime_l(char *text, size_t size, const char *format, const struct tm *time, locale_t locale) {
  return strftime_l(text, size, format, time, locale);
}

uint32_t arc4random(void) {
  uint32_t number;
  getrandom(&number, sizeof number, 0);
  return number;
}
