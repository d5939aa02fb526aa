// Two threads that wake each other through eventfds. Usage: wakeups <epoll|read> <ping-pong|one-way> <count>
// ping-pong: count round trips. one-way: count writes, while the other thread takes what has come. Prints
// {"elapsedNs", "cpuNs"} of that, after a warm-up of a tenth.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

typedef struct {
  int event, epoll;
} Side;

static Side near_side, far_side;
static int one_way;
static long total;
static volatile long sent;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static Side open_side(int with_epoll) {
  Side side = {eventfd(0, EFD_CLOEXEC | (with_epoll ? EFD_NONBLOCK : 0)), -1};
  if (side.event < 0) fail("eventfd");
  if (!with_epoll) return side;
  side.epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  if (side.epoll < 0 || epoll_ctl(side.epoll, EPOLL_CTL_ADD, side.event, &event) < 0) fail("epoll");
  return side;
}

static void wake(Side *side) {
  uint64_t one = 1;
  if (write(side->event, &one, sizeof one) != sizeof one) fail("write");
}

static void wait_for(Side *side) {
  struct epoll_event event;
  uint64_t count;
  if (side->epoll >= 0 && epoll_wait(side->epoll, &event, 1, -1) != 1) fail("epoll_wait");
  if (read(side->event, &count, sizeof count) != sizeof count) fail("read");
}

static void *run_far(void *unused) {
  if (one_way) {
    do wait_for(&far_side);
    while (__atomic_load_n(&sent, __ATOMIC_ACQUIRE) < total);
    wake(&near_side);
  } else {
    for (long i = 0; i < total; i++) {
      wait_for(&far_side);
      wake(&near_side);
    }
  }
  return unused;
}

static void run(long count) {
  pthread_t thread;
  total = count;
  sent = 0;
  if (pthread_create(&thread, NULL, run_far, NULL)) fail("pthread_create");
  for (long i = 0; i < count; i++) {
    __atomic_store_n(&sent, i + 1, __ATOMIC_RELEASE);
    wake(&far_side);
    if (!one_way) wait_for(&near_side);
  }
  if (one_way) wait_for(&near_side);
  pthread_join(thread, NULL);
}

static double now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * 1e9 + time.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int with_epoll = !strcmp(argv[1], "epoll");
  one_way = !strcmp(argv[2], "one-way");
  long count = atol(argv[3]);
  near_side = open_side(with_epoll);
  far_side = open_side(with_epoll);
  run(count / 10);
  double wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
  run(count);
  printf("{\"elapsedNs\": %.0f, \"cpuNs\": %.0f}\n", now(CLOCK_MONOTONIC) - wall, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}
