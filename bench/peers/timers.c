// Raw C: one-shot timers in a 4-ary heap, waited for with clock_nanosleep. Usage: timers count
// Prints {"early":N,"meanLatenessMs":N}.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct {
  uint64_t deadlineNs;
  void (*callback)(uint64_t lateness);
} Timer;

static Timer *heap;
static long size, early;
static double latenessNs;

static uint64_t nowNs(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static void onTimer(uint64_t lateness) { latenessNs += lateness; }

static void push(Timer timer) {
  long at = size++;
  for (; at > 0 && timer.deadlineNs < heap[(at - 1) / 4].deadlineNs; at = (at - 1) / 4) heap[at] = heap[(at - 1) / 4];
  heap[at] = timer;
}

static Timer pop(void) {
  Timer first = heap[0], last = heap[--size];
  long at = 0;
  for (;;) {
    long child = 4 * at + 1, end = child + 4 < size ? child + 4 : size, best = child;
    if (child >= size) break;
    for (long other = child + 1; other < end; other++)
      if (heap[other].deadlineNs < heap[best].deadlineNs) best = other;
    if (last.deadlineNs <= heap[best].deadlineNs) break;
    heap[at] = heap[best];
    at = best;
  }
  heap[at] = last;
  return first;
}

int main(int argc, char **argv) {
  long count = argc > 1 ? atol(argv[1]) : 1000000;
  heap = malloc(count * sizeof *heap);
  uint32_t seed = 1;
  for (long i = 0; i < count; i++) {
    seed = seed * 1664525u + 1013904223u;
    push((Timer){nowNs() + (uint64_t)((seed >> 8) % 1000001) * 1000, onTimer});
  }
  while (size > 0) {
    uint64_t now = nowNs();
    if (heap[0].deadlineNs > now) {
      struct timespec until = {heap[0].deadlineNs / 1000000000, heap[0].deadlineNs % 1000000000};
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, 0);
      now = nowNs();
    }
    while (size > 0 && heap[0].deadlineNs <= now) {
      Timer timer = pop();
      timer.callback(now - timer.deadlineNs);
    }
  }
  printf("{\"early\":%ld,\"meanLatenessMs\":%.4f}\n", early, latenessNs / count / 1e6);
}
