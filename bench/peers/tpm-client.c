/*
 * Sends one TPM command again and again and says how long the answers took. The same program drives tpm2-abrmd, a bare
 * swtpm and the lane, so what differs is what is measured.
 *
 *   tpm-client ADDRESS
 *
 * ADDRESS is a TCTI string as tpm2-tools take it (through libtss2-tctildr), or unix:PATH for a connection to a raw TPM 2.0
 * socket that is kept. Each line of stdin is `COUNT HEX`; the answer is a line `P50 P99 MAX` in nanoseconds, or `error …`.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* From tss2_tcti.h and tss2_tctildr.h, so that the libraries without their headers are enough. */
typedef struct tcti TCTI;
struct tcti {
  uint64_t magic;
  uint32_t version;
  uint32_t (*transmit)(TCTI *, size_t, const uint8_t *);
  uint32_t (*receive)(TCTI *, size_t *, uint8_t *, int32_t);
};
extern uint32_t Tss2_TctiLdr_Initialize(const char *, TCTI **);
extern void Tss2_TctiLdr_Finalize(TCTI **);

#define MAX_SIZE 4096

static TCTI *tcti;
static int raw = -1;

static int open_address(const char *address) {
  if (strncmp(address, "unix:", 5) != 0) return Tss2_TctiLdr_Initialize(address, &tcti) == 0 ? 0 : -1;
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  strncpy(to.sun_path, address + 5, sizeof to.sun_path - 1);
  raw = socket(AF_UNIX, SOCK_STREAM, 0);
  return raw < 0 ? -1 : connect(raw, (struct sockaddr *)&to, sizeof to);
}

static int read_all(uint8_t *into, size_t size) {
  for (size_t at = 0; at < size;) {
    ssize_t count = read(raw, into + at, size - at);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return -1;
    at += (size_t)count;
  }
  return 0;
}

static uint32_t word(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The response code, or -1 when there was no answer. */
static int64_t exchange(const uint8_t *command, size_t size, uint8_t *response) {
  if (tcti != NULL) {
    size_t room = MAX_SIZE;
    if (tcti->transmit(tcti, size, command) != 0 || tcti->receive(tcti, &room, response, -1) != 0) return -1;
    return room < 10 ? -1 : (int64_t)word(response + 6);
  }
  if (write(raw, command, size) != (ssize_t)size || read_all(response, 10) != 0) return -1;
  uint32_t length = word(response + 2);
  if (length < 10 || length > MAX_SIZE || read_all(response + 10, length - 10) != 0) return -1;
  return (int64_t)word(response + 6);
}

static int64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * INT64_C(1000000000) + at.tv_nsec;
}

static int compare(const void *one, const void *other) {
  int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
  return (a > b) - (a < b);
}

int main(int count, char **args) {
  if (count != 2) return 2;
  if (open_address(args[1]) != 0) {
    printf("error cannot open %s\n", args[1]);
    return 1;
  }
  printf("ready\n");
  fflush(stdout);
  static char line[2 * MAX_SIZE + 32];
  static uint8_t command[MAX_SIZE], response[MAX_SIZE];
  while (fgets(line, sizeof line, stdin) != NULL) {
    char *hex;
    size_t times = strtoul(line, &hex, 10), size = 0;
    while (*hex == ' ') hex++;
    for (unsigned byte; size < MAX_SIZE && sscanf(hex + 2 * size, "%2x", &byte) == 1; size++) command[size] = (uint8_t)byte;
    int64_t *took = calloc(times, sizeof *took), rc = 0;
    if (took == NULL) return 1;
    for (size_t at = 0; at < times && rc == 0; at++) {
      int64_t start = now();
      rc = exchange(command, size, response);
      took[at] = now() - start;
    }
    if (rc != 0 || times == 0) {
      printf("error 0x%llx\n", (unsigned long long)rc);
    } else {
      qsort(took, times, sizeof *took, compare);
      printf("%lld %lld %lld\n", (long long)took[times / 2], (long long)took[times * 99 / 100], (long long)took[times - 1]);
    }
    fflush(stdout);
    free(took);
  }
  if (tcti != NULL) Tss2_TctiLdr_Finalize(&tcti);
  return 0;
}
