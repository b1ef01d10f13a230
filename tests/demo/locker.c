/* A program that wants one lock again and again, and tells when it had it.
 * It begins when it is given a line on its standard input. */
#define _DEFAULT_SOURCE
#include <getopt.h>
#include <inttypes.h>
#include <quorate.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Ends the program if a call failed, and says why. */
static void must(quorate_code_t code, quorate_error_t **error) {
  if (code == QUORATE_OK) return;
  fprintf(stderr, "locker: %s: %s\n", quorate_code_name(code), (*error)->message);
  quorate_error_free(error);
  exit(EXIT_FAILURE);
}

/* Seconds on the clock that all programs of this machine share. */
static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void hold(int milliseconds) {
  struct timespec time = {milliseconds / 1000, (milliseconds % 1000) * 1000000L};
  while (nanosleep(&time, &time) != 0) continue;
}

int main(int argc, char **argv) {
  const char *server = NULL, *name = "ledger";
  int rounds = 25, hold_ms = 20;
  const struct option known[] = {
      {"server", required_argument, NULL, 's'},
      {"lock", required_argument, NULL, 'l'},
      {"rounds", required_argument, NULL, 'r'},
      {"hold-ms", required_argument, NULL, 'h'},
      {NULL, 0, NULL, 0},
  };
  for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
    if (option == 's') server = optarg;
    if (option == 'l') name = optarg;
    if (option == 'r') rounds = atoi(optarg);
    if (option == 'h') hold_ms = atoi(optarg);
    if (option == '?') return EXIT_FAILURE;
  }
  if (server == NULL) {
    fprintf(stderr, "usage: %s --server HOST:PORT [--lock NAME] [--rounds N] [--hold-ms N]\n", argv[0]);
    return EXIT_FAILURE;
  }

  quorate_error_t *error = NULL;
  quorate_client_options_t options;
  quorate_client_options_init(&options, sizeof options);
  options.endpoints = &server;
  options.endpoint_count = 1;
  quorate_client_t *client = NULL;
  must(quorate_client_open(&options, &client, &error), &error);
  must(quorate_client_connected(client, 30000, NULL, &error), &error);
  printf("{\"ready\": true}\n");
  fflush(stdout);
  if (getchar() == EOF) return EXIT_FAILURE;

  quorate_hold_options_t outlives;
  quorate_hold_options_init(&outlives, sizeof outlives);
  outlives.ttl_ms = 5000;
  for (int round = 0; round < rounds; round++) {
    quorate_lock_t *lock = NULL;
    must(quorate_lock(client, name, &outlives, 30000, NULL, &lock, &error), &error);
    double began = now();
    hold(hold_ms);
    double ended = now();
    int64_t token = quorate_lock_token(lock);
    must(quorate_lock_unlock(lock, QUORATE_NO_LIMIT, NULL, &error), &error);
    quorate_lock_free(&lock);
    printf("{\"token\": %" PRId64 ", \"began\": %.6f, \"ended\": %.6f}\n", token, began, ended);
    fflush(stdout);
  }
  must(quorate_client_close(client, QUORATE_NO_LIMIT, NULL, &error), &error);
  quorate_client_free(&client);
  return EXIT_SUCCESS;
}
