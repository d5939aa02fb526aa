// The load generator for datagrams: one thread, level-triggered epoll, every echoed byte checked.
// Usage: udp-client port connections messageBytes requests maxSeconds
//
// Each of its sockets sends its next datagram when the last one has come back. One that does not come back in time is
// lost: it is sent again, up to maxAttempts times, and counted. Datagrams carry their number, so that the echo of one
// that was only late is known and passed over.
//
// Runs the whole load once as a warm-up, prints "ready", then runs it again for every line on stdin and prints
// {"requests":N,"elapsedNs":N,"errors":N,"resent":N} for it. Ends at the end of stdin. Exits with 2 on a wrong byte,
// with 3 (after its JSON) when maxSeconds ran out.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { patternShifts = 4093, maxEvents = 512, maxDatagramBytes = 65507, maxAttempts = 20, checkMs = 20 };
static const uint64_t lostAfterNs = 200000000;

typedef struct {
  int fd, attempts;  // attempts 0: no datagram is on its way
  uint64_t number, sentNs;
} Sender;

static int epfd;
static long senderCount, messageBytes, requestCount;
static double maxSeconds;
static Sender *senders;
static char *pattern, message[maxDatagramBytes + 1];
static long started, finished, errors, resent;
static uint64_t lastNumber;

static void check(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(1);
}

static uint64_t nowNs(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static const char *bodyOf(uint64_t number) { return pattern + number * 31 % patternShifts; }

static size_t bodyBytes(void) { return messageBytes - sizeof(uint64_t); }

static void transmit(Sender *sender) {
  memcpy(message, &sender->number, sizeof sender->number);
  memcpy(message + sizeof sender->number, bodyOf(sender->number), bodyBytes());
  sender->attempts++;
  sender->sentNs = nowNs();
  ssize_t sent = send(sender->fd, message, messageBytes, MSG_NOSIGNAL);
  check(sent == messageBytes || errno == EAGAIN || errno == EINTR, "send");
}

static void next(Sender *sender) {
  sender->attempts = 0;
  if (started >= requestCount) return;
  started++;
  sender->number = ++lastNumber;
  transmit(sender);
}

static void receive(Sender *sender) {
  ssize_t length = recv(sender->fd, message, sizeof message, 0);
  if (length < 0) {
    check(errno == EAGAIN || errno == EINTR, "recv");
    return;
  }
  uint64_t number = 0;
  if (length == messageBytes) memcpy(&number, message, sizeof number);
  if (number == 0 || number > lastNumber || memcmp(message + sizeof number, bodyOf(number), bodyBytes()) != 0) {
    fprintf(stderr, "udp-client: the echo differs from the message\n");
    exit(2);
  }
  if (sender->attempts == 0 || number != sender->number) return;  // an echo that was late
  finished++;
  next(sender);
}

static void resendLost(void) {
  uint64_t now = nowNs();
  for (long i = 0; i < senderCount; i++) {
    Sender *sender = &senders[i];
    if (sender->attempts == 0 || now - sender->sentNs < lostAfterNs) continue;
    if (sender->attempts < maxAttempts) {
      resent++;
      transmit(sender);
    } else {
      errors++;
      finished++;
      next(sender);
    }
  }
}

static uint64_t runLoad(void) {
  started = finished = errors = resent = 0;
  uint64_t begin = nowNs(), deadline = begin + (uint64_t)(maxSeconds * 1e9), nextCheck = 0;
  for (long i = 0; i < senderCount; i++) next(&senders[i]);
  struct epoll_event events[maxEvents];
  while (finished < requestCount) {
    int count = epoll_wait(epfd, events, maxEvents, checkMs);
    check(count >= 0 || errno == EINTR, "epoll_wait");
    for (int i = 0; i < count; i++) receive(events[i].data.ptr);
    uint64_t now = nowNs();
    if (now > nextCheck) {
      resendLost();
      nextCheck = now + checkMs * 1000000ull;
    }
    if (now > deadline) break;
  }
  return nowNs() - begin;
}

int main(int argc, char **argv) {
  if (argc < 6 || atol(argv[3]) <= (long)sizeof(uint64_t) || atol(argv[3]) > maxDatagramBytes) {
    fprintf(stderr, "udp-client port connections messageBytes requests maxSeconds, with 9 to 65507 bytes\n");
    return 1;
  }
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  senderCount = atol(argv[2]);
  messageBytes = atol(argv[3]);
  requestCount = atol(argv[4]);
  maxSeconds = atof(argv[5]);

  senders = calloc(senderCount, sizeof *senders);
  pattern = malloc(messageBytes + patternShifts);
  check(senders && pattern, "malloc");
  uint32_t random = 2463534242u;
  for (long i = 0; i < messageBytes + patternShifts; i++) {
    random ^= random << 13, random ^= random >> 17, random ^= random << 5;
    pattern[i] = (char)random;
  }
  epfd = epoll_create1(EPOLL_CLOEXEC);
  check(epfd >= 0, "epoll_create1");
  for (long i = 0; i < senderCount; i++) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    check(fd >= 0, "socket");
    check(connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    senders[i].fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &senders[i]};
    check(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
  }
  for (int run = 0;; run++) {
    if (run > 0) {
      int byte;
      while ((byte = getchar()) != '\n')
        if (byte == EOF) return 0;
    }
    uint64_t elapsedNs = runLoad();
    if (run == 0 && finished - errors == requestCount) printf("ready\n");
    else
      printf("{\"requests\":%ld,\"elapsedNs\":%lu,\"errors\":%ld,\"resent\":%ld}\n", finished - errors, elapsedNs,
             errors, resent);
    fflush(stdout);
    if (finished < requestCount) return 3;
  }
}
