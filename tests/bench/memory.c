/* Prints the bytes of one more client, and of one more followed service of 1,000 instances: by the
 * growth of what is resident. The services are registered before. */
#define _DEFAULT_SOURCE
#include "measure.h"

#include <unistd.h>

enum { CLIENTS = 100, SERVICES = 10, INSTANCES = 1000 };

static double resident(void) {
  FILE *statm = fopen("/proc/self/statm", "r");
  long pages = 0;
  if (statm == NULL || fscanf(statm, "%*s %ld", &pages) != 1) exit(EXIT_FAILURE);
  fclose(statm);
  return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Follows a service until all of it is there. */
static void follow(quorate_client_t *client, int number) {
  char service[32];
  snprintf(service, sizeof service, "memory-%d", number);
  quorate_error_t *error = NULL;
  double deadline = nanoseconds() + 60e9;
  for (size_t known = 0; known < INSTANCES;) {
    quorate_view_t *view = NULL;
    must(quorate_discover(client, service, 30000, NULL, &view, &error), &error);
    known = view->instance_count;
    quorate_view_free(&view);
    if (known < INSTANCES) usleep(5000);
    if (nanoseconds() > deadline) {
      fprintf(stderr, "service %s is not complete\n", service);
      exit(EXIT_FAILURE);
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s HOST:PORT\n", argv[0]);
    return EXIT_FAILURE;
  }
  quorate_client_t *first = connected(argv[1]);
  double begin = resident();
  quorate_client_t *clients[CLIENTS];
  for (int count = 0; count < CLIENTS; count++) clients[count] = connected(argv[1]);
  double all_connected = resident();
  for (int number = 0; number < SERVICES; number++) follow(first, number);
  double following = resident();
  printf("%f %f\n", (all_connected - begin) / CLIENTS, (following - all_connected) / SERVICES);
  for (int count = 0; count < CLIENTS; count++) close_client(&clients[count]);
  close_client(&first);
  return EXIT_SUCCESS;
}
