/* Prints the median milliseconds of acquiring and of releasing a lock that nobody else wants. */
#define _DEFAULT_SOURCE
#include "measure.h"

enum { LOCKS = 300 };

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s HOST:PORT\n", argv[0]);
    return EXIT_FAILURE;
  }
  quorate_error_t *error = NULL;
  quorate_client_t *client = connected(argv[1]);
  double acquired[LOCKS], released[LOCKS];
  for (int count = 0; count < LOCKS; count++) {
    quorate_lock_t *lock = NULL;
    double began = nanoseconds();
    must(quorate_lock(client, "bench/alone", NULL, QUORATE_NO_LIMIT, NULL, &lock, &error), &error);
    double held = nanoseconds();
    must(quorate_lock_unlock(lock, QUORATE_NO_LIMIT, NULL, &error), &error);
    acquired[count] = held - began;
    released[count] = nanoseconds() - held;
    quorate_lock_free(&lock);
  }
  printf("%f %f\n", median(acquired, LOCKS) / 1e6, median(released, LOCKS) / 1e6);
  close_client(&client);
  return EXIT_SUCCESS;
}
