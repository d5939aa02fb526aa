// The load generator: one thread, edge-triggered epoll, every echoed byte checked.
// Usage: client port connections messageBytes requests maxSeconds echo|churn|idle [idleConnections]
//
// Opens its connections (each proven accepted by an 8-byte echo), runs the whole load once as a warm-up, prints
// "ready", then runs it again for every line on stdin and prints {"requests":N,"elapsedNs":N,"errors":N} for it.
// Ends at the end of stdin. Exits with 2 on a wrong byte, with 3 (after its JSON) when maxSeconds ran out.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { patternShifts = 4093, maxEvents = 512, readBytes = 1 << 18, helloBytes = 8 };

typedef struct {
  int fd;
  size_t sent, received;
  const char *message;
} Connection;

static int port, churn, epfd;
static long connectionCount, messageBytes, requestCount;
static double maxSeconds;
static Connection *connections;
static char *pattern, *readBuffer;
static long started, finished, errors;

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

static int openSocket(int flags) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  check(fd >= 0, "socket");
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int failed = connect(fd, (struct sockaddr *)&address, sizeof address);
  check(!failed || errno == EINPROGRESS, "connect");
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

static void watch(Connection *connection) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection};
  check(epoll_ctl(epfd, EPOLL_CTL_ADD, connection->fd, &event) == 0, "epoll_ctl");
}

static int openAccepted(void) {
  int fd = openSocket(0);
  char hello[helloBytes];
  memcpy(hello, pattern, helloBytes);
  check(send(fd, hello, helloBytes, MSG_NOSIGNAL) == helloBytes, "hello");
  check(recv(fd, hello, helloBytes, MSG_WAITALL) == helloBytes, "hello echo");
  check(memcmp(hello, pattern, helloBytes) == 0, "hello echo differs");
  return fd;
}

// Starts the next message, or returns 0 when the load has been handed out.
static int next(Connection *connection) {
  if (started >= requestCount) {
    connection->message = NULL;
    return 0;
  }
  // Every message is the same random bytes from another start, so a byte of another message shows.
  connection->message = pattern + started++ * 31 % patternShifts;
  connection->sent = connection->received = 0;
  return 1;
}

static void nextChurned(Connection *connection) {
  if (!next(connection)) return;
  connection->fd = openSocket(SOCK_NONBLOCK);
  watch(connection);  // its first event is the finished connect
}

static void fail(Connection *connection) {
  errors++;
  finished++;
  close(connection->fd);
  connection->message = NULL;
  if (churn) nextChurned(connection);
}

static int sendSome(Connection *connection) {
  while (connection->sent < (size_t)messageBytes) {
    ssize_t sent =
        send(connection->fd, connection->message + connection->sent, messageBytes - connection->sent, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    connection->sent += sent;
  }
  return 1;
}

static int receiveSome(Connection *connection) {
  for (;;) {
    ssize_t length = recv(connection->fd, readBuffer, readBytes, 0);
    if (length < 0) return errno == EAGAIN || errno == EINTR;
    if (length == 0) return 0;
    if (connection->received + length > connection->sent ||
        memcmp(readBuffer, connection->message + connection->received, length) != 0) {
      fprintf(stderr, "client: the echo differs from the message\n");
      exit(2);
    }
    connection->received += length;
    if (length < readBytes) return 1;  // a short read has emptied the socket
  }
}

static void step(Connection *connection) {
  if (!connection->message) return;
  if (!sendSome(connection) || !receiveSome(connection)) return fail(connection);
  if (connection->received < (size_t)messageBytes) {
    // A server without TCP_NODELAY holds a short segment back until the last one is acknowledged. Acknowledging
    // at once keeps 40 ms delayed acknowledgements out of the measurement, whatever options a server sets.
    if (connection->received > 0) {
      int one = 1;
      setsockopt(connection->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
    }
    return;
  }
  finished++;
  if (churn) {
    close(connection->fd);
    nextChurned(connection);
  } else if (next(connection) && !sendSome(connection)) {
    fail(connection);
  }
}

static uint64_t runLoad(void) {
  started = finished = errors = 0;
  uint64_t begin = nowNs(), deadline = begin + (uint64_t)(maxSeconds * 1e9);
  for (long i = 0; i < connectionCount; i++) {
    if (churn) nextChurned(&connections[i]);
    else if (next(&connections[i]) && !sendSome(&connections[i])) fail(&connections[i]);
  }
  struct epoll_event events[maxEvents];
  while (finished < requestCount) {
    int count = epoll_wait(epfd, events, maxEvents, 100);
    check(count >= 0 || errno == EINTR, "epoll_wait");
    for (int i = 0; i < count; i++) step(events[i].data.ptr);
    if (nowNs() > deadline) break;
  }
  return nowNs() - begin;
}

int main(int argc, char **argv) {
  if (argc < 7) {
    fprintf(stderr, "client port connections messageBytes requests maxSeconds echo|churn|idle [idleConnections]\n");
    return 1;
  }
  port = atoi(argv[1]);
  connectionCount = atol(argv[2]);
  messageBytes = atol(argv[3]);
  requestCount = atol(argv[4]);
  maxSeconds = atof(argv[5]);
  churn = strcmp(argv[6], "churn") == 0;
  long idleCount = strcmp(argv[6], "idle") == 0 && argc > 7 ? atol(argv[7]) : 0;

  connections = calloc(connectionCount, sizeof *connections);
  readBuffer = malloc(readBytes);
  pattern = malloc(messageBytes + patternShifts + helloBytes);
  check(connections && readBuffer && pattern, "malloc");
  uint32_t random = 2463534242u;
  for (long i = 0; i < messageBytes + patternShifts + helloBytes; i++) {
    random ^= random << 13, random ^= random >> 17, random ^= random << 5;
    pattern[i] = (char)random;
  }
  epfd = epoll_create1(EPOLL_CLOEXEC);
  check(epfd >= 0, "epoll_create1");

  for (long i = 0; i < idleCount; i++) openAccepted();  // these just stay
  for (long i = 0; i < connectionCount && !churn; i++) {
    connections[i].fd = openAccepted();
    check(fcntl(connections[i].fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
    watch(&connections[i]);
  }
  for (int run = 0;; run++) {
    if (run > 0) {
      int byte;
      while ((byte = getchar()) != '\n')
        if (byte == EOF) return 0;
    }
    uint64_t elapsedNs = runLoad();
    if (run == 0 && finished - errors == requestCount) printf("ready\n");
    else printf("{\"requests\":%ld,\"elapsedNs\":%lu,\"errors\":%ld}\n", finished - errors, elapsedNs, errors);
    fflush(stdout);
    if (finished < requestCount) return 3;
  }
}
